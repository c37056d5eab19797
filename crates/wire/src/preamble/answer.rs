use crate::Decoded;

/// The accepting proxy's answer, whole.
pub const ANSWER_BYTES_MAX: usize = 2 + REASON_BYTES_MAX;

/// The text that explains a refusal. Longer text is cut when it is sent.
pub const REASON_BYTES_MAX: usize = 200;

const ACCEPTED: u8 = 0;

/// What the accepting proxy says before the first byte of the application.
#[derive(Debug, PartialEq, Eq, Clone)]
pub enum Answer {
    Accepted,
    /// The tunnel ends after this. `reason` is for a human: the caller's proxy shows it to its user.
    Refused {
        code: RefusalCode,
        reason: String,
    },
}

/// Who must act on a refusal.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum RefusalCode {
    /// The owner of the policy: no rule allows this caller.
    Denied,
    /// The caller: nothing of this name and port is behind the accepting proxy.
    TargetUnknown,
    /// The owner of the target: it does not accept connections now.
    TargetUnreachable,
    /// Nobody at once: the accepting proxy is at a limit; try again.
    Overloaded,
    /// Nobody: the accepting proxy is shutting down; another instance may take over.
    Draining,
    /// Whoever upgrades proxies: the preamble was malformed or from another version.
    PreambleUnsupported,
    /// A code that this version does not know, kept for the log.
    Unknown(u8),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum AnswerError {
    #[error("the reason of a refusal is {0} bytes, more than the limit of {REASON_BYTES_MAX}")]
    ReasonTooLong(usize),
    #[error("the reason of a refusal is not printable text")]
    ReasonUnprintable,
}

impl RefusalCode {
    pub(super) fn from_wire(code: u8) -> Self {
        match code {
            1 => Self::Denied,
            2 => Self::TargetUnknown,
            3 => Self::TargetUnreachable,
            4 => Self::Overloaded,
            5 => Self::Draining,
            6 => Self::PreambleUnsupported,
            unknown => Self::Unknown(unknown),
        }
    }

    fn to_wire(self) -> u8 {
        match self {
            Self::Denied => 1,
            Self::TargetUnknown => 2,
            Self::TargetUnreachable => 3,
            Self::Overloaded => 4,
            Self::Draining => 5,
            Self::PreambleUnsupported => 6,
            // An unknown code that is a known one after all would read as an acceptance or as
            // another refusal.
            Self::Unknown(code) => code.max(7),
        }
    }
}

impl Answer {
    /// A refusal whose `reason` fits the wire: control characters become spaces, and what is too
    /// long is cut at a character.
    #[must_use]
    pub fn refuse(code: RefusalCode, reason: &str) -> Self {
        let mut text = String::new();
        for character in reason.chars() {
            let character = if character.is_control() { ' ' } else { character };
            if text.len() + character.len_utf8() > REASON_BYTES_MAX {
                break;
            }
            text.push(character);
        }
        Self::Refused { code, reason: text }
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self::Refused { code, reason } = self else {
            return vec![ACCEPTED];
        };
        let Self::Refused { reason, .. } = Self::refuse(*code, reason) else {
            unreachable!("a refusal stays a refusal")
        };
        let mut bytes = vec![code.to_wire()];
        bytes.push(u8::try_from(reason.len()).expect("a reason is at most 200 bytes"));
        bytes.extend_from_slice(reason.as_bytes());
        bytes
    }

    /// Reads an answer from the start of `bytes`, which are all that has arrived so far.
    ///
    /// # Errors
    /// If the reason is too long or holds control characters, which a terminal could obey.
    pub fn decode(bytes: &[u8]) -> Result<Decoded<Self>, AnswerError> {
        let (code, len) = match bytes {
            [ACCEPTED, ..] => return Ok(Decoded::Done { value: Self::Accepted, consumed: 1 }),
            [code, len, ..] => (RefusalCode::from_wire(*code), usize::from(*len)),
            _ => return Ok(Decoded::NeedMore),
        };
        if len > REASON_BYTES_MAX {
            return Err(AnswerError::ReasonTooLong(len));
        }
        let Some(reason) = bytes.get(2..2 + len) else {
            return Ok(Decoded::NeedMore);
        };
        let reason = std::str::from_utf8(reason).map_err(|_| AnswerError::ReasonUnprintable)?;
        if reason.chars().any(char::is_control) {
            return Err(AnswerError::ReasonUnprintable);
        }
        let value = Self::Refused { code, reason: reason.to_owned() };
        Ok(Decoded::Done { value, consumed: 2 + len })
    }
}
