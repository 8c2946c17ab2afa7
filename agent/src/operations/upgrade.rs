//! Writing a new image beside the running one and arming its trial boot.
//!
//! Order, so that a cut anywhere leaves a host that boots: forget the old content of the slot, write tree and data
//! with the tree's top block missing, write the top block, read everything back, add the UKI under a new name,
//! arm the one-shot entry.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use edge_host::buffer::PageBuffer;
use edge_host::efivars::{EfiVars, Variable};
use edge_host::esp::Esp;
use edge_host::files;
use edge_host::slot::{ImageWriter, TreeOnDisk};
use edge_host::uki_store::{StoredUkis, Which};
use edge_model::api::UpgradeRequest;
use edge_model::ids::{Entry, Slot};
use edge_model::layout::Role;
use edge_model::ledger::{HistoryEntry, HistoryEvent, ImageRecord, Ledger, PendingUpgrade, UpgradeStage};
use edge_model::manifest::{BLOCK_SIZE, FRAME_SIZE};
use edge_model::{Class, Context, Error, Result, paths};
use edge_planner::upgrade::{self, UpgradeFacts, UpgradePlan};
use edge_slot_image::frames::{Decompressor, MAX_COMPRESSED_FRAME, frame_length};
use edge_slot_image::oci::{self, Descriptor};
use edge_slot_image::verity::Tree;

use super::Outcome;
use crate::configuration::Settings;
use crate::facts::{self, Host};
use crate::report::Report;
use crate::source::persistence::{Broken, RETRY_PAUSES, Watched, persistently};
use crate::source::{self, SourceImage, Surroundings};
use crate::stages::{self, Moment, chroot};
use crate::{boot_control, cluster};

/// After so many frames the ledger learns how far the writing has come (64 MiB).
const CHECKPOINT_EVERY: usize = 16;
/// Upgrades the host.
///
/// # Errors
/// Why the image was refused, or what failed. Running the same upgrade again goes on where it stopped.
pub(crate) fn run(
    host: &Host,
    settings: &Settings,
    request: &UpgradeRequest,
    report: &mut dyn Report,
) -> Result<Outcome> {
    report.step("fetching the manifest", 0);
    let around = Surroundings { own_disk: &host.record.disk, edge: settings.edge() };
    let mut image =
        source::open(&request.source, request.plain_http, &facts::trusted_keys(&host.machine)?, &around)?;
    let plan = decide(host, settings, &host.ledger().load(), &image, request)?;
    if request.dry_run {
        return Ok(Outcome::stay(plan.describe()));
    }
    let (slot, record) = match plan {
        UpgradePlan::AlreadyInstalled => {
            return Ok(Outcome::stay(format!(
                "already installed: version {} runs on this host",
                image.manifest.version
            )));
        }
        UpgradePlan::AlreadyWritten { slot, image } => (slot, image),
        UpgradePlan::Write { slot, image: record, first_frame, obsolete_entry } => {
            let job = Job { host, slot, record: &record, source: &request.source };
            stages::run("before-upgrade", &Moment::of_running_system(&host.machine, host.kind));
            job.begin(first_frame, obsolete_entry)?;
            job.write(&mut image, first_frame as usize, report)?;
            job.add_uki(&mut image, report)?;
            job.keep_ukis(&mut image, report)?;
            run_stages_after(host, slot);
            (slot, record)
        }
    };
    arm(host, slot, &record, &request.source)?;
    let message = format!("version {} is ready in slot {slot}: the next boot tries it", record.version);
    Ok(if request.reboot { Outcome::restart(message) } else { Outcome::stay(message) })
}

/// Stages in and beside the new image. One that fails is recorded; the trial boot judges the image.
fn run_stages_after(host: &Host, slot: Slot) {
    let run = || -> Result<()> {
        let image = host.disk()?.volume(Role::of_slot(slot))?;
        let parts = chroot::Parts {
            image: image.content(),
            oem: chroot::Place::Folder(Path::new(paths::OEM)),
            persistent: chroot::Place::Folder(Path::new(paths::PERSISTENT)),
        };
        let record = stages::run_in_image(&host.machine, "after-upgrade-chroot", &parts)?;
        stages::append(&host.machine, &record);
        Ok(())
    };
    if let Err(error) = run() {
        tracing::warn!("the stage after-upgrade-chroot did not run: {error}");
    }
    stages::run("after-upgrade", &Moment::of_running_system(&host.machine, host.kind));
}

