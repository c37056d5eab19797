//! The KMS as a library.

use std::sync::Arc;

use crypto::{Id, Signer, SystemEntropy};
use keys::authorize::{Principal, Refused};
use keys::encrypt::DecryptError;
use keys::service_log::{LogNext, LogReader, LogWriter};
use keys::sigv4::Scope;
use keys::{EncryptionContext, KeySpec, NewKey, Owner};
use sealane::kms::records::Format;
use sealane::kms::{Kms, KmsError, NewVolume, Rewrap, Tokens};

use crate::kit::{TestStore, identify};

const ADMIN: Principal = Principal::Admin;
const CELL_ROLE: Principal = Principal::Cell;

pub(crate) fn kms(kit: &TestStore) -> Kms {
    let store = kit.create();
    identify(&store);
    Kms::open(Arc::new(store), &kit.trail()).unwrap()
}

pub(crate) fn reopened(kit: &TestStore, kms: Kms) -> Kms {
    drop(kms);
    Kms::open(Arc::new(kit.open().unwrap()), &kit.trail()).unwrap()
}

/// The calls in the trail and the outcomes of changes, oldest first.
pub(crate) fn events(kit: &TestStore, kms: &Kms) -> Vec<serde_json::Value> {
    let store = Arc::clone(kms.store());
    let lines = sealane::audit_trail::read(&kit.trail(), kit.id, Arc::new(move || store.ring()));
    let lines = lines.unwrap().map(|line| serde_json::from_slice(&line.unwrap()).unwrap());
    let of_calls = |event: &serde_json::Value| {
        let phase = event["additionalEventData"]["phase"].as_str().unwrap();
        phase == "Call" || phase == "Outcome"
    };
    lines.filter(of_calls).collect()
}

pub(crate) fn workload(tenant: Id) -> Principal {
    Principal::Workload { tenant, spiffe_id: "spiffe://test.example/ns/x/sa/web".to_owned() }
}

fn ca_key() -> NewKey {
    NewKey::of(Owner::Cell, KeySpec::ECC_NIST_P256, "certificate authority")
}

fn new_volume(tenant: &str) -> NewVolume {
    let (tenant, name, service) = (tenant.to_owned(), "redis".to_owned(), "redis".to_owned());
    NewVolume { tenant, name, service, size_bytes: 1 << 30, user: None }
}

#[test]
fn a_tenants_key_is_its_own_and_can_be_disabled() {
    let kit = TestStore::new();
    let kms = kms(&kit);
    let acme = kms.create_tenant(&ADMIN, "acme").unwrap();
    let globex = kms.create_tenant(&ADMIN, "globex").unwrap();
    assert!(matches!(kms.create_tenant(&ADMIN, "acme"), Err(KmsError::TenantExists(_))));
    assert!(matches!(kms.create_tenant(&ADMIN, "Acme!"), Err(KmsError::BadName { .. })));
    let context = EncryptionContext::of([("purpose", "test".to_owned())]).unwrap();
    let (mine, theirs) = (workload(acme.id), workload(globex.id));
    let made = kms.generate_data_key(&mine, acme.key, &context).unwrap();
    let blob = kms.encrypt(&mine, acme.key, b"attack", &context).unwrap();

    for stranger in [&theirs, &ADMIN, &CELL_ROLE] {
        assert!(matches!(
            kms.unwrap_data_key(stranger, &made.wrapped, &context),
            Err(KmsError::Refused(_))
        ));
    }
    let other = EncryptionContext::default();
    assert!(matches!(
        kms.decrypt(&mine, &blob, &other),
        Err(KmsError::Decrypt(DecryptError::Forged))
    ));

    kms.disable_key(&ADMIN, acme.key).unwrap();
    let refused = kms.unwrap_data_key(&mine, &made.wrapped, &context);
    assert!(matches!(refused, Err(KmsError::Refused(Refused::State(_)))));
    kms.encrypt(&theirs, globex.key, b"other tenants go on", &context).unwrap();
    let kms = reopened(&kit, kms);
    assert!(kms.decrypt(&mine, &blob, &context).is_err(), "disabled across a restart");
    kms.enable_key(&ADMIN, acme.key).unwrap();
    kms.rotate_key(&ADMIN, acme.key).unwrap();
    assert_eq!(&kms.decrypt(&mine, &blob, &context).unwrap()[..], b"attack");
    let again = kms.unwrap_data_key(&mine, &made.wrapped, &context).unwrap();
    assert_eq!(again.release_to_caller()[..], made.key.release_to_caller()[..]);
    assert!(kms.disable_key(&mine, acme.key).is_err(), "a workload manages nothing");
    assert!(matches!(kms.describe_key(kit.id), Err(KmsError::UnknownKey(_))));
}

