//! What is on the EFI system partitions. Names are content-addressed; nothing is renamed in order to boot.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_model::ids::Entry;
use edge_model::manifest::Blob;
use edge_model::{Context, Error, Result, paths};

use crate::child::Child;
use crate::console;
use crate::disk::PartitionedDisk;
use crate::faults::effect;
use crate::files;
use crate::mount::{self, MountFlags, ScopedMount};
use edge_model::layout::Role;

/// Writing a UKI takes seconds, reading the configuration none.
const ALONE_WITHIN: Duration = Duration::from_secs(60);

/// A mounted ESP. Threads and processes have it one after the other: its mount point is one.
#[derive(Debug)]
pub struct Esp(Held);

#[derive(Debug)]
enum Held {
    /// Dropped in this order.
    Mounted { mount: ScopedMount, alone: File },
    /// What stands for it in tests.
    Folder(PathBuf),
}

/// Configuration of systemd-boot that starts `entry` without a menu; holding a key still shows one. Nothing else is offered: a
/// loader without an image of ours ends with an error, and the firmware goes on to recovery, where "reboot into firmware
/// set-up" as its only entry would be the end
/// (<https://www.freedesktop.org/software/systemd/man/latest/loader.conf.html>).
pub fn loader_conf(entry: &str) -> String {
    format!("default {entry}\ntimeout 0\neditor no\nauto-entries no\nauto-firmware no\n")
}

/// The default entry of a loader configuration.
pub fn default_entry(conf: &str) -> Option<Entry> {
    conf.lines().find_map(|line| line.strip_prefix("default ")).and_then(Entry::named)
}

impl Esp {
    /// Mounts the ESP of a disk for writing, when nobody else has it mounted any more.
    ///
    /// # Errors
    /// When it is missing, damaged, or in use for too long.
    pub fn open(disk: &PartitionedDisk, role: Role) -> Result<Self> {
        let busy = || {
            Error::environment(format!(
                "the boot partition is in use for more than {} s",
                ALONE_WITHIN.as_secs()
            ))
        };
        Self::open_within(disk, role, ALONE_WITHIN)?.ok_or_else(busy)
    }

    /// As [`Esp::open`], for those who only look: none while somebody else has it.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn open_now(disk: &PartitionedDisk, role: Role) -> Result<Option<Self>> {
        Self::open_within(disk, role, Duration::ZERO)
    }

    fn open_within(disk: &PartitionedDisk, role: Role, within: Duration) -> Result<Option<Self>> {
        if let Some(folder) = &disk.stand_in {
            return Ok(Some(Self(Held::Folder(folder.join(role.spec().label)))));
        }
        let target = match role {
            Role::EfiRecovery => paths::ESP_RECOVERY_MOUNT,
            _ => paths::ESP_MOUNT,
        };
        let device = disk.volume(role)?.content().to_owned();
        let Some(alone) = alone(Path::new(target), within)? else { return Ok(None) };
        if mount::is_mounted(Path::new(target)) {
            // Whoever mounted it was killed: the lock is ours.
            mount::unmount(Path::new(target))?;
        }
        if is_dirty(&device) {
            mend(&device);
        }
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let mount =
            ScopedMount::new(&device.to_string_lossy(), Path::new(target), "vfat", flags, "umask=0077")?;
        Ok(Some(Self(Held::Mounted { mount, alone })))
    }

    fn root(&self) -> &Path {
        match &self.0 {
            Held::Mounted { mount, .. } => mount.path(),
            Held::Folder(folder) => folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn uki_path(&self, name: &str) -> PathBuf {
        self.path(paths::ESP_UKI_DIR).join(name)
    }

    /// Unmounts; afterwards everything is on the device.
    ///
    /// # Errors
    /// When the file system cannot be unmounted.
    pub fn close(self) -> Result<()> {
        match self.0 {
            Held::Mounted { mount, alone } => {
                let closed = mount.close();
                drop(alone);
                closed
            }
            Held::Folder(_) => Ok(()),
        }
    }

    /// Writes a UKI under a new name and checks it by reading it from the device again.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] when it does not match `blob`; [`edge_model::Class::Environment`] when
    /// it does not fit. The ESP then is as it was.
    pub fn add_uki(&self, name: &str, blob: Blob, input: &mut dyn Read) -> Result<()> {
        let path = self.uki_path(name);
        if self.has_uki(name, blob) {
            return Ok(());
        }
        self.create_folder(paths::ESP_UKI_DIR)?;
        files::copy_durably(&mut input.take(blob.size + 1), &path, |digest, size| {
            if digest != blob.digest || size != blob.size {
                return Err(Error::integrity(format!("the UKI {name} does not match its digest")));
            }
            Ok(())
        })
    }

    /// Whether an undamaged UKI with this name is there.
    pub fn has_uki(&self, name: &str, blob: Blob) -> bool {
        files::digest(&self.uki_path(name)).is_ok_and(|found| found == (blob.digest, blob.size))
    }

    /// A UKI as it is there: what it must be, and its bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn uki(&self, name: &str) -> Result<(Blob, File)> {
        let path = self.uki_path(name);
        let (digest, size) = files::digest(&path)?;
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok((Blob { digest, size }, file))
    }

    pub fn contains_uki(&self, name: &str) -> bool {
        self.uki_path(name).exists()
    }

    /// Removes a UKI.
    ///
    /// # Errors
    /// [`edge_model::Class::Rejected`] when `name` is among `protected`.
    pub fn remove_uki(&self, name: &str, protected: &[Entry]) -> Result<()> {
        if protected.iter().any(|entry| entry.as_str() == name) {
            return Err(Error::rejected(format!("{name} is needed to boot and is not removed")));
        }
        let path = self.uki_path(name);
        match effect("remove", &path).and_then(|()| fs::remove_file(&path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {name} from the ESP"))
            }
            _ => Ok(()),
        }
    }

    /// Names of all UKIs, and of unfinished ones.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn ukis(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.path(paths::ESP_UKI_DIR)).context("cannot list the ESP")?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// Free bytes.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn free(&self) -> Result<u64> {
        files::free_bytes(self.root())
    }

    /// The entry that systemd-boot starts when no variable says otherwise.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub fn default_entry(&self) -> Result<Option<Entry>> {
        let conf = files::read_text_if_there(&self.path(paths::ESP_LOADER_CONF))?;
        Ok(conf.as_deref().and_then(default_entry))
    }

    /// Whether the loader's configuration starts `entry`, and nothing that ends on the firmware's screen.
    ///
    /// # Errors
    /// As [`Esp::default_entry`].
    pub fn is_configured_for(&self, entry: &Entry) -> Result<bool> {
        let conf = files::read_text_if_there(&self.path(paths::ESP_LOADER_CONF))?;
        Ok(conf.as_deref() == Some(&loader_conf(entry.as_str())))
    }

    /// Makes `entry` the one that is started; for firmware that loses its variables.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_default_entry(&self, entry: &Entry) -> Result<()> {
        if self.is_configured_for(entry)? {
            return Ok(());
        }
        self.create_folder("loader")?;
        let conf = loader_conf(entry.as_str());
        files::write_durably(&self.path(paths::ESP_LOADER_CONF), conf.as_bytes(), 0o600)
    }

    /// Writes systemd-boot under the given names.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn install_loader(&self, loader: &[u8], names: &[&str]) -> Result<()> {
        for name in names {
            let folder = Path::new(name).parent().and_then(Path::to_str).unwrap_or_default();
            self.create_folder(folder)?;
            files::write_durably(&self.path(name), loader, 0o600)?;
        }
        Ok(())
    }

    /// Whether a file is there and holds just this.
    pub fn holds(&self, name: &str, bytes: &[u8]) -> bool {
        files::read(&self.path(name), bytes.len() as u64).is_ok_and(|found| found == bytes)
    }

    fn create_folder(&self, folder: &str) -> Result<()> {
        fs::create_dir_all(self.path(folder)).with_context(|| format!("cannot create {folder} on the ESP"))
    }
}