fn decide(
    host: &Host,
    settings: &Settings,
    ledger: &Ledger,
    image: &SourceImage,
    request: &UpgradeRequest,
) -> Result<UpgradePlan> {
    let disk = host.disk()?;
    let role = Role::of_slot(host.record.slot.map_or(Slot::A, Slot::other));
    let esp = Esp::open(&disk, Role::Efi)?;
    let free = esp.free()?;
    esp.close()?;
    let cluster = cluster::opened_versions();
    let facts = UpgradeFacts {
        booted_slot: host.record.slot,
        booted_root_hash: host.record.root_hash,
        booted_name: &host.image.name,
        booted_version: &host.image.version,
        architecture: facts::architecture(),
        ledger,
        slot_size: disk.partition(role).map_or(0, |partition| partition.length),
        esp_free: free,
        oem_free: files::free_bytes(&host.machine.path(paths::OEM))?,
        firmware_has_room: host.variables.as_ref().is_none_or(EfiVars::has_room),
        unsigned: settings.edge().upgrade.unsigned,
        cluster: cluster.as_ref(),
    };
    upgrade::plan(&facts, &image.manifest, image.provenance, request)
}

/// One image on its way into one slot.
struct Job<'a> {
    host: &'a Host,
    slot: Slot,
    record: &'a ImageRecord,
    source: &'a str,
}

