//! The steps that decide what boots next: trial, commit, firmware entries, ESP clean-up.

use edge_host::child::Child;
use edge_host::efivars::Variable;
use edge_host::esp::Esp;
use edge_host::firmware;
use edge_model::api::BootState;
use edge_model::layout::Role;
use edge_model::ledger::Ledger;
use edge_model::{Context, Result};
use edge_planner::trial::{BootedImage, protected_entries};

use crate::facts::Host;

/// What early boot armed, and what has taken its place since.
const DEADLINE_UNITS: &str = "edge-trial-deadline*.timer";

/// Starts `entry` once, at the next boot.
///
/// # Errors
/// When the firmware refuses.
pub(crate) fn try_next(host: &Host, entry: &str) -> Result<()> {
    host.variables()?.set_text(Variable::LoaderEntryOneShot, entry)
}

/// Makes the booted image the default. From here on there is no way back by itself.
///
/// # Errors
/// When firmware or ESP refuse; the old image is then still the default.
pub(crate) fn commit(host: &Host, booted: &BootedImage) -> Result<()> {
    let entry = booted.root_hash.uki_name();
    if let Some(variables) = &host.variables {
        // The image that ran until now is the one to try when this one ever stops coming up.
        if let Some(previous) = booted.default_entry.as_ref().filter(|previous| **previous != entry) {
            variables.set_text(Variable::FallbackEntry, previous)?;
        }
        variables.set_text(Variable::LoaderEntryDefault, &entry)?;
    }
    let esp = Esp::open(&host.disk()?, Role::Efi)?;
    esp.set_default_entry(&entry)?;
    esp.close()?;
    stop_deadline()
}

/// # Errors
/// When the service manager refuses.
pub(crate) fn stop_deadline() -> Result<()> {
    Child::new("systemctl")
        .args(["stop", DEADLINE_UNITS])
        .run()
        .map(drop)
        .context("the deadline of the trial still runs")
}

/// Whether something ends the trial if this agent does not.
pub(crate) fn deadline_runs(number: u32) -> bool {
    let active = Child::new("systemctl").args(["--quiet", "is-active", &deadline_unit(number)]).outcome();
    active.is_ok_and(|outcome| outcome.status.success())
}

/// Early boot arms the first one.
fn deadline_unit(number: u32) -> String {
    match number {
        0 => "edge-trial-deadline.timer".to_owned(),
        number => format!("edge-trial-deadline-{number}.timer"),
    }
}

/// Puts the deadline off, `seconds` from now: another one takes its place. The new one runs before the old one is stopped:
/// there is no moment in which an agent that hangs would keep the host in a trial for ever. Like the first one it outlives the
/// beginning of a shutdown that hangs.
///
/// # Errors
/// When the service manager refuses; the old deadline then holds, and this can be tried again.
pub(crate) fn put_deadline_off(number: u32, seconds: u64) -> Result<()> {
    let next = deadline_unit(number + 1);
    let begun = Child::new("systemd-run")
        .args(["--quiet", "--timer-property=AccuracySec=1s", "--timer-property=DefaultDependencies=no"])
        .args(["--property=DefaultDependencies=no", &format!("--on-active={seconds}")])
        .args([&format!("--unit={next}"), "/usr/bin/systemctl", "--force", "--force", "reboot"])
        .run();
    // It may have been begun by a try that was not told so.
    if let Err(error) = begun
        && !deadline_runs(number + 1)
    {
        return Err(error.context("the deadline of the trial cannot be put off"));
    }
    Child::new("systemctl").args(["stop", &deadline_unit(number)]).run().map(drop)
}

/// This boot has finished: earlier unfinished ones no longer count.
///
/// # Errors
/// When the firmware refuses.
pub(crate) fn clear_boot_count(host: &Host) -> Result<()> {
    host.variables.as_ref().map_or(Ok(()), |variables| variables.remove(Variable::BootCount))
}

/// Mends what a host needs to boot: firmware entries that were lost, a loader configuration that disagrees
/// with a committed default, UKIs that nobody needs. Returns what was mended, for people.
///
/// # Errors
/// When firmware or ESP cannot be read or written.
pub(crate) fn maintain(host: &Host, booted: &BootedImage, ledger: &Ledger) -> Result<Vec<String>> {
    let mut mended = Vec::new();
    let disk = host.disk()?;
    if let Some(variables) = &host.variables
        && firmware::ensure_entries(variables, &disk)?
    {
        mended.push("the firmware's boot entries were incomplete and have been restored".to_owned());
    }
    let esp = Esp::open(&disk, Role::Efi)?;
    let entry = booted.root_hash.uki_name();
    if booted.state() == BootState::Committed
        && let Some(variables) = &host.variables
    {
        // Missing on a host that was imaged, and after firmware has lost its variables.
        variables.set_text(Variable::LoaderEntryDefault, &entry)?;
    }
    if booted.state() == BootState::Committed && esp.default_entry()?.as_deref() != Some(&entry) {
        esp.set_default_entry(&entry)?;
        mended.push("the boot loader's configuration has been restored".to_owned());
    }
    remove_unneeded(&esp, host, booted, ledger)?;
    esp.close()?;
    Ok(mended)
}

fn remove_unneeded(esp: &Esp, host: &Host, booted: &BootedImage, ledger: &Ledger) -> Result<()> {
    let mut needed = protected_entries(ledger, booted);
    if let Some(variables) = &host.variables {
        needed.extend(variables.get_text(Variable::FallbackEntry)?);
        needed.extend(variables.get_text(Variable::LoaderEntryOneShot)?);
    }
    let needed: Vec<&str> = needed.iter().map(String::as_str).collect();
    for name in esp.ukis()? {
        if name.starts_with("edge-") && !needed.contains(&name.as_str()) {
            esp.remove_uki(&name, &needed)?;
        }
    }
    Ok(())
}
