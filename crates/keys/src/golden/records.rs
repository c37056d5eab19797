//! What lies inside sealed records: JSON, one record a line.

use crypto::hmac_key::MacSpec;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{golden, root};
use crate::grant::constraint::GrantConstraints;
use crate::grant::{GrantOperation, GrantRecord, GrantedKey, NewGrant};
use crate::material;
use crate::policy::caller::{Caller, CallerKind};
use crate::policy::principal::Principal;
use crate::test_kit::{Counting, id, ring};
use crate::{
    DomainKeyRecord, EncryptionContext, IndexKeyRecord, KeyRecord, KeySpec, KeyUsage, NewImport,
    NewKey, Origin, Owner, RotationKind, RotationSchedule, UnixSeconds, WhichMaterial, hex,
};

/// What is made today is written as it was then, and what was written then is read as what is made
/// today.
fn golden_lines<T>(golden: &str, made: &[T])
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let lines: Vec<String> = made.iter().map(|made| serde_json::to_string(made).unwrap()).collect();
    assert_eq!(lines.join("\n"), golden.trim_end(), "the format changed: old records must open");
    let read: Vec<T> = golden.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, made);
}

#[test]
fn domain_key_record_v1() {
    let (made, key) =
        DomainKeyRecord::generate(&root(), id(3), UnixSeconds(1), &mut Counting::default());
    let golden = include_str!("../../tests/golden/test-domain-key-record-v1.json");
    golden_lines(golden, std::slice::from_ref(&made));
    let read: DomainKeyRecord = serde_json::from_str(golden).unwrap();
    let opened = read.unwrap_key(&root(), id(3)).unwrap();
    assert_eq!(opened.release_to_caller()[..], key.release_to_caller()[..]);
}

/// With the two keys that are derived from it, by which every record of a store is found and
/// counted.
#[test]
fn index_key_record_v1() {
    let made = IndexKeyRecord::generate(&root(), id(3), &mut Counting::default());
    let file = include_str!("../../tests/golden/test-index-key-record-v1.json");
    golden_lines(file, std::slice::from_ref(&made));
    let read: IndexKeyRecord = serde_json::from_str(file).unwrap();
    let keys = read.unwrap_keys(&root(), id(3)).unwrap();
    let macs = [keys.slots.mac(b"test").0, keys.terms.mac(b"test").0].concat();
    golden(include_str!("../../tests/golden/test-index-key-macs-v1.hex"), &macs);
}

/// A key of each owner, state and origin, with every field that a record can have.
fn key_records() -> Vec<KeyRecord> {
    let entropy = &mut Counting::default();
    let (old_ring, ring) = (ring(1), ring(2));
    let make = |new: NewKey, entropy: &mut Counting| {
        KeyRecord::generate(new, &old_ring, UnixSeconds(1), entropy)
    };
    let symmetric = |owner| NewKey::of(owner, KeySpec::SymmetricDefault, "test");
    let external = |owner, spec| NewKey { origin: Origin::External, ..NewKey::of(owner, spec, "") };
    let import = |secret, description: Option<&str>| NewImport {
        secret,
        description: description.map(str::to_owned),
        expires: description.map(|_| UnixSeconds(90)),
    };
    let rotate = |record: KeyRecord, kind, entropy: &mut Counting| {
        record.rotate(kind, &ring, UnixSeconds(4), entropy).unwrap()
    };

    let cell = make(symmetric(Owner::Cell), entropy);

    let mut rotated = make(symmetric(Owner::Account), entropy);
    rotated.rotation = Some(RotationSchedule { period_days: 365, next: UnixSeconds(99) });
    let rotated = rotate(rotated, RotationKind::Automatic, entropy);
    let rotated = rotate(rotated, RotationKind::OnDemand, entropy);

    let mut mac = NewKey::of(Owner::Tenant(id(7)), KeySpec::Mac(MacSpec::Hmac256), "a \"test\"");
    mac.user = Some("anna".to_owned());
    mac.tags.insert("name".to_owned(), "value".to_owned());
    mac.policy = Some("{}".to_owned());
    let mut disabled = make(mac, entropy).disable().unwrap();
    disabled.aliases = vec!["alias/one".to_owned(), "alias/two".to_owned()];

    let waiting = make(external(Owner::Account, KeySpec::SymmetricDefault), entropy);
    let only = WhichMaterial::Only;
    let first = import(&[9; 32], Some("from outside"));
    let held = waiting.clone().import(only, &first, &ring, UnixSeconds(2), entropy).unwrap();
    let second = import(&[8; 32], None);
    let next =
        held.clone().import(WhichMaterial::New, &second, &ring, UnixSeconds(3), entropy).unwrap();
    let expired = held.expire(UnixSeconds(90)).unwrap();

    let mut agreement = external(Owner::Tenant(id(7)), KeySpec::ECC_NIST_P256);
    agreement.usage = KeyUsage::KeyAgreement;
    let private_key = hex::decode(P256_PKCS8).unwrap();
    let pair = make(agreement, entropy)
        .import(only, &import(&private_key, None), &ring, UnixSeconds(2), entropy)
        .unwrap();

    let doomed = make(symmetric(Owner::Cell), entropy).doom(UnixSeconds(77)).unwrap();
    vec![cell, rotated, disabled, waiting, next, expired, pair, doomed]
}

