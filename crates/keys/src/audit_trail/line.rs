//! One event as one line of JSON, in the shape of AWS CloudTrail.

use crypto::Id;
use crypto::mac::sha256;

use super::Checkpoint;
use super::event::{Access, AwsIdentity, Event, Failure, Identity, Origin, Parameter, UnixMillis};
use super::json::{self, Json};

/// Longest text that a caller can put into a field, but for parameters: the rest is cut off, and
/// `omitted` says so.
pub const FIELD_BYTES_MAX: usize = 2048;
/// Longest parameters as JSON. Two encryption contexts fit, escapes and all; what is longer is
/// recorded as its length and hash.
pub const PARAMETERS_BYTES_MAX: usize = 128 * 1024;
/// No line is longer: what a reader must be ready to hold.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Keys named by one event.
const KEYS_MAX: usize = 16;

const INTERNAL: &str = "sealane.internal";

/// What a line is among the lines of its call.
#[derive(Clone, Copy, Debug)]
pub enum Phase<'p> {
    /// All there is of the call.
    Call,
    /// A change is about to be committed.
    Intent,
    /// What became of the change that the line `intent` announced.
    Outcome {
        intent: u64,
    },
    Checkpoint(&'p Checkpoint),
}

/// The line's place in the chain.
pub(super) struct Link<'l> {
    pub(super) sequence: u64,
    pub(super) previous: &'l [u8; 32],
    pub(super) phase: Phase<'l>,
    pub(super) open_intents: &'l [u64],
}

pub(super) fn write(out: &mut Vec<u8>, event: &Event, link: &Link<'_>) {
    let mut json = Json::new(out);
    json.begin(b'{');
    json.name("eventVersion");
    json.word("1.11");
    json.name("userIdentity");
    identity(&mut json, &event.identity);
    json.name("eventTime");
    json.plain_bytes(&time(event.time));
    json.name("eventSource");
    json.word("kms.amazonaws.com");
    json.name("eventName");
    json.clipped(&event.name, FIELD_BYTES_MAX);
    json.name("awsRegion");
    json.clipped(&event.region, FIELD_BYTES_MAX);
    json.name("sourceIPAddress");
    match event.source_ip {
        Some(address) => json.text(&address.to_string()),
        None => json.word(INTERNAL),
    }
    json.name("userAgent");
    json.clipped(event.user_agent.as_deref().unwrap_or(INTERNAL), FIELD_BYTES_MAX);
    if let Some(Failure { code, message }) = &event.failure {
        json.name("errorCode");
        json.clipped(code, FIELD_BYTES_MAX);
        json.name("errorMessage");
        json.clipped(message, FIELD_BYTES_MAX);
    }
    json.name("requestParameters");
    parameters(&mut json, event);
    json.name("responseElements");
    json.literal("null");
    let cut = json.cut;
    json.name("additionalEventData");
    additional(&mut json, event, link, cut);
    if let Some(request) = event.request {
        json.name("requestID");
        id(&mut json, request);
    }
    json.name("eventID");
    id(&mut json, event.id);
    json.name("readOnly");
    json.literal(flag(event.access == Access::ReadOnly));
    json.name("resources");
    resources(&mut json, event);
    json.name("eventType");
    json.word(match event.origin {
        Origin::Call => "AwsApiCall",
        Origin::Cell => "AwsServiceEvent",
    });
    json.name("managementEvent");
    json.literal("true");
    json.name("recipientAccountId");
    json.clipped(&event.account, FIELD_BYTES_MAX);
    json.name("eventCategory");
    json.word("Management");
    json.end(b'}');
}

