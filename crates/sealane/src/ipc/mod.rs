//! The one protocol that the cell's processes speak: requests and replies over Unix sockets.
//!
//! The control process listens on `run/control.sock`. Who is at the other end is not claimed but
//! known: the kernel names the peer's pid and uid, and the supervisor has told control which role
//! it started under that pid. Each frame is a length and a JSON document; secrets travel as
//! [`SecretBytes`], and the buffers that carried them are wiped.

mod address;
mod client;
mod frame;
pub mod messages;
mod secret;

pub use address::ShortAddress;
pub use client::{CallError, Client};
pub use frame::{FRAME_BYTES_MAX, FrameError, read_frame, read_frame_within, write_frame};
pub use secret::SecretBytes;

/// Where control listens, relative to DIR, which is every child's working directory.
pub const CONTROL_SOCKET: &str = "run/control.sock";
