//! ML-DSA (FIPS 204), pure, hedged and with an empty context.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::signature::{KeyPair, PqdsaKeyPair};
use zeroize::Zeroizing;

use super::family::MlDsaSet;
use super::message::Input;
use super::{NotAKey, SignError};

pub(super) struct MlDsa(PqdsaKeyPair);

impl MlDsa {
    pub(super) fn generate(set: &'static MlDsaSet) -> Result<Self, Unspecified> {
        PqdsaKeyPair::generate(set.signing).map(Self)
    }

    /// Takes the seed, alone or with the expanded key that it must agree with. An expanded key
    /// alone is refused: the library would sign with it but never encode it again.
    pub(super) fn from_pkcs8(set: &'static MlDsaSet, pkcs8: &[u8]) -> Result<Self, NotAKey> {
        let key = Self(PqdsaKeyPair::from_pkcs8(set.signing, pkcs8).map_err(|_| NotAKey)?);
        key.release_pkcs8().map_err(|_| NotAKey)?;
        Ok(key)
    }

    pub(super) fn release_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        Ok(Zeroizing::new(self.0.to_pkcs8v1()?.as_ref().to_vec()))
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, Unspecified> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der()?;
        Ok(der.as_ref().to_vec())
    }

    pub(super) fn sign(&self, input: &Input<'_>) -> Result<Vec<u8>, SignError> {
        let mut signature = vec![0; self.0.algorithm().signature_len()];
        let length = self.0.sign(input.whole()?, &mut signature).map_err(|_| SignError::Failed)?;
        signature.truncate(length);
        Ok(signature)
    }
}