fn identity(json: &mut Json<'_>, identity: &Identity) {
    json.begin(b'{');
    let mut field = |name: &'static str, text: &str| {
        json.name(name);
        json.clipped(text, FIELD_BYTES_MAX);
    };
    match identity {
        Identity::Aws(AwsIdentity { kind, principal_id, arn, account, access_key, user_name }) => {
            field("type", kind.as_str());
            if let Some(principal) = principal_id {
                field("principalId", principal);
            }
            field("arn", arn);
            field("accountId", account);
            if let Some(key) = access_key {
                field("accessKeyId", key);
            }
            if let Some(name) = user_name {
                field("userName", name);
            }
        }
        // AWS's type for whoever another authority has vouched for.
        Identity::Workload { spiffe_id, account } => {
            field("type", "WebIdentityUser");
            field("principalId", spiffe_id);
            if let Some(account) = account {
                field("accountId", account);
            }
            let (trust_domain, path) = split_spiffe_id(spiffe_id);
            field("userName", path);
            field("identityProvider", trust_domain);
        }
        Identity::Volume { volume, tenant } => {
            field("type", "AWSService");
            field("principalId", &format!("tenant/{tenant}/volume/{volume}"));
            field("invokedBy", INTERNAL);
        }
        Identity::Cell => {
            field("type", "AWSService");
            field("invokedBy", INTERNAL);
        }
        Identity::Administrator => {
            field("type", "Unknown");
            field("principalId", "administrator");
            field("invokedBy", INTERNAL);
        }
        Identity::Unknown { access_key } => {
            field("type", "Unknown");
            if let Some(key) = access_key {
                field("accessKeyId", key);
            }
        }
    }
    json.end(b'}');
}

fn split_spiffe_id(text: &str) -> (&str, &str) {
    let rest = text.strip_prefix("spiffe://").unwrap_or(text);
    rest.split_once('/').unwrap_or((rest, ""))
}

fn parameters(json: &mut Json<'_>, event: &Event) {
    if event.parameters.is_empty() {
        return json.literal("null");
    }
    let begin = json.out.len();
    json.begin(b'{');
    for (name, value) in &event.parameters {
        json.key(name);
        parameter(json, value);
    }
    json.end(b'}');
    let written = json.out.len() - begin;
    if written > PARAMETERS_BYTES_MAX {
        let hash = sha256(&json.out[begin..]);
        json.rewind(begin);
        json.begin(b'{');
        json.name("omitted");
        json.literal("true");
        json.name("originalSize");
        json.number(written as u64);
        json.name("sha256");
        json.hex(&hash);
        json.end(b'}');
    }
}

fn flag(set: bool) -> &'static str {
    if set { "true" } else { "false" }
}

fn parameter(json: &mut Json<'_>, value: &Parameter) {
    match value {
        Parameter::Text(text) => json.text(text),
        Parameter::Number(number) => json.number(*number),
        Parameter::Flag(set) => json.literal(flag(*set)),
        Parameter::List(texts) => {
            json.begin(b'[');
            texts.iter().for_each(|text| json.text(text));
            json.end(b']');
        }
        Parameter::Map(pairs) => {
            json.begin(b'{');
            for (name, text) in pairs {
                json.key(name);
                json.text(text);
            }
            json.end(b'}');
        }
    }
}

fn additional(json: &mut Json<'_>, event: &Event, link: &Link<'_>, cut: bool) {
    json.begin(b'{');
    json.name("sequence");
    json.number(link.sequence);
    json.name("previous");
    json.hex(link.previous);
    json.name("unixMillis");
    json.number(event.time.0);
    json.name("phase");
    match link.phase {
        Phase::Call => json.word("Call"),
        Phase::Intent => json.word("Intent"),
        Phase::Outcome { intent } => {
            json.word("Outcome");
            json.name("intent");
            json.number(intent);
        }
        Phase::Checkpoint(checkpoint) => {
            json.word("Checkpoint");
            json.name("checkpoint");
            checkpoint.write(json);
        }
    }
    if !link.open_intents.is_empty() {
        json.name("openIntents");
        json.begin(b'[');
        link.open_intents.iter().for_each(|intent| json.number(*intent));
        json.end(b']');
    }
    if cut || event.keys.len() > KEYS_MAX {
        json.name("omitted");
        json.literal("true");
    }
    json.end(b'}');
}

fn resources(json: &mut Json<'_>, event: &Event) {
    json.begin(b'[');
    for arn in event.keys.iter().take(KEYS_MAX) {
        let account = arn.split(':').nth(4).unwrap_or(&event.account);
        json.begin(b'{');
        json.name("accountId");
        json.clipped(account, FIELD_BYTES_MAX);
        json.name("type");
        json.word("AWS::KMS::Key");
        json.name("ARN");
        json.clipped(arn, FIELD_BYTES_MAX);
        json.end(b'}');
    }
    json.end(b']');
}

/// Not by way of `Display`, which writes byte by byte.
fn id(json: &mut Json<'_>, id: Id) {
    let mut text = [b'-'; 36];
    for (at, (begin, end)) in
        [(0, (0, 4)), (9, (4, 6)), (14, (6, 8)), (19, (8, 10)), (24, (10, 16))]
    {
        json::hex_into(&mut text[at..], &id.as_bytes()[begin..end]);
    }
    json.plain_bytes(&text);
}

