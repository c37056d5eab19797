//! Looking at every block of a volume.

use std::path::Path;

use crypto::SystemEntropy;
use miette::IntoDiagnostic as _;
use volume::{CheckStep, Lba};

use crate::disk::FolderDisk;
use crate::ipc::messages::{CheckFact, VolumeGrant};
use crate::volume_open;

/// Blocks between which other requests get their turn.
const STEP_BLOCKS: u64 = 256;
/// Bad blocks that are named; more are counted.
pub const NAMED_MAX: usize = 1000;

/// Checks a volume that no process has attached. `anchored` is told the volume's head, as it is
/// after it was opened.
///
/// # Errors
/// If it cannot be looked at. One that cannot be opened is damaged, which is a result.
pub fn run(
    dir: &Path,
    grant: VolumeGrant,
    anchored: impl FnOnce(serde_json::Value) -> miette::Result<()>,
) -> miette::Result<CheckFact> {
    let path = dir.join(&grant.directory);
    if !path.exists() {
        // Before the first attach there is nothing, and nothing is lost.
        return Ok(match grant.anchor {
            None => CheckFact { number: 1, at: crate::kms::now().0, blocks: 0, bad: Vec::new() },
            Some(_) => failed(1, &format!("its folder {} is missing", path.display())),
        });
    }
    let folder = FolderDisk::open(&path).into_diagnostic()?;
    let mut engine = match volume_open::open(grant, folder, &mut SystemEntropy::new()) {
        Ok(engine) => engine,
        Err(error) => return Ok(failed(1, &format!("{error:#}"))),
    };
    anchored(serde_json::to_value(engine.anchor()).into_diagnostic()?)?;
    Ok(check(1, |from, count| Ok(engine.check_step(from, count))))
}

/// Checks step by step.
pub fn check(
    number: u64,
    mut step: impl FnMut(Lba, u64) -> Result<CheckStep, String>,
) -> CheckFact {
    let (mut blocks, mut bad, mut unnamed) = (0, Vec::new(), 0_u64);
    let mut next = Some(Lba(0));
    while let Some(from) = next {
        let done = match step(from, STEP_BLOCKS) {
            Ok(done) => done,
            Err(error) => return failed(number, &error),
        };
        blocks += done.checked;
        for block in done.bad {
            if bad.len() < NAMED_MAX {
                bad.push(format!("block {}: {}", block.lba.0, block.error));
            } else {
                unnamed += 1;
            }
        }
        next = done.next;
    }
    if unnamed > 0 {
        bad.push(format!("and {unnamed} more blocks"));
    }
    CheckFact { number, at: crate::kms::now().0, blocks, bad }
}

/// The result of a check that could not be made.
#[must_use]
pub fn failed(number: u64, why: &str) -> CheckFact {
    CheckFact { number, at: crate::kms::now().0, blocks: 0, bad: vec![why.to_owned()] }
}
