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
use edge_model::api::black_box::{BlackBox, Ending};
use edge_model::ids::{Entry, RootHash, Slot};
use edge_model::layout::Role;
use edge_model::ledger::{HistoryEvent, ImageRecord, Ledger, PendingUpgrade, UpgradeStage};
use edge_model::manifest::{BLOCK_SIZE, Blob};
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
/// Images are read as a whole unless the last boot of the disk is known to have lasted and ended well.
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
    let mut bench = Bench { host, medium, disk, lines: Vec::new(), is_thorough: true };
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
        // One that is still being written is not one yet.
        let is_written = |pending: &&PendingUpgrade| !matches!(pending.stage, UpgradeStage::Writing { .. });
        let pending =
            ledger.pending.iter().filter(is_written).map(|pending| (pending.slot, pending.image.clone()));
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

/// How something that a start needs is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Its bytes are wrong, or gone: it cannot start.
    Broken,
    /// It cannot be looked at now, or not be written: that may be over later.
    Unknown,
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
        let edge = oem.path().join("edge");
        let file = StateFile::<Ledger>::new(&edge);
        // What cannot be read now may be read later; without it nothing says what the slots hold.
        let ledger = file.read()?;
        let mut known = Known::of(ledger.clone());
        if known.images.is_empty() {
            oem.close()?;
            return Err(Error::integrity("its ledger is lost: what its slots hold is not touched"));
        }
        self.is_thorough = !self.last_boot_was_well(&StateFile::new(&edge).load());
        let looked = self.slots(&mut known, report);
        self.note("the slots", looked);
        let looked = self.recovery(&mut known, report);
        self.note("recovery", looked);
        if known.ledger != ledger {
            let written = file.change_or_begin(|kept| {
                kept.clone_from(&known.ledger);
                Ok(())
            });
            self.note("the host's record of its versions", written);
        }
        let closed = oem.close();
        self.note("the configuration partition", closed);
        self.default_entry(&known)
    }

    /// Nothing was counted, and it ended because somebody wanted it to.
    fn last_boot_was_well(&self, black_box: &BlackBox) -> bool {
        let nothing_is_counted = self.host.variables.is_some()
            && self.host.counters().is_ok_and(|counters| counters == Counters::default());
        let ending = black_box.boots.last().map(|boot| &boot.ending);
        nothing_is_counted && matches!(ending, Some(Ending::Restarted { .. } | Ending::SwitchedOff { .. }))
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

    /// Images with their kernels. One that can start is enough for a host, and without any it gets the medium's.
    fn slots(&mut self, known: &mut Known, report: &mut dyn Report) -> Result<()> {
        let mut states = Vec::new();
        for (slot, image) in known.images.clone() {
            let state = match self.image_in(Role::of_slot(slot), &image, report)? {
                State::Whole => self.kernel(&Kernel::of_slot(slot, &image)),
                other => other,
            };
            states.push((slot, image, state));
        }
        let starts = |state: &State| *state == State::Whole;
        if !states.iter().any(|(_, _, state)| starts(state)) {
            self.install_again(known, &states, report)?;
        }
        for (slot, image, state) in states {
            if state == State::Broken && known.images.contains(&(slot, image.clone())) {
                known.forget(slot);
                self.lines
                    .push(format!("version {} in slot {slot} cannot start, and is forgotten", image.version));
            }
        }
        Ok(())
    }

    /// Nothing starts. What is only unreadable now, or whose boot partition is, may start again later: the best of that is left.
    fn install_again(
        &mut self,
        known: &mut Known,
        states: &[(Slot, ImageRecord, State)],
        report: &mut dyn Report,
    ) -> Result<()> {
        let ours = self.image();
        let best = known.best();
        let may_start = |slot: &Slot| {
            states.iter().any(|(of, image, state)| {
                of == slot && *state == State::Unknown && Some(image.root_hash) == best
            })
        };
        let mut failure = None;
        for slot in [Slot::A, Slot::B].into_iter().filter(|slot| !may_start(slot)) {
            // The kernel first: where the boot partition takes nothing, no slot is touched for nothing.
            if self.kernel(&Kernel::of_slot(slot, &ours)) != State::Whole {
                failure = Some(Error::environment("no version can start, and no kernel can be written"));
                continue;
            }
            let written = self.write(Role::of_slot(slot), report);
            match written {
                Ok(()) => {
                    known.put(slot, ours.clone());
                    self.lines.push(format!("no version could start: {} is installed again", ours.version));
                    return Ok(());
                }
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// An image, which is written again where the medium has it.
    fn image_in(&mut self, role: Role, image: &ImageRecord, report: &mut dyn Report) -> Result<State> {
        let what = format!("version {} in {}", image.version, role.spec().label);
        let error = match self.read(role, image, report) {
            Ok(()) => return Ok(State::Whole),
            // Somebody has stopped this.
            Err(error) if error.class == Class::Rejected => return Err(error),
            Err(error) => error,
        };
        if image.root_hash == self.image().root_hash {
            // A disk puts another sector in the place of a bad one when that is written.
            return Ok(match self.write(role, report) {
                Ok(()) => {
                    self.lines.push(format!("{what} was damaged"));
                    State::Whole
                }
                Err(error) => {
                    self.lines.push(format!("{what} cannot be written: {error}"));
                    State::Unknown
                }
            });
        }
        self.lines.push(format!("{what}: {error}"));
        Ok(if error.class == Class::Integrity { State::Broken } else { State::Unknown })
    }

    fn read(&self, role: Role, image: &ImageRecord, report: &mut dyn Report) -> Result<()> {
        let reader = ImageReader::open(self.disk.volume(role)?.content())?;
        if !self.is_thorough {
            return reader.tree(&image.root_hash, image.data_blocks).map(drop);
        }
        report.step(&format!("reading {}", role.spec().label), image.data_blocks * BLOCK_SIZE);
        reader.scrub(&image.root_hash, image.data_blocks, |done| report.progress(done))
    }

    fn write(&self, role: Role, report: &mut dyn Report) -> Result<()> {
        let root = &self.medium.manifest.root;
        let source = ImageReader::open(&self.host.machine.medium_image()?)?;
        let target = ImageWriter::of_new_disk(self.disk, role)?;
        write_image::copy(&source, &target, &root.root_hash, root.data_blocks, role.spec().label, report)?;
        install::keep_ukis(self.medium, &target)
    }

    /// Recovery with its kernels; where it is lost, the medium's takes its place.
    fn recovery(&mut self, known: &mut Known, report: &mut dyn Report) -> Result<()> {
        let image = match known.ledger.recovery.clone() {
            Some(image) => image,
            // A cut may have come before it was recorded.
            None => match self.unrecorded_recovery(known) {
                Some(image) => image,
                None => return self.renew_recovery(known, "there was no recovery", report),
            },
        };
        let is_recorded = known.ledger.recovery.is_some();
        let state = self.image_in(Role::Recovery, &image, report)?;
        let broken = match state {
            State::Whole => {
                let kernels = Kernel::of_recovery(&image).map(|kernel| self.kernel(&kernel));
                kernels.contains(&State::Broken)
            }
            State::Broken => true,
            State::Unknown => false,
        };
        if broken {
            return self.renew_recovery(known, "recovery could not start", report);
        }
        if !is_recorded && state == State::Whole {
            known.ledger.recovery = Some(image);
        }
        Ok(())
    }

    fn unrecorded_recovery(&self, known: &Known) -> Option<ImageRecord> {
        let reader = ImageReader::open(self.disk.volume(Role::Recovery).ok()?.content()).ok()?;
        let candidates = known.images.iter().map(|(_, image)| image.clone()).chain([self.image()]);
        candidates.into_iter().find(|image| reader.holds_at(0, &image.root_hash, image.data_blocks))
    }

    fn renew_recovery(&mut self, known: &mut Known, why: &str, report: &mut dyn Report) -> Result<()> {
        let ours = self.image();
        self.write(Role::Recovery, report)?;
        known.ledger.recovery = Some(ours.clone());
        for kernel in Kernel::of_recovery(&ours) {
            self.kernel(&kernel);
        }
        self.lines.push(format!("{why}: it is version {} now", ours.version));
        Ok(())
    }

    /// A kernel, from the copy behind its image or from the medium, which has those of its own version.
    fn kernel(&mut self, kernel: &Kernel<'_>) -> State {
        let what = match kernel.look(self.disk, true) {
            Ok(Finding::Mended(what)) => {
                self.lines.push(what);
                return State::Whole;
            }
            // Where there is no copy behind the image, its name alone says little; the medium knows its own.
            Ok(Finding::Good) => match self.medium.kernel_for(kernel).map(|(blob, _)| self.has(kernel, blob))
            {
                Some(Ok(false)) => format!("{} was damaged", kernel.entry),
                _ => return State::Whole,
            },
            Ok(Finding::Lost(what) | Finding::Wrong(what)) => what,
            Err(error) if error.class == Class::Integrity => error.to_string(),
            // A boot partition that cannot be used now says nothing about the image.
            Err(error) => {
                self.lines.push(format!("{}: {error}", kernel.entry));
                return State::Unknown;
            }
        };
        let state = match self.kernel_from_medium(kernel) {
            None => State::Broken,
            Some(Ok(())) => State::Whole,
            Some(Err(error)) => {
                self.lines.push(format!("{}: {error}", kernel.entry));
                return State::Unknown;
            }
        };
        self.lines.push(what);
        state
    }

    fn kernel_from_medium(&self, kernel: &Kernel<'_>) -> Option<Result<()>> {
        let (blob, path) = self.medium.kernel_for(kernel)?;
        let write = || {
            let mut file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
            let esp = Esp::open(self.disk, kernel.on)?;
            esp.add_uki(kernel.entry.as_str(), blob, &mut file)?;
            esp.close()
        };
        Some(write())
    }

    fn has(&self, kernel: &Kernel<'_>, blob: Blob) -> Result<bool> {
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
        let read =
            self.host.variables.as_ref().map(|variables| variables.get_entry(Variable::LoaderEntryDefault));
        // One that cannot be read keeps nothing else from being mended.
        let can_be_read = !matches!(read, Some(Err(_)));
        let variable = read.and_then(Result::ok).flatten();
        let esp = Esp::open(self.disk, Role::Efi)?;
        let configured = esp.default_entry()?;
        let said = [&variable, &configured].into_iter().find(|entry| is_there(entry)).and_then(Clone::clone);
        let wanted = said.unwrap_or_else(|| best.entry());
        if !is_there(&configured) {
            esp.set_default_entry(&wanted)?;
            self.lines.push("the boot loader's configuration led to nothing".to_owned());
        }
        esp.close()?;
        if let Some(variables) = self.host.variables.as_ref().filter(|_| can_be_read && !is_there(&variable))
        {
            variables.set_entry(Variable::LoaderEntryDefault, &wanted)?;
        }
        Ok(())
    }
}
