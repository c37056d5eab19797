//! Who a workload is: a SPIFFE ID of the form `spiffe://DOMAIN/ns/TENANT/sa/SERVICE`.
//!
//! Parsed strictly after the SPIFFE-ID standard and compared byte for byte. Nothing is folded,
//! decoded or normalised: an identity has one spelling, and whatever looks like another one is not
//! an identity. Policies elsewhere were slipped past by case, dots and `%2F`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The SPIFFE-ID standard, section 2: longer IDs need not be supported, so ours are not.
pub const SPIFFE_ID_BYTES_MAX: usize = 2048;

/// The SPIFFE-ID standard, section 2.1.
pub const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// The tenant name that the cell's own gateways bear. No customer may have it.
pub const RESERVED_TENANT: &str = "sealane";

const SCHEME: &str = "spiffe://";
const NAMESPACE: &str = "/ns/";
const ACCOUNT: &str = "/sa/";

/// The cell's name among other cells, such as `shop.example`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

/// The identity of a workload or a gateway.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// One text with offsets into it: policies and reports copy identities around freely.
    text: Arc<str>,
    domain_len: u16,
    tenant_len: u16,
}

/// The cell's own proxies at its edge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gateway {
    Ingress,
    Egress,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum ParseIdentityError {
    #[error("it does not begin with `{SCHEME}`")]
    Scheme,
    #[error("it is longer than {SPIFFE_ID_BYTES_MAX} bytes")]
    TooLong,
    #[error(
        "the trust domain is not 1 to {TRUST_DOMAIN_BYTES_MAX} lower-case letters, digits, `.`, \
         `-` and `_`"
    )]
    TrustDomain,
    #[error("the path is not `/ns/TENANT/sa/SERVICE`")]
    Path,
    #[error(
        "`TENANT` or `SERVICE` is empty, `.`, `..`, or has other than letters, digits, `.`, `-`, `_`"
    )]
    Segment,
}

