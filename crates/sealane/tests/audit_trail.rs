//! The audit trail on a disk that is really full.
//!
//! Needs root, to mount a small tmpfs. The test runs itself again in a mount namespace of its own,
//! so that whatever it leaves mounted goes with it.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, as it does")]

use std::ffi::CStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crypto::{Id, SigningKey, SystemEntropy};
use keys::audit_trail::{Event, TrailHead, UnixMillis};
use keys::{DomainKeyRecord, DomainRing, RootKey, UnixSeconds};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::mount::MountFlags;
use sealane::audit_trail::{AuditTrail, Limits, Poison, RecordError, RingSource, TrailOptions};

const INSIDE: &str = "SEALANE_TEST_IN_MOUNT_NAMESPACE";
const CELL: Id = Id::from_bytes([9; 16]);
const TMPFS: &CStr = c"size=256k";

fn main() {
    let root = rustix::process::geteuid().is_root();
    if root && std::env::var_os(INSIDE).is_none() {
        let error = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(std::env::current_exe().unwrap())
            .args(std::env::args_os().skip(1))
            .env(INSIDE, "1")
            .exec();
        panic!("unshare: {error}");
    }
    let full = Trial::test("root: a_full_disk_is_named_and_loses_nothing", full_disk);
    let trials = vec![full.with_ignored_flag(!root)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn ring() -> RingSource {
    let entropy = &mut SystemEntropy::new();
    let root = RootKey::generate(entropy);
    let (record, _) = DomainKeyRecord::generate(&root, CELL, UnixSeconds(1), entropy);
    let ring = Arc::new(DomainRing::unwrap_keys(&root, CELL, &[record]).unwrap());
    Arc::new(move || ring.clone())
}

fn options(dir: &Path, ring: &RingSource, stored: Option<TrailHead>) -> TrailOptions {
    TrailOptions {
        dir: dir.to_owned(),
        cell: CELL,
        region: "us-east-1".into(),
        account: "000000000000".into(),
        ring: ring.clone(),
        signer: Box::new(SigningKey::generate()),
        stored,
        clock: Arc::new(|| UnixMillis(1_800_000_000_000)),
        limits: Limits { segment_bytes_max: 64 << 10, ..Limits::default() },
    }
}

fn event() -> Event {
    let id = Id::random(&mut SystemEntropy::new());
    Event::of_cell(id, UnixMillis(1_800_000_000_000), "Test", "us-east-1".into(), "0".into())
}

fn full_disk() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let small = folder.path().join("small");
    fs::create_dir(&small)?;
    rustix::mount::mount("tmpfs", &small, "tmpfs", MountFlags::empty(), Some(TMPFS))?;
    let ring = ring();
    let dir = small.join("audit");
    let (trail, _) = AuditTrail::open(options(&dir, &ring, None))?;
    let mut last = None;
    let error = loop {
        match trail.record_durable(event()) {
            Ok(head) => last = Some(head),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RecordError::Poisoned(Poison::DiskFull { .. })), "{error}");
    assert_eq!(trail.healthy(), Err(error.clone()));
    assert_eq!(trail.record(event()), Err(error.clone()));
    assert_eq!(trail.close(), Err(error));
    // With room again, all that was acknowledged is there, and the trail goes on.
    let roomy = folder.path().join("roomy");
    fs::create_dir(&roomy)?;
    for entry in fs::read_dir(&dir)? {
        let path = entry?.path();
        fs::copy(&path, roomy.join(path.file_name().unwrap()))?;
    }
    drop(trail);
    let (trail, opened) = AuditTrail::open(options(&roomy, &ring, last))?;
    assert!(opened.head.sequence >= last.unwrap().sequence);
    trail.record_durable(event())?;
    trail.close()?;
    let report = sealane::audit_trail::verify(&roomy, CELL, ring, &[], last)?;
    assert_eq!(report.torn, 0);
    rustix::mount::unmount(&small, rustix::mount::UnmountFlags::DETACH)?;
    Ok(())
}
