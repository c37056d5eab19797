//! Grant tokens: opaque text by which a caller shows a grant before every part of a large KMS has
//! heard of it. Ours knows a grant at once, but clients send the token all the same.
//!
//! A token is no permission: the grant it names is looked up and judged as any other. The code
//! authenticates only that this KMS issued it, so that nobody can probe for the ids of grants.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crypto::kdf::Label;
use crypto::mac::{Mac, MacKey};
use crypto::{Entropy, Id};

use super::GrantId;
use crate::RootKey;

const LABEL: Label = Label("sealane/grant-token-key/1");
const VERSION: u8 = 1;
const SALT_LEN: usize = 16;
const BODY_LEN: usize = 1 + 16 + GrantId::LEN + SALT_LEN;
const TOKEN_LEN: usize = BODY_LEN + Mac::LEN;
/// Bytes in base64.
const TEXT_LEN: usize = TOKEN_LEN.div_ceil(3) * 4;

/// The grant that a token names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantToken {
    pub key: Id,
    pub grant: GrantId,
}

/// AWS's `InvalidGrantTokenException`. Why is not said.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("the grant token is not one of this KMS")]
pub struct InvalidToken;

/// The key that authenticates a cell's tokens. It lasts as long as the root key.
#[must_use]
pub fn token_key(root: &RootKey, cell: Id) -> MacKey {
    root.mac_key(LABEL, &[cell.as_bytes()])
}

impl GrantToken {
    /// A token for the grant, unlike every other: AWS gives a new one for each request.
    #[must_use]
    pub fn issue(&self, key: &MacKey, entropy: &mut dyn Entropy) -> String {
        let mut salt = [0; SALT_LEN];
        entropy.fill(&mut salt);
        let mut bytes = Vec::with_capacity(TOKEN_LEN);
        bytes.push(VERSION);
        bytes.extend(self.key.as_bytes());
        bytes.extend(self.grant.as_bytes());
        bytes.extend(salt);
        bytes.extend(key.mac(&bytes).0);
        BASE64.encode(bytes)
    }

    /// # Errors
    /// [`InvalidToken`] unless `text` was issued under `key`.
    pub fn parse(text: &str, key: &MacKey) -> Result<Self, InvalidToken> {
        // Before decoding, so that a long text costs nothing.
        if text.len() != TEXT_LEN {
            return Err(InvalidToken);
        }
        let bytes = BASE64.decode(text).map_err(|_| InvalidToken)?;
        let (body, mac) = bytes.split_last_chunk::<{ Mac::LEN }>().ok_or(InvalidToken)?;
        if key.mac(body) != Mac(*mac) {
            return Err(InvalidToken);
        }
        let (version, rest) = body.split_first().ok_or(InvalidToken)?;
        let (id, rest) = rest.split_first_chunk::<16>().ok_or(InvalidToken)?;
        let (grant, salt) = rest.split_first_chunk::<{ GrantId::LEN }>().ok_or(InvalidToken)?;
        if *version != VERSION || salt.len() != SALT_LEN {
            return Err(InvalidToken);
        }
        Ok(Self { key: Id::from_bytes(*id), grant: GrantId::from_bytes(*grant) })
    }
}
