//! The decoders of `keys`. Each function panics where a decoder does, or breaks its word.

use std::sync::OnceLock;

use crypto::mac::MacKey;
use crypto::{Entropy, Id};
use keys::audit_trail::{
    Expected, ParsedLine, TrailHead, Verifier, segment_first, segment_name, verify_export,
};
use keys::authorize::{Principal, may_create, may_open, may_wrap};
use keys::encrypt::{decrypt, encrypt, key_of_blob, material_of_blob};
use keys::grant::GrantRecord;
use keys::grant::token::{GrantToken, token_key};
use keys::policy::caller::{Caller, CallerKind};
use keys::policy::facts::NoFacts;
use keys::policy::{Policy, Request, Verdict};
use keys::{
    CredentialRecord, DomainKeyRecord, DomainRing, EncryptionContext, KeyRecord, KeySpec, NewKey,
    Owner, RootKey, UnixSeconds, import_token, record_seal, session_token,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const ARN: &str = "arn:aws:kms:us-east-1:000000000000:key/01010101-0101-0101-0101-010101010101";

/// A cell that is the same each time, so that what was found is found again.
struct Cell {
    ring: DomainRing,
    key: KeyRecord,
    token: MacKey,
}

struct Counting(u64);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 += 1;
            chunk.copy_from_slice(&self.0.to_be_bytes()[..chunk.len()]);
        }
    }
}

fn cell() -> &'static Cell {
    static CELL: OnceLock<Cell> = OnceLock::new();
    CELL.get_or_init(|| {
        let (entropy, id) = (&mut Counting(0), Id::from_bytes([1; 16]));
        let root = RootKey::generate(entropy);
        let (record, _) = DomainKeyRecord::generate(&root, id, UnixSeconds(1), entropy);
        let ring = DomainRing::unwrap_keys(&root, id, &[record]).expect("just made");
        let new = NewKey::of(Owner::Tenant(id), KeySpec::SymmetricDefault, "fuzzed");
        let permit = may_create(&Principal::Admin).expect("the administrator may");
        let key = permit.create_key(new, &ring, UnixSeconds(1), entropy);
        let token = token_key(&root, id);
        Cell { ring, key, token }
    })
}

fn owner() -> Principal {
    let tenant = Id::from_bytes([1; 16]);
    Principal::Workload { tenant, spiffe_id: "spiffe://test/ns/test/sa/test".to_owned() }
}

/// What parses can be asked anything, answers the same twice, and a Deny of all is a Deny.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(principal) = keys::policy::principal::Principal::parse(text) {
        let again = keys::policy::principal::Principal::parse(&principal.to_string());
        assert_eq!(again.as_ref(), Ok(&principal));
    }
    let policy = match Policy::parse(text) {
        Ok(policy) => policy,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let arn = |rest: &str| format!("arn:aws:iam::000000000000:{rest}");
    let user = CallerKind::User { name: "test".to_owned() };
    for (arn, kind) in [(arn("root"), CallerKind::Root), (arn("user/test"), user)] {
        let account = "000000000000".to_owned();
        let caller = Caller { arn, account, kind, tenant: None };
        for action in ["kms:Encrypt", "kms:PutKeyPolicy", "", "kms:*", "\u{0}"] {
            let request = Request { principal: &caller, action, resource: ARN, facts: &NoFacts };
            let verdict = policy.evaluate(&request);
            assert_eq!(policy.evaluate(&request), verdict);
            let locked_out = policy.allows_put_key_policy(&caller, ARN, &NoFacts).is_err();
            if action == "kms:PutKeyPolicy" {
                let allowed = matches!(verdict, Verdict::Allow { .. });
                assert_eq!(locked_out, !allowed);
            }
        }
    }
    assert!(policy.principals().count() <= text.len());
}

