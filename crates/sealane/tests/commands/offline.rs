//! Commands where no cell runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use super::support::{self, TestCell};
use super::{QUICK, cell_of, refused};

/// Every command that looks into DIR, with arguments that would do.
const COMMANDS: [&[&str]; 27] = [
    &["down"],
    &["status"],
    &["tenant", "create", "acme"],
    &["tenant", "list"],
    &["tenant", "erase", "acme", "--yes"],
    &["tenant", "erasures"],
    &["user", "list"],
    &["user", "erase", "acme/alice", "--yes"],
    &["key", "list"],
    &["key", "create", "--tenant", "acme"],
    &["key", "disable", "acme"],
    &["key", "enable", "acme"],
    &["key", "rotate", "acme"],
    &["volume", "list"],
    &["volume", "check", "redis"],
    &["audit", "tail"],
    &["audit", "verify"],
    &["audit", "export"],
    &["audit", "key"],
    &["svid", "list"],
    &["policy", "explain", "web", "catalog:8080"],
    &["report"],
    &["report", "key"],
    &["report", "verify", "/dev/null"],
    &["ca", "bundle"],
    &["logs", "web"],
    &["logs", "web", "--follow"],
];

/// Those that a running cell has no part in.
const SEAL_COMMANDS: [&[&str]; 4] = [
    &["seal", "status"],
    &["seal", "rekey"],
    &["seal", "migrate", "--to", "shamir"],
    &["seal", "rotate-root"],
];

pub(crate) fn every_command() {
    let cell = cell_of(QUICK);
    let there_is_none = cell.dir().display().to_string();
    for command in COMMANDS.into_iter().chain(SEAL_COMMANDS) {
        let help = cell.ok(&[command, &["--help"]].concat());
        assert!(help.contains("Usage: sealane") && help.contains("--dir"), "{command:?}: {help}");
        for format in ["text", "json"] {
            let all = [command, &["--output", format]].concat();
            refused(&cell, &all, 1, &["there is no cell in", &there_is_none, "sealane init"]);
        }
    }
    for (usage, word) in [
        (&["stutus"][..], "status"),
        (&["key", "disable"], "KEY"),
        (&["policy", "explain", "web", "catalog"], "port"),
        (&["init", "--account", "12"], "twelve digits"),
        (&["init", "--seal", "wax"], "keyfile"),
        (&["init", "--seal", "passphrase", "--key-file", "x"], "--key-file"),
        (&["status", "--output", "yaml"], "json"),
    ] {
        refused(&cell, usage, 2, &[word]);
    }
    assert!(!cell.dir().exists(), "no command makes DIR by the way");
    for shell in ["bash", "zsh", "fish"] {
        assert!(cell.ok(&["completions", shell]).contains("sealane"));
    }
}

