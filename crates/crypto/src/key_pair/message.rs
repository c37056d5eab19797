use aws_lc_rs::digest::{self, Digest, SHA256, SHA384, SHA512};
use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};

use super::{Message, MessageError, PublicKeyDer, VerifyError};
use crate::key_spec::SigningAlgorithm;

/// A message in a form that its algorithm signs.
pub(super) enum Input<'a> {
    Message(&'a [u8]),
    Digest(Digest),
}

impl<'a> Input<'a> {
    pub(super) fn of(
        algorithm: SigningAlgorithm,
        message: Message<'a>,
    ) -> Result<Self, MessageError> {
        match message {
            Message::Raw(message) => Ok(Self::Message(message)),
            Message::Digest(digest) => {
                let hash = hash_of(algorithm).ok_or(MessageError::Kind)?;
                Digest::import_less_safe(digest, hash)
                    .map(Self::Digest)
                    .map_err(|_| MessageError::DigestLength { expected: hash.output_len() })
            }
            Message::ExternalMu(_) => Err(MessageError::Kind),
        }
    }

    pub(super) fn verify(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        public_key: &PublicKeyDer,
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let public_key = UnparsedPublicKey::new(algorithm, &public_key.0);
        let verified = match self {
            Self::Message(message) => public_key.verify(message, signature),
            Self::Digest(digest) => public_key.verify_digest(digest, signature),
        };
        verified.map_err(|_| VerifyError::Mismatch)
    }

    /// The message itself, for the algorithms that sign nothing else.
    pub(super) fn whole(&self) -> Result<&'a [u8], MessageError> {
        match self {
            Self::Message(message) => Ok(message),
            Self::Digest(_) => Err(MessageError::Kind),
        }
    }
}

fn hash_of(algorithm: SigningAlgorithm) -> Option<&'static digest::Algorithm> {
    let hashes = [&SHA256, &SHA384, &SHA512];
    hashes.into_iter().find(|hash| algorithm.digest_bytes() == Some(hash.output_len()))
}
