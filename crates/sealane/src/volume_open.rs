//! From what control grants to an open engine: used by a volume's process, and by `volume check`
//! while no cell runs.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use crypto::{DataKey, Entropy};
use tokio::time::{Instant, sleep};
use volume::{
    Anchor, AttachNo, ByteLen, Engine, Epoch, FormatError, Freshness, Identity, Params,
    SEGMENT_BYTES_DEFAULT,
};

use crate::disk::{FolderDisk, OpenFolderError};
use crate::ipc::messages::VolumeGrant;

/// Opens the folder of a volume, once whoever had it before has let go.
///
/// # Errors
/// If it stays in use, or cannot be opened at all.
pub async fn open_folder(path: &Path, patience: Duration) -> Result<FolderDisk, OpenFolderError> {
    let deadline = Instant::now() + patience;
    loop {
        match FolderDisk::open(path) {
            Err(OpenFolderError::InUse { .. }) if Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            opened => return opened,
        }
    }
}

/// Opens the volume; one that was never anchored and whose folder is empty is made first.
///
/// # Errors
/// What the engine finds wrong, naming the object.
pub fn open(
    grant: VolumeGrant,
    mut folder: FolderDisk,
    entropy: &mut dyn Entropy,
) -> anyhow::Result<Engine<FolderDisk>> {
    let bytes = grant.key.release();
    let key = || DataKey::from_caller(&bytes).context("the data key is not 32 bytes long");
    let identity = Identity { volume: grant.volume, epoch: Epoch(grant.epoch) };
    let freshness = match grant.anchor {
        Some(anchor) => {
            let anchor: Anchor = serde_json::from_value(anchor).context("the volume's anchor")?;
            Freshness::Extends(anchor)
        }
        None => {
            // Nothing is written to a volume before its first anchor, so what a crash may have left
            // half made can be made again; what is whole is opened as it is.
            let params = Params {
                volume: grant.volume,
                epoch: identity.epoch,
                size: ByteLen(grant.bytes),
                segment_bytes: SEGMENT_BYTES_DEFAULT,
            };
            match Engine::format(&params, key()?, &mut folder) {
                Ok(()) | Err(FormatError::Occupied { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            Freshness::NeverAnchored
        }
    };
    Ok(Engine::open(identity, key()?, folder, AttachNo(grant.attach), freshness, entropy)?)
}
