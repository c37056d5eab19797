//! Making, locking and opening the directory of a cell.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crypto::passphrase::Cost;
use sealane::cell_dir::{self, Cell, CellDir, CellDirError, InitOptions, SealOption, UnlockWith};
use tempfile::TempDir;

const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

fn options(seal: SealOption<'_>) -> InitOptions<'_> {
    InitOptions {
        name: Some("shop"),
        trust_domain: Some("shop.example"),
        account: Some("000000000000"),
        region: Some("us-east-1"),
        seal,
        anchor: None,
    }
}

fn key_file() -> InitOptions<'static> {
    options(SealOption::KeyFile(None))
}

fn scene() -> (TempDir, CellDir) {
    let temp = TempDir::new().unwrap();
    let dir = CellDir::at(temp.path().join("sealane.d"));
    (temp, dir)
}

fn open(dir: &CellDir) -> Result<Cell, CellDirError> {
    cell_dir::open(dir, &UnlockWith::KeyFile(None))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_cell_is_made_once_and_opened_by_one() {
    let (_temp, dir) = scene();
    assert!(matches!(open(&dir), Err(CellDirError::NoCell { .. })));
    let cell = cell_dir::init(&dir, &key_file()).unwrap();
    let error = open(&dir).unwrap_err();
    let CellDirError::AlreadyRunning { pid, .. } = &error else { panic!("{error}") };
    assert_eq!(*pid, std::process::id().to_string());
    let identity = cell.kms.cell().clone();
    drop(cell);
    assert_eq!(open(&dir).unwrap().kms.cell(), &identity);
    assert!(matches!(cell_dir::init(&dir, &key_file()), Err(CellDirError::CellExists { .. })));
    assert_eq!(mode(dir.base()), 0o711);
    for file in [dir.root_seal(), dir.root_key(), dir.store(), dir.anchor(), dir.lock()] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn each_wrong_secret_has_its_own_error() {
    let (temp, dir) = scene();
    drop(cell_dir::init(&dir, &key_file()).unwrap());
    let key = fs::read(dir.root_key()).unwrap();

    fs::set_permissions(dir.root_key(), Permissions::from_mode(0o640)).unwrap();
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, CellDirError::KeyFileOpen { mode: 0o640, .. }));
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.starts_with("chmod 600 "), "{help}");
    fs::set_permissions(dir.root_key(), Permissions::from_mode(0o600)).unwrap();

    for text in [&b"hunter2\n"[..], b"", &[0xff; 80]] {
        fs::write(dir.root_key(), text).unwrap();
        assert!(matches!(open(&dir), Err(CellDirError::NotAKeyFile { .. })));
    }
    let other = CellDir::at(temp.path().join("other"));
    drop(cell_dir::init(&other, &key_file()).unwrap());
    let with = |path: &Path| cell_dir::open(&dir, &UnlockWith::KeyFile(Some(path)));
    assert!(matches!(with(&other.root_key()), Err(CellDirError::WrongKeyFile { .. })));
    fs::remove_file(dir.root_key()).unwrap();
    assert!(matches!(open(&dir), Err(CellDirError::KeyFileMissing { .. })));
    let passphrase = cell_dir::open(&dir, &UnlockWith::Passphrase(b"x"));
    assert!(matches!(passphrase, Err(CellDirError::Unseal { .. })));

    let elsewhere = temp.path().join("moved.key");
    fs::write(&elsewhere, key).unwrap();
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o600)).unwrap();
    with(&elsewhere).unwrap();
}

#[test]
fn a_passphrase_opens_its_cell_only() {
    let (_temp, dir) = scene();
    let seal = |passphrase| options(SealOption::Passphrase { passphrase, cost: CHEAP });
    assert!(matches!(cell_dir::init(&dir, &seal(b"")), Err(CellDirError::EmptyPassphrase)));
    drop(cell_dir::init(&dir, &seal(b"correct horse")).unwrap());
    let open = |unlock| cell_dir::open(&dir, &unlock);
    let wrong = open(UnlockWith::Passphrase(b"battery staple"));
    assert!(matches!(wrong, Err(CellDirError::WrongPassphrase)));
    assert!(matches!(open(UnlockWith::KeyFile(None)), Err(CellDirError::Unseal { .. })));
    open(UnlockWith::Passphrase(b"correct horse")).unwrap();
}