pub(crate) fn not_running() {
    let cell = cell_of(QUICK);
    let made = cell.run(&["init"]);
    assert!(made.status.success());
    assert!(support::text(&made.stderr).contains("key file"), "{made:?}");
    refused(&cell, &["init"], 1, &["there is a cell in", "already"]);
    refused(&cell, &["up", "no-such.toml"], 1, &["no-such.toml", "cannot read"]);

    let status = cell.json(&["status"]);
    let lists = ["services", "volumes", "keys", "certificates", "connections", "warnings"];
    assert_eq!(status["ready"], false);
    for field in lists {
        assert!(status[field].is_array(), "{field}: {status}");
    }
    assert_eq!(status["keys_total"], status["keys"].as_array().unwrap().len());
    assert_eq!(status.as_object().unwrap().len(), 2 + lists.len());
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("key file") && warnings.contains("anchor"), "{warnings}");

    assert_eq!(cell.json(&["tenant", "create", "acme"])["name"], "acme");
    refused(&cell, &["tenant", "create", "acme"], 1, &["already"]);
    refused(&cell, &["key", "disable", "globex"], 1, &["no tenant globex", "key list"]);
    assert_eq!(cell.json(&["key", "disable", "acme"])["state"], "disabled");
    assert_eq!(cell.json(&["key", "enable", "acme"])["state"], "enabled");
    assert_eq!(cell.json(&["key", "rotate", "acme"])["rotations"], 1);
    let second = cell.json(&["key", "create", "--tenant", "acme"]);
    refused(&cell, &["key", "disable", "acme"], 1, &["2 keys", second["id"].as_str().unwrap()]);
    assert_eq!(cell.json(&["key", "disable", second["arn"].as_str().unwrap()])["id"], second["id"]);
    assert_eq!(cell.json(&["key", "list", "--tenant", "acme"]).as_array().unwrap().len(), 2);

    refused(&cell, &["report"], 1, &["none runs", "sealane up"]);
    refused(&cell, &["logs", "web"], 1, &["no service `web`"]);
    refused(&cell, &["volume", "check", "web"], 1, &["no volume `web`"]);
    refused(&cell, &["policy", "explain", "a", "b:1"], 1, &["no cell file", "sealane up"]);
    assert!(cell.ok(&["ca", "bundle"]).starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(cell.ok(&["report", "key"]).starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert!(support::text(&cell.run(&["down"]).stderr).contains("no cell runs here"));
    assert_eq!(cell.json(&["down"])["running"], false);

    // Commands that have DIR open at the same moment wait for each other.
    let mut many: Vec<_> = (0..8)
        .map(|number| cell.sealane(&["tenant", "create", &format!("t{number}")]).spawn().unwrap())
        .collect();
    assert!(many.iter_mut().all(|command| command.wait().unwrap().success()));
    assert_eq!(cell.json(&["tenant", "list"]).as_array().unwrap().len(), 9);

    spoilt(&cell);
}

/// What lies in DIR is changed or missing: each time an error that names it, and nothing written.
fn spoilt(cell: &TestCell) {
    let check = |path: &str, content: Option<&[u8]>, words: &[&str]| {
        let path = cell.dir().join(path);
        let whole = fs::read(&path).unwrap();
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        for command in [&["status"][..], &["up", "cell.toml"]] {
            refused(cell, command, 1, &[&[name], words].concat());
            assert_eq!(fs::read(&path).ok().as_deref(), content, "it is left as it was found");
        }
        fs::write(&path, whole).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    };
    check("root.key", None, &["no key file", "put it back"]);
    check("root.key", Some(b"secret"), &["is not a key file"]);
    let other = format!("sealane-key-1:{}\n", "7".repeat(64));
    check("root.key", Some(other.as_bytes()), &["not the key file that the cell was sealed with"]);
    check("root.seal", None, &["root.seal is missing", "recovery kit"]);
    check("root.seal", Some(b"{}"), &["damaged"]);
    check("places.json", Some(b"x"), &["damaged"]);
    check("anchor", None, &["no anchor", "put it back"]);
    check("anchor", Some(b"x"), &["is not an anchor"]);
    check("store/cell.redb", None, &["there is no store"]);
    check("store/cell.redb", Some(b""), &["damaged"]);
    check("store/cell.redb", Some(b"not a store"), &["damaged"]);
    let store = fs::read(cell.dir().join("store/cell.redb")).unwrap();
    check("store/cell.redb", Some(&store[..store.len() / 2]), &["damaged"]);
    let mut flipped = store.clone();
    flipped.iter_mut().step_by(1024).for_each(|byte| *byte ^= 4);
    check("store/cell.redb", Some(&flipped), &["damaged"]);
    cell.ok(&["tenant", "create", "later"]);
    check("store/cell.redb", Some(&store), &["rolled back", "transaction"]);
    cell.ok(&["status"]);
}

pub(crate) fn init_options() {
    let cell = cell_of(QUICK);
    let outside = cell.folder.path().join("outside");
    let init = ["init", "--key-file", "outside/root.key", "--anchor", "outside/anchor"];
    refused(&cell, &init, 1, &["outside", "No such file"]);
    fs::create_dir(&outside).unwrap();
    let names = ["--account", "123456789012", "--region", "eu-west-1", "--name", "mine"];
    cell.ok(&[&init[..], &names].concat());
    assert!(outside.join("root.key").exists() && outside.join("anchor").exists());
    assert!(!cell.dir().join("root.key").exists() && !cell.dir().join("anchor").exists());
    let arn = "arn:aws:kms:eu-west-1:123456789012:key/";
    assert!(cell.json(&["key", "list"])[0]["arn"].as_str().unwrap().starts_with(arn));

    // Named relative to where `init` ran, found from anywhere.
    let dir = cell.dir();
    let elsewhere = |cell: &TestCell| {
        let mut command = cell.sealane(&["status", "--output", "json"]);
        command.current_dir("/").env("SEALANE_DIR", &dir).output().unwrap()
    };
    let status = elsewhere(&cell);
    assert!(status.status.success(), "{status:?}");
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let path = outside.join("root.key");
    assert!(status["warnings"].to_string().contains(path.to_str().unwrap()), "{status}");

    // An anchor that belongs to another cell is not taken over.
    let second = cell.folder.path().join("second");
    let second = second.to_str().unwrap();
    let again = ["init", "--dir", second, "--anchor", "outside/anchor"];
    refused(&cell, &again, 1, &["anchor", "another cell"]);

    let passphrase = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = cell.sealane(arguments);
        command.args(["--dir", second]).envs(variables.iter().copied()).output().unwrap()
    };
    let init = ["init", "--seal", "passphrase"];
    let none = passphrase(&init, &[]);
    assert!(support::text(&none.stderr).contains("SEALANE_PASSPHRASE"), "{none:?}");
    fs::write(outside.join("phrase"), "from a file\n").unwrap();
    let file = outside.join("phrase");
    let file = file.to_str().unwrap();
    assert!(passphrase(&init, &[("SEALANE_PASSPHRASE_FILE", file)]).status.success());
    assert!(passphrase(&["status", "--passphrase-file", file], &[]).status.success());
    assert!(passphrase(&["status"], &[("SEALANE_PASSPHRASE", "from a file")]).status.success());
    let wrong = passphrase(&["status"], &[("SEALANE_PASSPHRASE", "guess")]);
    assert!(support::text(&wrong.stderr).contains("passphrase is wrong"), "{wrong:?}");
    assert!(passphrase(&["down"], &[]).status.success(), "down needs no passphrase");

    fs::create_dir(cell.folder.path().join("used")).unwrap();
    fs::write(cell.folder.path().join("used/letter"), "dear").unwrap();
    refused(&cell, &["init", "--dir", "used"], 1, &["holds other files"]);
    fs::write(cell.folder.path().join("file"), "").unwrap();
    refused(&cell, &["init", "--dir", "file"], 1, &["file"]);
    refused(&cell, &["status", "--dir", "file"], 1, &["file", "ot a directory"]);
}

