//! What each command does.

use std::path::Path;

use miette::miette;

use super::{
    Output,
    args::{
        CaBundleArgs, ChildArgs, DownArgs, KeyArgs, KeyCreateArgs, KeyListArgs, LaunchArgs,
        LogsArgs, PolicyExplainArgs, ReportVerifyArgs, StatusArgs, SvidListArgs, TenantCreateArgs,
        TenantListArgs, UpArgs, VolumeCheckArgs, VolumeListArgs,
    },
    init::InitPlan,
};
use crate::config::Cell;

fn no_cell(dir: &Path) -> miette::Report {
    miette!(help = "make one by `sealane init` or `sealane up`", "no cell in `{}`", dir.display())
}

pub fn init(plan: InitPlan, _out: &Output) -> miette::Result<()> {
    Err(miette!("cannot make a cell in `{}` yet", plan.dir.display()))
}

pub fn up(args: UpArgs, out: &Output) -> miette::Result<()> {
    let cell = Cell::load(&args.cell)?;
    for instance in cell.instances() {
        out.remark(&format!("would start {}", instance.id));
    }
    Err(no_cell(&out.dir))
}

pub fn down(_args: DownArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn status(_args: StatusArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn tenant_create(_args: TenantCreateArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn tenant_list(_args: TenantListArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn key_list(_args: KeyListArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn key_create(_args: KeyCreateArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn key_disable(_args: KeyArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn key_enable(_args: KeyArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn key_rotate(_args: KeyArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn volume_list(_args: VolumeListArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn volume_check(_args: VolumeCheckArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn svid_list(_args: SvidListArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn policy_explain(_args: PolicyExplainArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn report(out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn report_verify(_args: ReportVerifyArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn ca_bundle(_args: CaBundleArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn logs(_args: LogsArgs, out: &Output) -> miette::Result<()> {
    Err(no_cell(&out.dir))
}

pub fn launch(args: LaunchArgs, _out: &Output) -> miette::Result<()> {
    Err(miette!("descriptor {} is no supervisor's", args.fd))
}

pub fn child(args: ChildArgs, _out: &Output) -> miette::Result<()> {
    Err(miette!("descriptor {} is no supervisor's", args.fd))
}