impl TrustDomain {
    /// # Errors
    /// [`ParseIdentityError::TrustDomain`].
    pub fn parse(text: &str) -> Result<Self, ParseIdentityError> {
        let plain = |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > TRUST_DOMAIN_BYTES_MAX || !text.bytes().all(plain) {
            return Err(ParseIdentityError::TrustDomain);
        }
        Ok(Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SpiffeId {
    /// The identity of `service` as run for `tenant`.
    ///
    /// # Errors
    /// [`ParseIdentityError`] if a name cannot be part of an identity.
    pub fn new(
        domain: &TrustDomain,
        tenant: &str,
        service: &str,
    ) -> Result<Self, ParseIdentityError> {
        check_segment(tenant)?;
        check_segment(service)?;
        let text = format!("{SCHEME}{domain}{NAMESPACE}{tenant}{ACCOUNT}{service}");
        if text.len() > SPIFFE_ID_BYTES_MAX {
            return Err(ParseIdentityError::TooLong);
        }
        let len = |part: &str| u16::try_from(part.len()).expect("the whole is at most 2048 bytes");
        let (domain_len, tenant_len) = (len(domain.as_str()), len(tenant));
        Ok(Self { text: text.into(), domain_len, tenant_len })
    }

    #[must_use]
    pub fn gateway(domain: &TrustDomain, gateway: Gateway) -> Self {
        let service = match gateway {
            Gateway::Ingress => "ingress",
            Gateway::Egress => "egress",
        };
        Self::new(domain, RESERVED_TENANT, service).expect("a gateway's names are valid and short")
    }

    /// # Errors
    /// [`ParseIdentityError`] says what is wrong with `text`.
    pub fn parse(text: &str) -> Result<Self, ParseIdentityError> {
        if text.len() > SPIFFE_ID_BYTES_MAX {
            return Err(ParseIdentityError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(ParseIdentityError::Scheme)?;
        let (domain, path) = rest.split_once('/').ok_or(ParseIdentityError::Path)?;
        let domain = TrustDomain::parse(domain)?;
        let mut segments = path.split('/');
        let (Some("ns"), Some(tenant), Some("sa"), Some(service), None) =
            (segments.next(), segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(ParseIdentityError::Path);
        };
        Self::new(&domain, tenant, service)
    }

    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.domain_end()]
    }

    /// The tenant or namespace; [`RESERVED_TENANT`] for a gateway.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.text[self.domain_end() + NAMESPACE.len()..self.tenant_end()]
    }

    #[must_use]
    pub fn service(&self) -> &str {
        &self.text[self.tenant_end() + ACCOUNT.len()..]
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn domain_end(&self) -> usize {
        SCHEME.len() + usize::from(self.domain_len)
    }

    fn tenant_end(&self) -> usize {
        self.domain_end() + NAMESPACE.len() + usize::from(self.tenant_len)
    }
}

fn check_segment(segment: &str) -> Result<(), ParseIdentityError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if matches!(segment, "" | "." | "..") || !segment.bytes().all(plain) {
        return Err(ParseIdentityError::Segment);
    }
    Ok(())
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TrustDomain {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, ParseIdentityError> {
        Self::parse(text)
    }
}

impl FromStr for SpiffeId {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, ParseIdentityError> {
        Self::parse(text)
    }
}

macro_rules! serde_as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

serde_as_text!(TrustDomain);
serde_as_text!(SpiffeId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in [
            "spiffe://shop.example/ns/acme/sa/web",
            "spiffe://s/ns/A.b-c_9/sa/...",
            "spiffe://shop.example/ns/sealane/sa/ingress",
        ] {
            let id = SpiffeId::parse(text).unwrap();
            assert_eq!(id.to_string(), text);
        }
        let id = SpiffeId::parse("spiffe://shop.example/ns/acme/sa/web").unwrap();
        assert_eq!(id.trust_domain(), "shop.example");
        assert_eq!((id.tenant(), id.service()), ("acme", "web"));
        let domain = TrustDomain::parse("shop.example").unwrap();
        assert_eq!(SpiffeId::new(&domain, "acme", "web"), Ok(id));
        assert_eq!(
            SpiffeId::gateway(&domain, Gateway::Egress).to_string(),
            "spiffe://shop.example/ns/sealane/sa/egress"
        );
    }

    #[test]
    fn spiffe_id_2_other_spellings_are_no_identity() {
        use ParseIdentityError::{Path, Scheme, Segment, TrustDomain as Domain};
        for (text, expected) in [
            ("", Scheme),
            ("SPIFFE://shop.example/ns/acme/sa/web", Scheme),
            ("https://shop.example/ns/acme/sa/web", Scheme),
            (" spiffe://shop.example/ns/acme/sa/web", Scheme),
            ("spiffe:///ns/acme/sa/web", Domain),
            ("spiffe://Shop.example/ns/acme/sa/web", Domain),
            ("spiffe://shop.example:443/ns/acme/sa/web", Domain),
            ("spiffe://user@shop.example/ns/acme/sa/web", Domain),
            ("spiffe://shop%2Eexample/ns/acme/sa/web", Domain),
            ("spiffe://shop.example", Path),
            ("spiffe://shop.example/", Path),
            ("spiffe://shop.example/web", Path),
            ("spiffe://shop.example/NS/acme/sa/web", Path),
            ("spiffe://shop.example/ns/acme/sa", Path),
            ("spiffe://shop.example/ns/acme/sa/web/", Path),
            ("spiffe://shop.example//ns/acme/sa/web", Path),
            ("spiffe://shop.example/ns/acme/x/../sa/web", Path),
            ("spiffe://shop.example/ns//sa/web", Segment),
            ("spiffe://shop.example/ns/../sa/web", Segment),
            ("spiffe://shop.example/ns/./sa/web", Segment),
            ("spiffe://shop.example/ns/acme/sa/", Segment),
            ("spiffe://shop.example/ns/acme/sa/we%62", Segment),
            ("spiffe://shop.example/ns/acme/sa/web?x", Segment),
            ("spiffe://shop.example/ns/acme/sa/web#x", Segment),
            ("spiffe://shop.example/ns/acme/sa/wéb", Segment),
            ("spiffe://shop.example/ns/acme/sa/web\0", Segment),
        ] {
            assert_eq!(SpiffeId::parse(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn case_makes_another_identity() {
        let web = SpiffeId::parse("spiffe://shop.example/ns/acme/sa/web").unwrap();
        assert_ne!(web, SpiffeId::parse("spiffe://shop.example/ns/acme/sa/Web").unwrap());
        assert_ne!(web, SpiffeId::parse("spiffe://shop.example/ns/Acme/sa/web").unwrap());
    }

    #[test]
    fn the_length_limits_are_exact() {
        let longest = "d".repeat(TRUST_DOMAIN_BYTES_MAX);
        let domain = TrustDomain::parse(&longest).unwrap();
        assert_eq!(TrustDomain::parse(&(longest + "d")), Err(ParseIdentityError::TrustDomain));
        let room = SPIFFE_ID_BYTES_MAX - TRUST_DOMAIN_BYTES_MAX - "spiffe:///ns/a/sa/".len();
        let id = SpiffeId::new(&domain, "a", &"s".repeat(room)).unwrap();
        assert_eq!(id.to_string().len(), SPIFFE_ID_BYTES_MAX);
        assert_eq!(SpiffeId::parse(&id.to_string()), Ok(id));
        let above = SpiffeId::new(&domain, "a", &"s".repeat(room + 1));
        assert_eq!(above, Err(ParseIdentityError::TooLong));
    }
}
