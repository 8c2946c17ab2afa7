//! What a boot that cannot go on leaves to the next one, and what this one finds of those before it.

use edge_host::efivars::Variable;
use edge_host::{console, files, mount};
use edge_model::api::BootRecord;
use edge_model::boot_reason::BootReason;
use edge_model::{Context, Result, paths};
use edge_planner::boot::is_trial;
use edge_planner::boot::ladder::LadderFacts;
use edge_planner::boot::recovery::Counters;
use edge_planner::host_kind::HostKind;

use crate::facts::Host;

/// Takes what an earlier boot has left to be said, once.
pub(super) fn take_over(record: &mut BootRecord) {
    let Some(variables) = edge_host::machine::Machine::real().variables() else { return };
    let Some(reason) = variables.take_reason() else { return };
    record.reasons.push(reason.text.clone());
    record.found.failed_entry = reason.failed.map(|entry| entry.to_string());
    record.found.failure = Some(reason.text);
}

/// Lets the ladder go on: the next boot is another image's, and knows why. What keeps one part of it from being recorded keeps
/// no other.
///
/// # Errors
/// When the firmware does not take it.
pub(super) fn record(error: &edge_model::Error) -> Result<()> {
    let host = Host::observe()?;
    if host.kind != HostKind::Appliance {
        return Ok(());
    }
    let Some(variables) = &host.variables else { return Ok(()) };
    let failed = Some(host.record.root_hash.entry());
    variables.leave_reason(&BootReason { failed, text: error.to_string() });
    let default = variables.get_entry(Variable::LoaderEntryDefault)?;
    let oem = host.machine.path(paths::OEM);
    let on_trial = is_trial(&host.record.root_hash, default.as_ref()) && !host.record.is_fallback;
    if on_trial && mount::is_mounted(&oem) {
        let verdict = host.machine.path(paths::OEM_TRIAL_VERDICT);
        if let Err(error) = files::write_durably(&verdict, error.to_string().as_bytes(), 0o600) {
            console::say(&format!("edge: warning: {error}"));
        }
    }
    let counters = host.counters()?;
    let facts = LadderFacts {
        mode: host.record.mode,
        points: counters.points,
        booted: host.record.root_hash,
        default,
        fallback: variables.get_entry(Variable::FallbackEntry)?,
    };
    let points = facts.cannot_go_on(counters.points);
    variables
        .set(Variable::BootCount, &Counters { points, ..counters }.to_bytes())
        .context("the next boot does not know that this one failed")
}
