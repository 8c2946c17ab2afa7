//! Mending a host from the medium that has installed it: what keeps it from starting is written again, and its data stays.

use std::fs::File;

use edge_host::disk::PartitionedDisk;
use edge_host::efivars::Variable;
use edge_host::esp::Esp;
use edge_host::gpt;
use edge_host::machine::Mounted;
use edge_host::mount::MountFlags;
use edge_host::slot::{ImageReader, ImageWriter};
use edge_model::ids::{Entry, Slot};
use edge_model::layout::Role;
use edge_model::ledger::{ImageRecord, Ledger};
use edge_model::manifest::BLOCK_SIZE;
use edge_model::{Class, Context, Result, paths};
use edge_planner::boot::recovery::Counters;
use edge_planner::installed;

use super::fsck::{Finding, Kernel};
use super::install::{self, Medium};
use super::write_image;
use crate::boot_control;
use crate::facts::Host;
use crate::report::Report;
use crate::state_file::StateFile;

/// Looks at all that a start of an installed disk needs, and mends what is not whole; says what was mended. Images are read as a
/// whole when the last boots of the disk did not last.
///
/// # Errors
/// When the disk cannot be read or written; doing it again goes on.
pub(super) fn from_medium(
    host: &Host,
    medium: &Medium,
    disk: &PartitionedDisk,
    report: &mut dyn Report,
) -> Result<Vec<String>> {
    report.step("looking at what the host needs to start", 0);
    let mut mended = Vec::new();
    mend_table(disk, &mut mended)?;
    let oem = mount_oem(host, disk)?;
    let file = StateFile::<Ledger>::new(&oem.path().join("edge"));
    let mut ledger = file.load();
    let before = ledger.clone();
    let counters = host.counters()?;
    let is_thorough = counters != Counters::default() || ledger == Ledger::default();
    let mut bench = Bench { host, medium, disk, mended, is_thorough };
    bench.images(&mut ledger, report)?;
    // Before anything starts what it describes.
    if ledger != before {
        file.change_or_begin(|kept| {
            kept.clone_from(&ledger);
            Ok(())
        })?;
    }
    bench.kernels(&ledger)?;
    bench.loaders()?;
    bench.default_entry(&ledger)?;
    let mended = bench.mended;
    oem.close()?;
    if counters != Counters::default() {
        // It begins anew.
        boot_control::set_counters(host, Counters::default())?;
    }
    Ok(mended)
}

fn mend_table(disk: &PartitionedDisk, mended: &mut Vec<String>) -> Result<()> {
    let sector = disk.disk.logical_sector;
    if !gpt::both_copies_are_whole(&mut disk.disk.open()?, sector) {
        gpt::rewrite(&disk.disk.path, sector)?;
        mended.push("one copy of the partition table was damaged".to_owned());
    }
    Ok(())
}

fn mount_oem(host: &Host, disk: &PartitionedDisk) -> Result<Mounted> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let volume = disk.volume(Role::Oem)?;
    host.machine.mount_volume(&volume, install::TARGET, "ext4", flags).or_else(|_| {
        // It ends with 1 when it has mended something.
        host.machine.program("e2fsck").args(["-f", "-y"]).arg(volume.content()).outcome()?;
        let mounted = host.machine.mount_volume(&volume, install::TARGET, "ext4", flags);
        mounted.map_err(|error| error.help("the host's configuration is lost: install with wipe: everything"))
    })
}

struct Bench<'a> {
    host: &'a Host,
    medium: &'a Medium,
    disk: &'a PartitionedDisk,
    mended: Vec<String>,
    is_thorough: bool,
}

