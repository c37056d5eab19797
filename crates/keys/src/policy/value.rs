//! The values that conditions compare: decimal numbers, dates and networks.

use std::net::IpAddr;

/// A decimal number, exact to nine places. Not a float: two ids beyond 2^53 must not be equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Decimal(i128);

const DECIMAL_PLACES: usize = 9;
const DECIMAL_DIGITS_MAX: usize = 20;
const DECIMAL_ONE: i128 = 10_i128.pow(9);

impl Decimal {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        if whole.len() > DECIMAL_DIGITS_MAX || fraction.len() > DECIMAL_PLACES {
            return None;
        }
        let mut fraction_value = number(fraction)?;
        for _ in fraction.len()..DECIMAL_PLACES {
            fraction_value *= 10;
        }
        Some(Self(sign * (number(whole)? * DECIMAL_ONE + fraction_value)))
    }

    pub(super) fn whole(value: i128) -> Self {
        // An `i64` or `u64` fits; saturation only keeps the type's promise visible.
        Self(value.saturating_mul(DECIMAL_ONE))
    }
}

/// Plain digits only: `str::parse` would take a sign.
fn number(text: &str) -> Option<i128> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Beyond the year 9999.
const EPOCH_DIGITS_MAX: usize = 12;

/// Milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Date(i128);

impl Date {
    /// W3C's profile of ISO 8601 (from `2024` to `2024-05-06T07:08:09.123+02:00`), or seconds since
    /// 1970. Four digits are a year.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != 4 && text.len() <= EPOCH_DIGITS_MAX && number(text).is_some() {
            return number(text).map(Self::seconds);
        }
        let (date, time) = match text.split_once(['T', 't']) {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let mut fields = date.split('-');
        let year = field(fields.next(), 4, 1, 9999)?;
        let mut rest = || match fields.next() {
            None => Some(1),
            some => field(some, 2, 1, 31),
        };
        let (month, day) = (rest()?, rest()?);
        if fields.next().is_some() || month > 12 || day > days_of_month(year, month) {
            return None;
        }
        let midnight = days_since_1970(year, month, day) * 86_400_000;
        match time {
            None => Some(Self(midnight)),
            // A time needs a whole date before it, and W3C wants its zone.
            Some(time) if date.len() == 10 => Some(Self(midnight + clock(time)?)),
            Some(_) => None,
        }
    }

    pub(super) fn seconds(value: i128) -> Self {
        Self(value.saturating_mul(1000))
    }
}

/// Milliseconds since midnight UTC of `hh:mm[:ss[.fff]]` and a zone.
fn clock(time: &str) -> Option<i128> {
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let mut fields = clock.split(':');
    let hours = field(fields.next(), 2, 0, 23)?;
    let minutes = field(fields.next(), 2, 0, 59)?;
    let mut milliseconds = 0;
    if let Some(seconds) = fields.next() {
        let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
        milliseconds = field(Some(seconds), 2, 0, 60)? * 1000;
        if fraction.len() > 9 {
            return None;
        }
        let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        milliseconds += number(fraction)? * 1000 / scale;
    }
    if fields.next().is_some() {
        return None;
    }
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let minutes = field(Some(hours), 2, 0, 23)? * 60 + field(Some(minutes), 2, 0, 59)?;
            if zone.starts_with('-') { -minutes } else { minutes }
        }
    };
    Some((hours * 60 + minutes - offset) * 60_000 + milliseconds)
}

fn field(text: Option<&str>, digits: usize, min: i128, max: i128) -> Option<i128> {
    let text = text.filter(|text| text.len() == digits)?;
    number(text).filter(|value| (min..=max).contains(value))
}

fn days_of_month(year: i128, month: i128) -> i128 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// In the Gregorian calendar; years begin in March here, so that the leap day comes last.
fn days_since_1970(year: i128, month: i128, day: i128) -> i128 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

/// A network in CIDR notation; an address alone is a network of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Network {
    address: u128,
    mask: u128,
}

impl Network {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(prefix) => u32::try_from(number(prefix)?).ok().filter(|bits| *bits <= width)?,
        };
        let mask = match 128 - width + prefix {
            0 => 0,
            bits => u128::MAX << (128 - bits),
        };
        Some(Self { address: bits(address) & mask, mask })
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.address
    }
}

/// An IPv4 address as the IPv6 address that is mapped to it. A socket that serves both families
/// reports `::ffff:10.0.0.1` for `10.0.0.1`: taken for two, a Deny of `10.0.0.0/8` would miss it.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let parse = Decimal::parse;
        assert_eq!(parse("1.50"), parse("+1.5"));
        assert_eq!(parse("7"), Some(Decimal::whole(7)));
        assert_eq!(parse("007.0"), Some(Decimal::whole(7)));
        assert_ne!(parse("9007199254740993"), parse("9007199254740992"));
        assert!(parse("-2") < parse("-1.999999999"));
        for text in ["", "-", ".", "1.", ".5", "1e3", "NaN", "inf", "1,0", " 1", "--1", "+-1"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn dates_of_every_length_are_read() {
        let check = |text: &str, seconds: i128| {
            assert_eq!(Date::parse(text), Some(Date::seconds(seconds)), "{text:?}");
        };
        check("1970", 0);
        check("1970-01-02", 86_400);
        check("2000-02-29", 951_782_400);
        check("2024-03", 1_709_251_200);
        check("2013-06-30T00:00:00Z", 1_372_550_400);
        check("2013-06-30T02:00+02:00", 1_372_550_400);
        check("2013-06-29T19:00:00.000-05:00", 1_372_550_400);
        check("1372550400", 1_372_550_400);
        check("0", 0);
        for text in [
            "",
            "2013-6-1",
            "2013-02-29",
            "1900-02-29",
            "2013-13-01",
            "2013-00-01",
            "2013-06-31",
            "2013-06-30T00:00:00",
            "2013-06T00:00Z",
            "2013-06-30T24:00Z",
            "2013-06-30T00:00:00+2",
            "2013-06-30T00:00Zx",
            "1234567890123",
            "-5",
            "é",
        ] {
            assert_eq!(Date::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn networks_contain_mapped_addresses() {
        let check = |network: &str, address: &str, expected: bool| {
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{address}");
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.9/8", "10.255.0.1", true);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("10.0.0.0/8", "::10.1.2.3", false);
        check("::ffff:10.0.0.0/104", "10.1.2.3", true);
        check("0.0.0.0/0", "1.2.3.4", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("::/0", "1.2.3.4", true);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "x"] {
            assert_eq!(Network::parse(text), None, "{text:?}");
        }
    }
}
