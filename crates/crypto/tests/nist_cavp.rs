//! NIST's own vectors, against the calls that `crypto::aead` and `crypto::kdf` make.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod support;

use std::collections::HashMap;

use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};
use support::{gcm_open, gcm_seal, unhex};

/// `NAME = hex` by lower-case name, of one vector; `FAIL` is a name without a value.
struct Case<'a>(HashMap<String, &'a str>);

impl Case<'_> {
    fn bytes(&self, name: &str) -> Vec<u8> {
        unhex(self.0.get(name).unwrap_or_else(|| panic!("no {name}")))
    }

    fn fails(&self) -> bool {
        self.0.contains_key("fail")
    }
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let blocks = text.split("\n\n").map(|block| {
        let lines = block.lines().filter(|line| !line.starts_with(['#', '[']));
        let fields = lines.map(|line| line.split_once('=').unwrap_or((line, "")));
        fields.map(|(name, value)| (name.trim().to_lowercase(), value.trim())).collect()
    });
    blocks.map(Case).filter(|case| case.0.contains_key("count")).collect()
}

#[test]
fn sp800_38d_gcm_encrypt() {
    let cases = cases(include_str!("../../../third_party/nist-cavp/gcmEncryptExtIV256.rsp"));
    assert_eq!(cases.len(), 50);
    for case in cases {
        let [key, iv, aad] = ["key", "iv", "aad"].map(|name| case.bytes(name));
        let sealed = gcm_seal(&key, &iv, &aad, &case.bytes("pt"));
        assert_eq!(sealed, (case.bytes("ct"), case.bytes("tag")));
    }
}

#[test]
fn sp800_38d_gcm_decrypt() {
    let cases = cases(include_str!("../../../third_party/nist-cavp/gcmDecrypt256.rsp"));
    assert_eq!((cases.len(), cases.iter().filter(|case| case.fails()).count()), (50, 22));
    for case in cases {
        let [key, iv, aad] = ["key", "iv", "aad"].map(|name| case.bytes(name));
        let opened = gcm_open(&key, &iv, &aad, &case.bytes("ct"), &case.bytes("tag"));
        assert_eq!(opened, (!case.fails()).then(|| case.bytes("pt")));
    }
}

#[test]
fn sp800_108_counter_mode_with_hmac_sha_256() {
    let cases = cases(include_str!("../../../third_party/nist-cavp/KBKDF-CTR-HMAC-SHA256.txt"));
    assert_eq!(cases.len(), 40);
    let algorithm = get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256).unwrap();
    for case in cases {
        let expected = case.bytes("ko");
        let mut output = vec![0; expected.len()];
        let input = case.bytes("fixedinputdata");
        kbkdf_ctr_hmac(algorithm, &case.bytes("ki"), &input, &mut output).unwrap();
        assert_eq!(output, expected);
    }
}
