//! `sealane tenant erase`, `sealane user erase` and what was erased.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use miette::{IntoDiagnostic as _, miette};

use super::args_erase::{TenantEraseArgs, UserEraseArgs, UserListArgs};
use super::cell::CellAccess;
use super::model::ErasureInfo;
use super::pages::Pages;
use super::{Output, UsageError};
use crate::cell_dir::CellDir;
use crate::ipc::messages::{AdminRequest, UserPage};
use crate::service_logs;

/// More than any name has.
const ANSWER_BYTES_MAX: u64 = 1024;

pub(super) fn tenant(args: TenantEraseArgs, out: &Output) -> miette::Result<()> {
    confirm("tenant", &args.name, args.yes, out)?;
    let dir = CellDir::at(std::path::absolute(&out.dir).into_diagnostic()?);
    let mut cell = CellAccess::of(out)?;
    let request = cell.agreed(AdminRequest::TenantErase { name: args.name }, out)?;
    let erased: ErasureInfo = cell.value(request)?;
    // A supervisor does the same when it hears of the erasure, but does not say when it is done.
    if let Err(error) = service_logs::remove_of(&dir, &erased.tenant) {
        out.remark(&format!(
            "warning: the logs of the tenant's services could not all be removed ({error}); \
             erasing again, or opening the cell, tries again",
        ));
    }
    show(&erased, out)
}

pub(super) fn user(args: UserEraseArgs, out: &Output) -> miette::Result<()> {
    let (tenant, user) = (args.user.tenant, args.user.name);
    confirm("user", &format!("{tenant}/{user}"), args.yes, out)?;
    let request = AdminRequest::UserErase { tenant, user };
    let mut cell = CellAccess::of(out)?;
    let request = cell.agreed(request, out)?;
    show(&cell.value(request)?, out)
}

/// Nothing brings back what is erased, so the name is to be typed by somebody who means it.
fn confirm(what: &str, name: &str, yes: bool, out: &Output) -> miette::Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(UsageError {
            message: format!("{what} {name} was not erased: nobody is here to confirm it"),
            help: "give --yes, or run the command on a terminal".into(),
        }
        .into());
    }
    out.remark(&format!(
        "All KMS keys of {what} {name} are destroyed, and nothing brings back what they protect."
    ));
    let mut terminal = io::stderr();
    write!(terminal, "Type {name} to erase it: ")
        .and_then(|()| terminal.flush())
        .into_diagnostic()?;
    let mut answer = String::new();
    io::stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut answer).into_diagnostic()?;
    if answer.trim() == name { Ok(()) } else { Err(miette!("{what} {name} was not erased")) }
}

fn show(erased: &ErasureInfo, out: &Output) -> miette::Result<()> {
    if erased.store_rewritten.is_none() {
        out.remark(
            "warning: the keys can no longer be used, but the store's file could not be written \
             anew and may hold remains of them; make room, then erase again",
        );
    }
    out.show(erased)
}

pub(super) fn list(out: &Output) -> miette::Result<()> {
    out.show(&CellAccess::of(out)?.value::<Vec<ErasureInfo>>(AdminRequest::Erasures)?)
}

pub(super) fn users(args: UserListArgs, out: &Output) -> miette::Result<()> {
    let mut cell = CellAccess::of(out)?;
    let mut pages = Pages::new(out);
    let mut start = None;
    loop {
        let request = AdminRequest::UserList { tenant: args.tenant.clone(), start };
        let page: UserPage = cell.value(request)?;
        pages.show(&page.users)?;
        start = page.next;
        if start.is_none() {
            return pages.end();
        }
    }
}
