//! Writing JSON straight into a buffer: a line is written for every call, and a tree of values
//! built for it would cost more than all the rest.

/// The object or list being written: knows whether a comma is due.
pub(super) struct Json<'o> {
    pub(super) out: &'o mut Vec<u8>,
    comma: bool,
    /// Whether a text was cut to its limit.
    pub(super) cut: bool,
}

impl<'o> Json<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, comma: false, cut: false }
    }

    /// Drops everything from `len` on: the value that began there is written anew.
    pub(super) fn rewind(&mut self, len: usize) {
        self.out.truncate(len);
        self.comma = false;
    }

    pub(super) fn begin(&mut self, bracket: u8) {
        self.separate();
        self.out.push(bracket);
        self.comma = false;
    }

    pub(super) fn end(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.comma = true;
    }

    /// A name of ours, which needs no escapes.
    pub(super) fn name(&mut self, name: &'static str) {
        self.separate();
        self.quoted(name.as_bytes());
        self.out.push(b':');
        self.comma = false;
    }

    /// A name of a caller's.
    pub(super) fn key(&mut self, name: &str) {
        self.separate();
        string(self.out, name);
        self.out.push(b':');
        self.comma = false;
    }

    /// A word of ours, which needs no escapes.
    pub(super) fn word(&mut self, word: &'static str) {
        self.separate();
        self.quoted(word.as_bytes());
        self.comma = true;
    }

    /// Text without a limit of its own: of ours, or within an object that has one.
    pub(super) fn text(&mut self, text: &str) {
        self.separate();
        string(self.out, text);
        self.comma = true;
    }

    /// At most `bytes_max` of `text`.
    pub(super) fn clipped(&mut self, text: &str, bytes_max: usize) {
        let kept = &text[..text.floor_char_boundary(bytes_max)];
        self.cut |= kept.len() < text.len();
        self.text(kept);
    }

    pub(super) fn hex(&mut self, bytes: &[u8]) {
        self.separate();
        self.out.push(b'"');
        hex(self.out, bytes);
        self.out.push(b'"');
        self.comma = true;
    }

    pub(super) fn number(&mut self, number: u64) {
        self.separate();
        // Twenty digits hold any `u64`.
        let (mut digits, mut rest, mut begin) = ([0; 20], number, 20);
        loop {
            begin -= 1;
            digits[begin] = DIGITS[usize::try_from(rest % 10).expect("one digit")];
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[begin..]);
        self.comma = true;
    }

    /// A string of characters that need no escapes.
    pub(super) fn plain_bytes(&mut self, text: &[u8]) {
        self.separate();
        self.quoted(text);
        self.comma = true;
    }

    /// `true`, `false` or `null`.
    pub(super) fn literal(&mut self, literal: &'static str) {
        self.separate();
        self.out.extend_from_slice(literal.as_bytes());
        self.comma = true;
    }

    fn quoted(&mut self, text: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(text);
        self.out.push(b'"');
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
    }
}

/// What stands after the backslash, 0 for what stands for itself, `u` for a code.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escapes[byte] = b'u';
        byte += 1;
    }
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes[b'\n' as usize] = b'n';
    escapes[b'\r' as usize] = b'r';
    escapes[b'\t' as usize] = b't';
    escapes
};
const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Nearly always. Without a way out of the loop, the compiler looks at many bytes at once.
    let escapes = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    if !rest.iter().fold(false, |found, byte| found | escapes(*byte)) {
        out.extend_from_slice(rest);
        out.push(b'"');
        return;
    }
    while let Some(at) = rest.iter().position(|byte| ESCAPES[usize::from(*byte)] != 0) {
        let byte = rest[at];
        out.extend_from_slice(&rest[..at]);
        match ESCAPES[usize::from(byte)] {
            b'u' => {
                out.extend_from_slice(b"\\u00");
                hex(out, &[byte]);
            }
            escape => out.extend_from_slice(&[b'\\', escape]),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let begin = out.len();
    out.resize(begin + 2 * bytes.len(), 0);
    hex_into(&mut out[begin..], bytes);
}

/// The digits of `bytes` at the front of `out`, which must be long enough for them.
pub(super) fn hex_into(out: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0x0f)]]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_reads_back_and_stays_on_its_line(text in any::<String>()) {
            let mut out = Vec::new();
            Json::new(&mut out).text(&text);
            prop_assert!(!out.contains(&b'\n'));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 9, 10, 1_800_000_000_000, u64::MAX] {
            let mut out = Vec::new();
            Json::new(&mut out).number(number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn text_is_cut_between_characters() {
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.clipped("aé", 2);
        assert!(json.cut);
        assert_eq!(out, b"\"a\"");
    }
}
