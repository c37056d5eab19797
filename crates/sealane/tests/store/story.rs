//! A cell's KMS in which everything happens that can happen to a key, one change after another, and
//! what must hold between its records at any time.

use std::collections::BTreeMap;

use crypto::{Id, SystemEntropy};
use keys::audit_trail::{Event, UnixMillis};
use keys::authorize::{Principal, may_administer, may_create};
use keys::grant::constraint::GrantConstraints;
use keys::grant::{GrantOperation, GrantRecord, GrantedKey, NewGrant};
use keys::policy::caller::{Caller, CallerKind};
use keys::{
    EncryptionContext, KeyRecord, KeySpec, NewImport, NewKey, Origin, Owner, RotationSchedule,
    UnixSeconds, WhichMaterial,
};
use sealane::kms::records::{
    ALIASES, AUDIT_KEY, AUDIT_KEY_NAME, AliasRecord, CREDENTIALS, DUE, GRANTS, KEYS, KEYS_OF,
    LAST_USES, RETIRABLE, TENANTS,
};
use sealane::kms::{Change, Kms, KmsError, Rewrap, Tokens, due, owner_name};
use sealane::store::{Reader as _, Snapshot, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) const ADMIN: Principal = Principal::Admin;
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_900_000_000);

/// Whom the story is about.
#[derive(Clone, Default)]
pub(crate) struct Cast {
    /// Every key there ever was but the trail's own: what is left of an erased one must be nothing.
    pub(crate) keys: Vec<Id>,
    pub(crate) tenant: Option<Id>,
    pub(crate) access_key: String,
    pub(crate) blob: Vec<u8>,
}