/// The private key 5, 5, 5, … on P-256, without its public half.
const P256_PKCS8: &str = "3041020100301306072a8648ce3d020106082a8648ce3d0301070427302502010104\
                          200505050505050505050505050505050505050505050505050505050505050505";

#[test]
fn key_record_v1() {
    let golden = include_str!("../../tests/golden/test-key-record-v1.jsonl");
    golden_lines(golden, &key_records());
    let mut opened = 0;
    for line in golden.lines() {
        let record: KeyRecord = serde_json::from_str(line).unwrap();
        let materials = record.materials().iter().chain(&record.next_material);
        for held in materials.filter(|material| material.is_held()) {
            material::open(record.id, record.spec, held, &ring(2)).unwrap();
            opened += 1;
        }
    }
    assert_eq!(opened, 9);
}

#[test]
fn grant_record_v1() {
    let entropy = &mut Counting::default();
    let principal = |text| Principal::parse(text).unwrap();
    let issuer = Caller {
        arn: "arn:aws:iam::111122223333:user/test".to_owned(),
        account: "111122223333".to_owned(),
        kind: CallerKind::User { name: "test".to_owned() },
        tenant: None,
    };
    let least = NewGrant {
        grantee: principal("spiffe://test/ns/acme/sa/web"),
        retiring: None,
        operations: vec![GrantOperation::Decrypt],
        constraints: GrantConstraints::default(),
        name: None,
    };
    let context = |value: &str| EncryptionContext::of([("name", value.to_owned())]).ok();
    let most = NewGrant {
        grantee: principal("arn:aws:iam::111122223333:root"),
        retiring: Some(principal("arn:aws:iam::111122223333:role/test")),
        operations: GrantOperation::ALL
            .into_iter()
            .filter(|operation| operation.is_for(GrantedKey::SymmetricEncryption))
            .collect(),
        constraints: GrantConstraints {
            encryption_context_subset: context("subset"),
            encryption_context_equals: context("equals"),
            source_arn: Some("arn:aws:rds:us-east-1:111122223333:db:test".to_owned()),
        },
        name: Some("test".to_owned()),
    };
    let key = (id(1), GrantedKey::SymmetricEncryption);
    let made =
        [least, most].map(|new| GrantRecord::issue(new, key, 0, &issuer, UnixSeconds(1), entropy));
    let made = made.map(Result::unwrap);
    golden_lines(include_str!("../../tests/golden/test-grant-record-v1.jsonl"), &made);
}
