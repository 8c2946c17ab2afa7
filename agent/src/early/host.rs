//! Applying the configuration before the service manager starts. A part that cannot be applied is a reason to show,
//! not a reason to stay down.

use std::fs;
use std::path::Path;

use edge_host::machine::Machine;
use edge_model::paths;

use edge_model::{Context, Result, keyboard};
use edge_planner::host_kind::HostKind;
use edge_planner::identity::Identity;

use crate::configuration::{Settings, console_answers};
use crate::{host_state, network_trial};

const INSTALLER_NAME: &str = "edge-installer";

pub(super) fn apply(settings: &Settings, reasons: &mut Vec<String>) -> Result<()> {
    let site = &settings.edge().site;
    if let Err(error) = host_state::identity(&settings.data)
        .and_then(|identity| host_state::write_identity(&host_state::machine_id()?, &identity))
    {
        // Systemd needs a machine-id; one for this boot is better than no boot.
        reasons.push(format!("identity not applied: {error}"));
        host_state::write_machine_id(&host_state::new_machine_id()?)?;
    }
    let mut attempt = |what: &str, result: Result<()>| {
        if let Err(error) = result {
            reasons.push(format!("{what}: {error}"));
        }
    };
    if let Some(operator) = &settings.edge().operator {
        attempt("operator's account not made", host_state::create_operator(operator));
    }
    attempt("network not configured", network_trial::apply(&Machine::real(), &settings.data).map(drop));
    attempt("certificates not trusted", host_state::trust_certificates(&site.ca_certs));
    if let Some(zone) = &site.time_zone {
        attempt("time zone not set", host_state::set_time_zone(zone));
    }
    attempt("keyboard not set", host_state::set_keyboard(site));
    if settings.edge().console_is_off() {
        attempt("the console was not switched off", mask_console());
    }
    Ok(())
}

/// Before the service manager has looked at its units.
fn mask_console() -> Result<()> {
    let folder = Path::new(paths::RUN_UNITS);
    fs::create_dir_all(folder).context("cannot create a folder for units")?;
    std::os::unix::fs::symlink("/dev/null", folder.join("edge-tui@tty1.service"))
        .context("cannot mask the console's unit")
}

/// The installer has no identity of its own; the operator of the medium may come in. What is wrong with the
/// configuration is reported by the installation itself.
pub(super) fn apply_to_installer(reasons: &mut Vec<String>) -> Result<()> {
    let name = INSTALLER_NAME.to_owned();
    let identity = Identity { id: name.clone(), host_name: name };
    host_state::write_identity(&host_state::new_machine_id()?, &identity)?;
    let settings = Settings::load(HostKind::Installer);
    if let Some(operator) = &settings.edge().operator
        && let Err(error) = host_state::create_operator(operator)
    {
        reasons.push(format!("operator's account not made: {error}"));
    }
    // What is guessed is written down as an answer: a password means the keys that it was typed with.
    let mut site = settings.edge().site.clone();
    let guessed = keyboard::choose(site.keyboard.as_deref(), site.time_zone.as_deref()).name;
    if site.keyboard.is_none() && guessed != keyboard::USUAL {
        match console_answers::store_keyboard(guessed) {
            Ok(()) => site.keyboard = Some(guessed.to_owned()),
            Err(error) => reasons.push(format!("keyboard not guessed: {error}")),
        }
    }
    if let Err(error) = host_state::set_keyboard(&site) {
        reasons.push(format!("keyboard not set: {error}"));
    }
    host_state::write_run_files(&Machine::real(), &settings.edge().site)
}
