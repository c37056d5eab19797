//! The audit trail: one line of JSON for each call, in the shape of AWS CloudTrail, and each line
//! carries the hash of the line before.
//!
//! The chain is a plain hash over the line's bytes and not a MAC, so that whoever is given an
//! export can check it with a hash function and no key. What the chain cannot say, namely that all
//! of it was not written anew, signed [checkpoints](Checkpoint) say. **Start reading** in
//! [`Event`], then [`TrailHead::append`] which writes a line and [`Verifier`] which judges one.
//! Layouts: `docs/formats/audit.md`.

mod checkpoint;
mod event;
#[cfg(test)]
mod golden;
mod head;
mod json;
mod line;
mod parsed;
mod segment;
#[cfg(test)]
mod test_events;
mod verify;

pub use checkpoint::{CHECKPOINT_LAG_MAX, Checkpoint, CheckpointFault};
pub use event::{
    Access, AwsIdentity, AwsIdentityKind, Event, Failure, Identity, Origin, Parameter, UnixMillis,
};
pub use head::TrailHead;
pub use line::{FIELD_BYTES_MAX, LINE_BYTES_MAX, PARAMETERS_BYTES_MAX, Phase};
pub use parsed::{NotARecord, ParsedLine, ParsedPhase};
pub use segment::{segment_first, segment_name, segment_stream};
pub use verify::{Broken, Expected, FirstBroken, Verified, Verifier, verify_export};
