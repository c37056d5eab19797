//! AWS's own test suite (`third_party/aws-sigv4-test-suite`): each string to sign has the signature
//! that AWS wrote down. That `wire` writes these strings is tested there.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

use std::fs;
use std::path::{Path, PathBuf};

use keys::sigv4::{AccessKeyId, Fresh, Scope, SecretAccessKey, SigningKey, Validity, check_clock};
use keys::{UnixSeconds, hex};

fn directories() -> Vec<PathBuf> {
    let suite =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../third_party/aws-sigv4-test-suite");
    let entries = fs::read_dir(suite).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

fn fresh() -> Fresh {
    check_clock(UnixSeconds(0), Validity::Immediate, UnixSeconds(0)).unwrap()
}

#[test]
fn aws_suite_every_signature_verifies() {
    let mut verified = 0;
    for directory in directories() {
        let read = |file: &str| fs::read_to_string(directory.join(file)).unwrap();
        let context: serde_json::Value = serde_json::from_str(&read("context.json")).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let secret = text(&context["credentials"]["secret_access_key"]);
        let secret = SecretAccessKey::from_caller(secret.as_bytes()).unwrap();
        let date = text(&context["timestamp"])[..10].replace('-', "");
        let (region, service) = (text(&context["region"]), text(&context["service"]));
        let scope = Scope { date: &date, region: &region, service: &service };
        // The suite's own id is shorter than ours; no signature depends on it.
        let id = AccessKeyId::parse("AKIATESTTESTTESTTEST").unwrap();
        let key = SigningKey::derive(id, &secret, scope);
        for form in ["header", "query"] {
            let canonical = read(&format!("{form}-canonical-request.txt"));
            let string_to_sign = read(&format!("{form}-string-to-sign.txt"));
            let signature = read(&format!("{form}-signature.txt"));
            let hash = hex::encode(&crypto::mac::sha256(canonical.as_bytes()));
            assert!(string_to_sign.ends_with(&hash), "{}", directory.display());
            let string_to_sign = string_to_sign.as_bytes();
            let permit = key.verify(fresh(), string_to_sign, &signature).unwrap();
            assert_eq!(permit.access_key_id(), id);
            key.verify(fresh(), &string_to_sign[1..], &signature).unwrap_err();
            verified += 1;
        }
    }
    assert_eq!(verified, 2 * 38);
}
