//! Who vouches for a trail: a signature over its head at one moment.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use crypto::mac::sha256;
use crypto::{Id, PublicKey, SignError, Signer};
use serde::{Deserialize, Serialize};

use super::json::Json;
use super::{TrailHead, UnixMillis};
use crate::hex;

const LABEL: &[u8] = b"sealane/audit-checkpoint/1";

/// Lines that may stand between a head and the checkpoint that signs it: signing takes its time
/// and the trail goes on meanwhile. A reader remembers as many hashes.
pub const CHECKPOINT_LAG_MAX: u64 = 1 << 16;

/// A signed head. Its line follows the head it signs, at once or some lines later.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    pub cell: Id,
    pub sequence: u64,
    #[serde(with = "hex::bytes")]
    pub hash: [u8; 32],
    pub unix_millis: UnixMillis,
    /// SHA-256 of the public key's DER `SubjectPublicKeyInfo`.
    #[serde(with = "hex::bytes")]
    pub public_key_id: [u8; 32],
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum CheckpointFault {
    #[error("its signature does not match")]
    Signature,
    #[error("it is signed by a key that is not among those trusted")]
    OtherKey,
    #[error("it is of another cell")]
    OtherCell,
    #[error("it signs a head that this trail did not have")]
    OtherHead,
    #[error("it stands more than {CHECKPOINT_LAG_MAX} lines after the head it signs")]
    Late,
}

impl Checkpoint {
    /// # Errors
    /// Those of `signer`.
    pub fn sign(
        signer: &dyn Signer,
        cell: Id,
        head: TrailHead,
        time: UnixMillis,
    ) -> Result<Self, SignError> {
        Ok(Self {
            cell,
            sequence: head.sequence,
            hash: head.hash,
            unix_millis: time,
            public_key_id: Self::key_id(&signer.public_key()),
            signature: signer.sign(&message(cell, head, time))?,
        })
    }

    /// What a checkpoint calls `key`.
    #[must_use]
    pub fn key_id(key: &PublicKey) -> [u8; 32] {
        sha256(&key.0)
    }

    #[must_use]
    pub fn head(&self) -> TrailHead {
        TrailHead { sequence: self.sequence, hash: self.hash }
    }

    /// Checks the signature alone; whether the trail had that head, [`super::Verifier`] checks.
    ///
    /// # Errors
    /// [`CheckpointFault`] if none of `trusted` signed this.
    pub fn verify(&self, trusted: &[PublicKey]) -> Result<(), CheckpointFault> {
        let key = trusted.iter().find(|key| Self::key_id(key) == self.public_key_id);
        key.ok_or(CheckpointFault::OtherKey)?
            .verify(&message(self.cell, self.head(), self.unix_millis), &self.signature)
            .map_err(|_| CheckpointFault::Signature)
    }

    pub(super) fn write(&self, json: &mut Json<'_>) {
        json.begin(b'{');
        json.name("cell");
        json.text(&self.cell.to_string());
        json.name("sequence");
        json.number(self.sequence);
        json.name("hash");
        json.hex(&self.hash);
        json.name("unixMillis");
        json.number(self.unix_millis.0);
        json.name("publicKeyId");
        json.hex(&self.public_key_id);
        json.name("signature");
        json.text(&BASE64.encode(&self.signature));
        json.end(b'}');
    }
}

/// What is signed: the label with its length, so that nothing else a key signs can be taken for it,
/// then fields of fixed length.
fn message(cell: Id, head: TrailHead, time: UnixMillis) -> Vec<u8> {
    let label_len = u32::try_from(LABEL.len()).expect("the label is short");
    let mut message = label_len.to_be_bytes().to_vec();
    message.extend(LABEL);
    message.extend(cell.as_bytes());
    message.extend(head.sequence.to_be_bytes());
    message.extend(head.hash);
    message.extend(time.0.to_be_bytes());
    message
}

mod base64_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{BASE64, Engine};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        BASE64.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use crypto::SigningKey;

    use super::*;
    use crate::test_kit::id;

    #[test]
    fn every_field_is_signed() {
        let (key, other) = (SigningKey::generate(), SigningKey::generate());
        let trusted = [other.public_key(), key.public_key()];
        let head = TrailHead { sequence: 7, hash: [8; 32] };
        let signed = Checkpoint::sign(&key, id(9), head, UnixMillis(10)).unwrap();
        assert_eq!(signed.verify(&trusted), Ok(()));
        assert_eq!(signed.verify(&trusted[..1]), Err(CheckpointFault::OtherKey));
        for forged in [
            Checkpoint { cell: id(1), ..signed.clone() },
            Checkpoint { sequence: 6, ..signed.clone() },
            Checkpoint { hash: [1; 32], ..signed.clone() },
            Checkpoint { unix_millis: UnixMillis(11), ..signed.clone() },
            Checkpoint { public_key_id: Checkpoint::key_id(&trusted[0]), ..signed.clone() },
            Checkpoint { signature: Vec::new(), ..signed.clone() },
        ] {
            assert_eq!(forged.verify(&trusted), Err(CheckpointFault::Signature), "{forged:?}");
        }
    }

    #[test]
    fn what_is_written_is_what_serde_reads() {
        let head = TrailHead { sequence: 7, hash: [8; 32] };
        let signed =
            Checkpoint::sign(&SigningKey::generate(), id(9), head, UnixMillis(10)).unwrap();
        let mut out = Vec::new();
        signed.write(&mut Json::new(&mut out));
        assert_eq!(out, serde_json::to_vec(&signed).unwrap());
        assert_eq!(serde_json::from_slice::<Checkpoint>(&out).unwrap(), signed);
    }
}
