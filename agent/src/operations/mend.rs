//! Mending a host from the medium that has installed it: what keeps it from starting is written again, and its data stays.
//!
//! Only what is known not to be whole is written over. What cannot be mended keeps nothing else from being mended, and never the disk
//! from being started.

use std::fs::File;

use edge_host::disk::PartitionedDisk;
use edge_host::efivars::Variable;
use edge_host::esp::Esp;
use edge_host::gpt;
use edge_host::machine::Mounted;
use edge_host::mount::MountFlags;
use edge_host::slot::{ImageReader, ImageWriter};
use edge_model::ids::{Entry, RootHash, Slot};
use edge_model::layout::Role;
use edge_model::ledger::{HistoryEvent, ImageRecord, Ledger};
use edge_model::manifest::BLOCK_SIZE;
use edge_model::{Class, Context, Error, Result, paths};
use edge_planner::boot::recovery::Counters;
use edge_planner::installed;

use super::fsck::{Finding, Kernel};
use super::install::{self, Medium};
use super::write_image;
use crate::facts::Host;
use crate::report::Report;
use crate::state_file::StateFile;

/// Looks at all that a start of an installed disk needs, and mends what is not whole; says what was mended, and what could not be.
/// Images are read as a whole when the last boots of the disk did not last.
///
/// # Errors
/// When somebody stops it.
pub(super) fn from_medium(
    host: &Host,
    medium: &Medium,
    disk: &PartitionedDisk,
    report: &mut dyn Report,
) -> Result<Vec<String>> {
    report.step("looking at what the host needs to start", 0);
    // The count itself is left alone: it is how a host that does not last finds another way.
    let is_thorough = host.counters().is_ok_and(|counters| counters != Counters::default());
    let mut bench = Bench { host, medium, disk, lines: Vec::new(), is_thorough };
    let looked = bench.table();
    bench.note("the partition table", looked);
    let looked = bench.host(report);
    bench.note("the host", looked);
    let looked = bench.loaders();
    bench.note("the boot loaders", looked);
    report.progress(0)?;
    Ok(bench.lines)
}

/// What is on the disk, by the ledger.
struct Known {
    ledger: Ledger,
    /// A cut may have come between a commit and its record: what waits there is an image like the others.
    images: Vec<(Slot, ImageRecord)>,
}

impl Known {
    fn of(ledger: Ledger) -> Self {
        let recorded =
            [Slot::A, Slot::B].into_iter().filter_map(|slot| Some((slot, ledger.slot(slot)?.clone())));
        let pending = ledger.pending.iter().map(|pending| (pending.slot, pending.image.clone()));
        let mut images: Vec<(Slot, ImageRecord)> = recorded.collect();
        for (slot, image) in pending {
            if !images.iter().any(|(taken, _)| *taken == slot) {
                images.push((slot, image));
            }
        }
        Self { ledger, images }
    }

    fn forget(&mut self, slot: Slot) {
        self.images.retain(|(known, _)| *known != slot);
        self.ledger.set_slot(slot, None);
        if self.ledger.pending.as_ref().is_some_and(|pending| pending.slot == slot) {
            self.ledger.pending = None;
        }
    }

    /// Takes the place of whatever was in its slot.
    fn put(&mut self, slot: Slot, image: ImageRecord) {
        self.forget(slot);
        self.ledger.set_slot(slot, Some(image.clone()));
        self.images.push((slot, image));
    }

    /// The one to start where nothing says which: the last one that was committed, if it is there.
    fn best(&self) -> Option<RootHash> {
        let committed = self.ledger.history.iter().rev();
        let committed = committed.filter(|entry| entry.event == HistoryEvent::Committed);
        let is_there =
            |root_hash: &RootHash| self.images.iter().any(|(_, image)| image.root_hash == *root_hash);
        let last = committed.map(|entry| entry.root_hash).find(|root_hash| is_there(root_hash));
        last.or_else(|| self.images.first().map(|(_, image)| image.root_hash))
    }
}

struct Bench<'a> {
    host: &'a Host,
    medium: &'a Medium,
    disk: &'a PartitionedDisk,
    /// What was mended, and what could not be.
    lines: Vec<String>,
    is_thorough: bool,
}

