//! Each sealed format as it was first written. The files are never edited: a new version gets files
//! of its own, and these must open for ever.

mod records;

use std::collections::BTreeSet;

use crypto::passphrase::{self, Cost};
use crypto::{DataKey, Id, Salt, WrappedDataKey};
use serde_json::Value;

use crate::authorize::{Principal, may_open, may_wrap};
use crate::grant::GrantId;
use crate::grant::token::{GrantToken, token_key};
use crate::record_seal::{self, RecordPlace};
use crate::root_seal::{RootSeal, SealWith, Unlock, UnsealError};
use crate::seal_keyfile::KeyFileSecret;
use crate::seal_shamir::{ShareError, SharePolicy, ShareSet};
use crate::service_log::{self, LogKey, LogNext, LogReader, LogWriter};
use crate::session_token::{self, NewSession};
use crate::share::{SetId, Share};
use crate::sigv4::{AccessKeyId, AccessKeyKind, Scope, SigningKey};
use crate::test_kit::{Counting, Mixed, id, key, ring};
use crate::wrap::{self, Binding, Purpose, UnwrapKeyError};
use crate::{
    CredentialRecord, EncryptionContext, KeyRecord, KeySpec, NewCredential, NewKey, Owner, RootKey,
    UnixSeconds, encrypt, hex,
};

/// What is made today is what was made then, and what was made then is given back.
fn golden(file: &str, made: &[u8]) -> Vec<u8> {
    let golden = hex::decode(file.trim_end()).unwrap_or_default();
    assert_eq!(hex::encode(made), hex::encode(&golden), "the format changed: it needs a version");
    golden
}

#[test]
fn wrapped_key_v1() {
    let binding =
        Binding { purpose: Purpose::Domain, wrapping: id(1), wrapped: id(2), owner: id(3) };
    let (wrapped, _) = wrap::wrap_key(&key(1), binding, key(5), &mut Counting::default());
    let golden = golden(include_str!("../tests/golden/test-wrapped-key-v1.hex"), &wrapped.0);
    let opened = wrap::unwrap_key(&key(1), binding, &WrappedDataKey(golden)).unwrap();
    assert_eq!(opened.release_to_caller()[..], [5; DataKey::LEN]);
}

#[test]
fn message_v1() {
    let context = EncryptionContext::of([("tenant", "test".to_owned())]).unwrap();
    let new = NewKey::of(Owner::Cell, KeySpec::SymmetricDefault, "");
    let entropy = &mut Counting::default();
    let record = KeyRecord::generate(new, &ring(1), UnixSeconds(1), entropy);
    let permit = may_wrap(&Principal::Cell, &record, &context).unwrap();
    let blob = encrypt::encrypt(&permit, &ring(1), b"attack at dawn", &context, entropy).unwrap();
    let golden = golden(include_str!("../tests/golden/test-message-v1.hex"), &blob);
    let permit = may_open(&Principal::Cell, &record, &context).unwrap();
    let opened = encrypt::decrypt(&permit, &ring(1), &golden, &context).unwrap();
    assert_eq!(&opened[..], b"attack at dawn");
}

#[test]
fn record_v1() {
    let place = RecordPlace { store: id(4), table: "test", slot: b"slot" };
    let made = record_seal::seal_record(&ring(1), place, 7, b"content", &mut Counting::default());
    let golden = golden(include_str!("../tests/golden/test-record-v1.hex"), &made);
    let opened = record_seal::open_record(&ring(1), place, &golden).unwrap();
    assert_eq!((&opened.content[..], opened.version), (&b"content"[..], 7));
}

#[test]
fn log_v1() {
    let entropy = &mut Counting::default();
    let (mut writer, header) =
        LogWriter::begin(LogKey::generate(&ring(1), "test", entropy), "test");
    let mut file = header.to_vec();
    file.extend(writer.append(b"one", entropy));
    file.extend(writer.finish(entropy));
    let golden = golden(include_str!("../tests/golden/test-log-v1.hex"), &file);
    let (header, frames) = golden.split_first_chunk::<{ service_log::HEADER_LEN }>().unwrap();
    let key = LogKey::of_header(&ring(1), "test", header).unwrap();
    let mut reader = LogReader::begin(key, "test");
    let LogNext::Text { text, consumed } = reader.next_frame(frames).unwrap() else {
        panic!("no text")
    };
    assert_eq!(&text[..], b"one");
    assert!(matches!(reader.next_frame(&frames[consumed..]), Ok(LogNext::End { .. })));
}

