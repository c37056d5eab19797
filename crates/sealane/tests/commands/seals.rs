//! How a cell is sealed, and how that is changed.

use std::fs;
use std::process::Output;

use serde_json::Value;

use super::support::{TestCell, text};
use super::terminal::on_terminal;
use super::{QUICK, cell_of, refused, said};

/// The lines that were handed out, as they stand in a text answer.
fn lines(answer: &str) -> Vec<String> {
    answer.lines().filter(|line| line.starts_with("sealane-share-1:")).map(str::to_owned).collect()
}

fn write(cell: &TestCell, name: &str, content: &str) -> String {
    fs::write(cell.folder.path().join(name), content).unwrap();
    name.to_owned()
}

fn with(cell: &TestCell, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    cell.sealane(arguments).envs(variables.iter().copied()).output().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

pub(crate) fn changes() {
    let cell = cell_of(QUICK);
    cell.ok(&["init"]);
    cell.ok(&["tenant", "create", "acme"]);
    let status = cell.json(&["seal", "status"]);
    let key_file = cell.dir().join("root.key");
    assert_eq!(status["kind"], "keyfile");
    assert_eq!(status["state"], "closed");
    assert_eq!(status["unfinished"], false);
    assert_eq!(status["key_file"].as_str(), key_file.to_str());
    assert!(status["since"].as_str().unwrap().starts_with("20"), "{status}");
    let shown = cell.ok(&["seal", "status"]);
    assert!(shown.contains("the key file") && shown.contains("no cell runs"), "{shown}");
    let root = status["root"].clone();
    let still = |variables: &[(&str, &str)]| {
        let listed = succeeds(&with(&cell, &["tenant", "list", "--output", "json"], variables));
        assert_eq!(listed[0]["name"], "acme");
        cell.json(&["seal", "status"])
    };

    // A new key file in the place of the old, which is kept beside it.
    let before = fs::read(&key_file).unwrap();
    let done = cell.json(&["seal", "rekey"]);
    let old = cell.dir().join("root.key.old");
    assert_eq!(done["old_key_file"].as_str(), old.to_str());
    assert_eq!(fs::read(&old).unwrap(), before);
    assert_eq!(still(&[])["root"], root, "the root key is what it was");
    refused(&cell, &["seal", "rekey"], 1, &["root.key.old", "destroy it"]);
    fs::remove_file(&old).unwrap();
    refused(&cell, &["seal", "migrate", "--to", "keyfile"], 2, &["already", "seal rekey"]);
    refused(&cell, &["seal", "rekey", "--shares", "3"], 2, &["shares", "shamir"]);
    let elsewhere = cell.run(&["seal", "rekey", "--key-file", "usb.key"]);
    assert!(said(&elsewhere).contains("destroy it"), "{}", said(&elsewhere));
    assert!(still(&[])["key_file"].as_str().unwrap().ends_with("/usb.key"));

    // To a passphrase, and to another one.
    let to_passphrase = ["seal", "migrate", "--to", "passphrase", "--output", "json"];
    refused(&cell, &to_passphrase, 1, &["new passphrase", "SEALANE_NEW_PASSPHRASE"]);
    let empty = with(&cell, &to_passphrase, &[("SEALANE_NEW_PASSPHRASE", "")]);
    assert!(said(&empty).contains("the passphrase is empty"), "{}", said(&empty));
    let new = [("SEALANE_NEW_PASSPHRASE", "a test phrase")];
    let done = succeeds(&with(&cell, &to_passphrase, &new));
    assert!(done["old_key_file"].as_str().unwrap().ends_with("/usb.key"), "{done}");
    assert!(cell.folder.path().join("usb.key").exists(), "it is left where it is");
    assert_eq!(still(&[("SEALANE_PASSPHRASE", "a test phrase")])["kind"], "passphrase");
    let places = fs::read_to_string(cell.dir().join("places.json")).unwrap();
    assert!(!places.contains("usb.key"), "{places}");
    let (first, second) = (write(&cell, "first", "a test phrase\n"), write(&cell, "second", "b\n"));
    let rekey = ["seal", "rekey", "--passphrase-file", &first, "--new-passphrase-file", &second];
    cell.ok(&rekey);
    refused(&cell, &rekey, 1, &["the passphrase is wrong"]);
    still(&[("SEALANE_PASSPHRASE", "b")]);

    // A new root key under the same passphrase, which an older root seal does not have.
    let older = fs::read(cell.dir().join("root.seal")).unwrap();
    let variables = [("SEALANE_PASSPHRASE", "b")];
    let rotated = succeeds(&with(&cell, &["seal", "rotate-root", "--output", "json"], &variables));
    assert_eq!(rotated["old_root"], root);
    assert_eq!(still(&variables)["root"], rotated["root"]);
    let newer = fs::read(cell.dir().join("root.seal")).unwrap();
    fs::write(cell.dir().join("root.seal"), older).unwrap();
    let refused = with(&cell, &["tenant", "list"], &variables);
    assert!(said(&refused).contains("is not held"), "{}", said(&refused));
    fs::write(cell.dir().join("root.seal"), newer).unwrap();

    // To shares and back to a key file.
    let to_shares = ["seal", "migrate", "--to", "shamir", "--threshold", "2", "--shares", "3"];
    let handed_out = with(&cell, &to_shares, &variables);
    assert!(handed_out.status.success(), "{}", said(&handed_out));
    let shares = write(&cell, "shares", &text(&handed_out.stdout));
    assert_eq!(still(&[("SEALANE_SHARES_FILE", &shares)])["shares"]["count"], 3);
    let back = ["seal", "migrate", "--to", "keyfile", "--share-file", &shares];
    super::refused(&cell, &back, 1, &["root.key already", "name another place"]);
    fs::remove_file(&key_file).unwrap();
    cell.ok(&back);
    assert_eq!(still(&[])["key_file"].as_str(), key_file.to_str());
}

pub(crate) fn shares() {
    let cell = cell_of(QUICK);
    let made = cell.run(&["init", "--seal", "shamir", "--shares", "4", "--threshold", "3"]);
    let (answer, remarks) = (text(&made.stdout), text(&made.stderr));
    assert!(made.status.success(), "{remarks}");
    assert!(remarks.contains("shown this once") && remarks.contains("made a cell"), "{remarks}");
    assert!(answer.contains("# share 4 of 4, any 3 of which open cell"), "{answer}");
    let handed_out = lines(&answer);
    assert_eq!(handed_out.len(), 4);
    let files: Vec<_> = (handed_out.iter().enumerate())
        .map(|(at, line)| write(&cell, &format!("share-{at}"), &format!("{line}\n")))
        .collect();
    let given = |files: &[&str]| -> Vec<String> {
        files.iter().flat_map(|file| ["--share-file".to_owned(), (*file).to_owned()]).collect()
    };
    let list = |files: &[&str]| {
        let mut command = cell.sealane(&["tenant", "list"]);
        command.args(given(files)).output().unwrap()
    };
    let file = |at: usize| files[at].as_str();
    assert!(list(&[file(3), file(0), file(2)]).status.success());
    let all = write(&cell, "all", &answer);
    assert!(list(&[&all]).status.success(), "the answer as it was printed is a file of shares");
    let none = list(&[]);
    assert!(said(&none).contains("needs 3 shares, and 0 were given"), "{}", said(&none));
    assert!(said(&none).contains("--share-file"), "{}", said(&none));
    let two = list(&[file(1), file(2)]);
    assert!(said(&two).contains("needs 3 shares, and 2 were given"), "{}", said(&two));
    let mut piped = cell.sealane(&["tenant", "list", "--share-file", "-"]);
    let piped = piped.stdin(fs::File::open(cell.folder.path().join(&all)).unwrap());
    assert!(piped.output().unwrap().status.success());

    // Each wrong share is named, and where it was found.
    let check = |third: &str, words: &[&str]| {
        let third = write(&cell, "third", third);
        let said = said(&list(&[file(0), file(1), &third]));
        for word in words {
            assert!(said.contains(word), "no {word:?}: {said}");
        }
        assert!(!said.contains(&handed_out[0][20..40]), "no share is repeated: {said}");
    };
    check(&handed_out[1], &["line 1 of third", "share 2 was given already", "another share"]);
    let slip = format!("{}#{}", &handed_out[2][..30], &handed_out[2][31..]);
    check(&slip, &["line 1 of third", "group 3", "handed out"]);
    let digit = if handed_out[2].ends_with('0') { "1" } else { "0" };
    let typo = format!("{}{digit}", &handed_out[2][..handed_out[2].len() - 1]);
    check(&format!("# a remark\n\n{typo}"), &["line 3 of third", "mistyped"]);
    check("hunter2", &["this is no share", "sealane-share-1:"]);
    refused(&cell, &["status", "--share-file", "missing"], 1, &["missing", "cannot read shares"]);
    let other = ["--dir", "other", "--output", "json"];
    let other = cell.json(&[&["init", "--seal", "shamir"][..], &other[..2]].concat());
    assert_eq!(other["shares"].as_array().unwrap().len(), 5);
    check(other["shares"][1].as_str().unwrap(), &["share 2 is of another cell"]);

    // Another set: the old shares are told from the new, and no longer open anything.
    let mut rekey = cell.sealane(&["seal", "rekey", "--output", "json"]);
    let renewed = succeeds(&rekey.args(given(&[&all])).output().unwrap());
    assert_eq!(
        (&renewed["threshold"], renewed["shares"].as_array().unwrap().len()),
        (&3.into(), 4)
    );
    let status = cell.json(&["seal", "status"]);
    assert_eq!(status["shares"]["set"], renewed["set"]);
    let old = said(&list(&[&all]));
    assert!(old.contains("share 1 is of share set") && old.contains("sealed anew"), "{old}");
    let new: Vec<_> =
        renewed["shares"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let new = write(&cell, "new", &new.join("\n"));
    let mut rotate = cell.sealane(&["seal", "rotate-root"]);
    assert!(rotate.args(given(&[&new])).output().unwrap().status.success());
    assert!(list(&[&new]).status.success());

    // Nothing depends on shares that nobody read.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut rekey = cell.sealane(&["seal", "rekey"]);
    let unread = rekey.args(given(&[&new])).stdout(writer).output().unwrap();
    assert_eq!(unread.status.code(), Some(1));
    assert!(said(&unread).contains("nothing was changed"), "{}", said(&unread));
    assert!(list(&[&new]).status.success());
}

pub(crate) fn on_a_terminal() {
    let mut cell = cell_of(QUICK);
    let made = cell.ok(&["init", "--seal", "shamir", "--shares", "3", "--threshold", "2"]);
    let handed_out = lines(&made);
    let check = |arguments: &[&str], answers: &[(&str, &str)], good: bool, end: &str| {
        let mut terminal = on_terminal(&cell, arguments);
        for (question, answer) in answers {
            terminal.wait_for(question);
            terminal.type_keys(answer);
        }
        assert_eq!(terminal.ends(), good, "{arguments:?}: {}", terminal.shown());
        terminal.wait_for(end);
        for line in &handed_out {
            assert!(!terminal.shown().contains(&line[16..]), "what is typed is not shown");
        }
    };
    let typed = |at: usize| format!("{}\r", handed_out[at]);
    let (first, second) = ("(0 of 2 shares given): ", "(1 of 2 shares given): ");
    let list = ["tenant", "list"];
    let answers = [(first, &*typed(2)), (second, &*typed(0))];
    check(&list, &answers, true, "share 1 is right: 2 of 2 shares");
    // Whoever slips is asked again, and what was right is kept.
    let answers = [
        (first, "hunter2\r"),
        ("this is no share", &*typed(1)),
        (second, &*typed(1)),
        ("share 2 was given already", &*typed(0)),
    ];
    check(&list, &answers, true, "no tenants");
    check(&list, &[(first, &*typed(1)), (second, "\x03")], false, "1 of 2 shares were given");
    let file = write(&cell, "one", &handed_out[0]);
    check(&["tenant", "list", "--share-file", &file], &[(second, &*typed(2))], true, "no tenants");

    let mut up = on_terminal(&cell, &["up", "cell.toml"]);
    for (question, at) in [(first, 0), (second, 1)] {
        up.wait_for(question);
        up.type_keys(&typed(at));
    }
    up.wait_for("spiffe://quick.example");
    assert_eq!(cell.json(&["seal", "status"])["state"], "unlocked");
    cell.ok(&["down"]);
    assert!(up.ends());
    assert!(cell.interrupt());
}

pub(crate) fn running() {
    let mut cell = cell_of(QUICK);
    cell.up();
    for command in [&["rekey"][..], &["migrate", "--to", "shamir"], &["rotate-root"]] {
        let command = [&["seal"], command].concat();
        refused(&cell, &command, 1, &["a cell runs in", "sealane down"]);
    }
    assert_eq!(cell.json(&["seal", "status"])["state"], "unlocked");
    assert!(cell.ok(&["seal", "status"]).contains("a cell runs here"));
    // The domain key can be replaced at any time, and nobody notices.
    let rotated = |cell: &TestCell| {
        let done = cell.json(&["seal", "rotate-domain"]);
        assert_eq!(done["all"], true, "{done}");
        assert!(done["moved"].as_u64().unwrap() > 0, "{done}");
        done["domain"].as_str().unwrap().to_owned()
    };
    let first = rotated(&cell);
    cell.ok(&["status"]);
    assert!(cell.interrupt());
    assert_ne!(rotated(&cell), first);
    let tail = cell.ok(&["audit", "tail", "-n", "100"]);
    assert_eq!(tail.matches("RotateDomainKey").count(), 4, "twice begun and done: {tail}");
    cell.ok(&["logs", "acme/idle"]);
    cell.ok(&["audit", "verify"]);
    cell.ok(&["seal", "rotate-root"]);
    cell.ok(&["seal", "rekey"]);
    cell.up();
    assert!(cell.interrupt());
}

/// What each command that writes a seal does to DIR, as the kernel sees it: a file is synced before
/// it takes another's name, and names before the next file does. Whatever is lost in a power failure
/// then, each file is the old or the new one, and they follow in order.
pub(crate) fn are_durable_step_by_step() {
    let cell = cell_of(QUICK);
    let passphrase = [("SEALANE_NEW_PASSPHRASE", "one"), ("SEALANE_PASSPHRASE", "one")];
    for command in [
        &["init"][..],
        &["seal", "rekey"],
        &["seal", "rotate-root"],
        &["seal", "migrate", "--to", "passphrase"],
        &["seal", "rotate-root"],
        &["seal", "migrate", "--to", "keyfile", "--key-file", "usb.key"],
    ] {
        let inner = cell.sealane(command);
        let mut strace = std::process::Command::new("strace");
        strace.args(["--follow-forks", "--decode-fds=path", "--output=trace"]);
        strace.args(["--trace=rename,renameat,renameat2,fsync,fdatasync"]);
        strace.arg(inner.get_program()).args(inner.get_args()).current_dir(cell.folder.path());
        for (name, value) in inner.get_envs() {
            strace.env(name, value.unwrap_or_default());
        }
        let done = strace.envs(passphrase).output().unwrap();
        assert!(done.status.success(), "{command:?}: {}", said(&done));
        let trace = fs::read_to_string(cell.folder.path().join("trace")).unwrap();
        let renames = check_order(&trace);
        assert!(renames >= 1, "{command:?} renames {renames} files:\n{trace}");
    }
}

/// How many files took a name.
fn check_order(trace: &str) -> usize {
    let (mut synced, mut unsynced_folder) = (std::collections::BTreeSet::new(), None);
    let mut renames = 0;
    for line in trace.lines() {
        let Some((_, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(arguments) = call.strip_prefix("rename") {
            let names: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
            let [from, to] = names[..] else { panic!("{line}") };
            assert_eq!(unsynced_folder, None, "before {line}\n{trace}");
            assert!(synced.remove(from), "{from} is not synced before {line}\n{trace}");
            synced.insert(to.to_owned());
            unsynced_folder = Some(to.rsplit_once('/').unwrap().0.to_owned());
            renames += 1;
        } else if let Some((_, path)) =
            call.split_once("sync(").and_then(|(_, fd)| fd.split_once('<'))
        {
            let path = path.split('>').next().unwrap();
            if unsynced_folder.as_deref() == Some(path) {
                unsynced_folder = None;
            }
            synced.insert(path.to_owned());
        }
    }
    assert_eq!(unsynced_folder, None, "at the end of\n{trace}");
    renames
}