impl Bench<'_> {
    fn note(&mut self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            self.lines.push(format!("{what}: {error}"));
        }
    }

    fn table(&mut self) -> Result<()> {
        let sector = self.disk.disk.logical_sector;
        if !gpt::both_copies_are_whole(&mut self.disk.disk.open()?, sector) {
            gpt::rewrite(&self.disk.disk.path, sector)?;
            self.lines.push("one copy of the partition table was damaged".to_owned());
        }
        Ok(())
    }

    /// Images, kernels and what is started, by what the host knows of itself.
    fn host(&mut self, report: &mut dyn Report) -> Result<()> {
        let oem = self.mount_oem()?;
        let file = StateFile::<Ledger>::new(&oem.path().join("edge"));
        // What cannot be read now may be read later; without it nothing says what the slots hold.
        let ledger = file.read()?;
        if ledger.slot_a.is_none() && ledger.slot_b.is_none() && ledger.pending.is_none() {
            oem.close()?;
            return Err(Error::integrity("its ledger is lost: what its slots hold is not touched"));
        }
        let mut known = Known::of(ledger.clone());
        let looked = self.images(&mut known, report);
        let looked = looked.and_then(|()| self.kernels(&mut known, report));
        // Also of a part of it: what was written has to be known.
        if known.ledger != ledger {
            file.change_or_begin(|kept| {
                kept.clone_from(&known.ledger);
                Ok(())
            })?;
        }
        oem.close()?;
        looked?;
        self.default_entry(&known)
    }

    fn mount_oem(&self) -> Result<Mounted> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let volume = self.disk.volume(Role::Oem)?;
        let mount = || self.host.machine.mount_volume(&volume, install::TARGET, "ext4", flags);
        mount().or_else(|_| {
            // It ends with 1 when it has mended something.
            self.host.machine.program("e2fsck").args(["-f", "-y"]).arg(volume.content()).outcome()?;
            mount()
        })
    }

    /// The image that the medium has.
    fn image(&self) -> ImageRecord {
        installed::image_record(&self.medium.manifest, self.medium.signed)
    }

    /// Slots and recovery. One whole image is enough for a host, and without any it gets the medium's.
    fn images(&mut self, known: &mut Known, report: &mut dyn Report) -> Result<()> {
        let ours = self.image();
        let mut damaged = Vec::new();
        for (slot, image) in known.images.clone() {
            if self.is_whole(Role::of_slot(slot), &image, report)? {
                continue;
            }
            if image.root_hash == ours.root_hash {
                self.write(Role::of_slot(slot), report)?;
                self.lines.push(format!("version {} in slot {slot} was damaged", image.version));
            } else {
                damaged.push((slot, image));
            }
        }
        if damaged.len() == known.images.len() {
            self.write(Role::SlotA, report)?;
            known.put(Slot::A, ours.clone());
            self.lines.push(format!("no image was whole: version {} is installed again", ours.version));
        }
        self.forget(known, damaged, "is damaged");
        let recovery = known.ledger.recovery.clone();
        let has_recovery = match &recovery {
            Some(image) => self.is_whole(Role::Recovery, image, report)?,
            None => false,
        };
        if has_recovery { Ok(()) } else { self.renew_recovery(known, report) }
    }

    /// Those that have not been written over meanwhile.
    fn forget(&mut self, known: &mut Known, images: Vec<(Slot, ImageRecord)>, why: &str) {
        for (slot, image) in images {
            if known.images.iter().any(|(_, there)| *there == image) {
                known.forget(slot);
                self.lines.push(format!("version {} in slot {slot} {why}, and is forgotten", image.version));
            }
        }
    }

    fn renew_recovery(&mut self, known: &mut Known, report: &mut dyn Report) -> Result<()> {
        let ours = self.image();
        self.write(Role::Recovery, report)?;
        self.lines.push(format!("recovery was damaged: it is version {} now", ours.version));
        known.ledger.recovery = Some(ours);
        Ok(())
    }

    fn is_whole(&self, role: Role, image: &ImageRecord, report: &mut dyn Report) -> Result<bool> {
        let reader = ImageReader::open(self.disk.volume(role)?.content())?;
        if !reader.holds_at(0, &image.root_hash, image.data_blocks) {
            return Ok(false);
        }
        if !self.is_thorough {
            return Ok(true);
        }
        report.step(&format!("reading {}", role.spec().label), image.data_blocks * BLOCK_SIZE);
        match reader.scrub(&image.root_hash, image.data_blocks, |done| report.progress(done)) {
            Ok(()) => Ok(true),
            // Somebody has stopped this.
            Err(error) if error.class == Class::Rejected => Err(error),
            // Sectors that cannot be read may be written again.
            Err(_) => Ok(false),
        }
    }

    fn write(&self, role: Role, report: &mut dyn Report) -> Result<()> {
        let root = &self.medium.manifest.root;
        let source = ImageReader::open(&self.host.machine.medium_image()?)?;
        let target = ImageWriter::of_new_disk(self.disk, role)?;
        write_image::copy(&source, &target, &root.root_hash, root.data_blocks, role.spec().label, report)?;
        install::keep_ukis(self.medium, &target)
    }

    /// From the copies behind the images, or from the medium, which has those of its own version.
    fn kernels(&mut self, known: &mut Known, report: &mut dyn Report) -> Result<()> {
        let mut without = Vec::new();
        for (slot, image) in known.images.clone() {
            if !self.kernel(&Kernel::of_slot(slot, &image))? {
                without.push((slot, image));
            }
        }
        if without.len() == known.images.len() {
            let ours = self.image();
            self.write(Role::SlotA, report)?;
            known.put(Slot::A, ours.clone());
            self.kernel(&Kernel::of_slot(Slot::A, &ours))?;
            self.lines.push(format!("no image had a kernel: version {} is installed again", ours.version));
        }
        self.forget(known, without, "has no kernel");
        for _ in 0..2 {
            let Some(recovery) = known.ledger.recovery.clone() else { break };
            let mut has_all = true;
            for kernel in Kernel::of_recovery(&recovery) {
                has_all &= self.kernel(&kernel)?;
            }
            if has_all {
                break;
            }
            // Another version's kernel would look for another image.
            self.renew_recovery(known, report)?;
        }
        Ok(())
    }

    /// Whether it is whole now.
    fn kernel(&mut self, kernel: &Kernel<'_>) -> Result<bool> {
        let what = match kernel.look(self.disk, true) {
            // Where there is no copy behind the image, its name alone says little; the medium knows its own.
            Ok(Finding::Good) => match self.medium.kernel_for(kernel) {
                Some((blob, _)) if !self.has(kernel, blob)? => format!("{} was damaged", kernel.entry),
                _ => return Ok(true),
            },
            Ok(Finding::Mended(what)) => {
                self.lines.push(what);
                return Ok(true);
            }
            Ok(Finding::Lost(what) | Finding::Wrong(what)) => what,
            Err(error) => error.to_string(),
        };
        let Some((blob, path)) = self.medium.kernel_for(kernel) else { return Ok(false) };
        let mut file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let esp = Esp::open(self.disk, kernel.on)?;
        esp.add_uki(kernel.entry.as_str(), blob, &mut file)?;
        esp.close()?;
        self.lines.push(what);
        Ok(true)
    }

    fn has(&self, kernel: &Kernel<'_>, blob: edge_model::manifest::Blob) -> Result<bool> {
        let esp = Esp::open(self.disk, kernel.on)?;
        let has = esp.has_uki(kernel.entry.as_str(), blob);
        esp.close()?;
        Ok(has)
    }

    /// No upgrade changes a loader: it is the medium's, or damaged.
    fn loaders(&mut self) -> Result<()> {
        let loader = install::loader(&self.host.machine)?;
        for (role, names) in [
            (Role::Efi, [paths::ESP_LOADER_MAIN, paths::ESP_LOADER_FALLBACK]),
            (Role::EfiRecovery, [paths::ESP_LOADER_RECOVERY, paths::ESP_LOADER_FALLBACK]),
        ] {
            let esp = Esp::open(self.disk, role)?;
            for name in names {
                if !esp.holds(name, &loader) {
                    esp.install_loader(&loader, &[name])?;
                    self.lines.push(format!("the boot loader {name} on {} was damaged", role.spec().label));
                }
            }
            if role == Role::EfiRecovery {
                esp.set_default_entry(&Entry::recovery())?;
            }
            esp.close()?;
        }
        Ok(())
    }

    /// What is started when nothing else is said has to be there, in the firmware's variable and in the loader's configuration.
    fn default_entry(&mut self, known: &Known) -> Result<()> {
        let is_there = |entry: &Option<Entry>| {
            entry
                .as_ref()
                .is_some_and(|entry| known.images.iter().any(|(_, image)| image.root_hash.entry() == *entry))
        };
        let Some(best) = known.best() else { return Ok(()) };
        let variable = match &self.host.variables {
            Some(variables) => variables.get_entry(Variable::LoaderEntryDefault)?,
            None => None,
        };
        let esp = Esp::open(self.disk, Role::Efi)?;
        let configured = esp.default_entry()?;
        let said = [&variable, &configured].into_iter().find(|entry| is_there(entry)).and_then(Clone::clone);
        let wanted = said.unwrap_or_else(|| best.entry());
        if !is_there(&configured) {
            esp.set_default_entry(&wanted)?;
            self.lines.push("the boot loader's configuration led to nothing".to_owned());
        }
        esp.close()?;
        if let Some(variables) = self.host.variables.as_ref().filter(|_| !is_there(&variable)) {
            variables.set_entry(Variable::LoaderEntryDefault, &wanted)?;
        }
        Ok(())
    }
}
