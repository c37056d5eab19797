//! The limits AWS sets on members, and its patterns, each with the text it is known by in messages.

use std::fmt;

pub(crate) struct TextRule {
    /// In UTF-16 units, as AWS counts.
    min: usize,
    max: usize,
    pattern: Option<Pattern>,
    /// A secret: faults leave the value out.
    pub(crate) hidden: bool,
}

/// Always of the whole text, whether or not AWS writes the anchors.
struct Pattern {
    text: &'static str,
    matches: fn(&str) -> bool,
}

pub(crate) struct BlobRule {
    pub(crate) min: usize,
    pub(crate) max: usize,
}

pub(crate) struct RangeRule {
    pub(crate) min: i32,
    pub(crate) max: i32,
}

pub(crate) struct ListRule<E> {
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) element: E,
}

impl<E> ListRule<E> {
    pub(crate) fn allows(&self, len: usize) -> bool {
        (self.min..=self.max).contains(&len)
    }
}

impl TextRule {
    const fn length(min: usize, max: usize) -> Self {
        Self { min, max, pattern: None, hidden: false }
    }

    const fn pattern(self, text: &'static str, matches: fn(&str) -> bool) -> Self {
        Self { pattern: Some(Pattern { text, matches }), ..self }
    }

    const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    pub(crate) fn allows(&self, text: &str) -> bool {
        (self.min..=self.max).contains(&units(text))
            && self.pattern.as_ref().is_none_or(|pattern| (pattern.matches)(text))
    }

