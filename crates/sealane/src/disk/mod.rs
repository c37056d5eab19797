//! A volume's disk in a real folder, and the volume attached to it, shared by threads.

mod attached;
mod folder;

pub use attached::{AttachedVolume, VolumeError};
pub use folder::{FolderDisk, OpenFolderError};
