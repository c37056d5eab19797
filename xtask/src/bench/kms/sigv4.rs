//! Signature Version 4 as a client makes it: this bench's own, so that it judges the server's.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

/// What requests are signed with.
pub(super) struct Credentials {
    pub(super) id: String,
    pub(super) secret: String,
    /// Of a session.
    pub(super) token: Option<String>,
}

/// A second as signatures write it: `20150830T123600Z`.
pub(super) struct Stamp(String);

impl Stamp {
    pub(super) fn at(unix_seconds: u64) -> Self {
        let (year, month, day) = civil(unix_seconds / 86_400);
        let second = unix_seconds % 86_400;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        Self(format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn day(&self) -> &str {
        &self.0[..8]
    }
}

/// Year, month and day of a day since 1970, by counting in years that begin in March: the leap day
/// is then the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// Signs for one region and service; keeps the key of the day, as SDKs do.
pub(super) struct Signer {
    credentials: Credentials,
    region: String,
    service: &'static str,
    day: String,
    key: hmac::Key,
    text: String,
}

impl Signer {
    pub(super) fn new(credentials: Credentials, region: &str, service: &'static str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"until the first day");
        let (day, text) = (String::new(), String::new());
        Self { credentials, region: region.to_owned(), service, day, key, text }
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.credentials.token.as_deref()
    }

    /// The signature of a canonical request, in hexadecimal, and the credential it names.
    pub(super) fn sign(&mut self, stamp: &Stamp, canonical: &[u8]) -> Signature {
        if self.day != stamp.day() {
            self.begin_day(stamp.day());
        }
        let scope = format!("{}/{}/{}/aws4_request", self.day, self.region, self.service);
        self.text.clear();
        self.text.push_str("AWS4-HMAC-SHA256\n");
        self.text.push_str(stamp.as_str());
        self.text.push('\n');
        self.text.push_str(&scope);
        self.text.push('\n');
        push_hex(&mut self.text, digest(&SHA256, canonical).as_ref());
        let mut hex = String::with_capacity(64);
        push_hex(&mut hex, hmac::sign(&self.key, self.text.as_bytes()).as_ref());
        Signature { credential: format!("{}/{scope}", self.credentials.id), hex }
    }

    fn begin_day(&mut self, day: &str) {
        let mut key = format!("AWS4{}", self.credentials.secret).into_bytes();
        for part in [day, &self.region, self.service, "aws4_request"] {
            let of_part = hmac::Key::new(hmac::HMAC_SHA256, &key);
            key = hmac::sign(&of_part, part.as_bytes()).as_ref().to_vec();
        }
        self.key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        day.clone_into(&mut self.day);
    }
}

pub(super) struct Signature {
    pub(super) credential: String,
    pub(super) hex: String,
}

pub(super) fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)].into());
        text.push(DIGITS[usize::from(byte & 15)].into());
    }
}

/// `host: …` and the like, in the order in which they are signed, of a POST of `body` to `/`.
pub(super) fn canonical_post(headers: &[(&str, &str)], signed: &str, body: &[u8]) -> String {
    let mut text = String::with_capacity(512);
    text.push_str("POST\n/\n\n");
    for (name, value) in headers {
        let _ = writeln!(text, "{name}:{value}");
    }
    text.push('\n');
    text.push_str(signed);
    text.push('\n');
    push_hex(&mut text, digest(&SHA256, body).as_ref());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::root;

    fn suite(case: &str, file: &str) -> String {
        let folder = root().join("third_party/aws-sigv4-test-suite").join(case);
        std::fs::read_to_string(folder.join(file)).unwrap()
    }

    #[test]
    fn requests_of_aws_own_suite_get_their_signatures() {
        for case in ["get-vanilla", "get-utf8", "get-header-value-trim", "post-vanilla"] {
            let context: serde_json::Value =
                serde_json::from_str(&suite(case, "context.json")).unwrap();
            let text = |path: &str| context.pointer(path).unwrap().as_str().unwrap().to_owned();
            let credentials = Credentials {
                id: text("/credentials/access_key_id"),
                secret: text("/credentials/secret_access_key"),
                token: None,
            };
            let mut signer = Signer::new(credentials, &text("/region"), "service");
            let canonical = suite(case, "header-canonical-request.txt");
            let signature = signer.sign(&Stamp::at(1_440_938_160), canonical.trim_end().as_bytes());
            assert_eq!(signature.hex, suite(case, "header-signature.txt").trim_end(), "{case}");
            let credential = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
            assert_eq!(signature.credential, credential);
        }
    }

    #[test]
    fn a_canonical_post_equals_the_suites() {
        let headers = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
        let canonical = canonical_post(&headers, "host;x-amz-date", b"");
        assert_eq!(canonical, suite("post-vanilla", "header-canonical-request.txt").trim_end());
    }

    #[test]
    fn seconds_are_written_as_aws_does() {
        for (unix, text) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (1_709_251_199, "20240229T235959Z"),
            (1_709_251_200, "20240301T000000Z"),
            (4_102_444_799, "20991231T235959Z"),
        ] {
            assert_eq!(Stamp::at(unix).as_str(), text);
        }
    }
}
