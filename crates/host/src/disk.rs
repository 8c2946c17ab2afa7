//! Finding the disk that this host is installed on: the one that the boot loader came from.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use edge_model::layout::Role;
use edge_model::{Error, Result};

use crate::block::{Disk, disks};
use crate::device_mapper;
use crate::gpt::{self, Guid, Partition};
use crate::volume::Volume;

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

    /// The partition with this role, as its content is reached.
    ///
    /// # Errors
    /// When the disk does not have it.
    pub fn volume(&self, role: Role) -> Result<Volume> {
        let partition = self.device(role)?;
        if self.stand_in.is_some() {
            return Ok(Volume::Raw(partition));
        }
        let name = format!("edge-{}", role.spec().label);
        let opened =
            device_mapper::device(&name).ok().filter(|device| device_mapper::is_over(device, &partition));
        Ok(match opened {
            Some(content) => Volume::Opened { partition, content },
            None => Volume::Raw(partition),
        })
    }

    fn device(&self, role: Role) -> Result<PathBuf> {
        let missing =
            || Error::environment(format!("{} has no partition {:?}", self.disk.path, role.spec().label));
        let partition = self.partition(role).ok_or_else(missing)?;
        if let Some(folder) = &self.stand_in {
            return Ok(folder.join(role.spec().label));
        }
        self.disk.partition(partition.number).ok_or_else(missing)
    }
}

/// How long the kernel may take to show new partitions.
const SHOWN_WITHIN: Duration = Duration::from_secs(20);

/// Waits until the kernel shows a new partition.
pub(crate) fn wait_for_partition(disk: &Disk, role: Role) -> Result<PartitionedDisk> {
    let started = Instant::now();
    loop {
        if let Some(found) = PartitionedDisk::read(disk.clone())
            && found.device(role).is_ok_and(|path| path.exists())
        {
            return Ok(found);
        }
        if started.elapsed() > SHOWN_WITHIN {
            return Err(Error::environment(format!(
                "the kernel does not show the partitions of {}",
                disk.path
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
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
