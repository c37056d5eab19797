//! What may be typed after `audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::time_text;

/// Records that `tail` shows unless told otherwise.
const TAIL_DEFAULT: u64 = 20;

#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    Tail(AuditTailArgs),
    Verify(AuditVerifyArgs),
    Export(AuditExportArgs),
    Key(AuditKeyArgs),
}

/// Show the newest records of the audit trail: when, what, whether it was done, who and which key.
///
/// `--output json` shows the records as they are, one a line, in the shape of AWS CloudTrail.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane audit tail\n  sealane audit tail -n 100 --follow\n  \
    sealane audit tail -n 1000 --output json | jq 'select(.errorCode)'")]
pub struct AuditTailArgs {
    /// Begin so many records before the end.
    #[arg(short = 'n', long, value_name = "N", default_value_t = TAIL_DEFAULT)]
    pub lines: u64,
    /// Go on showing what is recorded.
    #[arg(short, long)]
    pub follow: bool,
}

/// Check that no record of the audit trail was changed, removed or slipped in.
///
/// Without a file, the trail in DIR is opened and held against the store and the cell's own key.
/// With one, an export is checked, without the cell where `--key` is given. The first record that
/// does not fit is named, and the exit code is then 1.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane audit verify\n  \
    sealane audit verify --file trail.jsonl --key audit-key.pem\n\n\
    `sealane audit key` prints the key. docs/formats/audit.md says how to check by other means.")]
pub struct AuditVerifyArgs {
    /// An export.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The public key that signs checkpoints, as PEM; unless given, that of the cell in DIR.
    #[arg(long, value_name = "PEM")]
    pub key: Option<PathBuf>,
}

/// Write the records of the audit trail as they are, one a line, for others to keep and check.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  sealane audit export --to trail.jsonl\n  \
    sealane audit export --since 2026-11-01T00:00:00Z | gzip > november.jsonl.gz\n  \
    sealane audit export --since 15000 --to rest.jsonl")]
pub struct AuditExportArgs {
    /// A new file; unless given, standard output.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// The first record, by its number or by a time such as 2026-11-01T00:00:00Z.
    #[arg(long, value_name = "RECORD|TIME", value_parser = since)]
    pub since: Option<Since>,
}

/// Print the public key that signs the trail's checkpoints, as PEM: what an auditor keeps.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  sealane audit key > audit-key.pem")]
pub struct AuditKeyArgs {}

/// Where an export begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Since {
    Record(u64),
    UnixMillis(u64),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(record) = text.parse() {
        return Ok(Since::Record(record));
    }
    time_text::unix_millis(text)
        .map(Since::UnixMillis)
        .ok_or_else(|| "write the number of a record, or a time as 2026-11-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_begins_at_a_record_or_a_time() {
        assert_eq!(since("15"), Ok(Since::Record(15)));
        assert_eq!(since("1970-01-01T00:00:01.5Z"), Ok(Since::UnixMillis(1500)));
        assert_eq!(since("1970-01-01T01:00:00+01:00"), Ok(Since::UnixMillis(0)));
        for wrong in ["", "-1", "yesterday", "2026-11-01", "1960-01-01T00:00:00Z"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
