//! ECDSA (FIPS 186-5) and ECDH (SP 800-56A) on the curves with Weierstrass equations.

use aws_lc_rs::agreement::{self, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair};
use zeroize::Zeroizing;

use super::family::Curve;
use super::message::Input;
use super::{AgreeError, NotAKey, PublicKeyDer, SignError};

/// The same scalar twice: the library has one type that signs and one that agrees.
pub(super) struct Ecc {
    signing: EcdsaKeyPair,
    agreeing: Option<(&'static agreement::Algorithm, agreement::PrivateKey)>,
}

impl Ecc {
    pub(super) fn generate(curve: &'static Curve) -> Result<Self, Unspecified> {
        let pkcs8 = EcdsaKeyPair::generate(curve.signing)?.to_pkcs8v1()?;
        Self::from_pkcs8(curve, pkcs8.as_ref()).map_err(|_| Unspecified)
    }

    pub(super) fn from_pkcs8(curve: &'static Curve, pkcs8: &[u8]) -> Result<Self, NotAKey> {
        let signing = EcdsaKeyPair::from_pkcs8(curve.signing, pkcs8).map_err(|_| NotAKey)?;
        let agreeing = match curve.agreeing {
            Some(algorithm) => {
                let key = agreement::PrivateKey::from_private_key_der(algorithm, pkcs8)
                    .map_err(|_| NotAKey)?;
                Some((algorithm, key))
            }
            None => None,
        };
        Ok(Self { signing, agreeing })
    }

    pub(super) fn release_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        Ok(Zeroizing::new(self.signing.to_pkcs8v1()?.as_ref().to_vec()))
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, Unspecified> {
        let der: PublicKeyX509Der<'_> = self.signing.public_key().as_der()?;
        Ok(der.as_ref().to_vec())
    }

    pub(super) fn sign(&self, input: &Input<'_>) -> Result<Vec<u8>, SignError> {
        let signature = match input {
            Input::Message(message) => self.signing.sign(&SystemRandom::new(), message),
            Input::Digest(digest) => self.signing.sign_digest(digest),
        };
        Ok(signature.map_err(|_| SignError::Failed)?.as_ref().to_vec())
    }

    /// `checked` tells whether the peer's key names this curve. The library parses it again, and
    /// then makes sure that the point lies on the curve: one that does not could reveal our scalar.
    pub(super) fn agree(
        &self,
        peer: &PublicKeyDer,
        checked: impl FnOnce(&PublicKeyDer) -> Result<(), NotAKey>,
    ) -> Result<Zeroizing<Vec<u8>>, AgreeError> {
        let (algorithm, key) = self.agreeing.as_ref().ok_or(AgreeError::Algorithm)?;
        checked(peer).map_err(|_| AgreeError::PeerKey)?;
        let peer = UnparsedPublicKey::new(algorithm, &peer.0);
        agreement::agree(key, peer, AgreeError::PeerKey, |secret| {
            Ok(Zeroizing::new(secret.to_vec()))
        })
    }
}
