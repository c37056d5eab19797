use std::fmt;

/// When a request says that it was signed, to the second, in the years 1970 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    unix_seconds: u64,
    /// `YYYYMMDDTHHMMSSZ`, as it stands in the string to sign.
    text: [u8; Self::LEN],
}

const SECONDS_PER_DAY: u64 = 86_400;
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

impl Timestamp {
    /// Length in bytes of the basic format.
    pub const LEN: usize = 16;

    /// ISO 8601 in the basic format, UTC: `20150830T123600Z`.
    #[must_use]
    pub fn parse_iso8601(text: &[u8]) -> Option<Self> {
        let text: &[u8; Self::LEN] = text.try_into().ok()?;
        if text[8] != b'T' || text[15] != b'Z' {
            return None;
        }
        Civil {
            year: number(&text[..4])?,
            month: number(&text[4..6])?,
            day: number(&text[6..8])?,
            hour: number(&text[9..11])?,
            minute: number(&text[11..13])?,
            second: number(&text[13..15])?,
        }
        .timestamp()
    }

    /// The form of RFC 7231, section 7.1.1.1, that HTTP writes today: `Sun, 30 Aug 2015 12:36:00
    /// GMT`. Its two obsolete forms are refused: no signer writes them.
    #[must_use]
    pub fn parse_http(text: &[u8]) -> Option<Self> {
        let text: &[u8; 29] = text.try_into().ok()?;
        let shape = text[3..5] == *b", "
            && [text[7], text[11], text[16]] == *b"   "
            && [text[19], text[22]] == *b"::"
            && text[25..] == *b" GMT";
        // The name of the weekday says nothing that the date does not.
        if !shape || !text[..3].iter().all(u8::is_ascii_alphabetic) {
            return None;
        }
        let month = MONTHS.iter().position(|month| month[..] == text[8..11])?;
        Civil {
            year: number(&text[12..16])?,
            month: u32::try_from(month).ok()? + 1,
            day: number(&text[5..7])?,
            hour: number(&text[17..19])?,
            minute: number(&text[20..22])?,
            second: number(&text[23..25])?,
        }
        .timestamp()
    }

    /// `None` after the year 9999.
    #[must_use]
    pub fn of_unix_seconds(seconds: u64) -> Option<Self> {
        const SECONDS_MAX: u64 = 253_402_300_799;
        if seconds > SECONDS_MAX {
            return None;
        }
        // Days are counted from 1 March of the year 0, so that a leap day ends its year.
        let days = seconds / SECONDS_PER_DAY + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let rest = seconds % SECONDS_PER_DAY;
        let small = |value: u64| u32::try_from(value).ok();
        Civil {
            year: small(year)?,
            month: small(month)?,
            day: small(of_year - (153 * month_from_march + 2) / 5 + 1)?,
            hour: small(rest / 3600)?,
            minute: small(rest / 60 % 60)?,
            second: small(rest % 60)?,
        }
        .timestamp()
    }

    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        self.unix_seconds
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).expect("digits, `T` and `Z`")
    }

    /// `YYYYMMDD`.
    #[must_use]
    pub fn day(&self) -> &str {
        &self.as_str()[..8]
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A date and time of the Gregorian calendar, not yet known to exist.
struct Civil {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
}

impl Civil {
    fn timestamp(&self) -> Option<Timestamp> {
        let days_of_month = match self.month {
            2 if self.year.is_multiple_of(4)
                && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400)) =>
            {
                29
            }
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        let exists = (1970..=9999).contains(&self.year)
            && (1..=days_of_month).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60;
        if !exists {
            return None;
        }
        let seconds = self.days() * SECONDS_PER_DAY
            + u64::from(self.hour * 3600 + self.minute * 60 + self.second);
        Some(Timestamp { unix_seconds: seconds, text: self.text() })
    }

    /// Days since 1970-01-01.
    fn days(&self) -> u64 {
        let year = u64::from(self.year) - u64::from(self.month <= 2);
        let (era, year_of_era) = (year / 400, year % 400);
        let month_from_march = u64::from((self.month + 9) % 12);
        let of_year = (153 * month_from_march + 2) / 5 + u64::from(self.day) - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        era * 146_097 + of_era - 719_468
    }

    fn text(&self) -> [u8; Timestamp::LEN] {
        let mut text = *b"00000000T000000Z";
        let mut put = |at: usize, value: u32| {
            text[at] += u8::try_from(value / 10 % 10).expect("a digit");
            text[at + 1] += u8::try_from(value % 10).expect("a digit");
        };
        put(0, self.year / 100);
        put(2, self.year % 100);
        put(4, self.month);
        put(6, self.day);
        put(9, self.hour);
        put(11, self.minute);
        put(13, self.second);
        text
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_the_same_second() {
        let iso = Timestamp::parse_iso8601(b"20150830T123600Z").unwrap();
        assert_eq!(iso.unix_seconds(), 1_440_938_160);
        assert_eq!(iso.day(), "20150830");
        assert_eq!(Timestamp::parse_http(b"Sun, 30 Aug 2015 12:36:00 GMT"), Some(iso));
    }

    #[test]
    fn every_day_of_eight_centuries_goes_round() {
        for day in 0..365 * 800 {
            let seconds = day * SECONDS_PER_DAY + day % SECONDS_PER_DAY;
            let stamp = Timestamp::of_unix_seconds(seconds).unwrap();
            assert_eq!(stamp.unix_seconds(), seconds);
            assert_eq!(Timestamp::parse_iso8601(stamp.as_str().as_bytes()), Some(stamp));
        }
        assert_eq!(Timestamp::of_unix_seconds(951_782_400).unwrap().as_str(), "20000229T000000Z");
        assert_eq!(Timestamp::of_unix_seconds(253_402_300_800), None);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "20150830T123600",
            "20150830T123600z",
            "20150830 123600Z",
            "20150230T123600Z",
            "19000229T000000Z",
            "20150830T240000Z",
            "20150830T126000Z",
            "20150830T123660Z",
            "20151330T123600Z",
            "2015083-T123600Z",
            "2015-08-30T12:36:00Z",
        ] {
            assert_eq!(Timestamp::parse_iso8601(text.as_bytes()), None, "{text}");
        }
        for text in [
            "Sunday, 30-Aug-15 12:36:00 GMT",
            "Sun Aug 30 12:36:00 2015",
            "Sun, 30 aug 2015 12:36:00 GMT",
            "Sun, 30 Aug 2015 12:36:00 UTC",
            "Sun, 31 Feb 2015 12:36:00 GMT",
        ] {
            assert_eq!(Timestamp::parse_http(text.as_bytes()), None, "{text}");
        }
    }
}