    /// Calls `fault` with each demand that `text` does not meet.
    pub(crate) fn each_broken(&self, text: &str, mut fault: impl FnMut(fmt::Arguments<'_>)) {
        let len = units(text);
        if len > self.max {
            fault(format_args!("have length less than or equal to {}", self.max));
        }
        if len < self.min {
            fault(format_args!("have length greater than or equal to {}", self.min));
        }
        if let Some(pattern) = &self.pattern
            && !(pattern.matches)(text)
        {
            fault(format_args!("satisfy regular expression pattern: {}", pattern.text));
        }
    }

    pub(crate) fn demands(&self) -> String {
        let mut demands = format!(
            "Member must have length less than or equal to {}, \
             Member must have length greater than or equal to {}",
            self.max, self.min
        );
        if let Some(pattern) = &self.pattern {
            demands.push_str(", Member must satisfy regular expression pattern: ");
            demands.push_str(pattern.text);
        }
        demands
    }
}

fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// Not in the published model, but in AWS's answers.
pub(crate) const KEY_ID: TextRule =
    TextRule::length(1, 2048).pattern(r"^\p{ASCII}+$", |text| !text.is_empty() && text.is_ascii());

pub(crate) const ALIAS_NAME: TextRule =
    TextRule::length(1, 256).pattern("^[a-zA-Z0-9:/_-]+$", is_name);
pub(crate) const GRANT_NAME: TextRule =
    TextRule::length(1, 256).pattern("^[a-zA-Z0-9:/_-]+$", is_name);
pub(crate) const GRANT_ID: TextRule = TextRule::length(1, 128);
/// Whoever holds a grant token may use the grant, so a fault does not repeat it.
pub(crate) const GRANT_TOKEN: TextRule = TextRule::length(1, 8192).hidden();
pub(crate) const GRANT_TOKENS: ListRule<TextRule> =
    ListRule { min: 0, max: 10, element: TextRule::length(1, 8192).hidden() };
pub(crate) const PRINCIPAL: TextRule = TextRule::length(1, 256)
    .pattern(r"^[\w+=,.@:/-]+$", |text| {
        some_of(text, |byte| is_word(byte) || b"+=,.@:/-".contains(&byte))
    });
pub(crate) const SERVICE_PRINCIPAL: TextRule = TextRule::length(1, 128)
    .pattern(r"^([A-Za-z0-9\-]+)\.([A-Za-z0-9\-]+)(\.[A-Za-z0-9\-]+)+$", is_service_principal);
pub(crate) const SOURCE_ARN: TextRule = TextRule::length(20, 512)
    .pattern("^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$", is_source_arn);

pub(crate) const KEY_MATERIAL_ID: TextRule = TextRule::length(64, 64)
    .pattern("^[a-f0-9]+$", |text| some_of(text, |byte| matches!(byte, b'a'..=b'f' | b'0'..=b'9')));
pub(crate) const KEY_MATERIAL_DESCRIPTION: TextRule =
    TextRule::length(0, 256).pattern(r"^[a-zA-Z0-9:/_\s.-]+$", |text| {
        some_of(text, |byte| {
            is_word(byte) || b":/.-".contains(&byte) || matches!(byte, b'\t'..=b'\r' | b' ')
        })
    });
pub(crate) const DESCRIPTION: TextRule = TextRule::length(0, 8192);
pub(crate) const MARKER: TextRule =
    TextRule::length(1, 1024).pattern(r"[\u0020-\u00FF]*", |text| text.chars().all(is_latin));
pub(crate) const POLICY_NAME: TextRule =
    TextRule::length(1, 128).pattern(r"[\w]+", |text| some_of(text, is_word));
pub(crate) const POLICY: TextRule = TextRule::length(1, 131_072)
    .pattern(r"[\u0009\u000A\u000D\u0020-\u00FF]+", |text| {
        !text.is_empty() && text.chars().all(|c| is_latin(c) || matches!(c, '\t' | '\n' | '\r'))
    });
pub(crate) const TAG_KEY: TextRule = TextRule::length(1, 128);
pub(crate) const TAG_KEYS: ListRule<TextRule> =
    ListRule { min: 0, max: usize::MAX, element: TAG_KEY };
pub(crate) const TAG_VALUE: TextRule = TextRule::length(0, 256);
pub(crate) const REGION: TextRule =
    TextRule::length(1, 32).pattern(r"^([a-z]+-){2,3}\d+$", is_region);

/// Of values with a fixed set of names, as many as there are.
pub(crate) const NAMES: ListRule<()> = ListRule { min: 0, max: usize::MAX, element: () };
pub(crate) const RESOURCE_OWNERS: ListRule<()> = ListRule { min: 1, max: 2, element: () };

pub(crate) const PLAINTEXT: BlobRule = BlobRule { min: 1, max: 4096 };
pub(crate) const CIPHERTEXT: BlobRule = BlobRule { min: 1, max: 6144 };
pub(crate) const PUBLIC_KEY: BlobRule = BlobRule { min: 1, max: 8192 };
pub(crate) const ATTESTATION_DOCUMENT: BlobRule = BlobRule { min: 1, max: 262_144 };

pub(crate) const LIMIT: RangeRule = RangeRule { min: 1, max: 1000 };
pub(crate) const NUMBER_OF_BYTES: RangeRule = RangeRule { min: 1, max: 1024 };
pub(crate) const PENDING_WINDOW: RangeRule = RangeRule { min: 1, max: 365 };
pub(crate) const ROTATION_PERIOD: RangeRule = RangeRule { min: 90, max: 2560 };

pub(crate) const ACCOUNT_ID: TextRule = TextRule::length(12, 12)
    .pattern("[0-9]{12}", |text| text.len() == 12 && some_of(text, |byte| byte.is_ascii_digit()));
pub(crate) const CLOUD_HSM_CLUSTER_ID: TextRule =
    TextRule::length(19, 24).pattern("cluster-[2-7a-zA-Z]{11,16}", |text| {
        text.strip_prefix("cluster-").is_some_and(|rest| {
            (11..=16).contains(&rest.len())
                && some_of(rest, |byte| byte.is_ascii_alphabetic() || matches!(byte, b'2'..=b'7'))
        })
    });
pub(crate) const CUSTOM_KEY_STORE_ID: TextRule = TextRule::length(1, 64);
pub(crate) const CUSTOM_KEY_STORE_NAME: TextRule = TextRule::length(1, 256);
pub(crate) const KEY_STORE_PASSWORD: TextRule = TextRule::length(7, 32).hidden();
pub(crate) const TRUST_ANCHOR_CERTIFICATE: TextRule = TextRule::length(1, 5000);
pub(crate) const XKS_KEY_ID: TextRule = TextRule::length(1, 128)
    .pattern("^[a-zA-Z0-9-_.]+$", |text| {
        some_of(text, |byte| is_word(byte) || b"-.".contains(&byte))
    });
pub(crate) const XKS_ACCESS_KEY_ID: TextRule = TextRule::length(20, 30)
    .pattern("^[A-Z2-7]+$", |text| some_of(text, |byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7')))
    .hidden();
pub(crate) const XKS_SECRET_ACCESS_KEY: TextRule = TextRule::length(43, 64)
    .pattern(r"^[a-zA-Z0-9\/+=]+$", |text| {
        some_of(text, |byte| byte.is_ascii_alphanumeric() || b"/+=".contains(&byte))
    })
    .hidden();
pub(crate) const XKS_URI_ENDPOINT: TextRule =
    TextRule::length(10, 128).pattern("^https://[a-zA-Z0-9.-]+$", |text| {
        text.strip_prefix("https://").is_some_and(|host| {
            some_of(host, |byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        })
    });
pub(crate) const XKS_URI_PATH: TextRule = TextRule::length(10, 128)
    .pattern(r"^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$", is_xks_uri_path);
pub(crate) const XKS_VPC_SERVICE_NAME: TextRule = TextRule::length(20, 64).pattern(
    r"^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$",
    is_vpc_service_name,
);

/// At least one byte, all of them ASCII and of the kind.
fn some_of(text: &str, kind: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii() && kind(byte))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_latin(c: char) -> bool {
    matches!(c, '\u{20}'..='\u{ff}')
}

fn is_name(text: &str) -> bool {
    some_of(text, |byte| is_word(byte) || b":/-".contains(&byte))
}

fn is_label(text: &str) -> bool {
    some_of(text, |byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_service_principal(text: &str) -> bool {
    text.split('.').count() >= 3 && text.split('.').all(is_label)
}

fn is_region(text: &str) -> bool {
    let Some((areas, number)) = text.rsplit_once('-') else { return false };
    (2..=3).contains(&areas.split('-').count())
        && areas.split('-').all(|area| some_of(area, |byte| byte.is_ascii_lowercase()))
        && some_of(number, |byte| byte.is_ascii_digit())
}

fn is_source_arn(text: &str) -> bool {
    let lower = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let mut parts = text.splitn(6, ':');
    let mut part = |fits: &dyn Fn(&str) -> bool| parts.next().is_some_and(fits);
    part(&|arn| arn == "arn")
        && part(&|partition| {
            partition.strip_prefix("aws").is_some_and(|rest| rest.bytes().all(lower))
        })
        && part(&|service| some_of(service, lower))
        && part(&|region| region.bytes().all(lower))
        && part(&|account| account.len() == 12 && some_of(account, |byte| byte.is_ascii_digit()))
        // The dot of the pattern takes no end of a line.
        && part(&|resource| {
            let ends = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
            !resource.is_empty() && !resource.contains(ends)
        })
}

fn is_xks_uri_path(text: &str) -> bool {
    let Some((path, version)) = text.rsplit_once("/kms/xks/v") else { return false };
    let digits = (1..=2).contains(&version.len()) && some_of(version, |b| b.is_ascii_digit());
    let inner = path.strip_prefix('/');
    let named = inner.is_some_and(|rest| some_of(rest, |b| is_word(b) || b"/-".contains(&b)));
    digits && (path.is_empty() || named)
}

fn is_vpc_service_name(text: &str) -> bool {
    let rest = text.strip_prefix("com").or_else(|| text.strip_prefix("eu"));
    let Some(rest) = rest.and_then(|rest| rest.strip_prefix(".amazonaws.vpce.")) else {
        return false;
    };
    let Some((region, service)) = rest.split_once(".vpce-svc-") else { return false };
    is_region(region) && some_of(service, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}
