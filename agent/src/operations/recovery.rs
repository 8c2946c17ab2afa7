//! Making the running image the one that recovery starts. Only from an image that has proved itself: recovery is the last way.

use edge_host::disk::PartitionedDisk;
use edge_host::efivars::Variable;
use edge_host::esp::Esp;
use edge_host::firmware;
use edge_host::slot::{ImageReader, ImageWriter};
use edge_host::uki_store::{StoredUkis, Which};
use edge_model::ids::{Entry, Slot};
use edge_model::layout::Role;
use edge_model::ledger::{HistoryEntry, HistoryEvent};
use edge_model::manifest::BLOCK_SIZE;
use edge_model::{Class, Error, Result};

use super::{Outcome, write_image};
use crate::facts::{self, Host};
use crate::report::Report;

/// Copies the booted image and its recovery kernel. While it lasts there is no recovery, and a cut leaves it so until this is
/// run again; the normal system is not touched.
///
/// # Errors
/// When the image has no recovery kernel with it, or the disk fails.
pub(super) fn refresh(host: &Host, report: &mut dyn Report) -> Result<Outcome> {
    let slot = host.record.slot.ok_or_else(|| Error::internal("no slot is booted"))?;
    let (disk, image) = (host.disk()?, &host.image_record);
    let source = ImageReader::open(disk.volume(Role::of_slot(slot))?.content())?;
    let stored = StoredUkis::read(&source, &image.root_hash, image.data_blocks).ok_or_else(|| {
        Error::rejected("this image has no recovery kernel with it: an older system has written it")
            .help("upgrade the host first; from then on its images bring one")
    })?;
    let target = ImageWriter::recovery(&disk, &host.record)?;
    let known = host.ledger().load().recovery;
    if known.as_ref().is_some_and(|known| known.root_hash == image.root_hash) {
        report.step("checking recovery", image.data_blocks * BLOCK_SIZE);
        let reader = target.reader();
        match reader.scrub(&image.root_hash, image.data_blocks, |done| report.progress(done)) {
            Ok(()) => return Ok(Outcome::stay(format!("recovery is version {} already", image.version))),
            // Somebody has stopped this.
            Err(error) if error.class == Class::Rejected => return Err(error),
            // One that has rotted is made again.
            Err(_) => {}
        }
    }
    if image.data_blocks * BLOCK_SIZE > target.size() {
        return Err(Error::rejected("the image is larger than the recovery partition"));
    }
    must_have_room(&disk, &stored)?;
    host.ledger().change_or_begin(|ledger| {
        // Until all of it is there.
        ledger.recovery = None;
        Ok(())
    })?;
    write_image::copy(&source, &target, &image.root_hash, image.data_blocks, "recovery", report)?;
    report.step("writing the recovery kernel", 0);
    copy_ukis(&source, &target, &stored, image.data_blocks)?;
    for (role, entry) in [(Role::EfiRecovery, Entry::recovery()), (Role::Efi, Entry::recovery_beside())] {
        let esp = Esp::open(&disk, role)?;
        let mut kernel = stored.open(&source, image.data_blocks, Which::Recovery);
        esp.add_uki(entry.as_str(), stored.recovery, &mut kernel)?;
        esp.close()?;
    }
    if let Some(variables) = &host.variables {
        let previous = variables.get_entry(Variable::FallbackEntry)?;
        firmware::ensure_entries(variables, &disk, previous.as_ref())?;
    }
    record(host, slot)?;
    Ok(Outcome::stay(format!("recovery is version {} now", image.version)))
}

/// A new kernel is written beside the old one.
fn must_have_room(disk: &PartitionedDisk, stored: &StoredUkis) -> Result<()> {
    const RESERVE: u64 = 1 << 20;
    for role in [Role::EfiRecovery, Role::Efi] {
        let esp = Esp::open(disk, role)?;
        let free = esp.free()?;
        esp.close()?;
        if free < stored.recovery.size + RESERVE {
            let label = role.spec().label;
            return Err(Error::rejected(format!("{label} has no room for another kernel")));
        }
    }
    Ok(())
}

fn copy_ukis(
    source: &ImageReader,
    target: &ImageWriter,
    stored: &StoredUkis,
    data_blocks: u64,
) -> Result<()> {
    StoredUkis::forget(target, data_blocks)?;
    if !stored.fit(data_blocks, target.size()) {
        return Ok(());
    }
    for which in [Which::Main, Which::Recovery] {
        stored.write(target, data_blocks, which, &mut stored.open(source, data_blocks, which))?;
    }
    stored.seal(target, data_blocks)
}

fn record(host: &Host, slot: Slot) -> Result<()> {
    let image = host.image_record.clone();
    host.ledger().change_or_begin(|ledger| {
        ledger.record(HistoryEntry {
            at: facts::now(),
            event: HistoryEvent::RecoveryRefreshed,
            version: image.version.clone(),
            root_hash: image.root_hash,
            slot: Some(slot),
            reason: None,
        });
        ledger.recovery = Some(image);
        Ok(())
    })
}
