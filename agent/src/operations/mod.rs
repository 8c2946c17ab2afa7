//! Operations that change the host. Each plans from fresh facts and executes its plan without further decisions.

pub(crate) mod fsck;
pub(crate) mod install;
mod mend;
mod recovery;
pub(crate) mod reset;
pub(crate) mod slot_switch;
pub(crate) mod upgrade;
pub(crate) mod verify;
mod write_image;

use edge_model::api::OperationRequest;
use edge_model::{Error, Result};

use crate::configuration::{Settings, good};
use crate::content;
use crate::facts::Host;
use crate::report::Report;

/// The reason of a recovery that nothing has gone wrong for.
pub(crate) const ASKED_FOR_RECOVERY: &str = "an operator asked for recovery";

/// What is to happen to the machine when an operation is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterwards {
    Stay,
    Restart,
    SwitchOff,
}

/// How an operation ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) message: String,
    pub(crate) afterwards: Afterwards,
}

impl Outcome {
    pub(crate) fn stay(message: impl Into<String>) -> Self {
        Self { message: message.into(), afterwards: Afterwards::Stay }
    }

    fn restart(message: impl Into<String>) -> Self {
        Self { message: message.into(), afterwards: Afterwards::Restart }
    }
}

/// Runs one operation to its end.
///
/// # Errors
/// Why it was refused or failed. The host then boots what it booted before.
pub(crate) fn run(
    request: &OperationRequest,
    host: &Host,
    settings: &Settings,
    report: &mut dyn Report,
) -> Result<Outcome> {
    match request {
        OperationRequest::Install(request) => install::run(host, request, report),
        OperationRequest::Upgrade(request) => upgrade::run(host, settings, request, report),
        OperationRequest::Rollback => slot_switch::rollback(host),
        OperationRequest::Commit => slot_switch::commit_now(host),
        OperationRequest::Verify => verify::run(host, report),
        OperationRequest::Reboot { recovery } => slot_switch::reboot(host, *recovery),
        OperationRequest::PowerOff => {
            Ok(Outcome { message: "switching off".into(), afterwards: Afterwards::SwitchOff })
        }
        OperationRequest::RefreshRecovery => recovery::refresh(host, report),
        OperationRequest::Fsck { repair } => fsck::run(host, *repair, report),
        OperationRequest::Reset { oem } => reset::ask(host, *oem, report),
        OperationRequest::RestoreConfiguration { without_site } => restore_configuration(host, *without_site),
        OperationRequest::ImportContent(request) => content::bring(host, settings, request, report),
        OperationRequest::VerifyContent => content::verify(host, report),
        OperationRequest::Configure(_) | OperationRequest::SupportBundle { .. } => {
            Err(Error::internal("this operation needs the daemon"))
        }
    }
}

/// The next boot uses it from its beginning; nothing of the present one is taken apart while it runs.
fn restore_configuration(host: &Host, without_site: bool) -> Result<Outcome> {
    if without_site {
        good::forget_site(&host.machine)?;
        return Ok(Outcome::restart(
            "what the site has brought is forgotten; the next boot looks for it again",
        ));
    }
    good::restore(&host.machine)?;
    Ok(Outcome::restart("the configuration of the last healthy boot is back; the host restarts with it"))
}

#[cfg(test)]
mod tests;
