//! `sealane audit`: reads and checks the audit trail, beside a cell that runs or without one.
//!
//! The process that holds the store opens the records, since their keys do not leave it; what they
//! say is checked here, record by record, so that a long trail keeps nobody else waiting.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use crypto::PublicKey;
use keys::audit_trail::{Expected, LINE_BYTES_MAX, ParsedLine, TrailHead, Verifier};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::args::Format;
use super::args_audit::{AuditExportArgs, AuditTailArgs, AuditVerifyArgs, Since};
use super::cell::{self, CellAccess, Taken};
use super::render::{Style, Text, Tone, paint, plain};
use super::{Output, commands, secret};
use crate::cell_dir::{self, CellDir, DirLock};
use crate::control::answer_audit;
use crate::ipc::messages::{AdminRequest, AuditFacts, Reply};
use crate::kms::{TrailLines, TrailReader};

/// Records that are asked for at once.
const BATCH: u32 = 1000;
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// What a check has found. Fields are added, never renamed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    pub ok: bool,
    /// The number of the first record that was checked.
    pub first: u64,
    /// How many records are whole, from the first on.
    pub records: u64,
    pub checkpoints: u64,
    /// The newest checkpoint that the key has signed covers all records below this number.
    pub signed_below: Option<u64>,
    /// Records that no signed checkpoint covers: the chain alone holds them.
    pub unsigned: u64,
    /// Bytes at the end of the trail of a group that was being written.
    pub torn: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<AuditFault>,
}

/// The first record that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFault {
    pub record: u64,
    pub fault: String,
}

impl Text for AuditReport {
    fn text(&self, style: Style) -> String {
        let (first, count) = (self.first, self.records);
        let records = match self.records {
            0 => "no records".to_owned(),
            _ => format!("{count} records ({first} to {})", first + count - 1),
        };
        if let Some(AuditFault { record, fault }) = &self.fault {
            let verdict = paint("damaged", Tone::Bad, style);
            let fault = plain(fault);
            return format!("{verdict}  record {record}: {fault}\n  whole before it: {records}\n");
        }
        let verdict = paint("whole", Tone::Good, style);
        let mut text = format!("{verdict}  {records}, {} checkpoints\n", self.checkpoints);
        if first > 0 {
            text.push_str(&format!("  records below {first} are not in it\n"));
        }
        match self.signed_below {
            None => text.push_str("  no checkpoint is signed: the chain alone holds the records\n"),
            Some(below) if self.unsigned == 0 => {
                text.push_str(&format!("  signed below record {below}, which is all of it\n"));
            }
            Some(below) => text.push_str(&format!(
                "  signed below record {below}; the chain alone holds the {} from there on\n",
                self.unsigned
            )),
        }
        if self.torn > 0 {
            text.push_str(&format!("  {} bytes at the end are no whole records yet\n", self.torn));
        }
        text
    }
}

/// The trail of the cell in DIR, however it is reached.
enum Trail {
    Running(CellAccess),
    Opened { reader: Box<TrailReader>, _lock: DirLock },
}

impl Trail {
    fn of(out: &Output) -> miette::Result<Self> {
        let dir = CellDir::at(std::path::absolute(&out.dir).into_diagnostic()?);
        match cell::take(&dir)? {
            Taken::Running { runtime, client } => {
                Ok(Self::Running(CellAccess::Running { runtime, client }))
            }
            Taken::Free(lock) => {
                let secret = secret::obtain(&dir, out)?;
                let reader = Box::new(cell_dir::read_trail(&dir, &secret)?);
                Ok(Self::Opened { reader, _lock: lock })
            }
        }
    }

    fn value<T: DeserializeOwned>(&mut self, request: AdminRequest) -> miette::Result<T> {
        match self {
            Self::Running(cell) => cell.value(request),
            Self::Opened { reader, .. } => match answer_audit(reader, request) {
                Ok(Reply::Json(value)) => serde_json::from_value(value).into_diagnostic(),
                Ok(other) => Err(miette!("the trail was asked for something else: {other:?}")),
                Err(refusal) => Err(cell::refused(refusal)),
            },
        }
    }

