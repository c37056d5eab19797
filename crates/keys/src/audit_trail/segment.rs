//! The files that a trail lies in: sealed logs (see [`crate::service_log`]), each named by its
//! first line.

use crypto::Id;

const SUFFIX: &str = ".trail";
const DIGITS: usize = 20;

/// The name of the segment whose first line is `first`: twenty digits hold any `u64`, so that names
/// sort as numbers do.
#[must_use]
pub fn segment_name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// The first line of the segment called `name`; None if that is not a segment's name.
#[must_use]
pub fn segment_first(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    // One name for each number, or two files could claim one place.
    plain.then(|| digits.parse().ok())?
}

/// What a segment's frames are bound to: under another name, or in another cell, it does not open.
#[must_use]
pub fn segment_stream(cell: Id, first: u64) -> String {
    format!("audit/{cell}/{first}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_segment_has_one_name() {
        assert_eq!(segment_first(&segment_name(42)), Some(42));
        assert_eq!(segment_first(&segment_name(u64::MAX)), Some(u64::MAX));
        for name in [
            "42.trail",
            "+0000000000000000042.trail",
            "00000000000000000042",
            "00000000000000000042.trail.old",
            "99999999999999999999.trail",
        ] {
            assert_eq!(segment_first(name), None, "{name}");
        }
    }
}
