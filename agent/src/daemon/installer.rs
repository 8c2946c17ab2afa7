//! The live system: installs without a question when the medium says so.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use edge_host::machine::Machine;
use edge_host::{console, power};
use edge_model::api::{Actor, InstallRequest, OperationRequest, OperationState, OperationStatus};
use edge_model::unattended::{AfterInstall, Interactive, WipePolicy};
use edge_model::user_data::UserData;
use edge_model::{Error, Result, error};

use super::Shared;
use super::notices::Said;
use crate::configuration::{self, Settings, console_answers, remote};

const POLL: Duration = Duration::from_millis(250);

/// Acts on the unattended file of the medium.
pub(super) fn watch(shared: &Arc<Shared>) {
    if let Err(error) = install(shared) {
        console::say(&format!(
            "edge: the installation failed.\r\n{}",
            error::render(&error).replace('\n', "\r\n")
        ));
        shared.notice(Said::failed("the installation failed", &error));
    }
}

fn install(shared: &Arc<Shared>) -> Result<()> {
    remote::fetch_all(&configuration::of_medium().0)?;
    let (mut sources, problems) = configuration::of_medium();
    // What is being typed at the console installs nothing before the last question is answered there.
    sources.retain(|source| !source.name.starts_with(console_answers::LABEL));
    let settings = Settings::from(&sources, problems);
    let edge = settings.edge();
    let interactive = edge.interactive.unwrap_or_default();
    let has_answers = settings.configuration.tree.find("edge.install").is_some();
    // A source that cannot be read may be the one that forbids an installation.
    settings.must_be_right()?;
    if !has_answers && !settings.data.install.auto {
        if interactive == Interactive::Never {
            return Err(Error::invalid("interactive is never, and `install` is missing: nobody said that this machine may be installed")
                .help("add a section `install` to unattended.yaml, or `install: {auto: true}` to user data"));
        }
        console::say(
            "edge: installer ready. Nothing says that this machine is to be installed; nothing was changed.",
        );
        // Somebody is asked at the console, and sees that nothing runs.
        return Ok(());
    }
    let status = shared.start(OperationRequest::Install(request(&settings)), Actor::host("the medium"))?;
    follow(shared, status.id, after(&settings.data, has_answers))
}

/// Installs by the answers that were given at the console. What follows the installation is done when it has ended.
///
/// # Errors
/// When the answers are wrong, or an installation runs already.
pub(crate) fn begin(shared: &Arc<Shared>, by: Actor) -> Result<OperationStatus> {
    shared.reload_settings();
    let settings = shared.settings();
    settings.must_be_right()?;
    let status = shared.start(OperationRequest::Install(request(&settings)), by)?;
    let (shared, id) = (shared.clone(), status.id);
    // A person is there, and reads the result before the machine goes.
    let after = settings.edge().install.after.unwrap_or(AfterInstall::Nothing);
    std::thread::spawn(move || {
        if let Err(error) = follow(&shared, id, after) {
            console::say(&format!("edge: the installation failed: {error}"));
        }
    });
    Ok(status)
}

fn follow(shared: &Arc<Shared>, id: u64, after: AfterInstall) -> Result<()> {
    console::say("edge: installing...");
    let message = wait_for(shared, id)?;
    console::say(&format!("edge: {message}"));
    // The disk that this medium has installed before is booted, whatever a new installation would end with.
    if shared.operations.leads_to_restart() { Ok(()) } else { finish(&shared.host.machine, after) }
}

/// What the answers and Kairos' section `install` ask for; the answers come first.
pub(crate) fn request(settings: &Settings) -> InstallRequest {
    let (answers, kairos) = (&settings.edge().install, &settings.data.install);
    let mut disk = answers.disk.clone();
    disk.path = disk.path.or_else(|| kairos.device.clone());
    let wipe =
        if kairos.force && answers.wipe == WipePolicy::Never { WipePolicy::Everything } else { answers.wipe };
    InstallRequest {
        disk,
        wipe,
        slot_size_mib: answers.slot_size_mib,
        extra_partitions: kairos.extra_partitions.clone(),
    }
}

fn after(data: &UserData, has_answers: bool) -> AfterInstall {
    data.edge.install.after.unwrap_or(match (data.install.poweroff, data.install.reboot) {
        (true, _) => AfterInstall::PowerOff,
        (false, true) => AfterInstall::Reboot,
        (false, false) if has_answers => AfterInstall::Reboot,
        (false, false) => AfterInstall::Nothing,
    })
}

fn wait_for(shared: &Arc<Shared>, id: u64) -> Result<String> {
    loop {
        match shared.operations.find(id)?.state {
            OperationState::Done { message } => return Ok(message),
            OperationState::Failed { error } => return Err(error),
            OperationState::Running => sleep(POLL),
        }
    }
}

fn finish(machine: &Machine, after: AfterInstall) -> Result<()> {
    match after {
        AfterInstall::Reboot => {
            console::say("edge: restarting.");
            power::restart_without_stopping_units(machine)
        }
        AfterInstall::PowerOff => {
            console::say("edge: switching off.");
            power::switch_off(machine)
        }
        AfterInstall::Nothing => Ok(()),
    }
}