    fn read(&mut self, from: u64) -> miette::Result<TrailLines> {
        self.value(AdminRequest::AuditRead { from, limit: BATCH })
    }
}

pub(super) fn tail(args: AuditTailArgs, out: &Output) -> miette::Result<()> {
    let mut trail = Trail::of(out)?;
    let end: u64 = trail.value(AdminRequest::AuditEnd)?;
    let mut next = end.saturating_sub(args.lines);
    loop {
        let batch = trail.read(next)?;
        let mut text = String::new();
        for line in &batch.lines {
            match out.format {
                Format::Json => text.push_str(line),
                Format::Text | Format::Env => text.push_str(&readable(line, out.style())),
            }
            text.push('\n');
        }
        out.bytes(text.as_bytes())?;
        next = batch.next;
        if let Some(reason) = batch.broken {
            return Err(unreadable(next, &reason));
        }
        if !batch.lines.is_empty() {
            continue;
        }
        match (&trail, args.follow) {
            (_, false) => return Ok(()),
            (Trail::Running(_), true) => std::thread::sleep(FOLLOW_EVERY),
            (Trail::Opened { .. }, true) => {
                out.remark("no cell runs here, so nothing follows");
                return Ok(());
            }
        }
    }
}

fn unreadable(record: u64, reason: &str) -> miette::Report {
    miette!(
        help = "`sealane audit verify` checks the trail from its beginning",
        "record {record} of the audit trail cannot be read: {reason}"
    )
}

/// One record in one line.
fn readable(line: &str, style: Style) -> String {
    let Ok(record) = serde_json::from_str::<Value>(line) else { return plain(line) };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let who = &record["userIdentity"];
    let who = ["arn", "principalId", "accessKeyId", "invokedBy", "type"]
        .iter()
        .find_map(|member| text(&who[member]))
        .unwrap_or_else(|| "-".to_owned());
    let resources = record["resources"].as_array().into_iter().flatten();
    let arns = resources.filter_map(|resource| resource["ARN"].as_str());
    let ids: Vec<_> = arns.map(|arn| arn.rsplit_once(":key/").map_or(arn, |(_, id)| id)).collect();
    let keys = if ids.is_empty() { "-".to_owned() } else { ids.join(",") };
    let (outcome, tone) = match (record["errorCode"].as_str(), &record["additionalEventData"]) {
        (Some(code), _) => {
            let message = record["errorMessage"].as_str().unwrap_or_default();
            (format!("{code}: {message}"), Tone::Bad)
        }
        (None, more) if more["phase"] == "Intent" => ("begun".to_owned(), Tone::Busy),
        (None, more) if more["phase"] == "Checkpoint" => ("signed".to_owned(), Tone::Good),
        (None, _) => ("done".to_owned(), Tone::Good),
    };
    let time = record["eventTime"].as_str().unwrap_or("-");
    let name = record["eventName"].as_str().unwrap_or("-");
    let outcome = paint(&plain(&outcome), tone, style);
    let (time, name, keys, who) = (plain(time), plain(name), plain(&keys), plain(&who));
    format!("{time:20}  {name:24}  {keys:36}  {who}  {outcome}")
}

pub(super) fn verify(args: AuditVerifyArgs, out: &Output) -> miette::Result<()> {
    let given = match &args.key {
        Some(path) => {
            let pem = std::fs::read_to_string(path);
            let pem = pem.into_diagnostic().wrap_err_with(|| cannot("read", path))?;
            Some(commands::public_key(&pem)?)
        }
        None => None,
    };
    let report = match &args.file {
        Some(path) => {
            let key = match given {
                Some(key) => Some(key),
                None => cell_key(&mut Trail::of(out)?)?,
            };
            verify_file(path, key.as_slice())?
        }
        None => verify_trail(&mut Trail::of(out)?, given)?,
    };
    out.show(&report)?;
    match report.fault {
        None => Ok(()),
        Some(AuditFault { record, .. }) => {
            Err(miette!("the audit trail does not hold: see record {record}"))
        }
    }
}

fn cannot(act: &str, path: &Path) -> String {
    format!("cannot {act} {}", path.display())
}

