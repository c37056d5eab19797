//! A key as answers describe it.

use std::borrow::Cow;

use crypto::{EncryptionAlgorithm, SigningAlgorithm};
use keys::{KeyRecord, KeySpec, KeyState, KeyUsage, UnixSeconds};
use wire::kms::{
    self, EncapsulationAlgorithmSpec, EncryptionAlgorithmSpec, ExpirationModel,
    KeyAgreementAlgorithmSpec, KeyManager, KeyMetadata, MacAlgorithmSpec, SigningAlgorithmSpec,
    Timestamp,
};

use super::material_id;
use crate::kms::{KeyEntry, Kms};

pub(super) fn time(at: UnixSeconds) -> Timestamp {
    Timestamp { unix_millis: i64::try_from(at.0).unwrap_or(i64::MAX / 1000).saturating_mul(1000) }
}

/// # Panics
/// Never: the names of both are AWS's.
pub(super) fn spec(spec: KeySpec) -> kms::KeySpec {
    kms::KeySpec::from_name(spec.name()).expect("the protocol names every spec")
}

pub(super) fn usage(usage: KeyUsage) -> kms::KeyUsage {
    kms::KeyUsage::from_name(usage.name()).expect("the protocol names every usage")
}

pub(super) fn origin(origin: keys::Origin) -> kms::Origin {
    match origin {
        keys::Origin::Kms => kms::Origin::AwsKms,
        keys::Origin::External => kms::Origin::External,
    }
}

pub(super) fn state(state: &KeyState) -> kms::KeyState {
    match state {
        KeyState::Enabled(_) => kms::KeyState::Enabled,
        KeyState::Disabled(_) => kms::KeyState::Disabled,
        KeyState::PendingImport(_) => kms::KeyState::PendingImport,
        KeyState::PendingDeletion(_) => kms::KeyState::PendingDeletion,
    }
}

/// What a key does, by its usage.
#[derive(Default)]
pub(super) struct Algorithms {
    pub(super) encryption: Option<Vec<EncryptionAlgorithmSpec>>,
    pub(super) signing: Option<Vec<SigningAlgorithmSpec>>,
    pub(super) agreement: Option<Vec<KeyAgreementAlgorithmSpec>>,
    pub(super) encapsulation: Option<Vec<EncapsulationAlgorithmSpec>>,
    pub(super) mac: Option<Vec<MacAlgorithmSpec>>,
}

impl Algorithms {
    pub(super) fn of(record: &KeyRecord) -> Self {
        let mut all = Self::default();
        match (record.usage(), record.spec) {
            (KeyUsage::EncryptDecrypt, KeySpec::Pair(pair)) => {
                let names = pair.encryption_algorithms().iter().copied();
                let named = names.map(EncryptionAlgorithm::name);
                all.encryption =
                    Some(named.filter_map(EncryptionAlgorithmSpec::from_name).collect());
            }
            (KeyUsage::EncryptDecrypt, _) => {
                all.encryption = Some(vec![EncryptionAlgorithmSpec::SymmetricDefault]);
            }
            (KeyUsage::SignVerify, KeySpec::Pair(pair)) => {
                let names = pair.signing_algorithms().iter().copied();
                let named = names.map(SigningAlgorithm::name);
                all.signing = Some(named.filter_map(SigningAlgorithmSpec::from_name).collect());
            }
            (KeyUsage::GenerateVerifyMac, KeySpec::Mac(mac)) => {
                all.mac = MacAlgorithmSpec::from_name(mac.algorithm_name()).map(|mac| vec![mac]);
            }
            (KeyUsage::KeyAgreement, _) => {
                all.agreement = Some(vec![KeyAgreementAlgorithmSpec::Ecdh]);
            }
            (KeyUsage::EncapsulateDecapsulate, _) => {
                all.encapsulation = Some(vec![EncapsulationAlgorithmSpec::MlKem]);
            }
            (KeyUsage::SignVerify | KeyUsage::GenerateVerifyMac, _) => {}
        }
        all
    }
}

pub(super) fn metadata<'a>(
    kms: &'a Kms,
    key: &'a KeyEntry,
    algorithms: &'a Algorithms,
) -> KeyMetadata<'a> {
    let record = &key.record;
    let newest = record.newest_material().filter(|material| material.is_held());
    let imported = newest.and_then(|material| material.imported.as_ref());
    let expires = imported.and_then(|imported| imported.expires);
    let doomed = match &record.state {
        KeyState::PendingDeletion(doomed) => Some(time(doomed.erase_at)),
        _ => None,
    };
    KeyMetadata {
        account_id: Cow::Borrowed(kms.account()),
        key_id: Cow::Owned(record.id.to_string()),
        arn: Cow::Borrowed(&key.arn),
        creation_date: time(record.created),
        enabled: matches!(record.state, KeyState::Enabled(_)),
        description: Cow::Borrowed(&record.description),
        key_usage: usage(record.usage()),
        key_state: state(&record.state),
        deletion_date: doomed,
        valid_to: expires.map(time),
        origin: origin(record.origin),
        custom_key_store_id: None,
        cloud_hsm_cluster_id: None,
        expiration_model: imported.map(|imported| match imported.expires {
            Some(_) => ExpirationModel::KeyMaterialExpires,
            None => ExpirationModel::KeyMaterialDoesNotExpire,
        }),
        key_manager: KeyManager::Customer,
        customer_master_key_spec: kms::CustomerMasterKeySpec::from_name(record.spec.name()),
        key_spec: spec(record.spec),
        encryption_algorithms: algorithms.encryption.as_deref(),
        signing_algorithms: algorithms.signing.as_deref(),
        key_agreement_algorithms: algorithms.agreement.as_deref(),
        encapsulation_algorithms: algorithms.encapsulation.as_deref(),
        multi_region: false,
        multi_region_configuration: None,
        pending_deletion_window_in_days: None,
        mac_algorithms: algorithms.mac.as_deref(),
        xks_key_configuration: None,
        current_key_material_id: newest
            .filter(|_| record.spec == KeySpec::SymmetricDefault)
            .map(|material| material_id(record.id, material.id)),
    }
}