/// A ciphertext is what was encrypted here, or it is refused; what is encrypted decrypts.
pub fn blob(data: &[u8]) {
    let Cell { ring, key, .. } = cell();
    let context = EncryptionContext::default();
    let open = may_open(&owner(), key, &context).expect("its own key");
    let opened = decrypt(&open, ring, data, &context);
    assert!(opened.is_err(), "nobody has encrypted this");
    if let Ok(named) = key_of_blob(data) {
        let _ = material_of_blob(named, data);
    }
    let wrap = may_wrap(&owner(), key, &context).expect("its own key");
    let Ok(mut made) = encrypt(&wrap, ring, data, &context, &mut Counting(1 << 20)) else {
        return assert!(data.is_empty() || data.len() > 4096, "{} bytes", data.len());
    };
    assert_eq!(key_of_blob(&made), Ok(key.id));
    assert_eq!(decrypt(&open, ring, &made, &context).as_deref().map(|text| &text[..]), Ok(data));
    let at = data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % made.len();
    made[at] ^= 1 << (data.len() % 8);
    assert!(decrypt(&open, ring, &made, &context).is_err(), "byte {at} was changed");
    let _ = record_seal::key_of_record(data);
}

/// Nobody makes a token but this cell.
pub fn tokens(data: &[u8]) {
    let Cell { ring, key, token } = cell();
    let admin = keys::authorize::may_administer(&Principal::Admin, key).expect("the administrator");
    let half = data.len() / 2;
    let imported =
        import_token::unwrap_import(&admin, &data[..half], &data[half..], ring, UnixSeconds(2));
    assert!(imported.is_err());
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(session_token::open(text, ring).is_err());
    assert!(GrantToken::parse(text, token).is_err());
    let access_key = keys::sigv4::AccessKeyId::parse(text);
    if let Ok(id) = access_key {
        assert_eq!(id.as_str(), text);
    }
    let grant = data.iter().fold([7; 32], |mut id: [u8; 32], byte| {
        id.rotate_left(1);
        id[0] ^= byte;
        id
    });
    let grant = keys::grant::GrantId::from_bytes(grant);
    assert_eq!(grant.to_string().parse(), Ok(grant));
    let issued = GrantToken { key: key.id, grant };
    let mut made = issued.issue(token, &mut Counting(1 << 30)).into_bytes();
    let read = |made: &[u8]| GrantToken::parse(std::str::from_utf8(made).unwrap_or(""), token);
    assert_eq!(read(&made), Ok(issued));
    let at = data.len() % made.len();
    made[at] ^= 1 << (half % 7);
    assert!(read(&made).is_err(), "byte {at} was changed");
}

/// A line that is one says where it stands, and the chain refuses all others.
pub fn audit_line(data: &[u8]) {
    if let Ok(line) = ParsedLine::parse(data) {
        assert_eq!(ParsedLine::parse(data).as_ref(), Ok(&line));
        let head = TrailHead { sequence: line.sequence, hash: line.previous };
        let from = Expected { from: head, ..Expected::default() };
        if line.sequence < u64::MAX {
            let after = head.after(data);
            assert_eq!(after.sequence, line.sequence + 1);
            let mut verifier = Verifier::new(from);
            if verifier.push(data).is_ok() {
                assert_eq!(verifier.finish().map(|whole| whole.head).ok(), Some(after));
            }
        }
    }
    let lines = data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let _ = verify_export(lines, Expected::default());
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(first) = segment_first(text) {
        assert_eq!(segment_name(first), text, "a segment has one name");
    }
}

/// What the store holds: read, written and read again it is the same.
pub fn record(data: &[u8]) {
    same::<KeyRecord>(data);
    same::<CredentialRecord>(data);
    same::<GrantRecord>(data);
    same::<TrailHead>(data);
    same::<DomainKeyRecord>(data);
    let Cell { ring, key, .. } = cell();
    if let Ok(record) = serde_json::from_slice::<KeyRecord>(data) {
        // Material that lies under this cell's keys is that of the one key there is (the corpus
        // has it), and opens in no other's record.
        let (id, spec) = (record.id, record.spec);
        let held = record.materials().iter().any(keys::Material::is_held);
        let opens = held && record.rewrap(ring, &mut Counting(1 << 40)).is_ok();
        assert!(!opens || (id, spec) == (key.id, key.spec), "material in the record of {id}");
    }
}

fn same<T: Serialize + DeserializeOwned>(data: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(data) else { return };
    let written = serde_json::to_vec(&read).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    let twice = serde_json::to_vec(&again).expect("as before");
    assert_eq!(written.escape_ascii().to_string(), twice.escape_ascii().to_string());
}