impl Bench<'_> {
    /// The image that the medium has.
    fn image(&self) -> ImageRecord {
        installed::image_record(&self.medium.manifest, self.medium.signed)
    }

    /// Slots and recovery. One whole image is enough for a host, and without any it gets the medium's.
    fn images(&mut self, ledger: &mut Ledger, report: &mut dyn Report) -> Result<()> {
        let image = self.image();
        let mut whole = 0;
        for slot in [Slot::A, Slot::B] {
            let Some(known) = ledger.slot(slot).cloned() else { continue };
            let is_ours = known.root_hash == image.root_hash;
            if self.is_whole(Role::of_slot(slot), &known, report)? {
                whole += 1;
            } else if is_ours {
                self.write(Role::of_slot(slot), report)?;
                self.mended.push(format!("version {} in slot {slot} was damaged", known.version));
                whole += 1;
            } else {
                let version = &known.version;
                self.mended.push(format!("version {version} in slot {slot} is damaged, and is forgotten"));
                ledger.set_slot(slot, None);
            }
        }
        if whole == 0 {
            self.write(Role::SlotA, report)?;
            self.mended.push(format!("no image was whole: version {} is installed again", image.version));
            ledger.set_slot(Slot::A, Some(image.clone()));
            ledger.pending = None;
        }
        let recovery = ledger.recovery.clone();
        let has_recovery = match &recovery {
            Some(known) => self.is_whole(Role::Recovery, known, report)?,
            None => false,
        };
        if !has_recovery {
            self.write(Role::Recovery, report)?;
            self.mended.push(format!("recovery was damaged: it is version {} now", image.version));
            ledger.recovery = Some(image);
        }
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

    /// From the copies behind the images; where an older system has left none, from the medium.
    fn kernels(&mut self, ledger: &Ledger) -> Result<()> {
        let slots = [Slot::A, Slot::B].map(|slot| Some(Kernel::of_slot(slot, ledger.slot(slot)?)));
        let recovery = ledger.recovery.iter().flat_map(Kernel::of_recovery);
        for kernel in slots.into_iter().flatten().chain(recovery) {
            let what = match kernel.look(self.disk, true) {
                Ok(Finding::Good) => continue,
                Ok(Finding::Mended(what)) => {
                    self.mended.push(what);
                    continue;
                }
                Ok(Finding::Lost(what) | Finding::Wrong(what)) => what,
                Err(error) => error.to_string(),
            };
            self.kernel_from_medium(&kernel)?;
            self.mended.push(what);
        }
        Ok(())
    }

    fn kernel_from_medium(&self, kernel: &Kernel<'_>) -> Result<()> {
        let (blob, name) = self.medium.kernel_for(&kernel.entry)?;
        let mut file = File::open(&name).with_context(|| format!("cannot open {}", name.display()))?;
        let esp = Esp::open(self.disk, kernel.on)?;
        esp.add_uki(kernel.entry.as_str(), blob, &mut file)?;
        esp.close()
    }

    /// The medium's loader takes the place of one that is missing, or is no program.
    fn loaders(&mut self) -> Result<()> {
        let loader = install::loader(&self.host.machine)?;
        for (role, names) in [
            (Role::Efi, [paths::ESP_LOADER_MAIN, paths::ESP_LOADER_FALLBACK]),
            (Role::EfiRecovery, [paths::ESP_LOADER_RECOVERY, paths::ESP_LOADER_FALLBACK]),
        ] {
            let esp = Esp::open(self.disk, role)?;
            for name in names {
                if !esp.has_program(name) {
                    esp.install_loader(&loader, &[name])?;
                    self.mended.push(format!("the boot loader {name} on {} was damaged", role.spec().label));
                }
            }
            esp.close()?;
        }
        Ok(())
    }

    /// What is started when nothing else is said has to be there, in the firmware's variable and in the loader's configuration.
    fn default_entry(&mut self, ledger: &Ledger) -> Result<()> {
        let entries: Vec<Entry> = [Slot::A, Slot::B]
            .iter()
            .filter_map(|slot| Some(ledger.slot(*slot)?.root_hash.entry()))
            .collect();
        let Some(first) = entries.first() else { return Ok(()) };
        let is_there = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| entries.contains(entry));
        let esp = Esp::open(self.disk, Role::Efi)?;
        let configured = esp.default_entry()?;
        let known = match &self.host.variables {
            Some(variables) => variables.get_entry(Variable::LoaderEntryDefault)?,
            None => None,
        };
        let wanted = [&known, &configured].into_iter().find(|entry| is_there(entry)).and_then(Clone::clone);
        let wanted = wanted.unwrap_or_else(|| first.clone());
        if !is_there(&configured) {
            esp.set_default_entry(&wanted)?;
            self.mended.push("the boot loader's configuration led to nothing".to_owned());
        }
        esp.close()?;
        if let Some(variables) = self.host.variables.as_ref().filter(|_| !is_there(&known)) {
            variables.set_entry(Variable::LoaderEntryDefault, &wanted)?;
        }
        Ok(())
    }
}
