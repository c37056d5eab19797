//! What a locked `kms serve` still has in its memory: root looks for secrets that the test knows.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

mod kms_support;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto::key_pair::{KeyPair, PublicKeyDer, encrypt};
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
        "WrappingAlgorithm": "RSA_AES_KEY_WRAP_SHA_256",
        "WrappingKeySpec": "RSA_2048",
    });
    let parameters = call(server, caller, "GetParametersForImport", &how);
    let public = PublicKeyDer(STANDARD.decode(parameters["PublicKey"].as_str().unwrap()).unwrap());
    let algorithm = EncryptionAlgorithm::RsaesOaepSha256;
    let under = crypto::mac::sha256(material);
    let mut wrapped = encrypt(KeyPairSpec::Rsa2048, &public, algorithm, &under).unwrap();
    wrapped.extend(wrap(&under, material));
    let import = json!({
        "KeyId": id,
        "ImportToken": parameters["ImportToken"],
        "EncryptedKeyMaterial": STANDARD.encode(wrapped),
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    });
    call(server, caller, "ImportKeyMaterial", &import);
    id
}

/// AES key wrap with padding, by OpenSSL: the KMS unwraps it by another library.
fn wrap(under: &[u8; 32], material: &[u8]) -> Vec<u8> {
    let mut openssl = Command::new("openssl");
    openssl.args(["enc", "-e", "-id-aes256-wrap-pad", "-iv", "A65959A6", "-K"]);
    openssl.arg(keys::hex::encode(under)).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = openssl.spawn().unwrap();
    process.stdin.take().unwrap().write_all(material).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl: {}", output.status);
    output.stdout
}

/// What comes after `mark` in `bytes`, which has it once.
fn after<'b>(bytes: &'b [u8], mark: &[u8]) -> &'b [u8] {
    let at = bytes.windows(mark.len()).position(|some| some == mark).unwrap();
    &bytes[at + mark.len()..]
}