/// Whether the file system was in use when the power went: a bit of its boot sector, which mounting sets and unmounting clears
/// (`BPB_Reserved1` of FAT32; `fs/fat/inode.c` of Linux).
fn is_dirty(device: &Path) -> bool {
    const STATE: usize = 0x41;
    let mut sector = [0; 512];
    let read = File::open(device).and_then(|mut file| file.read_exact(&mut sector));
    read.is_ok() && sector[STATE] & 1 == 1
}

/// Lost clusters are given back, and what is cross-linked is cut. What cannot be mended is still better mounted than not.
fn mend(device: &Path) {
    const CHECK_DEADLINE: Duration = Duration::from_secs(120);
    // It ends with 1 when it has mended something.
    let outcome = Child::new("fsck.vfat").args(["-a", "-w"]).arg(device).deadline(CHECK_DEADLINE).outcome();
    match outcome {
        Ok(outcome) if outcome.status.code().is_some_and(|code| code <= 1) => {}
        Ok(outcome) => {
            console::say(&format!("edge: warning: {} is not whole: {}", device.display(), outcome.stderr));
        }
        Err(error) => console::say(&format!("edge: warning: {error}")),
    }
}

/// Waits until nobody else works at a mount point; none when that takes too long. The lock ends with the file, however its process
/// ends.
fn alone(mount_point: &Path, within: Duration) -> Result<Option<File>> {
    let path = mount_point.with_extension("lock");
    let context = || format!("cannot lock {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).with_context(context)?;
    let file = File::create(&path).with_context(context)?;
    Ok(files::lock_within(&file, within).with_context(context)?.then_some(file))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_mount_point_is_had_by_one_at_a_time() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let mount_point = folder.path().join("edge/esp");
        let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let held = alone(&mount_point, ALONE_WITHIN).unwrap().unwrap();
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(5));
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(held);
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
    }

    #[test]
    fn the_configuration_reads_back() {
        assert_eq!(default_entry(&loader_conf("edge-1.efi")), Entry::named("edge-1.efi"));
        assert_eq!(default_entry("timeout 0\n"), None);
        assert_eq!(default_entry("default \n"), None);
    }
}
