//! What each command does.

use std::path::Path;
use std::time::{Duration, Instant};

use keys::share::Share;
use miette::{IntoDiagnostic as _, WrapErr as _, miette};

use super::args::{
    CaBundleArgs, DownArgs, KeyArgs, KeyCreateArgs, KeyListArgs, LogsArgs, PolicyExplainArgs,
    ReportVerifyArgs, StatusArgs, SvidListArgs, TenantCreateArgs, TenantListArgs, UpArgs,
    VolumeCheckArgs, VolumeListArgs,
};
use super::cell::{self, CellAccess, Taken};
use super::init::{InitPlan, SealPlan};
use super::model::{
    CheckReport, Explanation, KeyInfo, ServiceStatus, Status, SvidInfo, TenantInfo, VolumeInfo,
};
use super::pages::Pages;
use super::{Output, names, shares};
use crate::cell_dir::{self, CellDir, InitOptions, SealOption};
use crate::control::{Control, SignedReport, verify_report};
use crate::ipc::messages::{AdminRequest, CheckFact, KEYS_PAGE_MAX, KeyPage};
use crate::{service_logs, volume_check};

/// How long `down` waits for the cell to be gone.
const DOWN_MAX: Duration = Duration::from_secs(90);
/// How long `volume check` waits for a running volume to look at every block.
const CHECK_MAX: Duration = Duration::from_secs(60 * 60);
const POLL_EVERY: Duration = Duration::from_millis(100);

pub fn init(plan: InitPlan, out: &Output) -> miette::Result<()> {
    let absolute = |path: &Path| std::path::absolute(path).into_diagnostic();
    let dir = CellDir::at(absolute(&plan.dir)?);
    let in_dir = dir.root_key();
    let about = [("name", serde_json::json!(plan.name)), ("dir", serde_json::json!(dir.base()))];
    let hand_out = |cell: crypto::Id, shares: &[Share]| shares::hand_out(out, cell, shares, &about);
    let seal = match &plan.seal {
        SealPlan::KeyFile { path } => {
            let path = absolute(path)?;
            SealOption::KeyFile((path != in_dir).then_some(path))
        }
        SealPlan::Passphrase(passphrase) => {
            SealOption::Passphrase { passphrase, cost: crypto::passphrase::Cost::DEFAULT }
        }
        SealPlan::Shares(policy) => SealOption::Shares { policy: *policy, hand_out: &hand_out },
    };
    let options = InitOptions {
        name: plan.name.as_deref(),
        trust_domain: plan.trust_domain.as_deref(),
        account: plan.account.as_deref(),
        region: plan.region.as_deref(),
        seal,
        anchor: plan.anchor.as_deref().map(absolute).transpose()?,
    };
    let made = cell_dir::init(&dir, &options)?;
    let id = made.kms.cell().id;
    Control::open(made.kms, &dir, Vec::new()).map_err(cell::refused)?;
    for weakness in cell_dir::weaknesses_here(&dir)? {
        out.remark(&format!("warning: {weakness}"));
    }
    match out.format {
        // Said with the shares.
        super::args::Format::Json if matches!(plan.seal, SealPlan::Shares(_)) => Ok(()),
        super::args::Format::Json => out.json(&serde_json::json!({
            "cell": id.to_string(),
            "name": plan.name,
            "dir": dir.base(),
        })),
        super::args::Format::Text | super::args::Format::Env => {
            let name =
                plan.name.as_ref().map_or_else(|| "a cell".into(), |n| format!("the cell {n}"));
            let made = format!("made {name} in {}", dir.base().display());
            match plan.seal {
                // Whoever keeps the answer keeps the shares and nothing else.
                SealPlan::Shares(_) => out.remark(&made),
                SealPlan::KeyFile { .. } | SealPlan::Passphrase(_) => out.line(&made)?,
            }
            Ok(())
        }
    }
}

pub fn up(args: UpArgs, out: &Output) -> miette::Result<()> {
    crate::log::init("up");
    crate::up::run(&args.cell, out)
}

pub fn down(_args: DownArgs, out: &Output) -> miette::Result<()> {
    let dir = CellDir::at(std::path::absolute(&out.dir).into_diagnostic()?);
    // No secret is needed for this, so none is asked for.
    let taken = match cell::take(&dir)? {
        Taken::Running { runtime, client } => {
            CellAccess::Running { runtime, client }.ask(AdminRequest::Down)?;
            gone(&dir)?
        }
        Taken::Free(lock) => {
            out.remark("no cell runs here");
            lock
        }
    };
    for line in crate::up::clean(&dir)? {
        out.remark(&format!("left by an earlier run: {line}"));
    }
    drop(taken);
    match out.format {
        super::args::Format::Json => out.json(&serde_json::json!({ "running": false })),
        super::args::Format::Text | super::args::Format::Env => Ok(()),
    }
}

