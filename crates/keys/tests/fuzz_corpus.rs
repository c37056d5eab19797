//! The fuzz targets of this crate's decoders, on stable: see `fuzz/README.md`.

#[path = "../../../fuzz/src/of_keys.rs"]
pub mod of_keys;
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[test]
fn policy() {
    replay::replay("policy", of_keys::policy);
}

#[test]
fn blob() {
    replay::replay("blob", of_keys::blob);
}

#[test]
fn tokens() {
    replay::replay("tokens", of_keys::tokens);
}

#[test]
fn audit_line() {
    replay::replay("audit_line", of_keys::audit_line);
}

#[test]
fn record() {
    replay::replay("record", of_keys::record);
}
