//! What a locked `kms serve` still has in its memory: root looks for secrets that the test knows.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod kms_support;

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto::key_pair::{PublicKeyDer, encrypt};
use crypto::mac::MacKey;
use crypto::{EncryptionAlgorithm, KeyPairSpec};
use kms_support::signed::AccessKey;
use kms_support::{KmsServer, memory, trial};
use libtest_mimic::Arguments;
use serde_json::{Value, json};
use wire::sigv4::Timestamp;

fn main() {
    let root = kms_support::is_root();
    let test = trial("root: a_locked_process_holds_no_secret", a_locked_process_holds_no_secret);
    libtest_mimic::run(&Arguments::from_args(), vec![test.with_ignored_flag(!root)]).exit();
}

#[track_caller]
fn call(server: &KmsServer, key: &AccessKey, operation: &str, body: &Value) -> Value {
    let answer = server.connect().call(key, operation, body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{operation}: {answer:?}");
    answer.json()
}

/// A key of `spec` with this material.
fn import(
    server: &KmsServer,
    caller: &AccessKey,
    spec: &str,
    usage: &str,
    material: &[u8],
) -> Value {
    let new = json!({ "Origin": "EXTERNAL", "KeySpec": spec, "KeyUsage": usage });
    let id = call(server, caller, "CreateKey", &new)["KeyMetadata"]["KeyId"].clone();
    let how = json!({
        "KeyId": id,
        "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
        "WrappingKeySpec": "RSA_2048",
    });
    let parameters = call(server, caller, "GetParametersForImport", &how);
    let public = PublicKeyDer(STANDARD.decode(parameters["PublicKey"].as_str().unwrap()).unwrap());
    let algorithm = EncryptionAlgorithm::RsaesOaepSha256;
    let wrapped = encrypt(KeyPairSpec::Rsa2048, &public, algorithm, material).unwrap();
    let import = json!({
        "KeyId": id,
        "ImportToken": parameters["ImportToken"],
        "EncryptedKeyMaterial": STANDARD.encode(wrapped),
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    });
    call(server, caller, "ImportKeyMaterial", &import);
    id
}

/// The key of a day, as SigV4 derives it.
fn signing_key(caller: &AccessKey, day: &str) -> Vec<u8> {
    let mut key = format!("AWS4{}", caller.secret).into_bytes();
    for part in [day, "us-east-1", "kms", "aws4_request"] {
        key = MacKey::new_for_foreign_protocol(&key).mac(part.as_bytes()).0.to_vec();
    }
    key
}

fn a_locked_process_holds_no_secret() {
    let server = KmsServer::started();
    let caller = server.access_key("me");
    let material: [u8; 32] = crypto::mac::sha256(caller.secret.as_bytes());
    let of_mac: [u8; 32] = crypto::mac::sha256(&material);
    let id = import(&server, &caller, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", &material);
    let mac = import(&server, &caller, "HMAC_256", "GENERATE_VERIFY_MAC", &of_mac);
    let made =
        call(&server, &caller, "GenerateDataKey", &json!({ "KeyId": id, "KeySpec": "AES_256" }));
    let data_key = STANDARD.decode(made["Plaintext"].as_str().unwrap()).unwrap();
    call(&server, &caller, "Decrypt", &json!({ "CiphertextBlob": made["CiphertextBlob"] }));
    let body = json!({ "KeyId": mac, "MacAlgorithm": "HMAC_SHA_256", "Message": "YXR0YWNr" });
    call(&server, &caller, "GenerateMac", &body);

    let file = fs::read_to_string(server.dir().join("root.key")).unwrap();
    let of_root = file.lines().find(|line| !line.starts_with('#')).unwrap().trim().to_owned();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let day = Timestamp::of_unix_seconds(now).unwrap().day().to_owned();
    let secrets: [(&str, Vec<u8>); 7] = [
        ("an imported key", material.to_vec()),
        ("an imported MAC key", of_mac.to_vec()),
        ("a data key", data_key),
        ("an access key's secret", caller.secret.clone().into_bytes()),
        ("a signing key", signing_key(&caller, &day)),
        ("the key file's line", of_root.into_bytes()),
        ("a name that is always there", b"RSAES_OAEP_SHA_256".to_vec()),
    ];
    let there = || {
        let each: Vec<&[u8]> = secrets.iter().map(|(_, secret)| &secret[..]).collect();
        let found = memory::find_each_in_memory(server.pid(), &each).unwrap();
        let names = secrets.iter().zip(found).filter(|(_, found)| *found);
        names.map(|((name, _), _)| *name).collect::<Vec<_>>()
    };
    let before = there();
    server.ok(&["seal", "lock"]);
    let after = there();
    println!("unlocked it holds {before:?}, locked {after:?}");
    // What is found before shows that the search finds.
    assert!(before.contains(&"an imported key"), "{before:?}");
    assert_eq!(after, ["a name that is always there"], "unlocked it held {before:?}");
    let answer = server.connect().call(&caller, "ListKeys", b"{}");
    assert_eq!(answer.status, 503, "{answer:?}");
}
