//! Whether this boot is a good one: the service manager has finished, nothing failed, and the site's own checks
//! agree.

use std::time::Duration;

use edge_host::machine::Machine;
use edge_model::Result;
use edge_model::user_data::edge::HealthSettings;
use edge_planner::boot::failures::{self, KnownFailures};
use edge_planner::boot::trial::Look;
use edge_planner::redaction::redact;

/// A check of the site that takes longer has failed.
const CHECK_DEADLINE: Duration = Duration::from_secs(60);

/// Seconds that the checks of the site may take in one look.
pub(crate) fn longest_look(settings: &HealthSettings) -> u64 {
    CHECK_DEADLINE.as_secs() * settings.commands.len() as u64
}

/// Failed units that are explained with a line of their log; the others are only named.
const MOST_EXPLAINED: usize = 3;

/// What the service manager says.
pub(crate) enum Services {
    StillStarting,
    /// The boot has finished, with these failed units.
    Started(Vec<String>),
}

/// # Errors
/// When the service manager does not answer.
pub(crate) fn services(machine: &Machine) -> Result<Services> {
    match system_state(machine)?.as_str() {
        "running" | "degraded" => Ok(Services::Started(failed_units(machine)?)),
        _ => Ok(Services::StillStarting),
    }
}

/// Looks once. `known` is what an image on trial may have failed, too.
pub(crate) fn look(
    machine: &Machine,
    settings: &HealthSettings,
    services: Result<Services>,
    known: Option<&KnownFailures>,
) -> Look {
    let failed = match services {
        Ok(Services::Started(failed)) => failed,
        Ok(Services::StillStarting) => return Look::StillStarting,
        Err(error) => return Look::Unhealthy(vec![error.to_string()]),
    };
    let failed = failures::that_count(failed, &settings.ignore_units, known);
    let (first, others) = failed.split_at(failed.len().min(MOST_EXPLAINED));
    let explained = first.iter().map(|unit| failure(machine, unit));
    let mut reasons: Vec<String> = explained.chain(others.iter().map(|unit| has_failed(unit))).collect();
    for command in &settings.commands {
        let check = machine.program("sh").args(["-c", command]).deadline_by_the_clock(CHECK_DEADLINE);
        if let Err(error) = check.run() {
            // Everybody on the host reads the reason; a command may hold more than its author thought of.
            reasons.push(format!("health check failed: {}", redact(&error.to_string())));
        }
    }
    if reasons.is_empty() { Look::Healthy } else { Look::Unhealthy(reasons) }
}

/// Waits until the service manager has finished the boot, or for `patience`. To ask it again and again would take from a
/// slow machine what its boot needs.
pub(crate) fn wait_for_start(machine: &Machine, patience: Duration) {
    // What became of the boot is looked at afterwards.
    let _ = machine.program("systemctl").args(["is-system-running", "--wait"]).deadline(patience).outcome();
}

/// The units that a boot which has not finished waits for.
///
/// # Errors
/// When the service manager does not answer.
pub(crate) fn waits_for(machine: &Machine) -> Result<Vec<String>> {
    let list =
        machine.program("systemctl").args(["list-jobs", "--plain", "--no-legend", "--no-pager"]).run()?;
    Ok(running_jobs(&String::from_utf8_lossy(&list)))
}

/// From lines of number, unit, kind and state; the other states wait for these.
fn running_jobs(list: &str) -> Vec<String> {
    let unit = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, unit, _, "running"] => Some(unit.to_owned()),
        _ => None,
    };
    list.lines().filter_map(unit).collect()
}

fn system_state(machine: &Machine) -> Result<String> {
    // The exit status repeats the word; the word is what counts.
    let outcome = machine.program("systemctl").arg("is-system-running").outcome()?;
    Ok(String::from_utf8_lossy(&outcome.stdout).trim().to_owned())
}

/// A unit that has failed, with the last line of its log: what a person would look for first.
fn failure(machine: &Machine, unit: &str) -> String {
    const LONGEST: usize = 200;
    // A trial goes on meanwhile: whoever cannot read the log says less.
    const WITHIN: Duration = Duration::from_secs(5);
    let log = machine
        .program("journalctl")
        .args(["--boot", "--unit", unit, "--lines=1", "--output=cat", "--no-pager", "--quiet"])
        .deadline_by_the_clock(WITHIN)
        .run()
        .unwrap_or_default();
    let line = String::from_utf8_lossy(&log);
    let line = line.lines().last().unwrap_or_default().trim();
    match line.is_empty() || line.chars().count() > LONGEST {
        true => has_failed(unit),
        false => format!("{unit} has failed: {}", redact(line)),
    }
}

fn has_failed(unit: &str) -> String {
    format!("{unit} has failed")
}

fn failed_units(machine: &Machine) -> Result<Vec<String>> {
    let list = machine
        .program("systemctl")
        .args(["list-units", "--failed", "--plain", "--no-legend", "--no-pager"])
        .run()?;
    let text = String::from_utf8_lossy(&list).into_owned();
    Ok(text.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_hold_a_boot_up_are_named() {
        let list = "88 systemd-networkd.service start running\n 2 multi-user.target start waiting\n";
        assert_eq!(running_jobs(list), ["systemd-networkd.service"]);
        assert!(running_jobs("No jobs running.\n").is_empty());
    }
}
