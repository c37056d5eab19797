//! Temporary credentials whose token brings their secret back: nothing of them is stored.
//!
//! The token is wrapped under the domain key like any secret, so whoever has it learns nothing from
//! it; it is good until its time or its access key's end. Layout: `docs/formats/keys.md`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crypto::{Entropy, Id, WrappedDataKey};
use zeroize::Zeroizing;

use crate::sigv4::{AccessKeyId, AccessKeyKind, Scope, SecretAccessKey, SigningKey};
use crate::wrap::{self, Binding, Purpose};
use crate::{DomainRing, KeyLookup, UnixSeconds};

const VERSION: u8 = 1;
const HEADER_LEN: usize = 1 + 16 + 16;
const INSIDE_LEN: usize = 8 + 2 * AccessKeyId::LEN + SecretAccessKey::LEN;
/// Longer than any token in base64.
const TEXT_BYTES_MAX: usize = 512;

/// Whose temporary credentials, and until when.
#[derive(Debug)]
pub struct NewSession {
    pub parent: AccessKeyId,
    pub expires: UnixSeconds,
}

#[derive(Debug)]
pub struct IssuedSession {
    pub access_key_id: AccessKeyId,
    pub secret: SecretAccessKey,
    pub token: String,
}

/// What a token says. It was issued by this KMS; whether it still counts is for the caller to see.
#[derive(Debug)]
pub struct OpenedSession {
    pub access_key_id: AccessKeyId,
    pub parent: AccessKeyId,
    pub expires: UnixSeconds,
    secret: SecretAccessKey,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("this is no session token of this KMS")]
pub struct InvalidSessionToken;

/// New temporary credentials.
pub fn issue(new: &NewSession, ring: &DomainRing, entropy: &mut dyn Entropy) -> IssuedSession {
    let access_key_id = AccessKeyId::generate(AccessKeyKind::Session, entropy);
    let secret = SecretAccessKey::generate(entropy);
    let mut inside = Zeroizing::new(Vec::with_capacity(INSIDE_LEN));
    inside.extend(new.expires.0.to_be_bytes());
    inside.extend(access_key_id.as_str().as_bytes());
    inside.extend(new.parent.as_str().as_bytes());
    inside.extend(secret.expose());
    let id = Id::random(entropy);
    let (domain, parent) = ring.current_key();
    let mut token = vec![VERSION];
    token.extend(id.as_bytes());
    token.extend(domain.as_bytes());
    token.extend(wrap::wrap_secret(parent, binding(id, domain), &inside, entropy).0);
    IssuedSession { access_key_id, secret, token: URL_SAFE_NO_PAD.encode(token) }
}

/// # Errors
/// [`InvalidSessionToken`]: it was not issued here, was changed, or its domain key is gone.
pub fn open(token: &str, ring: &DomainRing) -> Result<OpenedSession, InvalidSessionToken> {
    let invalid = InvalidSessionToken;
    if token.len() > TEXT_BYTES_MAX {
        return Err(invalid);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid)?;
    let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(invalid)?;
    let (version, ids) = header.split_first().ok_or(invalid)?;
    let (id, domain) = ids.split_first_chunk::<16>().ok_or(invalid)?;
    let domain: [u8; 16] = domain.try_into().map_err(|_| invalid)?;
    let (id, domain) = (Id::from_bytes(*id), Id::from_bytes(domain));
    let parent = ring.lookup(&domain).filter(|_| *version == VERSION).ok_or(invalid)?;
    let wrapped = WrappedDataKey(rest.to_vec());
    let inside = wrap::unwrap_secret(parent, binding(id, domain), &wrapped).map_err(|_| invalid)?;
    let (expires, rest) = inside.split_first_chunk::<8>().ok_or(invalid)?;
    let (access_key_id, rest) = rest.split_first_chunk::<{ AccessKeyId::LEN }>().ok_or(invalid)?;
    let (of, secret) = rest.split_first_chunk::<{ AccessKeyId::LEN }>().ok_or(invalid)?;
    let key_id = |bytes: &[u8]| {
        std::str::from_utf8(bytes).ok().and_then(|text| AccessKeyId::parse(text).ok())
    };
    Ok(OpenedSession {
        access_key_id: key_id(access_key_id).ok_or(invalid)?,
        parent: key_id(of).ok_or(invalid)?,
        expires: UnixSeconds(u64::from_be_bytes(*expires)),
        secret: SecretAccessKey::from_caller(secret).ok_or(invalid)?,
    })
}

impl OpenedSession {
    /// The key for one day, region and service.
    #[must_use]
    pub fn signing_key(&self, scope: Scope<'_>) -> SigningKey {
        SigningKey::derive(self.access_key_id, &self.secret, scope)
    }
}

fn binding(token: Id, domain: Id) -> Binding {
    Binding { purpose: Purpose::SessionToken, wrapping: domain, wrapped: token, owner: token }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_kit::{Counting, ring};

    #[test]
    fn a_token_brings_back_what_it_was_issued_with() {
        let entropy = &mut Counting::default();
        let parent = AccessKeyId::generate(AccessKeyKind::LongTerm, entropy);
        let new = NewSession { parent, expires: UnixSeconds(77) };
        let issued = issue(&new, &ring(1), entropy);
        let opened = open(&issued.token, &ring(1)).unwrap();
        assert_eq!(opened.access_key_id.as_str(), issued.access_key_id.as_str());
        assert_eq!((opened.parent.as_str(), opened.expires), (parent.as_str(), UnixSeconds(77)));
        assert_eq!(opened.secret.expose(), issued.secret.expose());
        for at in 0..issued.token.len() {
            let mut forged = issued.token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(open(&forged, &ring(1)).is_err(), "character {at}");
        }
        assert!(open("", &ring(1)).is_err());
        assert!(open(&"A".repeat(TEXT_BYTES_MAX + 1), &ring(1)).is_err());
    }
}
