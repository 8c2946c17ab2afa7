//! The steps that decide what boots next: trial, commit, firmware entries, ESP clean-up.

use std::fs;

use edge_host::disk::PartitionedDisk;
use edge_host::efivars::Variable;
use edge_host::esp::Esp;
use edge_host::firmware;
use edge_host::machine::Machine;
use edge_model::api::BootState;
use edge_model::ids::Entry;
use edge_model::layout::Role;
use edge_model::ledger::Ledger;
use edge_model::{Context, Result, paths};
use edge_planner::boot::recovery::Counters;
use edge_planner::boot::steps::{self, BootStep};
use edge_planner::boot::{BootedImage, outcome};

use crate::facts::Host;

/// What early boot armed, and what has taken its place since.
const DEADLINE_UNITS: &str = "edge-trial-deadline*.timer";

/// Performs steps that change which image boots, in their order.
///
/// # Errors
/// When firmware or ESP refuse; what boots is then what booted before.
pub(crate) fn perform(host: &Host, steps: &[BootStep]) -> Result<()> {
    for step in steps {
        match step {
            BootStep::SetFallback(entry) => host.variables()?.set_entry(Variable::FallbackEntry, entry)?,
            BootStep::SetDefault(entry) => {
                host.variables()?.set_entry(Variable::LoaderEntryDefault, entry)?
            }
            BootStep::TryOnce(entry) => host.variables()?.set_entry(Variable::LoaderEntryOneShot, entry)?,
            BootStep::SetConfigured(entry) => {
                let esp = Esp::open(&host.disk()?, Role::Efi)?;
                esp.set_default_entry(entry)?;
                esp.close()?;
            }
        }
    }
    Ok(())
}

/// Starts `entry` once, at the next boot; `meanwhile` is what is fallen back to until it is committed.
///
/// # Errors
/// When the firmware refuses.
pub(crate) fn try_next(host: &Host, entry: Entry, meanwhile: Entry) -> Result<()> {
    // Neither what an earlier trial left nor what earlier boots count belongs to this one.
    match fs::remove_file(host.machine.path(paths::OEM_TRIAL_VERDICT)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context("the verdict of an earlier trial cannot be removed");
        }
        _ => {}
    }
    set_counters(host, Counters::default())?;
    perform(host, &steps::try_once(entry, meanwhile))
}

/// Makes the booted image the default. From here on there is no way back by itself.
///
/// # Errors
/// When firmware or ESP refuse; the old image is then still the default.
pub(crate) fn commit(host: &Host, booted: &BootedImage) -> Result<()> {
    perform(host, &steps::commit(booted, host.variables.is_some()))?;
    stop_deadline(&host.machine)
}

/// # Errors
/// When the service manager refuses.
pub(crate) fn stop_deadline(machine: &Machine) -> Result<()> {
    machine
        .program("systemctl")
        .args(["stop", DEADLINE_UNITS])
        .run()
        .map(drop)
        .context("the deadline of the trial still runs")
}