#[test]
fn credential_v1() {
    let new = NewCredential { name: "test".to_owned(), tenant: Some(id(7)) };
    let entropy = &mut Counting::default();
    let (made, secret) = CredentialRecord::generate(new, &ring(1), UnixSeconds(1), entropy);
    let golden = include_str!("../tests/golden/test-credential-v1.json").trim_end();
    assert_eq!(serde_json::to_string(&made).unwrap(), golden);
    let record: CredentialRecord = serde_json::from_str(golden).unwrap();
    let scope = Scope { date: "20150830", region: "us-east-1", service: "kms" };
    let key = record.signing_key(&ring(1), scope).unwrap();
    let shown = SigningKey::derive(record.access_key_id, &secret, scope);
    assert_eq!(key.signature_for_tests(b"text"), shown.signature_for_tests(b"text"));
}

#[test]
fn session_token_v1() {
    let entropy = &mut Counting::default();
    let parent = AccessKeyId::generate(AccessKeyKind::LongTerm, entropy);
    let new = NewSession { parent, expires: UnixSeconds(77) };
    let issued = session_token::issue(&new, &ring(1), entropy);
    let golden = include_str!("../tests/golden/test-session-token-v1.txt").trim_end();
    assert_eq!(issued.token, golden);
    let opened = session_token::open(golden, &ring(1)).unwrap();
    assert_eq!((opened.access_key_id, opened.parent), (issued.access_key_id, parent));
    assert_eq!(opened.expires, UnixSeconds(77));
    let scope = Scope { date: "20150830", region: "us-east-1", service: "kms" };
    let shown = SigningKey::derive(issued.access_key_id, &issued.secret, scope);
    let key = opened.signing_key(scope);
    assert_eq!(key.signature_for_tests(b"text"), shown.signature_for_tests(b"text"));
}

#[test]
fn grant_token_v1() {
    let token = GrantToken { key: id(1), grant: GrantId::from_bytes([2; GrantId::LEN]) };
    let key = token_key(&root(), id(3));
    let made = token.issue(&key, &mut Counting::default());
    let golden = include_str!("../tests/golden/test-grant-token-v1.txt").trim_end();
    assert_eq!(made, golden);
    assert_eq!(GrantToken::parse(golden, &key), Ok(token));
}

fn root() -> RootKey {
    RootKey::from_parts(id(6), key(7))
}

/// A changed character anywhere is refused. Where it leaves a seal, its field decides with which
/// error: `expected` is given the field's name and value, and all names together are `fields`.
fn flips_are_refused(
    golden: &str,
    unlock: &Unlock<'_>,
    fields: &[&str],
    expected: impl Fn(&str, &Value) -> UnsealError,
) {
    let before: Value = serde_json::from_str(golden).unwrap();
    let mut changed = BTreeSet::new();
    for bit in 0..golden.len() * 8 {
        let mut bytes = golden.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(seal) = serde_json::from_slice::<RootSeal>(&bytes) else { continue };
        let after: Value = serde_json::from_slice(&bytes).unwrap();
        let (field, value) = changed_field(&before, &after).unwrap();
        let refused = seal.unseal(unlock).unwrap_err();
        assert_eq!(refused, expected(&field, value), "bit {bit}, in {field}");
        changed.insert(field);
    }
    assert_eq!(changed.iter().map(String::as_str).collect::<Vec<_>>(), fields);
}

/// The innermost name, or the place in a list after its name, where the two differ.
fn changed_field<'v>(before: &Value, after: &'v Value) -> Option<(String, &'v Value)> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => after.iter().find_map(|(name, after)| {
            let (inner, value) = changed_field(&before[name], after)?;
            let is_inner = matches!(after, Value::Object(_));
            Some((if is_inner { inner } else { format!("{name}{inner}") }, value))
        }),
        (Value::Array(before), Value::Array(after)) => {
            let at = before.iter().zip(after).position(|(before, after)| before != after)?;
            Some((format!(" {at}"), &after[at]))
        }
        _ => (before != after).then(|| (String::new(), after)),
    }
}

