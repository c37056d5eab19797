//! What conditions ask about a request, and how the answers are given without building a map.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::ops::{ControlFlow, Deref};

use super::budget::Budget;
use super::caller::Caller;
use crate::{EncryptionContext, UnixSeconds};

/// The facts of one request.
pub trait Facts {
    /// The value of a condition key.
    ///
    /// The fixed part of `key` is in lower case (`kms:viaservice`, `aws:sourceip`), since IAM
    /// ignores its case. What follows `kms:encryptioncontext:` and the `/` of
    /// `aws:principaltag/`, `aws:requesttag/` and `aws:resourcetag/` is as the policy spells it,
    /// and IAM ignores its case too: see [`FactValue::of_context`]. `aws:PrincipalArn`,
    /// `aws:PrincipalAccount`, `aws:PrincipalType`, `aws:username`, `kms:CallerAccount` and
    /// `sealane:tenant` are never asked for, because the [`Caller`] answers them.
    fn get<'f>(&'f self, key: &'f str) -> FactValue<'f>;
}

/// No facts beyond the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFacts;

impl Facts for NoFacts {
    fn get<'f>(&'f self, _: &'f str) -> FactValue<'f> {
        FactValue::Absent
    }
}

#[derive(Clone, Copy, Debug)]
pub enum FactValue<'f> {
    /// The request has no such thing.
    Absent,
    One(&'f str),
    Many(Many<'f>),
    Bool(bool),
    Number(i64),
    Time(UnixSeconds),
    Ip(IpAddr),
    Bytes(&'f [u8]),
    /// The request has it, but not as text that can be compared: a header that is not UTF-8. Said
    /// to be absent, it would slip past a Deny that names it.
    Unreadable,
}

/// A key with several values, wherever they lie.
#[derive(Clone, Copy, Debug)]
pub enum Many<'f> {
    Texts(&'f [&'f str]),
    Strings(&'f [String]),
    /// `kms:EncryptionContextKeys`.
    ContextNames(&'f EncryptionContext),
    /// Values of all names that differ from this one in case only.
    ContextValues {
        context: &'f EncryptionContext,
        name: &'f str,
    },
}

/// Keys of AWS KMS, in lower case. Another `kms:` key is refused when a policy is parsed: AWS KMS
/// too refuses keys that it knows to be out of place, and a condition that never sees a value would
/// make a Deny useless.
pub const KMS_KEYS: [&str; 38] = [
    "kms:bypasspolicylockoutsafetycheck",
    "kms:calleraccount",
    "kms:customermasterkeyspec",
    "kms:customermasterkeyusage",
    "kms:datakeypairspec",
    "kms:encryptionalgorithm",
    "kms:encryptioncontextkeys",
    "kms:expirationmodel",
    "kms:grantconstraintsourcearn",
    "kms:grantconstrainttype",
    "kms:granteeprincipal",
    "kms:granteeserviceprincipal",
    "kms:grantisforawsresource",
    "kms:grantoperations",
    "kms:keyagreementalgorithm",
    "kms:keyorigin",
    "kms:keyspec",
    "kms:keyusage",
    "kms:macalgorithm",
    "kms:messagetype",
    "kms:multiregion",
    "kms:multiregionkeytype",
    "kms:policyname",
    "kms:primaryregion",
    "kms:reencryptonsamekey",
    "kms:replicaregion",
    "kms:requestalias",
    "kms:resourcealiases",
    "kms:retiringprincipal",
    "kms:retiringserviceprincipal",
    "kms:rotationperiodindays",
    "kms:schedulekeydeletionpendingwindowindays",
    "kms:signingalgorithm",
    "kms:trailingdayswithoutkeyusage",
    "kms:validto",
    "kms:viaservice",
    "kms:wrappingalgorithm",
    "kms:wrappingkeyspec",
];

/// The families of keys whose last part the request chooses.
pub const KMS_KEY_FAMILIES: [&str; 2] = [CONTEXT, ATTESTATION];
const CONTEXT: &str = "kms:encryptioncontext:";
const ATTESTATION: &str = "kms:recipientattestation:";

/// Global keys that a KMS can answer, in lower case. Any other service's key is accepted, as by
/// AWS, which adds global keys now and then, and is absent from every request.
pub const GLOBAL_KEYS: [&str; 16] = [
    "aws:calledvia",
    "aws:currenttime",
    "aws:epochtime",
    "aws:multifactorauthpresent",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalisawsservice",
    "aws:principaltype",
    "aws:requestedregion",
    "aws:securetransport",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:tagkeys",
    "aws:useragent",
    "aws:userid",
    "aws:username",
];

/// Families of global keys, as [`KMS_KEY_FAMILIES`].
pub const GLOBAL_KEY_FAMILIES: [&str; 3] =
    ["aws:principaltag/", "aws:requesttag/", "aws:resourcetag/"];

impl<'f> FactValue<'f> {
    /// Answers `kms:EncryptionContextKeys` and `kms:EncryptionContext:…`; `None` for other keys.
    ///
    /// AWS compares the name after `kms:EncryptionContext:` without regard to case (Developer
    /// Guide, "Case sensitivity of the encryption context condition"), though contexts themselves
    /// tell `Dept` from `dept`. So one name may have several values, and all are given: were only
    /// the first, a caller could hide a value behind another spelling.
    #[must_use]
    pub fn of_context(key: &'f str, context: &'f EncryptionContext) -> Option<Self> {
        if key == "kms:encryptioncontextkeys" {
            return Some(Self::Many(Many::ContextNames(context)));
        }
        let name = key.strip_prefix(CONTEXT)?;
        let mut values = values_of(context, name);
        Some(match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::One(value),
            (Some(_), Some(_)) => Self::Many(Many::ContextValues { context, name }),
        })
    }
}

impl<'f> Many<'f> {
    /// Shows `visit` each value until it breaks off.
    pub(super) fn each(self, mut visit: impl FnMut(&'f str) -> ControlFlow<()>) {
        // What the visitor found is in its captures; how it ended is of no interest.
        let _ = match self {
            Self::Texts(texts) => texts.iter().copied().try_for_each(&mut visit),
            Self::Strings(texts) => texts.iter().map(String::as_str).try_for_each(&mut visit),
            Self::ContextNames(context) => {
                context.pairs().keys().map(String::as_str).try_for_each(&mut visit)
            }
            Self::ContextValues { context, name } => {
                values_of(context, name).try_for_each(&mut visit)
            }
        };
    }

    pub(super) fn is_empty(self) -> bool {
        match self {
            Self::Texts(texts) => texts.is_empty(),
            Self::Strings(texts) => texts.is_empty(),
            Self::ContextNames(context) => context.pairs().is_empty(),
            Self::ContextValues { context, name } => values_of(context, name).next().is_none(),
        }
    }
}

fn values_of<'f>(context: &'f EncryptionContext, name: &'f str) -> impl Iterator<Item = &'f str> {
    let pairs = context.pairs().iter();
    pairs.filter(|(key, _)| same_ignoring_case(key, name)).map(|(_, value)| value.as_str())
}

/// By each character's lower case in Unicode, since policies may hold letters up to `ÿ`.
pub(crate) fn same_ignoring_case(left: &str, right: &str) -> bool {
    if left.is_ascii() && right.is_ascii() {
        return left.eq_ignore_ascii_case(right);
    }
    left.chars().flat_map(char::to_lowercase).eq(right.chars().flat_map(char::to_lowercase))
}

/// A condition key, resolved when the policy is parsed to who answers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Key {
    PrincipalArn,
    Account,
    PrincipalType,
    UserName,
    Tenant,
    Other(Box<str>),
}

impl Key {
    /// From a key whose fixed part is in lower case.
    pub(super) fn of_canonical(key: String) -> Self {
        match key.as_str() {
            "aws:principalarn" => Self::PrincipalArn,
            "aws:principalaccount" | "kms:calleraccount" => Self::Account,
            "aws:principaltype" => Self::PrincipalType,
            "aws:username" => Self::UserName,
            "sealane:tenant" => Self::Tenant,
            _ => Self::Other(key.into()),
        }
    }

    /// What asking for it costs, of a [`Budget`]. A context is searched for a name without regard
    /// to case, at worst through all of its names.
    pub(super) fn lookup_steps(&self) -> usize {
        match self {
            Self::Other(_) => 512,
            _ => 1,
        }
    }
}

/// Lowers the fixed part of a key. `None` if it is not of the form `service:Name`.
pub(super) fn canonical(key: &str) -> Option<String> {
    let (service, name) = key.split_once(':')?;
    if service.is_empty() || name.is_empty() || key.contains(['$', '{', '}', '*', '?']) {
        return None;
    }
    let lower = key.to_ascii_lowercase();
    for family in GLOBAL_KEY_FAMILIES.iter().copied().chain([CONTEXT]) {
        if lower.starts_with(family) {
            let chosen = &key[family.len()..];
            return (!chosen.is_empty()).then(|| format!("{family}{chosen}"));
        }
    }
    Some(lower)
}

/// Whether AWS KMS knows this `kms:` key; keys of other services are not judged.
pub(super) fn is_known(canonical: &str) -> bool {
    !canonical.starts_with("kms:")
        || KMS_KEYS.contains(&canonical)
        || KMS_KEY_FAMILIES
            .iter()
            .any(|family| canonical.strip_prefix(family).is_some_and(|chosen| !chosen.is_empty()))
}

/// Whom a policy's variables and conditions ask.
#[derive(Clone, Copy)]
pub(super) struct Scope<'r> {
    pub(super) caller: &'r Caller,
    pub(super) facts: &'r dyn Facts,
    pub(super) budget: &'r Budget,
}

