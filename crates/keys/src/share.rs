//! One share of a split secret, as a line that people read out, copy and type.

use std::fmt;

use crypto::{Id, mac};
use zeroize::Zeroizing;

const PREFIX: &str = "sealane-share-1:";
/// What any version begins with.
const PREFIX_OF_ALL: &str = "sealane-share-";
/// Crockford's base 32: no two characters that are taken for each other.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const GROUP_LEN: usize = 5;

const VALUE_LEN: usize = 32;
const BODY_LEN: usize = 1 + 1 + CellTag::LEN + SetId::LEN + VALUE_LEN;
const CHECKSUM_LEN: usize = 4;
/// A multiple of five bytes, so that no character is half used.
const BYTES_LEN: usize = BODY_LEN + CHECKSUM_LEN;
const DIGITS_LEN: usize = BYTES_LEN / 5 * 8;

/// One of the shares that a secret was split into. Enough of them are the secret, so each is one:
/// no `Debug`, no `Clone`, wiped on drop.
pub struct Share {
    number: u8,
    threshold: u8,
    cell: CellTag,
    set: SetId,
    /// Boxed, so that moving a share leaves no copies behind.
    value: Box<Zeroizing<[u8; VALUE_LEN]>>,
}

/// Which splitting a share came from: all shares of one have the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SetId(pub(crate) [u8; Self::LEN]);

/// So much of a cell's id as has room in a line. It serves to say that a share is another cell's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CellTag([u8; Self::LEN]);

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum ParseShareError {
    #[error("this is no share: a share is one line that begins with `{PREFIX}`")]
    NotAShare,
    #[error("this share has another version; this program knows `{PREFIX}`")]
    Version,
    #[error("the share has {0} characters after `{PREFIX}`, and should have {DIGITS_LEN}")]
    Length(usize),
    #[error("group {group} of the share has a character that no share has")]
    Character { group: usize },
    #[error("the share was mistyped: its characters do not fit together")]
    Checksum,
}

impl SetId {
    pub(crate) const LEN: usize = 6;
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::hex::encode(&self.0))
    }
}

impl fmt::Debug for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl CellTag {
    const LEN: usize = 6;

    pub(crate) fn of(cell: Id) -> Self {
        Self(*cell.as_bytes().first_chunk().expect("an id is longer"))
    }
}

impl Share {
    /// Longer than any line with a share in it.
    pub const LINE_BYTES_MAX: usize = 256;

    pub(crate) fn new(number: u8, threshold: u8, cell: Id, set: SetId, value: &[u8]) -> Self {
        let mut boxed = Box::new(Zeroizing::new([0; VALUE_LEN]));
        boxed.copy_from_slice(value);
        Self { number, threshold, cell: CellTag::of(cell), set, value: boxed }
    }

    /// Counted from one.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.number
    }

    /// How many shares are the secret.
    #[must_use]
    pub fn threshold(&self) -> u8 {
        self.threshold
    }

    #[must_use]
    pub fn set(&self) -> SetId {
        self.set
    }

    pub(crate) fn cell(&self) -> CellTag {
        self.cell
    }

    pub(crate) fn value(&self) -> &[u8; VALUE_LEN] {
        &self.value
    }

    /// The line that is handed out, without a line end.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; BYTES_LEN]);
        self.write_body(&mut bytes[..]);
        let sum = checksum(&bytes[..BODY_LEN]);
        bytes[BODY_LEN..].copy_from_slice(&sum);
        // Reserved at once: a reallocation would leave a copy of the secret behind.
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * DIGITS_LEN));
        text.push_str(PREFIX);
        for at in 0..DIGITS_LEN {
            if at > 0 && at % GROUP_LEN == 0 {
                text.push('-');
            }
            let digit = (0..5).fold(0, |digit, bit| digit << 1 | bit_of(&bytes[..], at * 5 + bit));
            text.push(char::from(ALPHABET[usize::from(digit)]));
        }
        text
    }

    /// Reads a line as people type it: capital letters, spaces or no hyphens between the groups,
    /// and the letters that look like digits all do.
    ///
    /// # Errors
    /// [`ParseShareError`] says what is wrong with the line, without repeating any of it.
    pub fn parse(line: &str) -> Result<Self, ParseShareError> {
        let line = line.trim();
        let Some((prefix, digits)) = line.split_at_checked(PREFIX.len()) else {
            return Err(ParseShareError::NotAShare);
        };
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            let ours = prefix.to_ascii_lowercase().starts_with(PREFIX_OF_ALL);
            return Err(if ours { ParseShareError::Version } else { ParseShareError::NotAShare });
        }
        let mut bytes = Zeroizing::new([0; BYTES_LEN]);
        let mut length = 0;
        for character in digits.chars().filter(|c| !matches!(c, '-' | ' ')) {
            if length < DIGITS_LEN {
                let group = length / GROUP_LEN + 1;
                let digit = digit_of(character).ok_or(ParseShareError::Character { group })?;
                (0..5).for_each(|bit| {
                    let place = length * 5 + bit;
                    bytes[place / 8] |= (digit >> (4 - bit) & 1) << (7 - place % 8);
                });
            }
            length += 1;
        }
        if length != DIGITS_LEN {
            return Err(ParseShareError::Length(length));
        }
        let (body, sum) = bytes.split_at(BODY_LEN);
        if checksum(body) != sum {
            return Err(ParseShareError::Checksum);
        }
        Ok(Self::read_body(body))
    }

    fn write_body(&self, bytes: &mut [u8]) {
        let (head, value) = bytes[..BODY_LEN].split_at_mut(BODY_LEN - VALUE_LEN);
        head[0] = self.number;
        head[1] = self.threshold;
        head[2..2 + CellTag::LEN].copy_from_slice(&self.cell.0);
        head[2 + CellTag::LEN..].copy_from_slice(&self.set.0);
        value.copy_from_slice(&self.value[..]);
    }

    /// Whether number and threshold make sense is for the seal to say, which knows what they were.
    fn read_body(body: &[u8]) -> Self {
        let (head, value) = body.split_at(BODY_LEN - VALUE_LEN);
        let mut boxed = Box::new(Zeroizing::new([0; VALUE_LEN]));
        boxed.copy_from_slice(value);
        let tag = |at| *head[at..].first_chunk().expect("the head is as long");
        Self {
            number: head[0],
            threshold: head[1],
            cell: CellTag(tag(2)),
            set: SetId(tag(2 + CellTag::LEN)),
            value: boxed,
        }
    }
}

