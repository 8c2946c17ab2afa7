//! The machine that work is done on. Everything that leaves a boot behind, or reads what one has left, is reached through it; in
//! tests it is a folder, and every effect on it can fail or be the last ([`crate::faults`]).

use std::fs::File;
use std::path::{Path, PathBuf};

use edge_model::layout::Role;
use edge_model::{Context, Error, Result};

use crate::block::{self, Disk};
use crate::child::Child;
use crate::console;
use crate::device_mapper;
use crate::disk::{self, PartitionedDisk};
use crate::efivars::EfiVars;
use crate::faults::{effect, flush};
use crate::mount::{self, MountFlags, ScopedMount};
use crate::volume::Volume;

/// Name of the device over the image of a medium, made by init.
pub const MEDIUM_IMAGE: &str = "edge-medium";

/// Something that is written to a whole disk.
pub type Write<'a> = &'a dyn Fn(&mut File) -> Result<()>;

#[derive(Debug, Clone)]
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The one that this program runs on.
    pub fn real() -> Self {
        Self { root: PathBuf::from("/") }
    }

    fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a path of the running system is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The firmware's variables; `None` when there is no UEFI firmware.
    pub fn variables(&self) -> Option<EfiVars> {
        #[cfg(any(test, feature = "faults"))]
        if !self.is_real() {
            return Some(EfiVars::in_directory(&stand_in::variables(&self.root)));
        }
        EfiVars::of_machine()
    }

    /// The disk at a path of the kernel's.
    ///
    /// # Errors
    /// When it is gone or has no partition table.
    pub fn disk(&self, path: &str) -> Result<PartitionedDisk> {
        #[cfg(any(test, feature = "faults"))]
        if !self.is_real() {
            return Ok(stand_in::disk(&self.root, path));
        }
        disk::at_path(path)
    }

    /// Whether something of its own is at a path.
    pub fn is_mounted(&self, path: &str) -> bool {
        if self.is_real() { mount::is_mounted(Path::new(path)) } else { self.path(path).is_dir() }
    }

    /// Says one line on all consoles that show no program.
    pub fn say(&self, line: &str) {
        #[cfg(any(test, feature = "faults"))]
        if !self.is_real() {
            return stand_in::say(&self.root, line);
        }
        console::say(line);
    }

    /// All whole disks.
    pub fn disks(&self) -> Vec<Disk> {
        #[cfg(any(test, feature = "faults"))]
        if !self.is_real() {
            return vec![stand_in::disk(&self.root, stand_in::DISK).disk];
        }
        block::disks()
    }

    /// Writes a partition table on a disk that nobody uses, and waits until the kernel has it: until the partition with `last` is
    /// there. Each of `writes` is on the disk before the next one begins.
    ///
    /// # Errors
    /// When the disk is in use or refuses, or the kernel does not show the partitions.
    pub fn partition(&self, disk: &Disk, last: Role, writes: &[Write<'_>]) -> Result<PartitionedDisk> {
        let mut device = disk.open_exclusively()?;
        let name = Path::new(&disk.path);
        let context = || format!("cannot write {}", disk.path);
        for write in writes {
            effect("write", name).with_context(context)?;
            write(&mut device)?;
            flush("flush", name, &device).with_context(context)?;
        }
        #[cfg(any(test, feature = "faults"))]
        if !self.is_real() {
            return Ok(stand_in::show_partitions(&self.root));
        }
        disk.reread_partitions(&device)?;
        drop(device);
        disk::wait_for_partition(disk, last)
    }

    /// Writes to a disk beside its partitions, and waits until it is there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write_disk(&self, path: &str, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
        let context = || format!("cannot write {path}");
        let mut device = File::options().write(true).open(path).with_context(context)?;
        effect("write", Path::new(path)).with_context(context)?;
        write(&mut device)?;
        flush("flush", Path::new(path), &device).with_context(context)
    }

    /// Mounts a volume of ours for as long as the result lives.
    ///
    /// # Errors
    /// As [`ScopedMount::new`].
    pub fn mount_volume(
        &self,
        volume: &Volume,
        target: &str,
        kind: &str,
        flags: MountFlags,
    ) -> Result<Mounted> {
        #[cfg(any(test, feature = "faults"))]
        if !self.is_real() {
            return Ok(Mounted::Folder(volume.content().to_owned()));
        }
        let source = volume.content().to_string_lossy();
        ScopedMount::new(&source, &self.path(target), kind, flags, "").map(Mounted::Mount)
    }

    /// The image of a medium that is opened.
    ///
    /// # Errors
    /// When there is none.
    pub fn medium_image(&self) -> Result<PathBuf> {
        #[cfg(any(test, feature = "faults"))]
        if !self.is_real() {
            return Ok(self.path("medium-image"));
        }
        device_mapper::device(MEDIUM_IMAGE)
    }

    /// # Errors
    /// Where nothing can be mounted and no root be changed: in a folder.
    pub fn must_run_images(&self) -> Result<()> {
        if self.is_real() {
            return Ok(());
        }
        Err(Error::environment("a machine in a folder runs no programs of an image"))
    }

    /// A program of the running system.
    pub fn program(&self, name: &str) -> Child {
        if self.is_real() { Child::new(name) } else { Child::new(self.path("bin").join(name)) }
    }
}

