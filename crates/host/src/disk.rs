//! Finding the disk that this host is installed on: the one that the boot loader came from.

use std::path::PathBuf;

use edge_model::layout::Role;
use edge_model::{Error, Result};

use crate::block::{Disk, disks};
use crate::gpt::{self, Guid, Partition};

/// A disk with a partition table.
#[derive(Debug, Clone)]
pub struct PartitionedDisk {
    pub disk: Disk,
    pub partitions: Vec<Partition>,
    /// A folder in which a file or folder with its label stands for each partition: in tests.
    pub stand_in: Option<PathBuf>,
}

impl PartitionedDisk {
    /// Reads the table of a disk; `None` when it has none.
    pub fn read(disk: Disk) -> Option<Self> {
        let partitions = gpt::read(&mut disk.open().ok()?)?;
        Some(Self { disk, partitions, stand_in: None })
    }

    /// The partition with this role's label and number.
    pub fn partition(&self, role: Role) -> Option<&Partition> {
        self.partitions
            .iter()
            .find(|partition| partition.number == role.number() && partition.label == role.spec().label)
    }

    /// Device of the partition with this role.
    ///
    /// # Errors
    /// When the disk does not have it.
    pub fn device(&self, role: Role) -> Result<PathBuf> {
        let missing =
            || Error::environment(format!("{} has no partition {:?}", self.disk.path, role.spec().label));
        let partition = self.partition(role).ok_or_else(missing)?;
        if let Some(folder) = &self.stand_in {
            return Ok(folder.join(role.spec().label));
        }
        self.disk.partition(partition.number).ok_or_else(missing)
    }
}

/// All disks with a partition table.
pub fn partitioned_disks() -> Vec<PartitionedDisk> {
    disks().into_iter().filter_map(PartitionedDisk::read).collect()
}

/// The disk that holds the partition with this GUID.
pub fn disk_with_partition(uuid: Guid) -> Option<PartitionedDisk> {
    partitioned_disks()
        .into_iter()
        .find(|disk| disk.partitions.iter().any(|partition| partition.uuid == uuid))
}

/// The disk at this path.
///
/// # Errors
/// When it is gone or has no partition table.
pub fn at_path(path: &str) -> Result<PartitionedDisk> {
    disks()
        .into_iter()
        .find(|disk| disk.path == path)
        .and_then(PartitionedDisk::read)
        .ok_or_else(|| Error::environment(format!("the disk {path} is gone or has no partition table")))
}
