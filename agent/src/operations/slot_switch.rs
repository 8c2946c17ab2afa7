//! Going to the other image, keeping the present one, and restarting.

use edge_host::efivars::Variable;
use edge_host::esp::Esp;
use edge_host::firmware;
use edge_model::api::BootState;
use edge_model::boot_reason::BootReason;
use edge_model::ids::{Entry, Slot};
use edge_model::layout::Role;
use edge_model::ledger::{ImageRecord, Ledger};
use edge_model::{Error, Result};
use edge_planner::boot::outcome::{record_commit, record_rollback};
use edge_planner::boot::steps::BootStep;
use edge_planner::host_kind::HostKind;

use super::Outcome;
use crate::boot_control;
use crate::cluster;
use crate::facts::{self, Host};

/// Tries the image of the other slot at the next boot; it is committed when it proves healthy.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when there is no other image.
pub(crate) fn rollback(host: &Host) -> Result<Outcome> {
    let booted = host.booted()?;
    let nothing = || {
        Error::rejected("there is no previous image to go back to")
            .help("edge-agent history shows what was installed")
    };
    let ledger = host.ledger().load();
    let default = match host.kind {
        HostKind::Recovery => host.default_entry_of_disk()?,
        _ => booted.default_entry.clone(),
    };
    let (slot, image) = other_image(&ledger, booted.slot, default.as_ref()).ok_or_else(nothing)?;
    let entry = image.root_hash.entry();
    let esp = Esp::open(&host.disk()?, Role::Efi)?;
    let there = esp.contains_uki(entry.as_str());
    esp.close()?;
    if !there {
        return Err(nothing());
    }
    if default.as_ref() != Some(&entry) {
        // In recovery what is fallen back to is the default: recovery is no image to fall back to.
        let running = host.record.root_hash.entry();
        let meanwhile = match host.kind {
            HostKind::Recovery => default.unwrap_or_else(|| {
                let other = ledger.slot(slot.other()).map(|image| image.root_hash.entry());
                other.unwrap_or_else(|| entry.clone())
            }),
            _ => running,
        };
        boot_control::try_next(host, entry, meanwhile)?;
    }
    host.ledger().change_or_begin(|ledger| {
        *ledger = record_rollback(ledger, &booted, &image, slot, facts::now());
        Ok(())
    })?;
    let cluster =
        cluster::told_of_return(&image.root_hash).map(|told| format!("; {told}")).unwrap_or_default();
    Ok(Outcome::restart(format!("restarting into version {} in slot {slot}{cluster}", image.version)))
}

/// What the other slot holds: seen from the booted one, and in recovery from the one that starts when nothing else is said.
fn other_image(
    ledger: &Ledger,
    booted: Option<Slot>,
    default: Option<&Entry>,
) -> Option<(Slot, ImageRecord)> {
    let holds = |slot: &Slot| ledger.slot(*slot).cloned().map(|image| (*slot, image));
    match booted {
        Some(slot) => holds(&slot.other()),
        None => {
            let images = [Slot::A, Slot::B].iter().filter_map(holds);
            images.into_iter().find(|(_, image)| Some(&image.root_hash.entry()) != default)
        }
    }
}

/// Keeps the image on trial without waiting for its checks.
///
/// # Errors
/// When firmware or ESP refuse.
pub(super) fn commit_now(host: &Host) -> Result<Outcome> {
    let booted = host.booted()?;
    boot_control::commit(host, &booted)?;
    host.ledger().change_or_begin(|ledger| {
        *ledger = record_commit(ledger, &booted, &host.image.version, facts::now());
        Ok(())
    })?;
    Ok(Outcome::stay(format!("version {} is committed", host.image.version)))
}

/// Restarts the host. An image on trial is tried on: a restart that somebody asks for says nothing against it.
///
/// # Errors
/// When the firmware has no recovery entry, or refuses.
pub(super) fn reboot(host: &Host, recovery: bool) -> Result<Outcome> {
    if recovery {
        let variables = host.variables()?;
        firmware::ensure_entries(
            variables,
            &host.disk()?,
            variables.get_entry(Variable::FallbackEntry)?.as_ref(),
        )?;
        firmware::boot_recovery_next(variables)?;
        variables.leave_reason(&BootReason { failed: None, text: super::ASKED_FOR_RECOVERY.into() });
        return Ok(Outcome::restart("restarting into recovery"));
    }
    if host.kind == HostKind::Appliance && host.booted()?.state() == BootState::Trial {
        // What is fallen back to stays: this image is on trial in the next boot too.
        boot_control::perform(host, &[BootStep::TryOnce(host.record.root_hash.entry())])?;
    }
    Ok(Outcome::restart("restarting"))
}
