//! The machine that work is done on. Everything that leaves a boot behind, or reads what one has left, is reached through it; in
//! tests it is a folder, and every effect on it can fail or be the last ([`crate::faults`]).

use std::path::{Path, PathBuf};

use edge_model::Result;

use crate::child::Child;
use crate::disk::{self, PartitionedDisk};
use crate::efivars::EfiVars;

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

    /// A program of the running system.
    pub fn program(&self, name: &str) -> Child {
        if self.is_real() { Child::new(name) } else { Child::new(self.path("bin").join(name)) }
    }
}

/// A machine of folders and files.
#[cfg(any(test, feature = "faults"))]
mod stand_in {
    use std::fs::{self, File};
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
    const DISK: &str = "/dev/vda";
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
            for spec in &PARTITIONS {
                let place = root.join(DEVICES).join(spec.label);
                match spec.role {
                    Role::Efi | Role::EfiRecovery => {
                        fs::create_dir_all(place.join("EFI/Linux")).expect("an ESP")
                    }
                    Role::SlotA | Role::SlotB | Role::Recovery => {
                        File::create(place)
                            .and_then(|file| file.set_len(layout::SLOT_MINIMUM))
                            .expect("a slot");
                    }
                    Role::Oem | Role::Persistent => {}
                }
            }
            machine
        }
    }
}