const SECONDS_OF_YEAR_9999: u64 = 253_402_300_799;

/// RFC 3339 in UTC and whole seconds, as CloudTrail has it.
///
/// The civil date from days, by eras of 400 years that begin in March.
fn time(UnixMillis(millis): UnixMillis) -> [u8; 20] {
    let seconds = (millis / 1000).min(SECONDS_OF_YEAR_9999);
    let (days, second) = (seconds / 86400 + 719_468, seconds % 86400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00Z";
    for (at, number) in [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, day),
        (11, second / 3600),
        (14, second / 60 % 60),
        (17, second % 60),
    ] {
        text[at] += digit(number / 10);
        text[at + 1] += digit(number);
    }
    text
}

fn digit(number: u64) -> u8 {
    u8::try_from(number % 10).expect("one digit")
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::TrailHead;
    use super::super::test_events::decrypt;
    use super::*;

    fn line(event: &Event) -> serde_json::Value {
        let mut out = Vec::new();
        TrailHead::start().append(event, Phase::Call, &[], &mut out);
        assert!(out.len() <= LINE_BYTES_MAX);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn times_are_dates() {
        let check = |millis, expected: &str| {
            assert_eq!(time(UnixMillis(millis)), expected.as_bytes());
        };
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_400_999, "2000-02-29T00:00:00Z");
        check(1_709_164_799_000, "2024-02-28T23:59:59Z");
        check(1_735_689_599_000, "2024-12-31T23:59:59Z");
        check(1_800_000_000_000, "2027-01-15T08:00:00Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00Z");
        check(u64::MAX, "9999-12-31T23:59:59Z");
    }

    #[test]
    fn long_texts_are_cut_and_say_so() {
        let mut event = decrypt(1);
        event.user_agent = Some("\u{1}".repeat(FIELD_BYTES_MAX + 1));
        event.keys = vec!["\u{1}".repeat(FIELD_BYTES_MAX + 1).into(); 1000];
        event.failure =
            Some(Failure { code: Cow::Borrowed("X"), message: "é".repeat(FIELD_BYTES_MAX) });
        let line = line(&event);
        assert_eq!(line["userAgent"].as_str().unwrap().len(), FIELD_BYTES_MAX);
        assert_eq!(line["errorMessage"].as_str().unwrap().len(), FIELD_BYTES_MAX);
        assert_eq!(line["resources"].as_array().unwrap().len(), KEYS_MAX);
        assert_eq!(line["additionalEventData"]["omitted"], true);
    }

    #[test]
    fn the_longest_two_contexts_are_kept_and_longer_parameters_are_hashed() {
        let mut event = decrypt(1);
        let context = |bytes| [("k".to_owned(), "\u{1}".repeat(bytes))].into();
        let named = |name, bytes| (Cow::Borrowed(name), Parameter::Map(context(bytes)));
        event.parameters = vec![named("source", 8191), named("destination", 8191)];
        assert_eq!(line(&event)["requestParameters"]["source"]["k"].as_str().unwrap().len(), 8191);
        event.parameters.push(named("third", 8191));
        let omitted = &line(&event)["requestParameters"];
        assert_eq!(omitted["omitted"], true);
        assert_eq!(omitted["sha256"].as_str().unwrap().len(), 64);
    }

    #[test]
    fn each_identity_has_its_type() {
        let check = |identity: Identity, expected: &str| {
            let identity = std::sync::Arc::new(identity);
            let written = &line(&Event { identity, ..decrypt(1) })["userIdentity"];
            assert_eq!(written.to_string(), expected);
        };
        check(Identity::Cell, r#"{"invokedBy":"sealane.internal","type":"AWSService"}"#);
        check(
            Identity::Workload { spiffe_id: "spiffe://test/ns/a/sa/web".to_owned(), account: None },
            r#"{"identityProvider":"test","principalId":"spiffe://test/ns/a/sa/web","type":"WebIdentityUser","userName":"ns/a/sa/web"}"#,
        );
        check(
            Identity::Unknown { access_key: Some("test\"key".to_owned()) },
            r#"{"accessKeyId":"test\"key","type":"Unknown"}"#,
        );
        check(
            Identity::Administrator,
            r#"{"invokedBy":"sealane.internal","principalId":"administrator","type":"Unknown"}"#,
        );
    }
}