impl Job<'_> {
    fn pending(&self, stage: UpgradeStage) -> PendingUpgrade {
        PendingUpgrade {
            slot: self.slot,
            image: self.record.clone(),
            source: self.source.to_owned(),
            stage,
            tries: 0,
        }
    }

    /// Forgets what the slot held before the first byte of it is overwritten.
    fn begin(&self, first_frame: u32, obsolete: Option<Entry>) -> Result<()> {
        if let Some(variables) = &self.host.variables {
            variables.remove(Variable::LoaderEntryOneShot)?;
        }
        if let Some(entry) = obsolete {
            if let Some(variables) = &self.host.variables {
                variables.remove(Variable::FallbackEntry)?;
            }
            let esp = Esp::open(&self.host.disk()?, Role::Efi)?;
            esp.remove_uki(entry.as_str(), &[self.host.record.root_hash.entry()])?;
            esp.close()?;
        }
        self.host.ledger().change_or_begin(|ledger| {
            ledger.set_slot(self.slot, None);
            ledger.last_source = Some(self.source.to_owned());
            if first_frame == 0 {
                ledger.record(history(HistoryEvent::UpgradeStarted, self.record, self.slot));
            }
            ledger.pending = Some(self.pending(UpgradeStage::Writing { data_frames: first_frame }));
            Ok(())
        })
    }

    /// Remembers how far the writing has come.
    fn checkpoint(&self, frames: usize) -> Result<()> {
        self.host.ledger().change_or_begin(|ledger| {
            ledger.pending = Some(self.pending(UpgradeStage::Writing { data_frames: frames as u32 }));
            Ok(())
        })
    }

    fn write(&self, image: &mut SourceImage, first_frame: usize, report: &mut dyn Report) -> Result<()> {
        let target = ImageWriter::inactive_slot(&self.host.disk()?, self.slot, &self.host.record)?;
        let layer = source::checked_layer(image, oci::MEDIA_ROOT, image.manifest.root.blob)?;
        let root = image.manifest.root.clone();
        report.step("fetching the hash tree", 0);
        let mut fetcher = Fetcher::new(image, layer)?;
        let tree_bytes = fetcher.tree(&root)?;
        let tree = Tree::verify(&root.root_hash, root.data_blocks, &tree_bytes)?;
        let on_disk = TreeOnDisk::new(tree_bytes, root.data_blocks);
        on_disk.write_disabled(&target)?;
        let data = root.data_blocks * BLOCK_SIZE;
        report.step("writing the image", data);
        let mut next = first_frame;
        fetcher.data(&root.data_frames, data, first_frame, |index, bytes| {
            let offset = index as u64 * FRAME_SIZE;
            if let Some(block) = tree.first_mismatch(offset / BLOCK_SIZE, bytes) {
                return Err(Error::integrity(format!(
                    "block {block} of the image does not match its hash tree"
                )));
            }
            target.write_at(offset, bytes)?;
            next = index + 1;
            if next.is_multiple_of(CHECKPOINT_EVERY) {
                target.sync()?;
                self.checkpoint(next)?;
            }
            report.progress(offset + bytes.len() as u64)
        })?;
        on_disk.enable(&target)?;
        self.checkpoint(next)?;
        report.step("checking what was written", data);
        target
            .reader()
            .scrub(&root.root_hash, root.data_blocks, |done| report.progress(done))
            .inspect_err(|error| self.distrust(error))
            .context("the image was not written correctly")
    }

    /// What is on the disk is not what was written: the next run starts from the first frame.
    fn distrust(&self, error: &Error) {
        // Also when it cannot be read: a disk puts another sector in the place of a bad one when that is written. Not when somebody
        // has stopped this.
        if error.class != Class::Rejected
            && let Err(second) = self.checkpoint(0)
        {
            tracing::warn!("the ledger could not be corrected: {second}");
        }
    }

    /// Behind the image, where nothing that happens to a boot partition reaches them; recovery's comes along, so that recovery
    /// can be refreshed without the source.
    fn keep_ukis(&self, image: &mut SourceImage, report: &mut dyn Report) -> Result<()> {
        let disk = self.host.disk()?;
        let target = ImageWriter::inactive_slot(&disk, self.slot, &self.host.record)?;
        let (ukis, blocks) = (&image.manifest.ukis, image.manifest.root.data_blocks);
        let stored = StoredUkis { image: self.record.root_hash, main: ukis.main, recovery: ukis.recovery };
        if StoredUkis::read(target.reader(), &stored.image, blocks) == Some(stored) {
            return Ok(());
        }
        StoredUkis::forget(&target, blocks)?;
        if !stored.fit(blocks, target.size()) {
            return Ok(());
        }
        report.step("keeping a second copy of the kernel", 0);
        let recovery = source::checked_layer(image, oci::MEDIA_UKI_RECOVERY, stored.recovery)?;
        // What is on the boot partition already is not fetched again.
        let esp = Esp::open(&disk, Role::Efi)?;
        let (_, mut main) = esp.uki(&self.record.root_hash.uki_name())?;
        stored.write(&target, blocks, Which::Main, &mut main)?;
        drop(main);
        esp.close()?;
        persistently(&RETRY_PAUSES, || {
            let mut stream = Watched::new(image.blobs.open(&recovery, 0).map_err(Broken::Download)?);
            let written = stored.write(&target, blocks, Which::Recovery, &mut stream);
            written.map_err(|error| stream.blame(error))
        })?;
        stored.seal(&target, blocks)
    }

    fn add_uki(&self, image: &mut SourceImage, report: &mut dyn Report) -> Result<()> {
        report.step("writing the kernel", 0);
        let blob = image.manifest.ukis.main;
        let layer = source::checked_layer(image, oci::MEDIA_UKI_MAIN, blob)?;
        let (name, disk) = (self.record.root_hash.uki_name(), self.host.disk()?);
        persistently(&RETRY_PAUSES, || {
            let mut stream = Watched::new(image.blobs.open(&layer, 0).map_err(Broken::Download)?);
            let esp = Esp::open(&disk, Role::Efi).map_err(Broken::Other)?;
            let added = esp.add_uki(&name, blob, &mut stream).map_err(|error| stream.blame(error));
            added.and(esp.close().map_err(Broken::Other))
        })
    }
}