impl<'r> Scope<'r> {
    pub(super) fn get<'s>(&self, key: &'s Key) -> FactValue<'s>
    where
        'r: 's,
    {
        let caller = self.caller;
        let optional = |text: Option<&'r str>| text.map_or(FactValue::Absent, FactValue::One);
        match key {
            Key::PrincipalArn => FactValue::One(caller.principal_arn()),
            Key::Account => FactValue::One(&caller.account),
            Key::PrincipalType => FactValue::One(caller.kind.name()),
            Key::UserName => optional(caller.user_name()),
            Key::Tenant => optional(caller.tenant.as_deref()),
            Key::Other(key) => self.facts.get(key),
        }
    }
}

/// A fact as text: borrowed, or written into the stack so that no request pays for an allocation.
pub(super) enum Text<'f> {
    Borrowed(&'f str),
    Written { bytes: [u8; Text::LEN], len: usize },
}

impl<'f> Text<'f> {
    /// The longest is an IPv6 address with an IPv4 tail, 45 bytes.
    const LEN: usize = 48;

    /// `None` for what has no one text.
    pub(super) fn of(value: FactValue<'f>) -> Option<Self> {
        match value {
            FactValue::One(text) => Some(Self::Borrowed(text)),
            FactValue::Bool(true) => Some(Self::Borrowed("true")),
            FactValue::Bool(false) => Some(Self::Borrowed("false")),
            FactValue::Number(number) => Self::write(format_args!("{number}")),
            FactValue::Ip(address) => Self::write(format_args!("{}", address.to_canonical())),
            // A time has several notations, and a policy may mean any of them.
            FactValue::Time(_)
            | FactValue::Absent
            | FactValue::Many(_)
            | FactValue::Bytes(_)
            | FactValue::Unreadable => None,
        }
    }

    fn write(text: fmt::Arguments<'_>) -> Option<Self> {
        let mut buffer = Buffer { bytes: [0; Self::LEN], len: 0 };
        buffer.write_fmt(text).ok()?;
        Some(Self::Written { bytes: buffer.bytes, len: buffer.len })
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Written { bytes, len } => str::from_utf8(&bytes[..*len]).unwrap_or(""),
        }
    }
}

struct Buffer {
    bytes: [u8; Text::LEN],
    len: usize,
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
