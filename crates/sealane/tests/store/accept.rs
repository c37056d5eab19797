//! A store that was put back is refused until somebody says that it was on purpose.

use std::fs;

use keys::authorize::Principal;
use keys::{KeySpec, NewKey, Owner};
use sealane::cell_dir::{self, CellDir, CellDirError, InitOptions, SealOption, UnlockWith};
use tempfile::TempDir;

const ADMIN: Principal = Principal::Admin;

#[test]
fn a_store_that_was_put_back_is_taken_only_on_purpose() {
    let temp = TempDir::new().unwrap();
    let dir = CellDir::at(temp.path().join("sealane.d"));
    let seal = SealOption::KeyFile(None);
    let (name, trust_domain, account, region) = (None, None, None, None);
    let options = InitOptions { name, trust_domain, account, region, seal, anchor: None };
    let cell = cell_dir::init(&dir, &options).unwrap();
    let new = NewKey::of(Owner::Account, KeySpec::SymmetricDefault, "");
    let key = cell.kms.create_key(&ADMIN, new).unwrap().id;
    cell.kms.trail().close().unwrap();
    drop(cell);
    let old = fs::read(dir.store()).unwrap();

    let open = || cell_dir::open(&dir, &UnlockWith::KeyFile(None));
    let cell = open().unwrap();
    cell.kms.disable_key(&ADMIN, key).unwrap();
    cell.kms.trail().close().unwrap();
    drop(cell);
    fs::write(dir.store(), &old).unwrap();
    assert!(matches!(open(), Err(CellDirError::Store(_))), "an old store is refused");

    let secret = cell_dir::read_secret(&dir, None).unwrap();
    let accept = || {
        let lock = cell_dir::lock(&dir).unwrap();
        cell_dir::accept_rollback(&dir, &lock, &secret)
    };
    let accepted = accept().unwrap().expect("there is something to accept");
    assert!(accepted.store < accepted.anchor, "{accepted:?}");
    assert_eq!(accept().unwrap(), None, "once is enough");
    let cell = open().unwrap();
    assert!(cell.kms.describe_key(key).unwrap().enabled().is_ok(), "as it was then");
    cell.kms.disable_key(&ADMIN, key).unwrap();
    cell.kms.trail().close().unwrap();
    drop(cell);
    open().unwrap();
}