/// The variable first: should the power fail between the two, the image gets its trial all the same.
fn arm(host: &Host, slot: Slot, record: &ImageRecord, source: &str) -> Result<()> {
    boot_control::try_next(host, record.root_hash.entry(), host.record.root_hash.entry())?;
    host.ledger().change_or_begin(|ledger| {
        ledger.failed.retain(|failed| failed.root_hash != record.root_hash);
        ledger.record(history(HistoryEvent::UpgradeArmed, record, slot));
        ledger.pending = Some(PendingUpgrade {
            slot,
            image: record.clone(),
            source: source.to_owned(),
            stage: UpgradeStage::Armed,
            tries: 0,
        });
        Ok(())
    })
}

fn history(event: HistoryEvent, record: &ImageRecord, slot: Slot) -> HistoryEntry {
    HistoryEntry {
        at: facts::now(),
        event,
        version: record.version.clone(),
        root_hash: record.root_hash,
        slot: Some(slot),
        reason: None,
    }
}

/// Fetches frames of the root image, one buffer of each kind for all of them.
struct Fetcher<'a> {
    image: &'a mut SourceImage,
    layer: Descriptor,
    decompressor: Decompressor,
    compressed: Vec<u8>,
}

impl<'a> Fetcher<'a> {
    fn new(image: &'a mut SourceImage, layer: Descriptor) -> Result<Self> {
        let compressed = vec![0; MAX_COMPRESSED_FRAME as usize];
        Ok(Self { image, layer, decompressor: Decompressor::new()?, compressed })
    }

    /// Superblock and tree.
    fn tree(&mut self, root: &edge_model::manifest::RootImage) -> Result<PageBuffer> {
        let start = sum(&root.data_frames);
        let length = root.tree_blocks * BLOCK_SIZE;
        let mut bytes = PageBuffer::new(length as usize);
        let mut frame = PageBuffer::new(FRAME_SIZE as usize);
        self.frames(&root.tree_frames, length, start, 0, &mut frame, &mut |index, content| {
            let at = index * FRAME_SIZE as usize;
            bytes[at..at + content.len()].copy_from_slice(content);
            Ok(())
        })?;
        Ok(bytes)
    }

    fn data(
        &mut self,
        sizes: &[u32],
        length: u64,
        first: usize,
        mut take: impl FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut frame = PageBuffer::new(FRAME_SIZE as usize);
        self.frames(sizes, length, 0, first, &mut frame, &mut take)
    }

    /// Gives each frame from `first` on to `take`. A download that breaks is taken up at the frame where it
    /// broke, after a pause.
    fn frames(
        &mut self,
        sizes: &[u32],
        length: u64,
        start: u64,
        first: usize,
        frame: &mut PageBuffer,
        take: &mut dyn FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut next = first;
        let mut pauses = RETRY_PAUSES.iter();
        while next < sizes.len() {
            let before = next;
            let offset = start + sum(&sizes[..next]);
            let result = self.stream(offset, sizes, length, &mut next, frame, take);
            if next > before {
                pauses = RETRY_PAUSES.iter();
            }
            match result {
                Ok(()) => {}
                Err(Broken::Download(error)) => match pauses.next() {
                    Some(seconds) => std::thread::sleep(Duration::from_secs(*seconds)),
                    None if error.help.is_some() => return Err(error),
                    None => return Err(error.help("run the upgrade again: it goes on where it stopped")),
                },
                Err(Broken::Other(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn stream(
        &mut self,
        offset: u64,
        sizes: &[u32],
        length: u64,
        next: &mut usize,
        frame: &mut PageBuffer,
        take: &mut dyn FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<(), Broken> {
        let mut stream = self.image.blobs.open(&self.layer, offset).map_err(Broken::Download)?;
        for (index, size) in sizes.iter().enumerate().skip(*next) {
            let compressed = &mut self.compressed[..*size as usize];
            let read = stream.read_exact(compressed).context("the download of the image broke off");
            read.map_err(Broken::Download)?;
            let content = &mut frame[..frame_length(length, index) as usize];
            self.decompressor.decompress(compressed, content).map_err(Broken::Other)?;
            take(index, content).map_err(Broken::Other)?;
            *next = index + 1;
        }
        Ok(())
    }
}

fn sum(sizes: &[u32]) -> u64 {
    sizes.iter().map(|size| u64::from(*size)).sum()
}