#[test]
fn every_use_and_every_refusal_is_in_the_audit_log() {
    let kit = TestStore::new();
    let kms = kms(&kit);
    let acme = kms.create_tenant(&ADMIN, "acme").unwrap();
    let context = EncryptionContext::default();
    let blob = kms.encrypt(&workload(acme.id), acme.key, b"x", &context).unwrap();
    kms.decrypt(&ADMIN, &blob, &context).unwrap_err();
    let signer = kms.signer(CELL_ROLE, kms.create_key(&CELL_ROLE, ca_key()).unwrap().id).unwrap();
    signer.sign(b"x").unwrap();
    let kms = reopened(&kit, {
        drop(signer);
        kms
    });
    let events = events(&kit, &kms);
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event["eventName"].as_str().unwrap(), event["errorCode"].is_null()))
        .collect();
    assert_eq!(
        seen,
        [
            ("CreateTenant", true),
            ("Encrypt", true),
            ("Decrypt", false),
            ("CreateKey", true),
            ("Sign", true)
        ]
    );
    assert_eq!(events[1]["resources"][0]["ARN"], kms.arn(acme.key).to_string());
}

#[test]
fn a_signer_signs_until_its_key_is_disabled() {
    let kit = TestStore::new();
    let kms = kms(&kit);
    let key = kms.create_key(&CELL_ROLE, ca_key()).unwrap();
    let signer = kms.signer(CELL_ROLE, key.id).unwrap();
    let signature = signer.sign(b"certificate").unwrap();
    signer.public_key().verify(b"certificate", &signature).unwrap();
    assert!(kms.signer(ADMIN, key.id).is_err());
    kms.disable_key(&ADMIN, key.id).unwrap();
    assert!(matches!(
        signer.sign_recorded(b"certificate"),
        Err(KmsError::Refused(Refused::State(_)))
    ));
    assert_eq!(
        kms.arn(key.id).to_string(),
        format!("arn:aws:kms:us-east-1:000000000000:key/{}", key.id)
    );
}

/// Rewraps until nothing is left to do. Gives how much that was, and how many keys were forgotten.
fn rewrap(kms: &Kms, needed: &[Id]) -> (usize, usize) {
    let (mut all, mut start) = (0, None);
    loop {
        match kms.rewrap(start.as_ref(), 2, &|| Ok(needed.to_vec()), Tokens::Forget).unwrap() {
            Rewrap::More { next, moved } => {
                all += moved;
                start = Some(next);
            }
            Rewrap::Done { moved, retired } => return (all + moved, retired),
        }
    }
}

#[test]
fn a_rotated_domain_key_is_emptied_and_forgotten() {
    let kit = TestStore::new();
    let kms = kms(&kit);
    let acme = kms.create_tenant(&ADMIN, "acme").unwrap();
    let context = EncryptionContext::default();
    let blob = kms.encrypt(&workload(acme.id), acme.key, b"attack", &context).unwrap();
    let (first, of_first) = (kms.store().ring().current(), kms.create_log("acme/web").header);
    assert!(kms.rotate_domain(&workload(acme.id)).is_err());
    kms.rotate_domain(&ADMIN).unwrap();
    let (second, of_second) = (kms.store().ring().current(), kms.create_log("acme/web").header);
    assert_ne!(first, second);
    assert_eq!(&kms.decrypt(&workload(acme.id), &blob, &context).unwrap()[..], b"attack");

    let (moved, retired) = rewrap(&kms, &[]);
    assert!(moved > 0);
    assert_eq!(retired, 0, "the audit trail still needs the first domain key");
    kms.rotate_domain(&ADMIN).unwrap();
    let (moved, retired) = rewrap(&kms, &[second]);
    assert!(moved > 0);
    assert_eq!(retired, 0, "a service log still needs the second");
    kms.open_log("acme/web", &of_second).unwrap();
    assert_eq!(rewrap(&kms, &[]), (0, 1));
    assert!(kms.open_log("acme/web", &of_second).is_err());
    kms.open_log("acme/web", &of_first).unwrap();
    let kms = reopened(&kit, kms);
    assert_eq!(&kms.decrypt(&workload(acme.id), &blob, &context).unwrap()[..], b"attack");
    events(&kit, &kms);
}

