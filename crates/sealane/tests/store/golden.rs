//! What lies inside sealed records of this crate, as it was written first. Those of the core `keys`
//! have their golden files there.

use crypto::Id;
use keys::UnixSeconds;
use keys::authorize::Principal;
use keys::dual_control::DeletionRequest;
use sealane::kms::ErasedRecord;
use sealane::kms::records::{AliasRecord, DueRecord, LastUse, RetirableGrant};
use serde::Serialize;
use serde::de::DeserializeOwned;

const GOLDEN: &str = include_str!("../golden/test-store-records-v1.jsonl");

fn id(byte: u8) -> Id {
    Id::from_bytes([byte; 16])
}

/// Line `at` is what `made` is written as, and is read as it.
#[track_caller]
fn is_line<T>(at: usize, made: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let line = GOLDEN.lines().nth(at).unwrap_or_default();
    assert_eq!(serde_json::to_string(made).unwrap(), line, "old records must open");
    assert_eq!(&serde_json::from_str::<T>(line).unwrap(), made);
}

#[test]
fn records_are_read_and_written_as_they_were() {
    let at = UnixSeconds;
    let tenant = ErasedRecord {
        tenant: id(1),
        tenant_name: "acme".to_owned(),
        user: None,
        at: at(1),
        by: Principal::Admin,
        keys: 2,
        credentials: 3,
        rewritten: Some(at(4)),
    };
    is_line(0, &tenant);
    let user = Some("alice".to_owned());
    is_line(1, &ErasedRecord { user, rewritten: None, ..tenant });
    is_line(2, &AliasRecord { key: id(1), created: at(1), updated: at(2) });
    is_line(3, &RetirableGrant { key: id(1) });
    is_line(4, &DueRecord { at: at(1) });
    let operation = "Encrypt".to_owned();
    is_line(5, &LastUse { operation, at: 1_000, event: id(1), request: id(2) });
    is_line(6, &DeletionRequest { by: "arn:aws:iam::1:user/a".to_owned(), at: at(1), days: 7 });
    assert_eq!(GOLDEN.lines().count(), 7);
}
