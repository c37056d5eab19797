//! As much of DER (X.690) as it takes to tell which key a structure holds, and that nothing
//! follows it. Parsing the keys themselves is the cryptographic library's.

const SEQUENCE: u8 = 0x30;

/// What lies inside the one SEQUENCE that `bytes` are, to the last byte.
///
/// The library's parsers ignore what follows a key; stored and compared keys should have one
/// encoding only.
pub(crate) fn sequence(bytes: &[u8]) -> Option<&[u8]> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, inside) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (length, inside) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if length[0] == 0 {
                return None;
            }
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), inside)
        }
        _ => return None,
    };
    let shortest = first < 0x80 || length >= 0x80;
    (tag == SEQUENCE && shortest && length == inside.len()).then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_whole_sequence_is_found() {
        assert_eq!(sequence(&[0x30, 0]), Some(&[][..]));
        assert_eq!(sequence(&[0x30, 2, 5, 0]), Some(&[5, 0][..]));
        let long = [&[0x30, 0x82, 1, 4][..], &[7; 260]].concat();
        assert_eq!(sequence(&long), Some(&[7; 260][..]));
    }

    #[test]
    fn what_is_cut_longer_or_not_minimal_is_refused() {
        let long = [&[0x30, 0x82, 1, 4][..], &[7; 260]].concat();
        for end in 0..long.len() {
            assert_eq!(sequence(&long[..end]), None, "{end}");
        }
        assert_eq!(sequence(&[&long[..], &[0]].concat()), None);
        for other in [
            &[][..],
            &[0x31, 0],
            &[0x30, 0x80],
            &[0x30, 0x81, 1, 0],
            &[0x30, 0x82, 0, 1, 0],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(sequence(other), None, "{other:02x?}");
        }
    }
}
