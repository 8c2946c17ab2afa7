//! The live system: installs without a question when the medium says so.

use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use edge_host::{console, files, power};
use edge_model::api::{InstallRequest, OperationRequest, OperationState};
use edge_model::unattended::{AfterInstall, InstallAnswers, Interactive, Unattended};
use edge_model::{Error, Result, error, paths};

use super::Shared;

const POLL: Duration = Duration::from_millis(250);

/// Acts on the unattended file of the medium.
pub(super) fn watch(shared: &Arc<Shared>) {
    if let Err(error) = install(shared) {
        console::say(&format!(
            "edge: the installation failed.\r\n{}",
            error::render(&error).replace('\n', "\r\n")
        ));
        shared.notice(format!("the installation failed: {error}"));
    }
}

fn install(shared: &Arc<Shared>) -> Result<()> {
    let path = Path::new(paths::MEDIUM_MOUNT).join(paths::MEDIUM_UNATTENDED);
    let text = files::read_text_if_there(&path)?.unwrap_or_default();
    let answers = Unattended::parse(paths::MEDIUM_UNATTENDED, &text)?;
    let Some(install) = answers.install else {
        if answers.interactive == Interactive::Never {
            return Err(Error::invalid("unattended.yaml says interactive: never and has no section install"));
        }
        console::say(
            "edge: installer ready. unattended.yaml on the medium has no section install; nothing was changed.",
        );
        shared.notice("waiting: unattended.yaml on the medium has no section install".into());
        return Ok(());
    };
    console::say("edge: installing...");
    let message = run(shared, &install)?;
    console::say(&format!("edge: {message}"));
    // The disk that this medium has installed before is booted, whatever a new installation would end with.
    if shared.is_restarting() { Ok(()) } else { finish(install.after) }
}

fn run(shared: &Arc<Shared>, install: &InstallAnswers) -> Result<String> {
    let request = InstallRequest {
        disk: install.disk.clone(),
        wipe: install.wipe,
        slot_size_mib: install.slot_size_mib,
    };
    shared.start(OperationRequest::Install(request))?;
    loop {
        match shared.operation().map(|operation| operation.state) {
            Some(OperationState::Done { message }) => return Ok(message),
            Some(OperationState::Failed { error }) => return Err(error),
            Some(OperationState::Running) | None => sleep(POLL),
        }
    }
}

fn finish(after: AfterInstall) -> Result<()> {
    match after {
        AfterInstall::Reboot => {
            console::say("edge: restarting.");
            power::restart()
        }
        AfterInstall::PowerOff => {
            console::say("edge: switching off.");
            power::switch_off()
        }
        AfterInstall::Nothing => Ok(()),
    }
}
