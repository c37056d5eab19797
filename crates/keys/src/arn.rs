//! Names of keys as AWS writes them.

use std::fmt;
use std::str::FromStr;

use crypto::Id;

/// `arn:aws:kms:REGION:ACCOUNT:key/ID`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyArn {
    pub region: String,
    pub account: String,
    pub key: Id,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a key ARN: expected arn:aws:kms:REGION:ACCOUNT:key/ID")]
pub struct ParseArnError;

impl fmt::Display for KeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:kms:{}:{}:key/{}", self.region, self.account, self.key)
    }
}

impl FromStr for KeyArn {
    type Err = ParseArnError;

    fn from_str(text: &str) -> Result<Self, ParseArnError> {
        let rest = text.strip_prefix("arn:aws:kms:").ok_or(ParseArnError)?;
        let mut parts = rest.split(':');
        let (Some(region), Some(account), Some(resource), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ParseArnError);
        };
        if !is_region(region) || !is_account(account) {
            return Err(ParseArnError);
        }
        let key =
            resource.strip_prefix("key/").and_then(|id| id.parse().ok()).ok_or(ParseArnError)?;
        Ok(Self { region: region.to_owned(), account: account.to_owned(), key })
    }
}

/// Twelve digits, as AWS's account ids are.
#[must_use]
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Lowercase letters, digits and hyphens, so that it can stand in an ARN and in a SigV4 scope.
#[must_use]
pub fn is_region(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_other_text_is_refused() {
        let text = "arn:aws:kms:us-east-1:000000000000:key/01010101-0101-0101-0101-010101010101";
        assert_eq!(text.parse::<KeyArn>().unwrap().to_string(), text);
        for other in [
            &text[..text.len() - 1],
            &text.replace("kms", "s3"),
            &text.replace("us-east-1", ""),
            &text.replace("000000000000", "1"),
            &text.replace("key/", "alias/"),
            &format!("{text}:x"),
        ] {
            assert_eq!(other.parse::<KeyArn>(), Err(ParseArnError), "{other}");
        }
    }
}