fn cell_key(trail: &mut Trail) -> miette::Result<Option<PublicKey>> {
    let facts: AuditFacts = trail.value(AdminRequest::AuditFacts)?;
    facts.key_pem.map(|pem| commands::public_key(&pem)).transpose()
}

fn verify_trail(trail: &mut Trail, given: Option<PublicKey>) -> miette::Result<AuditReport> {
    let facts: AuditFacts = trail.value(AdminRequest::AuditFacts)?;
    let key = match (given, &facts.key_pem) {
        (Some(key), _) => Some(key),
        (None, Some(pem)) => Some(commands::public_key(pem)?),
        (None, None) => None,
    };
    let (cell, contains) = (Some(facts.cell), facts.stored);
    let expected = Expected { trusted: key.as_slice(), cell, contains, ..Expected::default() };
    let mut check = Check::new(expected);
    let mut next = 0;
    loop {
        let batch = trail.read(next)?;
        for line in &batch.lines {
            if let Some(report) = check.push(line.as_bytes()) {
                return Ok(report);
            }
        }
        next = batch.next;
        if let Some(reason) = batch.broken {
            return Ok(check.unreadable(&reason));
        }
        if batch.lines.is_empty() {
            return Ok(check.finish(batch.torn));
        }
    }
}

fn verify_file(path: &Path, trusted: &[PublicKey]) -> miette::Result<AuditReport> {
    let failed = || cannot("read", path);
    let file = File::open(path).into_diagnostic().wrap_err_with(failed)?;
    let mut file = BufReader::new(file);
    let mut check: Option<Check<'_>> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        // One more than a record may have: it is then found to be none.
        let mut bounded = (&mut file).take(LINE_BYTES_MAX as u64 + 2);
        bounded.read_until(b'\n', &mut line).into_diagnostic().wrap_err_with(failed)?;
        if line.is_empty() {
            break;
        }
        let record = line.strip_suffix(b"\n").unwrap_or(&line);
        let check = check.get_or_insert_with(|| {
            // A file may hold the trail from any record on; the report says from which.
            let from = ParsedLine::parse(record).map_or_else(
                |_| TrailHead::start(),
                |first| TrailHead { sequence: first.sequence, hash: first.previous },
            );
            let from = if from.sequence == 0 { TrailHead::start() } else { from };
            Check::new(Expected { trusted, from, ..Expected::default() })
        });
        if let Some(report) = check.push(record) {
            return Ok(report);
        }
    }
    match check {
        Some(check) => Ok(check.finish(0)),
        None => Err(miette!("{} is empty", path.display())),
    }
}

/// A check under way.
struct Check<'k> {
    verifier: Option<Verifier<'k>>,
    first: u64,
    records: u64,
}

impl<'k> Check<'k> {
    fn new(expected: Expected<'k>) -> Self {
        let first = expected.from.sequence;
        Self { verifier: Some(Verifier::new(expected)), first, records: 0 }
    }

    /// The report, if it has come to its end.
    fn push(&mut self, line: &[u8]) -> Option<AuditReport> {
        let pushed = self.verifier.as_mut()?.push(line);
        self.records += 1;
        pushed.err().map(|broken| self.broken(broken.sequence, broken.what.to_string()))
    }

    /// The line after the last cannot even be read. What came before may have a fault of its own.
    fn unreadable(&mut self, reason: &str) -> AuditReport {
        let finished = self.verifier.take().map(Verifier::finish);
        let next = self.first + self.records;
        match finished {
            Some(Err(broken)) if broken.sequence < next => {
                self.broken(broken.sequence, broken.what.to_string())
            }
            _ => self.broken(next, reason.to_owned()),
        }
    }

    fn finish(mut self, torn: u64) -> AuditReport {
        match self.verifier.take().map(Verifier::finish) {
            Some(Err(broken)) => self.broken(broken.sequence, broken.what.to_string()),
            None => self.broken(self.first + self.records, "it was not checked".to_owned()),
            Some(Ok(verified)) => {
                let signed_below = verified.vouched.map(|head| head.sequence);
                AuditReport {
                    ok: true,
                    first: self.first,
                    records: self.records,
                    checkpoints: verified.checkpoints,
                    unsigned: verified.head.sequence - signed_below.unwrap_or(self.first),
                    signed_below,
                    torn,
                    fault: None,
                }
            }
        }
    }

