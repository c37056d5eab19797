//! `sealane dual-control`: what takes more than one person.

use super::Output;
use super::cell::{self, CellAccess};
use super::model::DualControlInfo;
use crate::ipc::messages::AdminRequest;

pub(super) fn status(out: &Output) -> miette::Result<()> {
    out.show(&CellAccess::of(out)?.value::<DualControlInfo>(AdminRequest::DualControl)?)
}

pub(super) fn switch(on: bool, out: &Output) -> miette::Result<()> {
    let mut cell = CellAccess::of(out)?;
    let mut request = AdminRequest::DualControlSwitch { on };
    // Who opened the cell by shares has shown them.
    if cell.is_running() {
        request = cell::with_shares(request, out)?;
    }
    out.show(&cell.value::<DualControlInfo>(request)?)
}
