use crypto::mac::sha256;
use serde::{Deserialize, Serialize};

use super::Event;
use super::line::{self, Link, Phase};
use crate::hex;

/// The end of a trail: how many lines there are, and the hash of the last. A store's commits carry
/// it, so that a trail that was cut afterwards no longer fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrailHead {
    /// Lines so far, which is the sequence of the next line.
    pub sequence: u64,
    #[serde(with = "hex::bytes")]
    pub hash: [u8; 32],
}

impl TrailHead {
    /// The head of the empty trail: what the first line calls the line before it.
    #[must_use]
    pub fn start() -> Self {
        Self { sequence: 0, hash: sha256(b"sealane/audit-trail/1") }
    }

    /// Writes the next line and its newline to the end of `out`, and advances.
    ///
    /// `open_intents` names the intents whose outcome has not been written; the first line of a
    /// file carries them, so that a reader who begins there knows of them.
    pub fn append(
        &mut self,
        event: &Event,
        phase: Phase<'_>,
        open_intents: &[u64],
        out: &mut Vec<u8>,
    ) {
        let begin = out.len();
        let link = Link { sequence: self.sequence, previous: &self.hash, phase, open_intents };
        line::write(out, event, &link);
        *self = self.after(&out[begin..]);
        out.push(b'\n');
    }

    /// The head after `line`, which is given without its newline.
    #[must_use]
    pub fn after(&self, line: &[u8]) -> Self {
        Self { sequence: self.sequence + 1, hash: sha256(line) }
    }
}
