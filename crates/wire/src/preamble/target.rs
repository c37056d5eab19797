use std::fmt;

/// `NAME:PORT` as it travels: a name of at most 253 bytes, a colon, five digits.
pub const TARGET_BYTES_MAX: usize = 253 + 1 + 5;

const NAME_BYTES_MAX: usize = 253;

/// What the calling proxy wants to reach: a service by its plain name, or a host outside by its DNS
/// name, and a port.
///
/// One spelling per target: lower case, no trailing dot, no leading zero in the port, no address
/// literals with colons. Policy then compares text with text and cannot be slipped past by case.
#[derive(Debug, PartialEq, Eq, Clone, Hash, PartialOrd, Ord)]
pub struct TargetName {
    text: String,
    name_len: usize,
    port: u16,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum ParseTargetError {
    #[error("there is no colon before a port")]
    PortMissing,
    #[error("the port is not a number from 1 to 65535 without leading zeros")]
    Port,
    #[error("the name is empty, or a label in it is empty or longer than 63 bytes")]
    Name,
    #[error("the name is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    #[error("a name has lower-case letters, digits, `-`, `_` and `.` only")]
    Character,
}

impl TargetName {
    /// # Errors
    /// [`ParseTargetError`] says what to change in `text`.
    pub fn parse(text: &str) -> Result<Self, ParseTargetError> {
        let (name, port_text) = text.rsplit_once(':').ok_or(ParseTargetError::PortMissing)?;
        let port = port_text
            .parse::<u16>()
            .ok()
            .filter(|&port| port != 0 && port.to_string() == port_text)
            .ok_or(ParseTargetError::Port)?;
        Self::new(name, port)
    }

    /// # Errors
    /// [`ParseTargetError`] if `name` is not spelled as a target's name, or `port` is 0.
    pub fn new(name: &str, port: u16) -> Result<Self, ParseTargetError> {
        if port == 0 {
            return Err(ParseTargetError::Port);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(ParseTargetError::NameTooLong);
        }
        if !name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.')) {
            return Err(ParseTargetError::Character);
        }
        if name.split('.').any(|label| label.is_empty() || label.len() > 63) {
            return Err(ParseTargetError::Name);
        }
        Ok(Self { text: format!("{name}:{port}"), name_len: name.len(), port })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[..self.name_len]
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