type Step = (&'static str, fn(&Kms, &mut Cast));

/// The steps, each of which is one change of the store.
pub(crate) const STEPS: &[Step] = &[
    ("create a tenant", |kms, cast| {
        let tenant = kms.create_tenant(&ADMIN, "acme").unwrap();
        cast.tenant = Some(tenant.id);
        cast.keys.push(tenant.key);
    }),
    ("create a key", |kms, cast| {
        create(kms, cast, Origin::Kms, KeySpec::SymmetricDefault);
    }),
    ("create a key pair", |kms, cast| {
        create(kms, cast, Origin::Kms, KeySpec::ECC_NIST_P256);
    }),
    ("use the tenant's key", |kms, cast| {
        let tenant = cast.tenant.unwrap();
        cast.blob = kms.encrypt(&workload(tenant), cast.keys[0], b"text", &none()).unwrap();
    }),
    ("rotate", |kms, cast| drop(kms.rotate_key(&ADMIN, cast.keys[0]).unwrap())),
    ("rotate again", |kms, cast| drop(kms.rotate_key(&ADMIN, cast.keys[0]).unwrap())),
    ("name it", |kms, cast| alias(kms, "alias/first", cast.keys[1])),
    ("name it again", |kms, cast| alias(kms, "alias/second", cast.keys[1])),
    ("grant", |kms, cast| grant(kms, cast.keys[1], "one")),
    ("grant again", |kms, cast| grant(kms, cast.keys[1], "two")),
    ("retire a grant", |kms, cast| {
        let key = cast.keys[1];
        change(kms, "RetireGrant", |change| {
            let (id, grant) = change.grants(key)?.swap_remove(0);
            change.remove_grant(key, &id, &grant)
        });
    }),
    ("disable", |kms, cast| drop(kms.disable_key(&ADMIN, cast.keys[2]).unwrap())),
    ("enable", |kms, cast| drop(kms.enable_key(&ADMIN, cast.keys[2]).unwrap())),
    ("create a key to import into", |kms, cast| {
        create(kms, cast, Origin::External, KeySpec::SymmetricDefault);
    }),
    ("import", |kms, cast| import(kms, cast.keys[3], WhichMaterial::Only, FIRST, Some(later(500)))),
    ("let imported material expire", |kms, _| run_due(kms, later(500))),
    ("import what has expired", |kms, cast| {
        import(kms, cast.keys[3], WhichMaterial::Only, FIRST, None);
    }),
    ("delete imported material", |kms, cast| delete_imported(kms, cast.keys[3], None)),
    ("import what was deleted", |kms, cast| {
        import(kms, cast.keys[3], WhichMaterial::Only, FIRST, None);
    }),
    ("import the next material", |kms, cast| {
        import(kms, cast.keys[3], WhichMaterial::New, SECOND, None);
    }),
    ("rotate to the next material", |kms, cast| {
        let rotated = kms.rotate_key(&ADMIN, cast.keys[3]).unwrap();
        assert_eq!((rotated.materials().len(), rotated.next_material), (2, None));
    }),
    ("delete the older material", |kms, cast| {
        let older = kms.describe_key(cast.keys[3]).unwrap().materials()[0].id;
        delete_imported(kms, cast.keys[3], Some(older));
        assert!(!kms.is_usable(cast.keys[3]).unwrap(), "it waits for all of its material");
    }),
    ("import the older material", |kms, cast| {
        let older = kms.describe_key(cast.keys[3]).unwrap().materials()[0].id;
        import(kms, cast.keys[3], WhichMaterial::Existing(older), FIRST, None);
        assert!(kms.is_usable(cast.keys[3]).unwrap());
    }),
    ("note a use", |kms, cast| note_use(kms, cast.keys[1])),
    ("create an access key", |kms, cast| {
        let (record, _) = kms.create_credential(&ADMIN, "me", None, None).unwrap();
        cast.access_key = record.access_key_id.as_str().to_owned();
    }),
    ("create another", |kms, _| {
        drop(kms.create_credential(&ADMIN, "you", Some("acme"), None).unwrap())
    }),
    ("revoke it", |kms, _| drop(kms.revoke_credential(&ADMIN, "you", Some("acme")).unwrap())),
    ("rotate by itself from now on", |kms, cast| {
        let key = cast.keys[1];
        change(kms, "EnableKeyRotation", |change| {
            let record = change.key(key)?.record;
            let permit = may_administer(&ADMIN, &record)?;
            let rotation = RotationSchedule { period_days: 365, next: later(1000) };
            change.put_key(&permit.describe(|said| *said.rotation = Some(rotation)))
        });
    }),
    ("rotate by itself", |kms, _| run_due(kms, later(1000))),
    ("rotate the domain key", |kms, _| kms.rotate_domain(&ADMIN).unwrap()),
    ("rewrap a little", |kms, _| rewrap(kms, 3)),
    ("rotate it once more", |kms, _| kms.rotate_domain(&ADMIN).unwrap()),
    ("rewrap some", |kms, _| rewrap(kms, 10)),
    ("rewrap the rest", |kms, _| rewrap(kms, 1000)),
    ("forget the domain key between", |kms, _| {
        let done = kms.rewrap(None, 1000, &|| Ok(Vec::new()), Tokens::Forget).unwrap();
        assert_eq!(done, Rewrap::Done { moved: 0, retired: 1 });
    }),
    ("doom", |kms, cast| doom(kms, cast.keys[1])),
    ("pardon", |kms, cast| {
        let key = cast.keys[1];
        change(kms, "CancelKeyDeletion", |change| {
            let record = change.key(key)?.record;
            let pardoned = may_administer(&ADMIN, &record)?.pardon(later(1999)).unwrap();
            change.put_key(&pardoned)
        });
    }),
    ("doom again", |kms, cast| doom(kms, cast.keys[1])),
    ("erase", |kms, _| run_due(kms, later(2000))),
    ("create a last one", |kms, cast| {
        create(kms, cast, Origin::Kms, KeySpec::SymmetricDefault);
    }),
];

fn none() -> EncryptionContext {
    EncryptionContext::default()
}

fn later(seconds: u64) -> UnixSeconds {
    UnixSeconds(NOW.0 + seconds)
}

pub(crate) fn workload(tenant: Id) -> Principal {
    Principal::Workload { tenant, spiffe_id: "spiffe://test.example/ns/acme/sa/web".to_owned() }
}

fn rewrap(kms: &Kms, limit: usize) {
    match kms.rewrap(None, limit, &|| Ok(Vec::new()), Tokens::Outlive).unwrap() {
        Rewrap::More { .. } => {}
        Rewrap::Done { moved, .. } => assert!(moved > 0, "there was something to move"),
    }
}

fn run_due(kms: &Kms, now: UnixSeconds) {
    let (done, _) = kms.run_due(now).unwrap();
    assert_eq!(done.len(), 1, "{done:?}");
}

fn create(kms: &Kms, cast: &mut Cast, origin: Origin, spec: KeySpec) {
    let new = NewKey { origin, ..NewKey::of(Owner::Account, spec, "of the story") };
    let mut made = None;
    change(kms, "CreateKey", |change| {
        let permit = may_create(&ADMIN)?;
        let record = permit.create_key(new, change.ring(), NOW, &mut SystemEntropy::new());
        made = Some(record.id);
        change.add_key(&record)
    });
    cast.keys.extend(made);
}

const FIRST: &[u8] = &[7; 32];
const SECOND: &[u8] = &[8; 32];

fn import(kms: &Kms, key: Id, which: WhichMaterial, secret: &[u8], expires: Option<UnixSeconds>) {
    let new = NewImport { secret, description: None, expires };
    let entropy = &mut SystemEntropy::new();
    change(kms, "ImportKeyMaterial", |change| {
        let record = change.key(key)?.record;
        let permit = may_administer(&ADMIN, &record)?;
        let imported = permit.import(which, &new, change.ring(), NOW, entropy).unwrap();
        change.put_key(&imported)
    });
}

fn delete_imported(kms: &Kms, key: Id, which: Option<Id>) {
    change(kms, "DeleteImportedKeyMaterial", |change| {
        let record = change.key(key)?.record;
        let left = may_administer(&ADMIN, &record)?.delete_imported(which).unwrap();
        change.put_key(&left)
    });
}

fn doom(kms: &Kms, key: Id) {
    change(kms, "ScheduleKeyDeletion", |change| {
        let record = change.key(key)?.record;
        let doomed = may_administer(&ADMIN, &record)?.doom(later(2000)).unwrap();
        change.put_key(&doomed)
    });
}

/// The trail has the use itself; that it is the last one is written by the store alone.
fn note_use(kms: &Kms, key: Id) {
    let (region, account) = (kms.region().clone(), kms.account().clone());
    let id = Id::random(&mut SystemEntropy::new());
    let event = Event::of_cell(id, UnixMillis(NOW.0 * 1000), "Encrypt", region, account);
    kms.note_use([&kms.entry(key).unwrap()], "Encrypt", &event);
    kms.write_last_uses().unwrap();
}

fn alias(kms: &Kms, name: &str, key: Id) {
    change(kms, "CreateAlias", |change| {
        let record = change.key(key)?.record;
        let named =
            may_administer(&ADMIN, &record)?.describe(|said| said.aliases.push(name.to_owned()));
        change.put_key(&named)?;
        change.put_alias(Owner::Account, name, &AliasRecord { key, created: NOW, updated: NOW })
    });
}

fn grant(kms: &Kms, key: Id, name: &str) {
    let principal = |name: &str| {
        let arn = format!("arn:aws:iam::000000000000:user/{name}");
        keys::policy::principal::Principal::parse(&arn).unwrap()
    };
    let new = NewGrant {
        grantee: principal("grantee"),
        retiring: Some(principal("retiring")),
        operations: vec![GrantOperation::Decrypt],
        constraints: GrantConstraints::default(),
        name: Some(name.to_owned()),
    };
    let issuer = Caller {
        arn: "arn:aws:iam::000000000000:user/me".to_owned(),
        account: "000000000000".to_owned(),
        kind: CallerKind::User { name: "me".to_owned() },
        tenant: None,
    };
    change(kms, "CreateGrant", |change| {
        let sort = GrantedKey::SymmetricEncryption;
        let entropy = &mut SystemEntropy::new();
        let record = GrantRecord::issue(new, (key, sort), 0, &issuer, NOW, entropy).unwrap();
        change.put_grant(key, &record)
    });
}

/// A change as the API makes it: announced, committed with its place in the trail, closed.
pub(crate) fn change(
    kms: &Kms,
    name: &'static str,
    act: impl FnOnce(&mut Change<'_>) -> Result<(), KmsError>,
) {
    let mut change = kms.begin().unwrap();
    act(&mut change).unwrap();
    let (region, account) = (kms.region().clone(), kms.account().clone());
    let id = Id::random(&mut SystemEntropy::new());
    let event = Event::of_cell(id, UnixMillis(NOW.0 * 1000), name, region, account);
    let intent = kms.trail().intent(event).unwrap();
    kms.put_trail_head(&mut change, intent.head()).unwrap();
    change.commit().unwrap();
    intent.close(None).unwrap();
}

/// All that the KMS keeps, but how far the trail is.
pub(crate) type Dump = BTreeMap<String, String>;

/// Retiring a domain key changes no record, so the domain keys are in it too.
pub(crate) fn dump(kms: &Kms, cast: &Cast) -> Dump {
    let snapshot = kms.store().snapshot().unwrap();
    let mut all = Dump::new();
    table(&mut all, &snapshot, "key", &KEYS);
    table(&mut all, &snapshot, "tenant", &TENANTS);
    table(&mut all, &snapshot, "credential", &CREDENTIALS);
    table(&mut all, &snapshot, "due", &DUE);
    table(&mut all, &snapshot, "last use", &LAST_USES);
    for owner in owners(cast) {
        let owner = owner_name(owner);
        table(&mut all, &snapshot, "key of", &kms.store().table_of(&KEYS_OF, &owner));
        table(&mut all, &snapshot, "alias", &kms.store().table_of(&ALIASES, &owner));
    }
    for key in &cast.keys {
        let grants = kms.store().table_of(&GRANTS, &key.to_string());
        table(&mut all, &snapshot, &format!("grant {key}"), &grants);
    }
    table(&mut all, &snapshot, "retirable", &retirable(kms));
    all.insert("domain".to_owned(), kms.store().ring().current().to_string());
    all
}

fn table<T: Serialize + DeserializeOwned>(
    all: &mut Dump,
    snapshot: &Snapshot<'_>,
    what: &str,
    table: &Table<T>,
) {
    for (name, record) in snapshot.scan(table).unwrap() {
        all.insert(format!("{what} {name}"), serde_json::to_string(&record.value).unwrap());
    }
}

fn owners(cast: &Cast) -> Vec<Owner> {
    let mut owners = vec![Owner::Cell, Owner::Account];
    owners.extend(cast.tenant.map(Owner::Tenant));
    owners
}

fn retirable(kms: &Kms) -> Table<sealane::kms::records::RetirableGrant> {
    kms.store().table_of(&RETIRABLE, "arn:aws:iam::000000000000:user/retiring")
}

/// What belongs to a key is there with it, and nothing is there without its key.
pub(crate) fn assert_consistent(kms: &Kms, cast: &Cast) {
    let store = kms.store();
    let snapshot = store.snapshot().unwrap();
    let keys: BTreeMap<String, KeyRecord> =
        snapshot.scan(&KEYS).unwrap().into_iter().map(|(id, key)| (id, key.value)).collect();
    let trails = snapshot.get(&AUDIT_KEY, AUDIT_KEY_NAME).unwrap().unwrap().value.to_string();
    assert!(keys.contains_key(&trails), "the trail's key");

    let (mut listed, mut named) = (0, 0);
    for owner in owners(cast) {
        for (id, _) in snapshot.scan(&store.table_of(&KEYS_OF, &owner_name(owner))).unwrap() {
            assert_eq!(keys[&id].owner(), owner, "key {id} is listed as its owner's");
            listed += 1;
        }
        for (name, alias) in snapshot.scan(&store.table_of(&ALIASES, &owner_name(owner))).unwrap() {
            let key = &keys[&alias.value.key.to_string()];
            assert!(key.owner() == owner && key.aliases.contains(&name), "{name} leads to it");
            named += 1;
        }
    }
    assert_eq!(listed, keys.len(), "all keys are listed, once");
    assert_eq!(store.count(&KEYS), keys.len() as u64, "keys are counted");
    assert_eq!(named, keys.values().map(|key| key.aliases.len()).sum::<usize>(), "aliases");

    let found: BTreeMap<_, _> =
        snapshot.scan(&DUE).unwrap().into_iter().map(|(id, due)| (id, due.value.at)).collect();
    let expected: BTreeMap<_, _> =
        keys.iter().filter_map(|(id, key)| Some((id.clone(), due(key)?))).collect();
    assert_eq!(found, expected, "what is due");

    let mut retirable_found = snapshot.scan(&retirable(kms)).unwrap();
    for key in &cast.keys {
        let grants = snapshot.scan(&store.table_of(&GRANTS, &key.to_string())).unwrap();
        assert!(grants.is_empty() || keys.contains_key(&key.to_string()), "grants without a key");
        for (id, grant) in grants {
            assert_eq!(grant.value.key, *key);
            let place = retirable_found.iter().position(|(name, _)| *name == id).unwrap();
            assert_eq!(retirable_found.swap_remove(place).1.value.key, *key);
        }
    }
    assert!(retirable_found.is_empty(), "grants that are not there: {retirable_found:?}");
    for (id, _) in snapshot.scan(&LAST_USES).unwrap() {
        assert!(keys.contains_key(&id), "last use of {id}, which is not there");
    }
    assert_material_opens(kms, &keys);
}

/// All material that a key holds is there, whole, under a domain key that is held.
fn assert_material_opens(kms: &Kms, keys: &BTreeMap<String, KeyRecord>) {
    let ring = kms.store().ring();
    for (id, key) in keys {
        let moved = key.clone().rewrap(&ring, &mut SystemEntropy::new());
        moved.unwrap_or_else(|error| panic!("key {id}: {error}"));
    }
    for record in kms.credentials().unwrap() {
        let moved = record.rewrap(&ring, &mut SystemEntropy::new());
        moved.unwrap_or_else(|error| panic!("access key {}: {error}", record.access_key_id));
    }
}
