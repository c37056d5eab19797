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

macro_rules! sample {
    ($file:literal) => {
        include_str!(concat!("../../../fuzz/corpus/", $file))
    };
}

/// A sample that is refused at its first byte is no place to begin from.
#[test]
fn what_is_to_be_good_in_the_corpus_is() {
    for key in [sample!("record/key"), sample!("record/doomed")] {
        serde_json::from_str::<keys::KeyRecord>(key).unwrap();
    }
    serde_json::from_str::<keys::CredentialRecord>(sample!("record/credential")).unwrap();
    serde_json::from_str::<keys::grant::GrantRecord>(sample!("record/grant")).unwrap();
    serde_json::from_str::<keys::audit_trail::TrailHead>(sample!("record/head")).unwrap();
    for policy in [
        sample!("policy/conditions"),
        sample!("policy/not-principal"),
        sample!("policy/root-and-deny"),
        sample!("policy/spiffe"),
    ] {
        keys::policy::Policy::parse(policy).unwrap();
    }
    let line = sample!("audit_line/golden-0");
    keys::audit_trail::ParsedLine::parse(line.as_bytes()).unwrap();
}
