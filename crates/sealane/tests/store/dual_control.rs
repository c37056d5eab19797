//! What the KMS itself refuses to one person, whoever asks it.

use crypto::{Id, SystemEntropy};
use keys::RootKey;
use keys::authorize::Principal;
use keys::dual_control::{Asked, Quorum};
use keys::root_seal::{RootSeal, SealKind, SealWith};
use keys::seal_shamir::{SharePolicy, ShareSet};
use sealane::kms::{KmsError, Phase, SealChange};

use crate::kit::TestStore;
use crate::kms::{kms, reopened};

const ADMIN: Principal = Principal::Admin;

pub(crate) fn quorum() -> Quorum {
    let entropy = &mut SystemEntropy::new();
    let cell = Id::random(entropy);
    let set = ShareSet::generate(cell, SharePolicy::new(2, 2).unwrap(), entropy);
    let with = SealWith::Shamir(&set);
    let (seal, _) = RootSeal::seal(cell, RootKey::generate(entropy), &with, entropy).unwrap();
    Quorum::prove(&seal, set.shares()).unwrap()
}

#[test]
fn one_person_is_refused_and_two_are_not() {
    let kit = TestStore::new();
    let made = kms(&kit);
    let tenant = made.create_tenant(&ADMIN, "acme").unwrap();
    let agreed = quorum();
    // Whether that is all that stands against it.
    let needs = |done: Result<(), KmsError>| match done {
        Err(KmsError::NeedsQuorum) => true,
        Err(error) => panic!("{error}"),
        Ok(()) => false,
    };
    assert!(needs(made.switch_dual_control(&ADMIN, true, None).map(drop)));
    made.create_credential(&ADMIN, "before", None, None).unwrap();
    assert!(made.switch_dual_control(&ADMIN, true, Some(&agreed)).unwrap().is_some());

    // As it was written down, after a restart.
    let kms = reopened(&kit, made);
    assert_eq!(kms.dual_control().unwrap().unwrap().shares, [1, 2]);
    let create = |q| kms.create_credential(&ADMIN, "after", None, q).map(drop);
    let session = |q| kms.create_session(&ADMIN, "before", None, 900, q).map(drop);
    let user = |q| kms.erase_user(&ADMIN, "acme", "after", q).map(drop);
    let erase = |q| kms.erase_tenant(&ADMIN, "acme", q).map(drop);
    let change = |to, quorum| {
        let change = SealChange { operation: "ChangeSeal", from: SealKind::Shamir, to, quorum };
        kms.record_seal_change(&change, Phase::Begun)
    };
    for done in [create(None), session(None), user(None), erase(None)] {
        assert!(needs(done));
    }
    assert!(needs(change(SealKind::Shamir, None)));
    let for_one = change(SealKind::KeyFile, Some(&agreed));
    assert!(matches!(for_one, Err(KmsError::SealForOne)), "{for_one:?}");
    assert!(kms.describe_key(tenant.key).is_ok(), "nothing of it was done");

    let mut asked = kms.begin().unwrap();
    for who in ["alice", "alice"] {
        let one = asked.ask_deletion(tenant.key, who, 7).unwrap();
        assert!(matches!(one, Asked::Alone(_)), "{one:?}");
    }
    asked.commit().unwrap();
    let mut asked = kms.begin().unwrap();
    let two = asked.ask_deletion(tenant.key, "bob", 7).unwrap();
    assert_eq!(two, Asked::Agreed { first: "alice".to_owned(), days: 7 });
    asked.commit().unwrap();

    for done in [create(Some(&agreed)), session(Some(&agreed)), erase(Some(&agreed))] {
        assert!(!needs(done));
    }
    change(SealKind::Shamir, Some(&agreed)).unwrap();
    assert!(needs(kms.switch_dual_control(&ADMIN, false, None).map(drop)));
    assert_eq!(kms.switch_dual_control(&ADMIN, false, Some(&agreed)).unwrap(), None);
    assert!(!needs(kms.create_credential(&ADMIN, "alone", None, None).map(drop)));
}
