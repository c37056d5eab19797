//! RSA (RFC 8017): PKCS #1 v1.5 and PSS signatures, OAEP encryption.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaParameters,
};
use zeroize::Zeroizing;

use super::message::Input;
use super::{DecryptError, EncryptError, NotAKey, PublicKeyDer, SignError, VerifyError};
use crate::key_spec::{EncryptionAlgorithm, SigningAlgorithm};

/// The library has one type that signs and one that decrypts; a key's usage, which decides between
/// them, is not known here.
pub(super) struct Rsa {
    signing: RsaKeyPair,
    decrypting: PrivateDecryptingKey,
}

impl Rsa {
    pub(super) fn generate(size: KeySize) -> Result<Self, Unspecified> {
        let decrypting = PrivateDecryptingKey::generate(size)?;
        let pkcs8: Pkcs8V1Der<'_> = decrypting.as_der()?;
        let signing = RsaKeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|_| Unspecified)?;
        Ok(Self { signing, decrypting })
    }

    pub(super) fn from_pkcs8(size: KeySize, pkcs8: &[u8]) -> Result<Self, NotAKey> {
        let decrypting = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| NotAKey)?;
        if decrypting.key_size_bits() != 8 * size.len() {
            return Err(NotAKey);
        }
        let signing = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| NotAKey)?;
        Ok(Self { signing, decrypting })
    }

    pub(super) fn release_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let pkcs8: Pkcs8V1Der<'_> = self.decrypting.as_der()?;
        Ok(Zeroizing::new(pkcs8.as_ref().to_vec()))
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, Unspecified> {
        let der: PublicKeyX509Der<'_> = self.decrypting.public_key().as_der()?;
        Ok(der.as_ref().to_vec())
    }

    pub(super) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        input: &Input<'_>,
    ) -> Result<Vec<u8>, SignError> {
        let (encoding, _) = padding(algorithm).ok_or(SignError::Algorithm)?;
        let mut signature = vec![0; self.signing.public_modulus_len()];
        let signed = match input {
            Input::Message(message) => {
                self.signing.sign(encoding, &SystemRandom::new(), message, &mut signature)
            }
            Input::Digest(digest) => self.signing.sign_digest(encoding, digest, &mut signature),
        };
        signed.map_err(|_| SignError::Failed)?;
        Ok(signature)
    }

    pub(super) fn decrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let key = OaepPrivateDecryptingKey::new(self.decrypting.clone())
            .map_err(|_| DecryptError::Refused)?;
        let mut plaintext = Zeroizing::new(vec![0; key.min_output_size()]);
        let length = key
            .decrypt(oaep(algorithm), ciphertext, &mut plaintext, None)
            .map_err(|_| DecryptError::Refused)?
            .len();
        plaintext.truncate(length);
        Ok(plaintext)
    }
}

pub(super) fn parse_public(
    size: KeySize,
    public_key: &PublicKeyDer,
) -> Result<PublicEncryptingKey, NotAKey> {
    let key = PublicEncryptingKey::from_der(&public_key.0).map_err(|_| NotAKey)?;
    if key.key_size_bits() == 8 * size.len() { Ok(key) } else { Err(NotAKey) }
}

pub(super) fn verify(
    algorithm: SigningAlgorithm,
    public_key: &PublicKeyDer,
    input: &Input<'_>,
    signature: &[u8],
) -> Result<(), VerifyError> {
    let (_, parameters) = padding(algorithm).ok_or(VerifyError::Algorithm)?;
    input.verify(parameters, public_key, signature)
}

pub(super) fn encrypt(
    size: KeySize,
    public_key: &PublicKeyDer,
    algorithm: EncryptionAlgorithm,
    plaintext: &[u8],
) -> Result<Vec<u8>, EncryptError> {
    let key = OaepPublicEncryptingKey::new(parse_public(size, public_key)?)
        .map_err(|_| EncryptError::Failed)?;
    let mut ciphertext = vec![0; key.ciphertext_size()];
    let length = key
        .encrypt(oaep(algorithm), plaintext, &mut ciphertext, None)
        .map_err(|_| EncryptError::Failed)?
        .len();
    ciphertext.truncate(length);
    Ok(ciphertext)
}

/// How an algorithm pads when it signs, and when it verifies. The salt of PSS is as long as the
/// digest unless the library is told otherwise.
fn padding(
    algorithm: SigningAlgorithm,
) -> Option<(&'static dyn RsaEncoding, &'static RsaParameters)> {
    match algorithm {
        SigningAlgorithm::RsassaPssSha256 => Some((&RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256)),
        SigningAlgorithm::RsassaPssSha384 => Some((&RSA_PSS_SHA384, &RSA_PSS_2048_8192_SHA384)),
        SigningAlgorithm::RsassaPssSha512 => Some((&RSA_PSS_SHA512, &RSA_PSS_2048_8192_SHA512)),
        SigningAlgorithm::RsassaPkcs1V15Sha256 => {
            Some((&RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256))
        }
        SigningAlgorithm::RsassaPkcs1V15Sha384 => {
            Some((&RSA_PKCS1_SHA384, &RSA_PKCS1_2048_8192_SHA384))
        }
        SigningAlgorithm::RsassaPkcs1V15Sha512 => {
            Some((&RSA_PKCS1_SHA512, &RSA_PKCS1_2048_8192_SHA512))
        }
        _ => None,
    }
}

/// MGF1 uses the same hash as OAEP itself, as AWS's algorithms do.
fn oaep(algorithm: EncryptionAlgorithm) -> &'static OaepAlgorithm {
    match algorithm {
        EncryptionAlgorithm::RsaesOaepSha1 => &OAEP_SHA1_MGF1SHA1,
        EncryptionAlgorithm::RsaesOaepSha256 => &OAEP_SHA256_MGF1SHA256,
    }
}