/// Whether something ends the trial if this agent does not.
pub(crate) fn deadline_runs(machine: &Machine, number: u32) -> bool {
    let active =
        machine.program("systemctl").args(["--quiet", "is-active", &deadline_unit(number)]).outcome();
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
pub(crate) fn put_deadline_off(machine: &Machine, number: u32, seconds: u64) -> Result<()> {
    let next = deadline_unit(number + 1);
    let begun = machine
        .program("systemd-run")
        .args(["--quiet", "--timer-property=AccuracySec=1s", "--timer-property=DefaultDependencies=no"])
        .args(["--property=DefaultDependencies=no", &format!("--on-active={seconds}")])
        .args([&format!("--unit={next}"), "/bin/sh", "-c", &last_resort()])
        .run();
    // It may have been begun by a try that was not told so.
    if let Err(error) = begun
        && !deadline_runs(machine, number + 1)
    {
        return Err(error.context("the deadline of the trial cannot be put off"));
    }
    machine.program("systemctl").args(["stop", &deadline_unit(number)]).run().map(drop)
}

/// The verdict of an agent that hangs is spoken for it; a disk that hangs too keeps nobody from the restart.
fn last_resort() -> String {
    format!(
        "timeout 5 sh -c 'echo it did not prove itself in time > {}; sync {}'; \
         exec /usr/bin/systemctl --force --force reboot",
        paths::OEM_TRIAL_VERDICT,
        paths::OEM_TRIAL_VERDICT
    )
}

/// This boot has lasted: earlier ones that did not no longer count.
///
/// # Errors
/// When the firmware refuses.
pub(crate) fn set_counters(host: &Host, counters: Counters) -> Result<()> {
    let Some(variables) = &host.variables else { return Ok(()) };
    // Overwritten and not removed: firmware gives room back late, and this is written at every boot.
    variables.set(Variable::BootCount, &counters.to_bytes())
}

/// Mends what a host needs to boot: a loader configuration that disagrees with a committed default, UKIs that nobody needs, the
/// way to recovery, firmware entries that were lost. Returns what was mended, for people. What one of them refuses keeps none of
/// the others.
///
/// # Errors
/// When firmware or ESP cannot be read or written; the first of them.
pub(crate) fn maintain(host: &Host, booted: &BootedImage, ledger: &Ledger) -> Result<Vec<String>> {
    let mut mended = Vec::new();
    let disk = host.disk()?;
    let on_disk = maintain_esp(host, booted, ledger, &disk, &mut mended);
    let beside = keep_recovery_beside(&disk);
    let previous = on_disk.as_ref().ok().cloned().flatten();
    let in_firmware = maintain_firmware(host, booted, &disk, previous.as_ref(), on_disk.is_ok());
    if *beside.as_ref().unwrap_or(&false) {
        mended.push("the second way to recovery has been restored".to_owned());
    }
    if *in_firmware.as_ref().unwrap_or(&false) {
        mended.push("the firmware's boot entries were incomplete and have been restored".to_owned());
    }
    on_disk.and(beside).and(in_firmware).map(|_| mended)
}

/// Tells the image to fall back to, if it can be started.
fn maintain_esp(
    host: &Host,
    booted: &BootedImage,
    ledger: &Ledger,
    disk: &PartitionedDisk,
    mended: &mut Vec<String>,
) -> Result<Option<Entry>> {
    let esp = Esp::open(disk, Role::Efi)?;
    let entry = booted.root_hash.entry();
    if booted.state() == BootState::Committed && !esp.is_configured_for(&entry)? {
        esp.set_default_entry(&entry)?;
        mended.push("the boot loader's configuration has been restored".to_owned());
    }
    remove_unneeded(&esp, host, booted, ledger)?;
    let known = match (booted.state(), &host.variables) {
        (BootState::Committed, _) => outcome::fallback(ledger, booted),
        (_, Some(variables)) => variables.get_entry(Variable::FallbackEntry)?,
        (_, None) => None,
    };
    let previous = known.filter(|entry| esp.contains_uki(entry.as_str()));
    esp.close()?;
    Ok(previous)
}

/// Tells whether entries had to be made. `is_known` says whether the ESP could be asked about the previous image.
fn maintain_firmware(
    host: &Host,
    booted: &BootedImage,
    disk: &PartitionedDisk,
    previous: Option<&Entry>,
    is_known: bool,
) -> Result<bool> {
    let Some(variables) = host.variables.as_ref().filter(|_| is_known) else { return Ok(false) };
    if booted.state() == BootState::Committed {
        // Missing on a host that was imaged, and after firmware has lost its variables.
        variables.set_entry(Variable::LoaderEntryDefault, &booted.root_hash.entry())?;
        match previous {
            Some(entry) => variables.set_entry(Variable::FallbackEntry, entry)?,
            None => variables.remove(Variable::FallbackEntry)?,
        }
    }
    firmware::ensure_entries(variables, disk, previous)
}

/// Recovery can be started by its own loader, and by the one of the normal system: firmware may not know how to do the first.
/// Tells whether the second had to be made.
fn keep_recovery_beside(disk: &PartitionedDisk) -> Result<bool> {
    let (esp, beside) = (Esp::open(disk, Role::Efi)?, Entry::recovery_beside());
    let own = Esp::open(disk, Role::EfiRecovery)?;
    // An older system has written it, and lets it end on the firmware's screen.
    own.set_default_entry(&Entry::recovery())?;
    let missing = !esp.contains_uki(beside.as_str());
    if missing {
        let (blob, mut file) = own.uki(Entry::recovery().as_str())?;
        esp.add_uki(beside.as_str(), blob, &mut file)?;
    }
    own.close()?;
    esp.close()?;
    Ok(missing)
}

fn remove_unneeded(esp: &Esp, host: &Host, booted: &BootedImage, ledger: &Ledger) -> Result<()> {
    let mut needed = outcome::protected_entries(ledger, booted);
    if let Some(variables) = &host.variables {
        needed.extend(variables.get_entry(Variable::FallbackEntry)?);
        needed.extend(variables.get_entry(Variable::LoaderEntryOneShot)?);
    }
    for name in esp.ukis()? {
        if name.starts_with("edge-") && !needed.iter().any(|entry| entry.as_str() == name) {
            esp.remove_uki(&name, &needed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