    fn broken(&self, record: u64, fault: String) -> AuditReport {
        let records = record.saturating_sub(self.first);
        let fault = Some(AuditFault { record, fault });
        AuditReport { first: self.first, records, fault, ..AuditReport::default() }
    }
}

pub(super) fn export(args: AuditExportArgs, out: &Output) -> miette::Result<()> {
    let mut trail = Trail::of(out)?;
    let from = match args.since {
        None => 0,
        Some(Since::Record(record)) => record,
        Some(Since::UnixMillis(unix_millis)) => {
            trail.value(AdminRequest::AuditFind { unix_millis })?
        }
    };
    let Some(path) = &args.to else {
        return export_lines(&mut trail, from, &mut |text| out.bytes(text)).map(drop);
    };
    // An export is evidence, so it takes the place of no other file.
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let file = file.into_diagnostic().wrap_err_with(|| cannot("make", path))?;
    let mut to = BufWriter::new(file);
    let failed = || cannot("write", path);
    let written = export_lines(&mut trail, from, &mut |text| {
        to.write_all(text).into_diagnostic().wrap_err_with(failed)
    });
    let written = written.and_then(|records| {
        to.flush()
            .and_then(|()| to.get_ref().sync_all())
            .into_diagnostic()
            .wrap_err_with(failed)?;
        Ok(records)
    });
    let records = written.inspect_err(|_| {
        // Half an export would pass for a whole one.
        let _ = std::fs::remove_file(path);
    })?;
    match out.format {
        Format::Json => out.json(&serde_json::json!({ "first": from, "records": records })),
        Format::Text | Format::Env => {
            out.line(&format!("{records} records, from record {from} on, in {}", path.display()))
        }
    }
}

/// Gives all lines from `from` on to `write`, and says how many there were. What is recorded while
/// it reads is given too, but nobody waits for more.
fn export_lines(
    trail: &mut Trail,
    from: u64,
    write: &mut dyn FnMut(&[u8]) -> miette::Result<()>,
) -> miette::Result<u64> {
    let end: u64 = trail.value(AdminRequest::AuditEnd)?;
    let mut next = from;
    while next < end {
        let batch = trail.read(next)?;
        let mut text = Vec::new();
        for line in &batch.lines {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        write(&text)?;
        next = batch.next;
        match batch.broken {
            Some(reason) => return Err(unreadable(next, &reason)),
            None if batch.lines.is_empty() => break,
            None => {}
        }
    }
    Ok(next - from)
}

pub(super) fn key(out: &Output) -> miette::Result<()> {
    let facts: AuditFacts = Trail::of(out)?.value(AdminRequest::AuditFacts)?;
    let pem = facts.key_pem.ok_or_else(|| miette!("the cell has signed no checkpoint yet"))?;
    match out.format {
        Format::Json => out.json(&serde_json::json!({ "key": pem })),
        Format::Text | Format::Env => out.bytes(pem.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_is_in_it() {
        let check = |record: &str, expected: &str| {
            let line = readable(record, Style::Plain);
            assert_eq!(line.split_whitespace().collect::<Vec<_>>().join(" "), expected);
            assert!(!line.contains(char::is_control));
        };
        check(
            r#"{"eventTime":"2027-01-15T08:00:00Z","eventName":"Decrypt","userIdentity":{"arn":"arn:aws:iam::1:user/me"},"resources":[{"ARN":"arn:aws:kms:r:1:key/k1"},{"ARN":"arn:aws:kms:r:1:key/k2"}],"additionalEventData":{"phase":"Call"}}"#,
            "2027-01-15T08:00:00Z Decrypt k1,k2 arn:aws:iam::1:user/me done",
        );
        check(
            r#"{"eventTime":"t","eventName":"Encrypt","userIdentity":{"type":"Unknown","principalId":"a\u001b[31m\nb"},"errorCode":"AccessDeniedException","errorMessage":"no\nway"}"#,
            "t Encrypt - a\u{fffd}[31m\u{fffd}b AccessDeniedException: no\u{fffd}way",
        );
        check("{}", "- - - - done");
        check("no json", "no json");
    }
}
