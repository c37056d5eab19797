//! The root key under a passphrase, stretched by Argon2id.

use crypto::passphrase::{self, Cost};
use crypto::{DataKey, Entropy, Id, Salt, WrappedDataKey};
use serde::{Deserialize, Serialize};

use crate::root_seal::{self, Seal, SealKey, UnsealError};
use crate::wrap::UnwrapKeyError;
use crate::{RootKey, hex};

/// The record of this seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassphraseSeal {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    #[serde(with = "hex::bytes")]
    salt: [u8; Salt::LEN],
    #[serde(with = "hex::wrapped")]
    wrapped: WrappedDataKey,
}

impl PassphraseSeal {
    pub(crate) fn seal(
        cell: Id,
        root: RootKey,
        passphrase: &[u8],
        cost: Cost,
        entropy: &mut dyn Entropy,
    ) -> Result<(Seal, DataKey), UnsealError> {
        let salt = entropy.salt();
        let seal_key =
            passphrase::derive_key(passphrase, &salt, cost).map_err(UnsealError::CostOutOfRange)?;
        let (wrapped, key) = root_seal::wrap_root(&seal_key, cell, root, entropy);
        let Cost { memory_kib, passes, lanes } = cost;
        Ok((Seal::Passphrase(Self { memory_kib, passes, lanes, salt: salt.0, wrapped }), key))
    }

    fn cost(&self) -> Cost {
        Cost { memory_kib: self.memory_kib, passes: self.passes, lanes: self.lanes }
    }
}

impl SealKey for PassphraseSeal {
    type Secret = [u8];

    /// No check value tells a wrong passphrase from a damaged seal, as one would spare a guesser
    /// nothing but would have to be authenticated itself; a seal that was cut is told apart.
    fn unseal(&self, cell: Id, root: Id, passphrase: &[u8]) -> Result<DataKey, UnsealError> {
        let seal_key = passphrase::derive_key(passphrase, &Salt(self.salt), self.cost())
            .map_err(UnsealError::CostOutOfRange)?;
        root_seal::unwrap_root(&seal_key, cell, root, &self.wrapped).map_err(|error| match error {
            UnwrapKeyError::Forged => UnsealError::WrongPassphrase,
            damaged => UnsealError::Damaged(damaged),
        })
    }

    fn seal_again(
        &self,
        cell: Id,
        root: RootKey,
        passphrase: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<(Seal, DataKey), UnsealError> {
        Self::seal(cell, root, passphrase, self.cost(), entropy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root_seal::{RootSeal, SealWith, Unlock};
    use crate::test_kit::{Counting, id};

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    #[test]
    fn only_its_own_passphrase_opens_a_seal() {
        let entropy = &mut Counting::default();
        let with = SealWith::Passphrase { passphrase: b"correct horse", cost: CHEAP };
        let (seal, root) =
            RootSeal::seal(id(1), RootKey::generate(entropy), &with, entropy).unwrap();
        let json = serde_json::to_string(&seal).unwrap();
        let seal: RootSeal = serde_json::from_str(&json).unwrap();
        let right = seal.unseal(&Unlock::Passphrase(b"correct horse")).unwrap();
        assert_eq!(right.id(), root.id());
        assert_eq!(
            seal.unseal(&Unlock::Passphrase(b"battery staple")).unwrap_err(),
            UnsealError::WrongPassphrase
        );
    }

    #[test]
    fn a_seal_that_asks_for_too_much_memory_is_refused() {
        let entropy = &mut Counting::default();
        let with = SealWith::Passphrase { passphrase: b"x", cost: CHEAP };
        let (seal, _) = RootSeal::seal(id(1), RootKey::generate(entropy), &with, entropy).unwrap();
        let json = serde_json::to_string(&seal).unwrap();
        let greedy = json.replace("\"memory_kib\":64", "\"memory_kib\":4000000000");
        let seal: RootSeal = serde_json::from_str(&greedy).unwrap();
        assert!(matches!(
            seal.unseal(&Unlock::Passphrase(b"x")),
            Err(UnsealError::CostOutOfRange(_))
        ));
    }
}
