//! What a reader needs of a line to put it in its place: the rest is between the line and its hash.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Checkpoint, LINE_BYTES_MAX, UnixMillis};
use crate::hex;

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("this line is not a record of an audit trail")]
pub struct NotARecord;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParsedLine {
    pub sequence: u64,
    pub previous: [u8; 32],
    pub time: UnixMillis,
    pub phase: ParsedPhase,
    /// Intents that were open when this line, the first of its file, was written.
    pub open_intents: Vec<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ParsedPhase {
    Call,
    Intent,
    /// `done` unless the line names an error.
    Outcome {
        intent: u64,
        done: bool,
    },
    Checkpoint(Box<Checkpoint>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outer {
    error_code: Option<IgnoredAny>,
    additional_event_data: Additional,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Additional {
    sequence: u64,
    #[serde(with = "hex::bytes")]
    previous: [u8; 32],
    unix_millis: UnixMillis,
    phase: PhaseName,
    intent: Option<u64>,
    #[serde(default)]
    open_intents: Vec<u64>,
    checkpoint: Option<Box<Checkpoint>>,
}

#[derive(Deserialize)]
enum PhaseName {
    Call,
    Intent,
    Outcome,
    Checkpoint,
}

impl ParsedLine {
    /// # Errors
    /// [`NotARecord`] if `line` is not one that [`super::TrailHead::append`] could have written.
    pub fn parse(line: &[u8]) -> Result<Self, NotARecord> {
        if line.len() > LINE_BYTES_MAX {
            return Err(NotARecord);
        }
        let outer: Outer = serde_json::from_slice(line).map_err(|_| NotARecord)?;
        let done = outer.error_code.is_none();
        let inner = outer.additional_event_data;
        let phase = match (inner.phase, inner.intent, inner.checkpoint) {
            (PhaseName::Call, None, None) => ParsedPhase::Call,
            (PhaseName::Intent, None, None) => ParsedPhase::Intent,
            (PhaseName::Outcome, Some(intent), None) => ParsedPhase::Outcome { intent, done },
            (PhaseName::Checkpoint, None, Some(signed)) => ParsedPhase::Checkpoint(signed),
            _ => return Err(NotARecord),
        };
        Ok(Self {
            sequence: inner.sequence,
            previous: inner.previous,
            time: inner.unix_millis,
            phase,
            open_intents: inner.open_intents,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::test_events::decrypt;
    use super::super::{Failure, Phase, TrailHead};
    use super::*;

    #[test]
    fn a_line_gives_back_its_place_and_phase() {
        let check = |phase, failed: bool, open: &[u64], expected: ParsedPhase| {
            let mut event = decrypt(3);
            event.failure = failed.then(|| Failure { code: "X".into(), message: String::new() });
            let head = TrailHead { sequence: 7, hash: [9; 32] };
            let mut line = Vec::new();
            head.clone().append(&event, phase, open, &mut line);
            let parsed = ParsedLine::parse(line.strip_suffix(b"\n").unwrap()).unwrap();
            assert_eq!((parsed.sequence, parsed.previous), (7, [9; 32]));
            assert_eq!((parsed.time, &parsed.open_intents[..]), (event.time, open));
            assert_eq!(parsed.phase, expected);
        };
        check(Phase::Call, true, &[], ParsedPhase::Call);
        check(Phase::Intent, false, &[3, 5], ParsedPhase::Intent);
        let outcome = Phase::Outcome { intent: 5 };
        check(outcome, false, &[], ParsedPhase::Outcome { intent: 5, done: true });
        check(outcome, true, &[], ParsedPhase::Outcome { intent: 5, done: false });
    }

    #[test]
    fn what_contradicts_itself_is_not_a_record() {
        let mut line = Vec::new();
        TrailHead::start().append(&decrypt(3), Phase::Call, &[], &mut line);
        let line = String::from_utf8(line).unwrap();
        assert!(ParsedLine::parse(line.as_bytes()).is_ok());
        for (from, to) in [
            ("\"Call\"", "\"Outcome\""),
            ("\"Call\"", "\"Checkpoint\""),
            ("\"Call\"", "\"Call\",\"intent\":1"),
            ("\"sequence\":0", "\"sequence\":0,\"sequence\":0"),
            ("\"sequence\":0", "\"sequence\":-1"),
            ("\"additionalEventData\"", "\"additional\""),
        ] {
            let other = line.replace(from, to);
            assert_eq!(ParsedLine::parse(other.as_bytes()), Err(NotARecord), "{to}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = ParsedLine::parse(&bytes);
        }
    }
}
