//! Going to the other image, keeping the present one, and restarting.

use edge_host::firmware;
use edge_model::ledger::{HistoryEntry, HistoryEvent};
use edge_model::{Error, Result};
use edge_planner::trial::record_commit;

use super::{Outcome, ledger_store};
use crate::boot_control;
use crate::facts::{self, Host};
use edge_host::esp::Esp;
use edge_model::layout::Role;

/// Tries the image of the other slot at the next boot; it is committed when it proves healthy.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when there is no other image.
pub(super) fn rollback(host: &Host) -> Result<Outcome> {
    let booted = host.booted()?;
    let nothing = || {
        Error::rejected("there is no previous image to go back to")
            .help("edge-agent history shows what was installed")
    };
    let slot = booted.slot.ok_or_else(nothing)?.other();
    let image = ledger_store().load().slot(slot).cloned().ok_or_else(nothing)?;
    let entry = image.root_hash.uki_name();
    let esp = Esp::open(&host.disk()?, Role::Efi)?;
    let there = esp.contains_uki(&entry);
    esp.close()?;
    if !there {
        return Err(nothing());
    }
    boot_control::try_next(host, &entry)?;
    let entry = HistoryEntry {
        at: facts::now(),
        event: HistoryEvent::RolledBack,
        version: image.version.clone(),
        root_hash: image.root_hash,
        slot: Some(slot),
        reason: Some("asked for by an operator".into()),
    };
    ledger_store().change_or_begin(|ledger| {
        ledger.record(entry);
        Ok(())
    })?;
    Ok(Outcome::restart(format!("restarting into version {} in slot {slot}", image.version)))
}

/// Keeps the image on trial without waiting for its checks.
///
/// # Errors
/// When firmware or ESP refuse.
pub(super) fn commit_now(host: &Host) -> Result<Outcome> {
    let booted = host.booted()?;
    boot_control::commit(host, &booted)?;
    ledger_store().change_or_begin(|ledger| {
        *ledger = record_commit(ledger, &booted, &host.image.version, facts::now());
        Ok(())
    })?;
    Ok(Outcome::stay(format!("version {} is committed", host.image.version)))
}

/// Restarts the host.
///
/// # Errors
/// When the firmware has no recovery entry and refuses a new one.
pub(super) fn reboot(host: &Host, recovery: bool) -> Result<Outcome> {
    if !recovery {
        return Ok(Outcome::restart("restarting"));
    }
    let variables = host.variables()?;
    firmware::boot_recovery_next(variables, &host.disk()?)?;
    variables.set_text(edge_host::efivars::Variable::BootReason, super::ASKED_FOR_RECOVERY)?;
    Ok(Outcome::restart("restarting into recovery"))
}
