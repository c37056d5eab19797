//! What takes more than one operator, where the cell is under dual control.

use keys::authorize::Principal;
use keys::dual_control::Quorum;
use keys::share::Share;

use super::admin::json;
use super::{Control, failed, not_yours};
use crate::cell_dir::{self, Secret};
use crate::cli::model::DualControlInfo;
use crate::ipc::SecretBytes;
use crate::ipc::messages::{AdminRequest, Refusal, Reply};
use crate::kms::DualControl;
use crate::time_text;

impl Control {
    pub(super) fn handle_operator(&mut self, request: AdminRequest) -> Result<Reply, Refusal> {
        match request {
            AdminRequest::Agreed { shares, request } => {
                let quorum = self.prove(shares)?;
                self.handle_admin(*request, quorum.as_ref())
            }
            request => {
                let quorum = self.opened_by.clone();
                self.handle_admin(request, quorum.as_ref())
            }
        }
    }

    pub(super) fn handle_dual_control(
        &mut self,
        request: &AdminRequest,
        quorum: Option<&Quorum>,
    ) -> Result<Reply, Refusal> {
        let setting = match request {
            AdminRequest::DualControl => self.kms.dual_control()?,
            AdminRequest::DualControlSwitch { on } => {
                self.kms.switch_dual_control(&Principal::Admin, *on, quorum)?
            }
            _ => return Err(not_yours("shares go with one request")),
        };
        json(&info(setting))
    }

    fn prove(&self, lines: Vec<SecretBytes>) -> Result<Option<Quorum>, Refusal> {
        let mut shares = Vec::new();
        for line in lines {
            let line = line.release();
            let line = std::str::from_utf8(&line).map_err(|error| failed(&error))?;
            shares.push(Share::parse(line).map_err(|error| failed(&error))?);
        }
        let proven = cell_dir::quorum(&self.dir, &Secret::Shares(shares));
        proven.map_err(|error| Refusal::Failed {
            message: error.to_string(),
            help: miette::Diagnostic::help(&error).map(|help| help.to_string()),
        })
    }
}

fn info(setting: Option<DualControl>) -> DualControlInfo {
    DualControlInfo {
        on: setting.is_some(),
        since: setting.as_ref().map(|setting| time_text::rfc3339(setting.since.0)),
        shares: setting.map_or_else(Vec::new, |setting| setting.shares),
    }
}