#[test]
fn access_keys_outlive_the_domain_key_they_were_made_under() {
    let kit = TestStore::new();
    let mut kms = kms(&kit);
    kms.rotate_domain(&ADMIN).unwrap();
    let (made, _) = kms.create_credential(&ADMIN, "me", None, None).unwrap();
    let (gone, _) = kms.create_credential(&ADMIN, "gone", None, None).unwrap();
    kms.revoke_credential(&ADMIN, "gone", None).unwrap();
    let scope = Scope { date: "20260101", region: "us-east-1", service: "kms" };
    for _ in 0..2 {
        kms.rotate_domain(&ADMIN).unwrap();
        let (moved, retired) = rewrap(&kms, &[]);
        assert!(moved >= 2 && retired == 1, "{moved} moved, {retired} retired");
        let credential = kms.credential(made.access_key_id.as_str()).unwrap().unwrap();
        credential.signing_key(&kms, scope).unwrap();
        assert!(kms.credential(gone.access_key_id.as_str()).unwrap().is_none());
        kms = reopened(&kit, kms);
    }
}

#[test]
fn volumes_have_keys_and_anchors_of_their_own() {
    let kit = TestStore::new();
    let kms = kms(&kit);
    let acme = kms.create_tenant(&ADMIN, "acme").unwrap();
    kms.create_tenant(&ADMIN, "globex").unwrap();
    let mine = kms.create_volume(&CELL_ROLE, new_volume("acme")).unwrap();
    let theirs = kms.create_volume(&CELL_ROLE, new_volume("globex")).unwrap();
    assert!(matches!(
        kms.create_volume(&CELL_ROLE, new_volume("acme")),
        Err(KmsError::VolumeExists { .. })
    ));
    assert_eq!(kms.volume(acme.id, "redis").unwrap(), mine);
    kms.unwrap_volume_key(&mine).unwrap();
    let thief = Principal::Volume { tenant: mine.tenant, volume: mine.id };
    let refused = kms.unwrap_data_key(&thief, &theirs.data_key, &theirs.context().unwrap());
    assert!(matches!(refused, Err(KmsError::Refused(Refused::OtherTenant { .. }))));

    assert_eq!(mine.format, Format::NeverFormatted);
    kms.record_format(acme.id, "redis", "ext4").unwrap();
    let format = kms.volume(acme.id, "redis").unwrap().format;
    assert_eq!(format, Format::Formatted { fs: "ext4".to_owned() });

    let first = kms.attach_volume(mine.id).unwrap();
    assert_eq!((first.attach, first.anchor), (1, None));
    let anchor = serde_json::json!({ "group": 7 });
    kms.advance_volume_anchor(mine.id, 1, anchor.clone()).unwrap();
    let second = kms.attach_volume(mine.id).unwrap();
    assert_eq!((second.attach, second.anchor), (2, Some(anchor)));
    assert!(matches!(
        kms.advance_volume_anchor(mine.id, 1, serde_json::json!({ "group": 8 })),
        Err(KmsError::Superseded { held: 1, found: 2, .. })
    ));
}

#[test]
fn a_number_stays_with_its_identity() {
    let kit = TestStore::new();
    let kms = kms(&kit);
    let numbers = |kms: &Kms| ["web", "redis", "web"].map(|name| kms.uid_index(name).unwrap());
    assert_eq!(numbers(&kms), [0, 1, 0]);
    assert_eq!(numbers(&reopened(&kit, kms)), [0, 1, 0]);
}

#[test]
fn a_log_written_elsewhere_is_read_here() {
    let kit = TestStore::new();
    let kms = kms(&kit);
    let entropy = &mut SystemEntropy::new();
    let (mut writer, header) = LogWriter::begin(kms.create_log("acme/web"), "acme/web");
    let frames = [writer.append(b"hello", entropy), writer.finish(entropy)].concat();
    let mut reader = LogReader::begin(kms.open_log("acme/web", &header).unwrap(), "acme/web");
    let LogNext::Text { text, consumed } = reader.next_frame(&frames).unwrap() else {
        panic!("no text")
    };
    assert_eq!(&text[..], b"hello");
    assert!(matches!(reader.next_frame(&frames[consumed..]), Ok(LogNext::End { .. })));
}
