//! What may be typed about dual control.

use clap::{Args, Subcommand};

#[derive(Subcommand, Debug)]
pub enum DualControlCommand {
    Status(DualControlStatusArgs),
    On(DualControlOnArgs),
    Off(DualControlOffArgs),
}

/// Show whether the cell is under dual control, since when and by whose shares.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  sealane dual-control status --output json")]
pub struct DualControlStatusArgs {}

/// Have what one person cannot take back take two.
///
/// The cell must be sealed by shares (`--seal shamir`). From then on a KMS key is scheduled for
/// deletion once two callers of the API have asked for it within a day; erasing a tenant or a user
/// and creating an access key or a session takes as many shares as open the cell, also while it
/// runs; and the seal stays one of shares, so that accepting a rollback and changing the seal take
/// them too.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  \
    sealane dual-control on --share-file alice.share --share-file bob.share")]
pub struct DualControlOnArgs {}

/// Leave all of it to one person again. It takes shares, as switching it on does.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  \
    sealane dual-control off --share-file alice.share --share-file bob.share")]
pub struct DualControlOffArgs {}