/// The same binary as another user, who can read it but is nobody to the cell.
fn as_stranger(cell: &TestCell, arguments: &[&str]) -> std::process::Output {
    let binary = cell.folder.path().join("sealane");
    if !binary.exists() {
        fs::copy(env!("CARGO_BIN_EXE_sealane"), &binary).unwrap();
        fs::set_permissions(&binary, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(cell.folder.path(), Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "64123", "--regid", "64123", "--clear-groups", "timeout", "30"]);
    command.arg(&binary).args(arguments).arg("--dir").arg(cell.dir());
    command.current_dir(cell.folder.path()).output().unwrap()
}

pub(crate) fn strangers() {
    let mut cell = cell_of(QUICK);
    let check = |cell: &TestCell, words: &str| {
        for command in COMMANDS {
            let output = as_stranger(cell, command);
            let said = super::said(&output);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
            assert!(said.contains(words), "{command:?}: {said}");
        }
    };
    cell.ok(&["init"]);
    check(&cell, "this user may not open the cell");
    fs::set_permissions(cell.dir(), Permissions::from_mode(0o700)).unwrap();
    check(&cell, "this user may not open the cell");
    for command in SEAL_COMMANDS {
        let output = as_stranger(&cell, command);
        assert!(super::said(&output).contains("this user may not open the cell"), "{output:?}");
    }
    let up = as_stranger(&cell, &["up", "cell.toml"]);
    assert!(super::said(&up).contains("this user may not open the cell"), "{up:?}");
    cell.up();
    check(&cell, "not permitted");
    assert!(cell.status().unwrap()["ready"] == true, "the cell runs on");
    assert!(cell.interrupt());
}