fn bytes_of(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn number_of(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

/// Why a root key of cell 1 does not unwrap whose wrapped form was changed to this.
fn unwrap_fault(changed: &Value) -> UnwrapKeyError {
    let bytes = bytes_of(changed);
    let wrapping = Id::from_bytes(bytes[2..18].try_into().unwrap());
    match bytes[0] {
        1 if wrapping == id(1) => UnwrapKeyError::Forged,
        1 => UnwrapKeyError::OtherWrappingKey(wrapping),
        version => UnwrapKeyError::Version(version),
    }
}

#[test]
fn root_seal_keyfile_v1() {
    let file = include_str!("../tests/golden/test-root-keyfile-v1.txt");
    let secret = KeyFileSecret::parse(file).unwrap();
    let with = SealWith::KeyFile(&secret);
    let (made, _) = RootSeal::seal(id(1), root(), &with, &mut Counting::default()).unwrap();
    let golden = include_str!("../tests/golden/test-root-seal-keyfile-v1.json").trim_end();
    assert_eq!(serde_json::to_string(&made).unwrap(), golden);
    let seal: RootSeal = serde_json::from_str(golden).unwrap();
    let opened = seal.unseal(&Unlock::KeyFile(&secret)).unwrap();
    assert_eq!(opened.into_key().release_to_caller()[..], [7; DataKey::LEN]);
    let fields = ["cell", "check", "root", "salt", "version", "wrapped"];
    flips_are_refused(golden, &Unlock::KeyFile(&secret), &fields, |field, value| match field {
        "version" => UnsealError::Version(number_of(value)),
        // The check is over the cell's id.
        "cell" | "check" => UnsealError::WrongKeyFile,
        "root" | "salt" => UnsealError::Damaged(UnwrapKeyError::Forged),
        "wrapped" => UnsealError::Damaged(unwrap_fault(value)),
        other => panic!("{other}"),
    });
}

#[test]
fn root_seal_passphrase_v1() {
    let cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };
    let with = SealWith::Passphrase { passphrase: b"correct horse", cost };
    let (made, _) = RootSeal::seal(id(1), root(), &with, &mut Counting::default()).unwrap();
    let golden = include_str!("../tests/golden/test-root-seal-passphrase-v1.json").trim_end();
    assert_eq!(serde_json::to_string(&made).unwrap(), golden);
    let seal: RootSeal = serde_json::from_str(golden).unwrap();
    let opened = seal.unseal(&Unlock::Passphrase(b"correct horse")).unwrap();
    assert_eq!(opened.into_key().release_to_caller()[..], [7; DataKey::LEN]);
    let unlock = Unlock::Passphrase(b"correct horse");
    let fields = ["cell", "lanes", "memory_kib", "passes", "root", "salt", "version", "wrapped"];
    let after = |cost| match passphrase::derive_key(b"", &Salt([0; Salt::LEN]), cost) {
        Ok(_) => UnsealError::WrongPassphrase,
        Err(out_of_range) => UnsealError::CostOutOfRange(out_of_range),
    };
    flips_are_refused(golden, &unlock, &fields, |field, value| match field {
        "version" => UnsealError::Version(number_of(value)),
        "cell" => UnsealError::Damaged(UnwrapKeyError::OtherWrappingKey(id(1))),
        "memory_kib" => after(Cost { memory_kib: number_of(value), ..cost }),
        "passes" => after(Cost { passes: number_of(value), ..cost }),
        "lanes" => after(Cost { lanes: number_of(value), ..cost }),
        // Nothing tells these from a wrong passphrase.
        "root" | "salt" => UnsealError::WrongPassphrase,
        "wrapped" => match unwrap_fault(value) {
            UnwrapKeyError::Forged => UnsealError::WrongPassphrase,
            damaged => UnsealError::Damaged(damaged),
        },
        other => panic!("{other}"),
    });
}

#[test]
fn root_seal_shamir_v1() {
    let entropy = &mut Mixed::default();
    let set = ShareSet::generate(id(1), SharePolicy::new(2, 3).unwrap(), entropy);
    let (made, _) = RootSeal::seal(id(1), root(), &SealWith::Shamir(&set), entropy).unwrap();
    let lines: Vec<_> = set.shares().iter().map(|share| share.to_text().to_string()).collect();
    let golden = include_str!("../tests/golden/test-root-shares-v1.txt");
    assert_eq!(lines.join("\n"), golden.trim_end());
    let shares: Vec<_> = golden.lines().map(|line| Share::parse(line).ok().unwrap()).collect();
    let golden = include_str!("../tests/golden/test-root-seal-shamir-v1.json").trim_end();
    assert_eq!(serde_json::to_string(&made).unwrap(), golden);
    let seal: RootSeal = serde_json::from_str(golden).unwrap();
    let opened = seal.unseal(&Unlock::Shamir(&shares[1..])).unwrap();
    assert_eq!(opened.into_key().release_to_caller()[..], [7; DataKey::LEN]);
    let unlock = Unlock::Shamir(&shares[1..]);
    let fields = [
        "cell",
        "checks 0",
        "checks 1",
        "checks 2",
        "count",
        "root",
        "salt",
        "set",
        "threshold",
        "version",
        "wrapped",
    ];
    let policy = |threshold, count| {
        SharePolicy::new(threshold, count).map_err(UnsealError::SharesOutOfRange)
    };
    let byte_of = |value: &Value| u8::try_from(number_of(value)).unwrap();
    flips_are_refused(golden, &unlock, &fields, |field, value| match field {
        "version" => UnsealError::Version(number_of(value)),
        // The first six bytes of a cell's id are in each share, and the check is over all of it.
        "cell" if !value.as_str().unwrap().starts_with("01010101-0101") => {
            UnsealError::Share(ShareError::OtherCell { number: 2 })
        }
        "cell" | "checks 1" => UnsealError::Share(ShareError::Wrong { number: 2 }),
        "checks 2" => UnsealError::Share(ShareError::Wrong { number: 3 }),
        "threshold" => match policy(byte_of(value), 3) {
            Ok(policy) => UnsealError::NotEnoughShares { given: 2, needed: policy.threshold() },
            Err(refused) => refused,
        },
        "count" => match policy(2, byte_of(value)) {
            Ok(policy) => UnsealError::ChecksMissing { found: 3, count: policy.count() },
            Err(refused) => refused,
        },
        "set" => {
            let expected = SetId(bytes_of(value).try_into().unwrap());
            UnsealError::Share(ShareError::OtherSet { number: 2, found: set.id(), expected })
        }
        // The share that is not given, too, is part of what the seal's key is derived from.
        "checks 0" | "root" | "salt" => UnsealError::Damaged(UnwrapKeyError::Forged),
        "wrapped" => UnsealError::Damaged(unwrap_fault(value)),
        other => panic!("{other}"),
    });
}

/// A change that was cut short, under two key files.
#[test]
fn root_seal_unfinished_v1() {
    let file = include_str!("../tests/golden/test-root-keyfile-v1.txt");
    let entropy = &mut Counting::default();
    let old = KeyFileSecret::parse(file).unwrap();
    let (new, _) = KeyFileSecret::generate(entropy);
    let (seal, _) = RootSeal::seal(id(1), root(), &SealWith::KeyFile(&old), entropy).unwrap();
    let (next, _) = RootSeal::seal(id(1), root(), &SealWith::KeyFile(&new), entropy).unwrap();
    let both = seal.with_next(&next);
    let golden = include_str!("../tests/golden/test-root-seal-unfinished-v1.json").trim_end();
    assert_eq!(serde_json::to_string(&both).unwrap(), golden);
    let read: RootSeal = serde_json::from_str(golden).unwrap();
    assert_eq!(read.each(), [seal, next]);
    for secret in [&old, &new] {
        assert!(read.unseal(&Unlock::KeyFile(secret)).is_ok());
    }
    let (other, _) = KeyFileSecret::generate(entropy);
    assert!(read.unseal(&Unlock::KeyFile(&other)).is_err());
}