/// Catches slips, no attacker: that a share is the right one its seal knows.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut message = Zeroizing::new([0; PREFIX.len() + BODY_LEN]);
    message[..PREFIX.len()].copy_from_slice(PREFIX.as_bytes());
    message[PREFIX.len()..].copy_from_slice(body);
    *mac::sha256(&message[..]).first_chunk().expect("a hash is longer")
}

fn bit_of(bytes: &[u8], place: usize) -> u8 {
    bytes[place / 8] >> (7 - place % 8) & 1
}

fn digit_of(character: char) -> Option<u8> {
    let byte = match character.to_ascii_lowercase() {
        'o' => b'0',
        'i' | 'l' => b'1',
        other => u8::try_from(other).ok()?,
    };
    let at = ALPHABET.iter().position(|digit| *digit == byte)?;
    u8::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_kit::id;

    fn share(value: u8) -> Share {
        Share::new(3, 2, id(1), SetId([9; 6]), &[value; 32])
    }

    fn same(left: &Share, right: &Share) -> bool {
        left.to_text() == right.to_text()
    }

    fn refusal(line: &str) -> ParseShareError {
        Share::parse(line).err().unwrap()
    }

    #[test]
    fn a_line_is_read_however_it_was_typed() {
        let share = share(0xa7);
        let line = share.to_text();
        assert_eq!(line.len(), PREFIX.len() + DIGITS_LEN + DIGITS_LEN / GROUP_LEN - 1);
        let digits = &line[PREFIX.len()..];
        for typed in [
            line.to_string(),
            format!("  {}\r\n", line.to_uppercase()),
            format!("{PREFIX}{}", digits.replace('-', "")),
            format!("{PREFIX} {}", digits.replace('-', " ")),
            format!("{PREFIX}{}", digits.replace('0', "O").replace('1', "l")),
        ] {
            assert!(Share::parse(&typed).is_ok_and(|read| same(&read, &share)), "{typed}");
        }
    }

    #[test]
    fn other_text_is_refused_for_what_it_is() {
        let line = share(1).to_text();
        for other in ["", "hunter2", "sealane-key-1:00", &line[1..], "sealane-seal-1:ü"] {
            assert_eq!(refusal(other), ParseShareError::NotAShare, "{other}");
        }
        assert_eq!(refusal(&line.replace("-1:", "-2:")), ParseShareError::Version);
        assert_eq!(refusal(&line[..line.len() - 1]), ParseShareError::Length(DIGITS_LEN - 1));
        assert_eq!(refusal(&format!("{}0", *line)), ParseShareError::Length(DIGITS_LEN + 1));
        let group = PREFIX.len() + 2 * (GROUP_LEN + 1);
        let wrong = format!("{}u{}", &line[..group], &line[group + 1..]);
        assert_eq!(refusal(&wrong), ParseShareError::Character { group: 3 });
    }

    #[test]
    fn every_slip_of_one_character_is_noticed() {
        let share = share(0x5c);
        let line = share.to_text();
        for at in PREFIX.len()..line.len() {
            for other in (0x20..0x7f_u8).map(char::from) {
                let typed = format!("{}{other}{}", &line[..at], &line[at + 1..]);
                // What is read all the same is another spelling of the same share.
                assert!(Share::parse(&typed).map_or(true, |read| same(&read, &share)), "{typed}");
            }
        }
        let digits: Vec<_> = line[PREFIX.len()..].chars().filter(|c| *c != '-').collect();
        for at in 1..digits.len() {
            let mut swapped = digits.clone();
            swapped.swap(at - 1, at);
            if swapped != digits {
                let typed = PREFIX.chars().chain(swapped).collect::<String>();
                assert_eq!(refusal(&typed), ParseShareError::Checksum);
            }
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(number: u8, threshold: u8, set: [u8; 6], value: [u8; 32]) {
            let share = Share::new(number, threshold, id(7), SetId(set), &value);
            let read = Share::parse(&share.to_text()).ok().unwrap();
            prop_assert!(same(&read, &share));
            prop_assert_eq!((read.number, read.threshold, read.set), (number, threshold, share.set));
            prop_assert_eq!(&read.value[..], &value[..]);
        }

        #[test]
        fn no_text_breaks_the_reader(text in "(sealane-share-1:)?[ -~é]{0,120}") {
            if let Ok(share) = Share::parse(&text) {
                prop_assert!(same(&Share::parse(&share.to_text()).ok().unwrap(), &share));
            }
        }
    }
}
