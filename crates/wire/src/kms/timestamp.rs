//! Points in time, which the protocol writes as seconds since 1970 with a fraction.

use serde::de::{Deserialize, Deserializer, Error as _};

use super::faults::{Faults, Path};
use super::member::Member;

/// Milliseconds since 1970, the finest that AWS sends.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
pub struct Timestamp {
    pub unix_millis: i64,
}

/// The end of the year 9999: nothing prints later dates alike.
const UNIX_SECONDS_MAX: f64 = 253_402_300_799.0;

impl Timestamp {
    #[must_use]
    pub fn from_unix_seconds(seconds: u32) -> Self {
        Self { unix_millis: i64::from(seconds) * 1000 }
    }

    /// A plain decimal: an exponent, as AWS writes it, is read by SDKs but by fewer other parsers.
    pub(crate) fn to_decimal(self) -> String {
        let sign = if self.unix_millis < 0 { "-" } else { "" };
        let millis = self.unix_millis.unsigned_abs();
        match (millis / 1000, millis % 1000) {
            (seconds, 0) => format!("{sign}{seconds}"),
            (seconds, fraction) => format!("{sign}{seconds}.{fraction:03}"),
        }
    }
}

impl<'a> Deserialize<'a> for Timestamp {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(from)?;
        if !(-UNIX_SECONDS_MAX..=UNIX_SECONDS_MAX).contains(&seconds) {
            return Err(D::Error::custom("a time beyond the year 9999"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
        let unix_millis = (seconds * 1000.0).round() as i64;
        Ok(Self { unix_millis })
    }
}

impl<'a> Member<'a> for Timestamp {
    type Raw = Self;
    type Rule = ();

    fn check(time: Self, _: &(), _: Option<&Path<'_>>, _: &mut Faults) -> Option<Self> {
        Some(time)
    }
}