/// The first INTEGER of DER, without the zero that keeps it positive, and what follows it.
fn integer(der: &[u8]) -> (&[u8], &[u8]) {
    let (len, rest) = match der {
        [2, 0x82, high, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
        [2, 0x81, len, rest @ ..] | [2, len, rest @ ..] => (usize::from(*len), rest),
        _ => panic!("no INTEGER"),
    };
    let (number, rest) = rest.split_at(len);
    (number.strip_prefix(&[0]).unwrap_or(number), rest)
}

/// The secret numbers of a pair in PKCS #8. In memory their bytes lie the other way round.
fn numbers(spec: KeyPairSpec, pkcs8: &[u8]) -> Vec<Vec<u8>> {
    let numbers: Vec<&[u8]> = if spec == KeyPairSpec::EccNistP256 {
        // ECPrivateKey: version 1, then the scalar.
        vec![&after(pkcs8, &[2, 1, 1, 4, 32])[..32]]
    } else {
        // RSAPrivateKey: the public exponent, then the private one, both primes and three more.
        let mut rest = after(pkcs8, &[2, 3, 1, 0, 1]);
        let mut next = || {
            let (number, left) = integer(rest);
            rest = left;
            number
        };
        (0..6).map(|_| next()).collect()
    };
    numbers.into_iter().map(|number| number.iter().rev().copied().collect()).collect()
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
    let rsa = KeyPair::generate(KeyPairSpec::Rsa2048).release_pkcs8().to_vec();
    let ec = KeyPair::generate(KeyPairSpec::EccNistP256).release_pkcs8().to_vec();
    let id = import(&server, &caller, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", &material);
    let mac = import(&server, &caller, "HMAC_256", "GENERATE_VERIFY_MAC", &of_mac);
    let made =
        call(&server, &caller, "GenerateDataKey", &json!({ "KeyId": id, "KeySpec": "AES_256" }));
    let data_key = STANDARD.decode(made["Plaintext"].as_str().unwrap()).unwrap();
    let as_answered = made["Plaintext"].as_str().unwrap().as_bytes().to_vec();
    let body = json!({ "KeyId": id, "KeyPairSpec": "ECC_NIST_P256" });
    let pair = call(&server, &caller, "GenerateDataKeyPair", &body);
    let of_pair = STANDARD.decode(pair["PrivateKeyPlaintext"].as_str().unwrap()).unwrap();
    let text = keys::hex::encode(&crypto::mac::sha256(&of_mac)).into_bytes();
    let body = json!({ "KeyId": id, "Plaintext": STANDARD.encode(&text) });
    let blob = call(&server, &caller, "Encrypt", &body)["CiphertextBlob"].clone();
    call(&server, &caller, "Decrypt", &json!({ "CiphertextBlob": blob }));
    call(&server, &caller, "Decrypt", &json!({ "CiphertextBlob": made["CiphertextBlob"] }));
    let body = json!({ "KeyId": mac, "MacAlgorithm": "HMAC_SHA_256", "Message": "YXR0YWNr" });
    call(&server, &caller, "GenerateMac", &body);
    for (spec, algorithm, pkcs8) in
        [("RSA_2048", "RSASSA_PSS_SHA_256", &rsa), ("ECC_NIST_P256", "ECDSA_SHA_256", &ec)]
    {
        let pair = import(&server, &caller, spec, "SIGN_VERIFY", pkcs8);
        let body = json!({ "KeyId": pair, "SigningAlgorithm": algorithm, "Message": "YXR0YWNr" });
        call(&server, &caller, "Sign", &body);
    }
    let session = server.ok(&["kms", "credential", "session", "me", "--output", "json"]);
    let session: Value = serde_json::from_str(&session).unwrap();
    let told = |member: &str| session[member].as_str().unwrap().to_owned();
    let bearer = AccessKey {
        id: told("access_key_id"),
        secret: told("secret_access_key"),
        token: Some(told("session_token")),
    };
    call(&server, &bearer, "ListKeys", &json!({}));

    let file = fs::read_to_string(server.dir().join("root.key")).unwrap();
    let of_root = file.lines().find(|line| !line.starts_with('#')).unwrap().trim().to_owned();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let day = Timestamp::of_unix_seconds(now).unwrap().day().to_owned();
    let mut secrets: Vec<(&str, Vec<u8>)> = vec![
        ("an imported key", material.to_vec()),
        ("an imported MAC key", of_mac.to_vec()),
        ("a data key", data_key),
        ("a data key, as it was answered", as_answered),
        ("a data key pair", of_pair),
        ("a text, as it was sent and answered", STANDARD.encode(&text).into_bytes()),
        ("a text that was encrypted", text),
        ("an access key's secret", caller.secret.clone().into_bytes()),
        ("a signing key", signing_key(&caller, &day)),
        ("a session's secret", bearer.secret.clone().into_bytes()),
        ("a session's signing key", signing_key(&bearer, &day)),
        ("the key file's line", of_root.into_bytes()),
    ];
    for (name, spec, pkcs8) in [
        ("an imported RSA key", KeyPairSpec::Rsa2048, rsa),
        ("an imported EC key", KeyPairSpec::EccNistP256, ec),
    ] {
        for number in numbers(spec, &pkcs8) {
            // As it is in a file.
            secrets.push((name, number.iter().rev().copied().collect()));
            secrets.push((name, number));
        }
    }
    secrets.push(("a name that is always there", b"RSAES_OAEP_SHA_256".to_vec()));
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
    for name in ["an imported key", "an imported RSA key", "an imported EC key"] {
        assert!(before.contains(&name), "{name:?} of {before:?}");
    }
    assert_eq!(after, ["a name that is always there"], "unlocked it held {before:?}");
    let answer = server.connect().call(&caller, "ListKeys", b"{}");
    assert_eq!(answer.status, 503, "{answer:?}");
}