/// Waits until the cell has let go of DIR.
fn gone(dir: &CellDir) -> miette::Result<cell_dir::DirLock> {
    let deadline = Instant::now() + DOWN_MAX;
    loop {
        match cell_dir::lock(dir) {
            Ok(lock) => return Ok(lock),
            Err(cell_dir::CellDirError::AlreadyRunning { .. }) if Instant::now() < deadline => {
                std::thread::sleep(POLL_EVERY);
            }
            Err(cell_dir::CellDirError::AlreadyRunning { pid, .. }) => {
                return Err(miette!(
                    help = format!("`kill -9 {pid}` ends it at once; its disks stay whole"),
                    "the cell was asked to stop and did not within {DOWN_MAX:?}"
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

pub fn status(_args: StatusArgs, out: &Output) -> miette::Result<()> {
    let mut cell = CellAccess::of(out)?;
    let status: Status = cell.value(AdminRequest::Status)?;
    if !cell.is_running() {
        out.remark("no cell runs here; this is what it holds");
    }
    out.show(&status)
}

pub fn tenant_create(args: TenantCreateArgs, out: &Output) -> miette::Result<()> {
    let request = AdminRequest::TenantCreate { name: args.name };
    out.show(&CellAccess::of(out)?.value::<TenantInfo>(request)?)
}

pub fn tenant_list(_args: TenantListArgs, out: &Output) -> miette::Result<()> {
    out.show(&CellAccess::of(out)?.value::<Vec<TenantInfo>>(AdminRequest::TenantList)?)
}

pub fn key_list(args: KeyListArgs, out: &Output) -> miette::Result<()> {
    let mut cell = CellAccess::of(out)?;
    let mut pages = Pages::new(out);
    let (mut start, mut left) = (None, args.limit.unwrap_or(u64::MAX));
    loop {
        let (tenant, user) = (args.tenant.clone(), args.user.clone());
        let request = AdminRequest::KeyList { tenant, user, start, limit: KEYS_PAGE_MAX };
        let mut page: KeyPage = cell.value(request)?;
        page.keys.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        pages.show(&page.keys)?;
        left -= page.keys.len() as u64;
        start = page.next;
        if start.is_none() || left == 0 {
            return pages.end();
        }
    }
}

pub fn key_create(args: KeyCreateArgs, out: &Output) -> miette::Result<()> {
    key(out, AdminRequest::KeyCreate { tenant: args.tenant, user: args.user })
}

pub fn key_disable(args: KeyArgs, out: &Output) -> miette::Result<()> {
    key(out, AdminRequest::KeyDisable { key: args.key })
}

pub fn key_enable(args: KeyArgs, out: &Output) -> miette::Result<()> {
    key(out, AdminRequest::KeyEnable { key: args.key })
}

pub fn key_rotate(args: KeyArgs, out: &Output) -> miette::Result<()> {
    key(out, AdminRequest::KeyRotate { key: args.key })
}

fn key(out: &Output, request: AdminRequest) -> miette::Result<()> {
    out.show(&CellAccess::of(out)?.value::<KeyInfo>(request)?)
}

pub fn volume_list(_args: VolumeListArgs, out: &Output) -> miette::Result<()> {
    out.show(&CellAccess::of(out)?.value::<Vec<VolumeInfo>>(AdminRequest::VolumeList)?)
}

pub fn volume_check(args: VolumeCheckArgs, out: &Output) -> miette::Result<()> {
    let mut cell = CellAccess::of(out)?;
    let volumes: Vec<VolumeInfo> = cell.value(AdminRequest::VolumeList)?;
    let info = names::resolve("volume", &args.volume, &volumes, |v| (&v.tenant, &v.name))?;
    let report = match &mut cell {
        CellAccess::Opened { control, .. } => {
            let dir = CellDir::at(std::path::absolute(&out.dir).into_diagnostic()?);
            let grant = control.grant_for_check(&info.tenant, &info.name);
            let grant = grant.map_err(cell::refused)?;
            volume_check::run(dir.base(), grant, |anchor| {
                let advanced = control.advance_anchor(&info.tenant, &info.name, anchor);
                advanced.map(drop).map_err(cell::refused)
            })?
        }
        CellAccess::Running { .. } => check_running(&mut cell, info)?,
    };
    let ok = report.bad.is_empty();
    out.show(&CheckReport {
        volume: info.name.clone(),
        tenant: info.tenant.clone(),
        ok,
        blocks: report.blocks,
        bytes: report.blocks * crate::config::VOLUME_BLOCK_BYTES,
        faults: report.bad,
    })?;
    if ok { Ok(()) } else { Err(miette!("volume {}/{} is damaged", info.tenant, info.name)) }
}

/// Has the volume's own process look, since nobody else may open its segments now.
fn check_running(cell: &mut CellAccess, info: &VolumeInfo) -> miette::Result<CheckFact> {
    if info.state != super::model::VolumeState::Attached {
        return Err(miette!(
            help = "`sealane status` says why",
            "volume {}/{} is not attached",
            info.tenant,
            info.name
        ));
    }
    let (tenant, volume) = (info.tenant.clone(), info.name.clone());
    let check = AdminRequest::VolumeCheck { tenant: tenant.clone(), volume: volume.clone() };
    let before: Option<CheckFact> = cell.value(check)?;
    let deadline = Instant::now() + CHECK_MAX;
    loop {
        let last = AdminRequest::LastCheck { tenant: tenant.clone(), volume: volume.clone() };
        let now: Option<CheckFact> = cell.value(last)?;
        match now {
            Some(now) if before.as_ref().is_none_or(|before| before.number < now.number) => {
                return Ok(now);
            }
            _ if Instant::now() >= deadline => {
                return Err(miette!("the check did not end within {CHECK_MAX:?}"));
            }
            _ => std::thread::sleep(POLL_EVERY),
        }
    }
}

pub fn svid_list(_args: SvidListArgs, out: &Output) -> miette::Result<()> {
    out.show(&CellAccess::of(out)?.value::<Vec<SvidInfo>>(AdminRequest::SvidList)?)
}

pub fn policy_explain(args: PolicyExplainArgs, out: &Output) -> miette::Result<()> {
    let request = AdminRequest::PolicyExplain { from: args.from, to: args.to };
    out.show(&CellAccess::of(out)?.value::<Explanation>(request)?)
}

pub fn report(out: &Output) -> miette::Result<()> {
    let mut cell = CellAccess::of(out)?;
    if !cell.is_running() {
        return Err(miette!(
            help = "`sealane up CELL.toml` starts it",
            "a report is of a running cell, and none runs in {}",
            out.dir.display()
        ));
    }
    let signed: SignedReport = cell.value(AdminRequest::Report)?;
    match out.format {
        super::args::Format::Json => out.json(&signed),
        super::args::Format::Text | super::args::Format::Env => {
            let pem: String = cell.value(AdminRequest::ReportKey)?;
            let document = serde_json::to_string(&signed).into_diagnostic()?;
            out.show(&verify_report(&document, &public_key(&pem)?)?)
        }
    }
}

pub fn report_key(out: &Output) -> miette::Result<()> {
    let pem: String = CellAccess::of(out)?.value(AdminRequest::ReportKey)?;
    match out.format {
        super::args::Format::Json => out.json(&serde_json::json!({ "key": pem })),
        super::args::Format::Text | super::args::Format::Env => out.bytes(pem.as_bytes()),
    }
}

pub fn report_verify(args: ReportVerifyArgs, out: &Output) -> miette::Result<()> {
    let document = std::fs::read_to_string(&args.file)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read {}", args.file.display()))?;
    let pem = match &args.key {
        Some(path) => std::fs::read_to_string(path)
            .into_diagnostic()
            .wrap_err_with(|| format!("cannot read {}", path.display()))?,
        None => CellAccess::of(out)?.value(AdminRequest::ReportKey)?,
    };
    let report = verify_report(&document, &public_key(&pem)?)?;
    out.remark("the signature is good: this cell signed this report");
    out.show(&report)
}

pub(super) fn public_key(pem: &str) -> miette::Result<crypto::PublicKey> {
    use base64::Engine as _;
    // A certificate holds a key too, and is not one.
    if !pem.contains("-----BEGIN PUBLIC KEY-----") {
        return Err(miette!(
            help = "`sealane report key` prints the key of the cell's reports, `sealane audit key` \
                that of its audit trail",
            "this is no public key in PEM"
        ));
    }
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body.trim());
    let der = der.map_err(|_| miette!("this is no public key in PEM"))?;
    Ok(crypto::PublicKey(der))
}

pub fn ca_bundle(_args: CaBundleArgs, out: &Output) -> miette::Result<()> {
    let pem: String = CellAccess::of(out)?.value(AdminRequest::CaBundle)?;
    match out.format {
        super::args::Format::Json => out.json(&serde_json::json!({ "bundle": pem })),
        super::args::Format::Text | super::args::Format::Env => out.bytes(pem.as_bytes()),
    }
}

pub fn logs(args: LogsArgs, out: &Output) -> miette::Result<()> {
    let mut cell = CellAccess::of(out)?;
    let dir = CellDir::at(std::path::absolute(&out.dir).into_diagnostic()?);
    let known: Vec<(String, String)> = if cell.is_running() {
        let status: Status = cell.value(AdminRequest::Status)?;
        let name = |s: ServiceStatus| (s.tenant, s.name);
        status.services.into_iter().map(name).collect()
    } else {
        service_logs::known(&dir)
    };
    let (tenant, service) = names::resolve("service", &args.service, &known, |(t, s)| (t, s))?;
    service_logs::show(&mut cell, &dir, tenant, service, &args, out)
}
