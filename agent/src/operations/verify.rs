//! Reading every block of the images on this host.

use edge_host::slot::ImageReader;
use edge_model::ids::{RootHash, Slot};
use edge_model::layout::Role;
use edge_model::ledger::{PendingUpgrade, UpgradeStage};
use edge_model::{Class, Error, Result};

use super::Outcome;
use crate::facts::Host;
use crate::report::Report;

/// Checks the booted image, the other slot and recovery, as far as they hold images, also one that was not started yet.
///
/// # Errors
/// [`edge_model::Class::Integrity`] naming every image that is damaged.
pub(super) fn run(host: &Host, report: &mut dyn Report) -> Result<Outcome> {
    let ledger = host.ledger().load();
    // What waits for its trial is whole too, and somebody may want to know before the restart.
    let waits =
        |pending: &&PendingUpgrade| matches!(pending.stage, UpgradeStage::Armed | UpgradeStage::Interrupted);
    let waiting = ledger.pending.as_ref().filter(waits);
    let slot = |slot: Slot| {
        let waiting = waiting.filter(|pending| pending.slot == slot).map(|pending| &pending.image);
        Some((Role::of_slot(slot), waiting.or(ledger.slot(slot))?))
    };
    let recovery = ledger.recovery.as_ref().map(|image| (Role::Recovery, image));
    let images = [slot(Slot::A), slot(Slot::B), recovery];
    let (mut good, mut damaged) = (Vec::new(), Vec::new());
    for (role, image) in images.into_iter().flatten() {
        let name = role.spec().label;
        match check(host, role, &image.root_hash, image.data_blocks, report) {
            Ok(()) => good.push(name),
            Err(error) if error.class == Class::Integrity => damaged.push(format!("{name}: {error}")),
            Err(error) => return Err(error),
        }
    }
    if damaged.is_empty() {
        // Nobody is told that all is well of what was not read.
        let unread = if ledger.recovery.is_none() {
            "; not read: recovery, which this host does not know"
        } else {
            ""
        };
        return Ok(Outcome::stay(format!("undamaged: {}{unread}", good.join(", "))));
    }
    Err(Error::integrity(damaged.join("; "))
        .help("upgrade to another version, or install this one again from a medium"))
}

fn check(
    host: &Host,
    role: Role,
    root_hash: &RootHash,
    data_blocks: u64,
    report: &mut dyn Report,
) -> Result<()> {
    let reader = ImageReader::open(host.disk()?.volume(role)?.content())?;
    report.step(&format!("reading {}", role.spec().label), data_blocks * edge_model::manifest::BLOCK_SIZE);
    reader.scrub(root_hash, data_blocks, |done| report.progress(done))
}