#[test]
fn key_file_and_anchor_may_lie_elsewhere() {
    let (temp, dir) = scene();
    let key_path = temp.path().join("usb.key");
    let anchor = temp.path().join("other-disk.anchor");
    let elsewhere = InitOptions {
        anchor: Some(anchor.clone()),
        ..options(SealOption::KeyFile(Some(key_path.clone())))
    };
    drop(cell_dir::init(&dir, &elsewhere).unwrap());
    assert!(key_path.exists() && anchor.exists());
    assert!(!dir.root_key().exists() && !dir.anchor().exists());
    open(&dir).unwrap();
    let second = CellDir::at(temp.path().join("second"));
    let taken = cell_dir::init(&second, &elsewhere);
    assert!(matches!(taken, Err(CellDirError::BadOption { what: "anchor", .. })));
}

/// The files of a whole cell, taken away one by one in the order opposite to that in which `init`
/// makes them, are the states that a crash leaves.
#[test]
fn a_crash_in_init_leaves_no_cell_or_a_whole_one() {
    let (_temp, dir) = scene();
    drop(cell_dir::init(&dir, &key_file()).unwrap());
    let marker = dir.base().join("init.unfinished");
    fs::write(&marker, "").unwrap();
    drop(open(&dir).unwrap());
    assert!(!marker.exists(), "a whole cell is not unfinished");
    for lost in [dir.root_seal(), dir.places(), dir.anchor(), dir.store(), dir.root_key()] {
        drop(cell_dir::init(&dir, &key_file()).map_or_else(|_| open(&dir), Ok).unwrap());
        fs::write(&marker, "").unwrap();
        for file in [dir.root_seal(), dir.places(), dir.anchor(), dir.store(), dir.root_key()] {
            fs::remove_file(&file).unwrap();
            if file == lost {
                break;
            }
        }
        let error = open(&dir).unwrap_err();
        assert!(matches!(error, CellDirError::InitUnfinished { .. }), "{error}");
        drop(cell_dir::init(&dir, &key_file()).unwrap());
        drop(open(&dir).unwrap());
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let (_temp, dir) = scene();
    drop(cell_dir::init(&dir, &key_file()).unwrap());
    fs::remove_file(dir.root_seal()).unwrap();
    assert!(matches!(open(&dir), Err(CellDirError::RootSealLost { .. })));
    let again = cell_dir::init(&dir, &key_file());
    assert!(matches!(again, Err(CellDirError::RootSealLost { .. })));
    assert!(dir.store().exists());

    let (_temp, dir) = scene();
    fs::create_dir(dir.base()).unwrap();
    fs::write(dir.base().join("thesis.tex"), "x").unwrap();
    assert!(matches!(cell_dir::init(&dir, &key_file()), Err(CellDirError::DirNotEmpty { .. })));
}

#[test]
fn bad_names_are_refused() {
    let (_temp, dir) = scene();
    let check = |options: InitOptions<'_>, expected: &str| {
        let error = cell_dir::init(&dir, &options).unwrap_err();
        let CellDirError::BadOption { what, .. } = error else { panic!("{error}") };
        assert_eq!(what, expected);
        assert!(!dir.base().exists(), "nothing was made");
    };
    check(InitOptions { name: Some(""), ..key_file() }, "name");
    check(InitOptions { name: Some("Shop"), ..key_file() }, "name");
    check(InitOptions { trust_domain: Some("shop..example"), ..key_file() }, "trust domain");
    check(InitOptions { account: Some("12345678901"), ..key_file() }, "account");
    check(InitOptions { region: Some("us east"), ..key_file() }, "region");
}