/// A volume that is mounted until this goes.
#[derive(Debug)]
pub enum Mounted {
    Mount(ScopedMount),
    /// In tests.
    Folder(PathBuf),
}

impl Mounted {
    pub fn path(&self) -> &Path {
        match self {
            Self::Mount(mount) => mount.path(),
            Self::Folder(folder) => folder,
        }
    }

    /// As [`ScopedMount::close`].
    ///
    /// # Errors
    /// When the file system cannot be unmounted.
    pub fn close(self) -> Result<()> {
        match self {
            Self::Mount(mount) => mount.close(),
            Self::Folder(_) => Ok(()),
        }
    }
}

/// A machine of folders and files.
#[cfg(any(test, feature = "faults"))]
mod stand_in {
    use std::fs::{self, File};
    use std::io::Write;
    use std::path::{Path, PathBuf};

    use edge_model::Result;
    use edge_model::layout::{self, GIB, PARTITIONS, Role};

    use super::Machine;
    use crate::block::Disk;
    use crate::disk::PartitionedDisk;
    use crate::gpt::{self, Guid};

    const SIZE: u64 = 16 * GIB;
    const SECTOR: u64 = 512;
    /// How its only disk is called.
    pub(super) const DISK: &str = "/dev/vda";
    const DEVICES: &str = "dev";

    pub(super) fn variables(root: &Path) -> PathBuf {
        root.join("efivars")
    }

    pub(super) fn disk(root: &Path, path: &str) -> PartitionedDisk {
        assert_eq!(path, DISK, "a machine in a folder has one disk");
        let file = root.join(DEVICES).join("disk");
        let partitions = File::open(&file).ok().and_then(|mut disk| gpt::read(&mut disk)).unwrap_or_default();
        let path = file.to_string_lossy().into_owned();
        PartitionedDisk {
            disk: Disk { path, size: SIZE, logical_sector: SECTOR, ..Disk::default() },
            partitions,
            stand_in: Some(root.join(DEVICES)),
        }
    }

    /// What was said is read by tests.
    pub(super) fn say(root: &Path, line: &str) {
        let console = File::options().create(true).append(true).open(root.join("console"));
        console.and_then(|mut console| writeln!(console, "{line}")).expect("a console");
    }

    /// What a kernel shows after a table was written: blank partitions.
    pub(super) fn show_partitions(root: &Path) -> PartitionedDisk {
        for spec in &PARTITIONS {
            let place = root.join(DEVICES).join(spec.label);
            if place.is_dir() {
                fs::remove_dir_all(&place).expect("a blank partition");
            }
            match spec.role {
                Role::Efi | Role::EfiRecovery => fs::create_dir_all(place.join("EFI/Linux")).expect("an ESP"),
                Role::SlotA | Role::SlotB | Role::Recovery => {
                    let slot = File::create(place);
                    slot.and_then(|file| file.set_len(layout::SLOT_MINIMUM)).expect("a slot");
                }
                Role::Oem | Role::Persistent => fs::create_dir_all(place).expect("a file system"),
            }
        }
        disk(root, DISK)
    }

    fn write_table(file: &Path) -> Result<()> {
        let mut disk = File::options().read(true).write(true).create_new(true).open(file)?;
        disk.set_len(SIZE)?;
        let guid = |role: Option<Role>| Ok(Guid::derived(format!("{role:?}").as_bytes()));
        gpt::write_host_table(&mut disk, SIZE, SECTOR, layout::SLOT_MINIMUM, &[], guid).map(drop)
    }

    impl Machine {
        /// The path of the only disk of a machine in a folder.
        pub fn only_disk() -> String {
            DISK.to_owned()
        }

        /// An installed machine in an empty folder, for tests: ESPs are folders, slots are files of their size without blocks.
        ///
        /// # Panics
        /// When the folder cannot be written.
        pub fn in_folder(root: &Path) -> Self {
            let machine = Self { root: root.to_owned() };
            for folder in ["oem/edge", "run/edge", "bin"] {
                fs::create_dir_all(root.join(folder)).expect("a folder");
            }
            fs::create_dir_all(variables(root)).expect("a folder of variables");
            fs::create_dir_all(root.join(DEVICES)).expect("a folder of devices");
            write_table(&root.join(DEVICES).join("disk")).expect("a partition table");
            show_partitions(root);
            machine
        }
    }
}
