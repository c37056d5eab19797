//! `sealane audit` through the binary: beside a KMS that runs, without one, and over a trail that
//! somebody has changed.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod kms_support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use kms_support::{KmsServer, trial};
use libtest_mimic::Arguments;
use serde_json::Value;

fn main() {
    let trials = vec![
        trial("records_are_read_beside_a_kms_that_runs", beside_a_running_one),
        trial("what_follows_is_shown", following),
        trial("exports_are_checked_without_the_cell", exports),
        trial("a_changed_segment_is_named_by_its_first_record", changed_segment),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A command that must fail with code 1, and its report.
#[track_caller]
fn finds(server: &KmsServer, arguments: &[&str]) -> Value {
    let output = server.run(&[arguments, &["--output", "json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    json(std::str::from_utf8(&output.stdout).unwrap())
}

fn path(server: &KmsServer, name: &str) -> PathBuf {
    server.dir().parent().unwrap().join(name)
}

fn beside_a_running_one() {
    let mut server = KmsServer::started();
    let key = server.access_key("me");
    let made = server.connect().call(&key, "CreateKey", b"{}");
    assert_eq!(made.status, 200, "{made:?}");
    let refused = server.connect().call(&key, "DescribeKey", br#"{"KeyId":"alias/no-such"}"#);
    assert_eq!(refused.status, 400, "{refused:?}");
    // Events that nobody waits for are on record within 100 ms.
    std::thread::sleep(std::time::Duration::from_millis(300));

    let shown = server.ok(&["audit", "tail", "-n", "4"]);
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 4, "{shown}");
    assert!(lines[1].contains("CreateKey") && lines[1].contains("begun"), "{shown}");
    assert!(lines[2].contains("user/me") && lines[2].ends_with("done"), "{shown}");
    assert!(lines[3].contains("DescribeKey") && lines[3].contains("NotFoundException"), "{shown}");

    let raw = server.ok(&["audit", "tail", "-n", "4", "--output", "json"]);
    let last = json(raw.lines().last().unwrap());
    assert_eq!(last["eventName"], "DescribeKey");
    assert_eq!(last["errorCode"], "NotFoundException");

    let report = json(&server.ok(&["audit", "verify", "--output", "json"]));
    assert_eq!(report["ok"], true);
    assert_eq!(report["records"], last["additionalEventData"]["sequence"].as_u64().unwrap() + 1);
    server.assert_well(&key);

    // Locked, the process has no keys to open the trail with.
    server.ok(&["seal", "lock"]);
    let output = server.run(&["audit", "tail"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("locked"), "{output:?}");
    server.ok(&["seal", "unlock"]);
    server.ok(&["audit", "verify"]);
}

fn following() {
    let server = KmsServer::started();
    let mut command = server.command(&["audit", "tail", "-n", "0", "--follow"]);
    let mut follower = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    // It may begin to follow after the first of these.
    let made = std::thread::scope(|scope| {
        let first = scope.spawn(|| lines.next().unwrap().unwrap());
        let mut number = 0;
        while !first.is_finished() {
            server.ok(&["tenant", "create", &format!("t{number}")]);
            number += 1;
        }
        first.join().unwrap()
    });
    assert!(made.contains("CreateTenant") && made.contains("administrator"), "{made}");
    follower.kill().unwrap();
    follower.wait().unwrap();

    let stopped = KmsServer::new();
    let output = stopped.run(&["audit", "tail", "--follow"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing follows"), "{output:?}");
}

/// Checks an export without the cell, by the key alone.
fn verify(file: &str) -> [&str; 8] {
    ["audit", "verify", "--dir", "no-cell", "--key", "key.pem", "--file", file]
}

fn exports() {
    let server = KmsServer::new();
    for name in ["acme", "globex", "initech"] {
        server.ok(&["tenant", "create", name]);
    }
    let pem = server.ok(&["audit", "key"]);
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----"), "{pem}");
    fs::write(path(&server, "key.pem"), &pem).unwrap();

    let made = json(&server.ok(&["audit", "export", "--to", "whole.jsonl", "--output", "json"]));
    let whole = fs::read_to_string(path(&server, "whole.jsonl")).unwrap();
    assert_eq!(made["records"], whole.lines().count());
    assert_eq!(server.ok(&["audit", "export"]), whole, "standard output gets the same");
    let again = server.run(&["audit", "export", "--to", "whole.jsonl"]);
    assert_eq!(again.status.code(), Some(1), "an export replaces no file");
    server.ok(&["audit", "export", "--since", "2", "--to", "rest.jsonl"]);
    let rest = fs::read_to_string(path(&server, "rest.jsonl")).unwrap();
    assert!(whole.ends_with(&rest) && rest.lines().count() + 2 == whole.lines().count());
    assert_eq!(server.ok(&["audit", "export", "--since", "1970-01-01T00:00:00Z"]), whole);
    assert_eq!(server.ok(&["audit", "export", "--since", "2999-01-01T00:00:00Z"]), "");

    let run = |file| server.ok(&[&verify(file)[..], &["--output", "json"]].concat());
    let report = json(&run("whole.jsonl"));
    assert_eq!((&report["ok"], &report["first"]), (&Value::from(true), &Value::from(0)));
    assert!(report["checkpoints"].as_u64().unwrap() > 0, "{report}");
    assert!(report["signed_below"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(json(&run("rest.jsonl"))["first"], 2);

    let spoil = |name: &str, change: &dyn Fn(&mut Vec<String>), record: u64| {
        let mut lines: Vec<_> = whole.lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(path(&server, name), lines.join("\n") + "\n").unwrap();
        let report = finds(&server, &verify(name));
        assert_eq!(report["fault"]["record"], record, "{name}: {report}");
    };
    spoil("changed", &|lines| lines[1] = lines[1].replace("acme", "ACME").replace("T", "t"), 1);
    spoil("removed", &|lines| drop(lines.remove(2)), 2);
    spoil("swapped", &|lines| lines.swap(1, 2), 1);
    // The key of another cell has signed nothing here.
    let other = KmsServer::new();
    fs::write(path(&server, "key.pem"), other.ok(&["audit", "key"])).unwrap();
    let report = finds(&server, &verify("whole.jsonl"));
    assert!(report["fault"]["fault"].as_str().unwrap().contains("checkpoint"), "{report}");
}

fn changed_segment() {
    let server = KmsServer::new();
    for name in ["acme", "globex"] {
        server.ok(&["tenant", "create", name]);
    }
    let before = json(&server.ok(&["audit", "verify", "--output", "json"]));
    let records = before["records"].as_u64().unwrap();
    let segments: Vec<_> = fs::read_dir(server.dir().join("audit")).unwrap().collect();
    assert_eq!(segments.len(), 1);
    let segment = segments[0].as_ref().unwrap().path();
    let whole = fs::read(&segment).unwrap();
    for part in [0, 1, 2] {
        let mut spoilt = whole.clone();
        let at = 100 + part * (whole.len() - 200) / 2;
        spoilt[at] ^= 1;
        fs::write(&segment, &spoilt).unwrap();
        let report = finds(&server, &["audit", "verify"]);
        let broken = report["fault"]["record"].as_u64().unwrap();
        assert!(broken < records && (part > 0 || broken == 0), "{report}");
        assert!(part < 2 || broken > 0, "{report}");
        let name = segment.file_name().unwrap().to_str().unwrap();
        assert!(report["fault"]["fault"].as_str().unwrap().contains(name), "{report}");
        assert_eq!(fs::read(&segment).unwrap(), spoilt, "it is left as it was found");
        // All that is before it can be read still.
        let shown = server.run(&["audit", "export"]);
        assert_eq!(shown.status.code(), Some(1));
    }
    // Cut at a frame's end, or wholly gone: the store knows how far the trail had come.
    fs::remove_file(&segment).unwrap();
    let report = finds(&server, &["audit", "verify"]);
    assert_eq!(report["fault"]["record"], 0, "{report}");
    fs::write(&segment, &whole).unwrap();
    assert_eq!(json(&server.ok(&["audit", "verify", "--output", "json"])), before);
}
