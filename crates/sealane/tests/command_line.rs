//! The command line as scripts see it: what parses, what is printed, which exit code comes back.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside `#[test]`")]

use std::process::{Command, Output, Stdio};

use clap::{CommandFactory as _, Parser as _};
use sealane::cli::args::{Cli, Format};

fn sealane(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sealane"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    // A report wraps its lines; what it says is the same wherever they break.
    let text = String::from_utf8_lossy(&output.stderr).replace('│', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_that_scripts_rely_on_parses() {
    for line in [
        "init --dir d --seal passphrase --name shop --trust-domain shop.example --account \
         123456789012 --region eu-central-1 --anchor /mnt/anchor --passphrase-file f",
        "init --seal keyfile --key-file k",
        "init --seal shamir --shares 5 --threshold 3",
        "seal status --output json",
        "seal rekey --shares 7 --threshold 4 --share-file a --share-file b",
        "seal rekey --key-file k --dir d",
        "seal migrate --to passphrase --new-passphrase-file n --passphrase-file f",
        "seal migrate --to shamir",
        "seal rotate-root --share-file -",
        "up cell.toml --dir d",
        "down",
        "--dir d --output json status",
        "status --output json",
        "dual-control on --share-file a --share-file b",
        "dual-control off",
        "dual-control status --output json",
        "tenant create acme",
        "tenant list",
        "key list --tenant acme",
        "key create --tenant acme",
        "key disable 1",
        "key enable 1",
        "key rotate 1",
        "key create --tenant acme --user alice",
        "tenant erase acme --yes",
        "tenant erasures --output json",
        "user list --tenant acme",
        "user erase acme/alice --yes",
        "audit tail -n 5 --follow",
        "audit tail --output json",
        "audit verify --file trail.jsonl --key k.pem",
        "audit verify",
        "audit export --to trail.jsonl --since 15",
        "audit export --since 2026-11-01T00:00:00Z",
        "audit key",
        "volume list",
        "volume check acme/redis",
        "svid list",
        "policy explain acme/web catalog:8080",
        "report --output json",
        "report verify r.json --key k.pem",
        "report verify r.json --dir d",
        "report --dir d verify r.json",
        "ca bundle",
        "logs acme/web -f -n 5",
        "completions bash",
    ] {
        let parsed = Cli::try_parse_from(["sealane"].into_iter().chain(line.split_whitespace()));
        assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
    }
    let cli = Cli::try_parse_from(["sealane", "status", "--output", "json", "--dir", "d"]).unwrap();
    assert_eq!(cli.global.output, Format::Json);
    assert_eq!(cli.global.dir.to_str(), Some("d"));
}

#[test]
fn a_usage_error_exits_with_2_and_help_with_0() {
    for wrong in [
        &["frobnicate"][..],
        &["status", "--output", "xml"],
        &["init", "--account", "42"],
        &["tenant", "create", "Acme"],
        &["policy", "explain", "web", "catalog"],
        &["init", "--seal", "passphrase", "--key-file", "k"],
        &["init", "--shares", "5"],
        &["init", "--seal", "shamir", "--threshold", "1"],
        &["init", "--seal", "shamir", "--shares", "65"],
        &["init", "--seal", "shamir", "--shares", "2"],
        &["audit", "export", "--since", "yesterday"],
        &["user", "erase", "alice"],
        &["seal", "migrate"],
        &["seal", "migrate", "--to", "wax"],
    ] {
        assert_eq!(sealane(wrong, &[]).status.code(), Some(2), "{wrong:?}");
    }
    for right in [&["--help"][..], &["--version"], &["key", "disable", "--help"]] {
        let output = sealane(right, &[]);
        assert_eq!(output.status.code(), Some(0), "{right:?}");
        assert!(!output.stdout.is_empty());
    }
    // What only the supervisor starts is told by descriptors what to be, and here there are none.
    for internal in ["__launch", "__child"] {
        assert_eq!(sealane(&[internal, "volume"], &[]).status.code(), Some(1), "{internal}");
    }
    let help = sealane(&["--help"], &[]).stdout;
    assert!(!String::from_utf8_lossy(&help).contains("__"), "internal commands are not shown");
}

#[test]
fn every_command_teaches_by_its_help() {
    fn visit(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{} says nothing", command.get_name());
        for argument in command.get_arguments().filter(|a| !a.is_positional()) {
            let id = argument.get_id();
            let silent = ["help", "version", "tenant"].contains(&id.as_str());
            assert!(silent || argument.get_help().is_some(), "{}: {id}", command.get_name());
        }
        command.get_subcommands().for_each(visit);
    }
    visit(&Cli::command());
}

#[test]
fn a_missing_passphrase_is_asked_for_only_on_a_terminal() {
    let output = sealane(&["init", "--seal", "passphrase", "--dir", "/nonexistent/d"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("there is no terminal to ask on"), "{}", said(&output));
    assert!(said(&output).contains("set SEALANE_PASSPHRASE"), "{}", said(&output));
    let empty = [("SEALANE_PASSPHRASE", "")];
    let output = sealane(&["init", "--seal", "passphrase", "--dir", "/nonexistent/d"], &empty);
    assert!(said(&output).contains("the passphrase is empty"), "{}", said(&output));
}

#[test]
fn a_faulty_cell_file_exits_with_1_and_shows_the_line() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/diagnostics/unknown-key.toml");
    let folder = tempfile::tempdir().unwrap();
    let output = sealane(&["up", path, "--dir", folder.path().to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("unknown-key.toml:10:1"), "{}", said(&output));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_sealane"))
        .args(["completions", "bash"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(said(&output), "");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = sealane(&["completions", shell], &[]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("completions") && script.contains("policy"), "{shell}");
    }
}
