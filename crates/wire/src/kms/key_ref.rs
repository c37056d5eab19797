//! What a caller names a KMS key by.

use super::messages;

/// A key's name as a request gives it. Whether it exists, and whether its region and account are
/// this cell's, is for the caller to see.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum KeyRef<'a> {
    /// A UUID, or `mrk-` and 32 hexadecimal digits.
    KeyId(&'a str),
    KeyArn(KeyArn<'a>),
    /// With its prefix `alias/`.
    AliasName(&'a str),
    AliasArn(AliasArn<'a>),
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct KeyArn<'a> {
    pub partition: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    pub key_id: &'a str,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct AliasArn<'a> {
    pub partition: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    /// With its prefix `alias/`.
    pub alias_name: &'a str,
}

/// Not the name of any key. `NotFoundException`, with [`message`](Self::message).
#[derive(Debug, PartialEq, Eq, Clone, Copy, thiserror::Error)]
pub enum KeyRefFault<'a> {
    #[error("neither the id of a key nor the name of an alias")]
    KeyId(&'a str),
    #[error("the ARN of a key, with an id that no key has")]
    KeyIdInArn(&'a str),
    #[error("an ARN that no key and no alias of AWS KMS has")]
    Arn(&'a str),
}

impl<'a> KeyRef<'a> {
    /// # Errors
    /// [`KeyRefFault`] if nothing could have this name.
    pub fn parse(text: &'a str) -> Result<Self, KeyRefFault<'a>> {
        if text.starts_with("arn:") {
            return Self::parse_arn(text);
        }
        if is_alias_name(text) {
            return Ok(Self::AliasName(text));
        }
        if is_key_id(text) { Ok(Self::KeyId(text)) } else { Err(KeyRefFault::KeyId(text)) }
    }

    fn parse_arn(text: &'a str) -> Result<Self, KeyRefFault<'a>> {
        let fault = KeyRefFault::Arn(text);
        let mut parts = text.splitn(6, ':').skip(1);
        let mut next = || parts.next().ok_or(fault);
        let (partition, service, region, account, resource) =
            (next()?, next()?, next()?, next()?, next()?);
        let of_kms = partition.starts_with("aws") && service == "kms" && !region.is_empty();
        let digits = account.bytes().all(|byte| byte.is_ascii_digit());
        if !of_kms || account.len() != 12 || !digits {
            return Err(fault);
        }
        if is_alias_name(resource) {
            let alias_name = resource;
            return Ok(Self::AliasArn(AliasArn { partition, region, account, alias_name }));
        }
        let key_id = resource.strip_prefix("key/").ok_or(fault)?;
        if !is_key_id(key_id) {
            return Err(KeyRefFault::KeyIdInArn(key_id));
        }
        Ok(Self::KeyArn(KeyArn { partition, region, account, key_id }))
    }

    /// The region and account the name is bound to, if it is an ARN.
    #[must_use]
    pub fn place(&self) -> Option<(&'a str, &'a str)> {
        match self {
            Self::KeyArn(arn) => Some((arn.region, arn.account)),
            Self::AliasArn(arn) => Some((arn.region, arn.account)),
            Self::KeyId(_) | Self::AliasName(_) => None,
        }
    }
}

impl KeyRefFault<'_> {
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::KeyId(id) => messages::invalid_key_id(id),
            Self::KeyIdInArn(id) => messages::invalid_key_id_in_arn(id),
            Self::Arn(arn) => messages::invalid_arn(arn),
        }
    }
}

fn is_alias_name(text: &str) -> bool {
    text.strip_prefix("alias/").is_some_and(|name| !name.is_empty())
}

fn is_key_id(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("mrk-") {
        return digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
