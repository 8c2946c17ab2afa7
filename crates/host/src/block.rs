//! Block devices as the kernel shows them.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use edge_model::{Context, Error, Result};
use serde::{Deserialize, Serialize};

const CLASS: &str = "/sys/class/block";

/// A whole disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// `/dev/…`
    pub path: String,
    /// Other names of the same disk under `/dev/disk`.
    pub links: Vec<String>,
    /// Bytes.
    pub size: u64,
    pub logical_sector: u64,
    pub model: String,
    pub serial: String,
    /// It has turning platters.
    pub rotational: bool,
    pub removable: bool,
    pub read_only: bool,
    /// A CD or DVD drive.
    pub optical: bool,
    /// Memory that the firmware presents as a disk, such as a medium that it has downloaded.
    pub in_memory: bool,
}

impl Disk {
    fn name(&self) -> &str {
        self.path.trim_start_matches("/dev/")
    }

    /// Device of the partition with this number; `None` while the kernel does not know it.
    pub fn partition(&self, number: u32) -> Option<PathBuf> {
        let folder = Path::new(CLASS).join(self.name());
        let children = fs::read_dir(folder).ok()?;
        children.flatten().find_map(|child| {
            let found = attribute(&child.path(), "partition")?;
            (found.parse() == Ok(number)).then(|| Path::new("/dev").join(child.file_name()))
        })
    }

    /// The device, for reading.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self) -> Result<File> {
        File::open(&self.path).with_context(|| format!("cannot open {}", self.path))
    }

    /// The device, for writing, with nobody else using it.
    ///
    /// # Errors
    /// When it or a partition of it is in use.
    pub fn open_exclusively(&self) -> Result<File> {
        let exclusive = rustix::fs::OFlags::EXCL.bits() as i32;
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(exclusive)
            .open(&self.path)
            .with_context(|| format!("cannot take {} for ourselves", self.path))
    }

    /// Keeps udev from reading the partition table anew, and so from taking partitions away for a moment, as
    /// long as the result lives (<https://systemd.io/BLOCK_DEVICE_LOCKING/>).
    ///
    /// # Errors
    /// When the device cannot be opened or locked.
    pub fn lock(&self) -> Result<File> {
        let device = self.open()?;
        device.lock().with_context(|| format!("cannot lock {}", self.path))?;
        Ok(device)
    }

    /// Makes the kernel read the partition table again.
    ///
    /// # Errors
    /// When a partition is in use.
    #[allow(unsafe_code)]
    pub fn reread_partitions(&self, device: &File) -> Result<()> {
        nix::ioctl_none!(reread, 0x12, 95);
        // SAFETY: BLKRRPART has no argument.
        unsafe { reread(device.as_raw_fd()) }.map(drop).map_err(|error| {
            Error::environment(format!(
                "the kernel does not read the new partitions of {}: {error}",
                self.path
            ))
        })
    }
}

/// Tells the kernel the new length of a partition that may be in use (`BLKPG_RESIZE_PARTITION`).
///
/// # Errors
/// When the kernel refuses.
#[allow(unsafe_code)]
pub fn resize_partition(device: &File, number: u32, start: u64, length: u64) -> Result<()> {
    #[repr(C)]
    struct Partition {
        start: i64,
        length: i64,
        number: i32,
        names: [u8; 128],
    }
    #[repr(C)]
    struct Argument {
        operation: i32,
        flags: i32,
        length: i32,
        data: *mut Partition,
    }
    const RESIZE: i32 = 3;
    nix::ioctl_write_ptr_bad!(blkpg, 0x1269, Argument);
    let mut partition =
        Partition { start: start as i64, length: length as i64, number: number as i32, names: [0; 128] };
    let length = size_of::<Partition>() as i32;
    let argument = Argument { operation: RESIZE, flags: 0, length, data: &mut partition };
    // SAFETY: the argument and the partition it points to have the kernel's layout and outlive the call.
    unsafe { blkpg(device.as_raw_fd(), &argument) }.map(drop).map_err(|error| {
        Error::environment(format!("the kernel does not take the new size of a partition: {error}"))
    })
}

/// Bytes of a disk or partition, as the kernel has it now.
///
/// # Errors
/// When it cannot be opened.
pub fn size(device: &Path) -> Result<u64> {
    let size = File::open(device).and_then(|mut device| device.seek(SeekFrom::End(0)));
    size.with_context(|| format!("cannot tell the size of {}", device.display()))
}

fn attribute(folder: &Path, name: &str) -> Option<String> {
    fs::read_to_string(folder.join(name)).ok().map(|text| text.trim().to_owned())
}

/// All whole disks and optical drives with a medium, sorted by path.
pub fn disks() -> Vec<Disk> {
    let Ok(entries) = fs::read_dir(CLASS) else { return Vec::new() };
    let mut disks: Vec<Disk> = entries.flatten().filter_map(|entry| disk(&entry.path())).collect();
    disks.sort_by(|one, other| one.path.cmp(&other.path));
    disks
}

fn disk(folder: &Path) -> Option<Disk> {
    let name = folder.file_name()?.to_str()?;
    let is_virtual =
        ["loop", "ram", "dm-", "zram", "md", "nbd"].iter().any(|prefix| name.starts_with(prefix));
    if is_virtual || is_boot_area(name) || folder.join("partition").exists() {
        return None;
    }
    let size = attribute(folder, "size")?.parse::<u64>().ok()? * 512;
    if size == 0 {
        return None;
    }
    let flag = |name: &str| attribute(folder, name).as_deref() == Some("1");
    let path = format!("/dev/{name}");
    Some(Disk {
        links: links_to(&path),
        path,
        size,
        logical_sector: attribute(folder, "queue/logical_block_size")
            .and_then(|text| text.parse().ok())
            .unwrap_or(512),
        rotational: attribute(folder, "queue/rotational").is_some_and(|flag| flag == "1"),
        model: attribute(folder, "device/model").unwrap_or_default(),
        serial: serial(folder).unwrap_or_default(),
        removable: flag("removable"),
        read_only: flag("ro"),
        optical: name.starts_with("sr"),
        in_memory: name.starts_with("pmem"),
    })
}

/// Areas of an eMMC that hold the firmware of some boards; the kernel shows them as disks of their own.
/// <https://docs.kernel.org/driver-api/mmc/mmc-dev-parts.html>
fn is_boot_area(name: &str) -> bool {
    let area =
        name.strip_prefix("mmcblk").map(|rest| rest.trim_start_matches(|digit: char| digit.is_ascii_digit()));
    area.is_some_and(|area| area.starts_with("boot") || area.starts_with("rpmb") || area.starts_with("gp"))
}

/// The serial number where virtio, NVMe and SCSI keep it.
fn serial(folder: &Path) -> Option<String> {
    if let Some(serial) = attribute(folder, "serial").or_else(|| attribute(folder, "device/serial")) {
        return Some(serial);
    }
    // SCSI vital product data page 0x80: four bytes of header, then text.
    let page = fs::read(folder.join("device/vpd_pg80")).ok()?;
    Some(String::from_utf8_lossy(page.get(4..)?).trim().to_owned())
}

fn links_to(path: &str) -> Vec<String> {
    let mut links = Vec::new();
    for kind in ["by-id", "by-path"] {
        let Ok(entries) = fs::read_dir(Path::new("/dev/disk").join(kind)) else { continue };
        let matching = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|link| fs::canonicalize(link).is_ok_and(|target| target == Path::new(path)));
        links.extend(matching.filter_map(|link| link.to_str().map(str::to_owned)));
    }
    links.sort();
    links
}

/// How much of its life soldered flash (eMMC) says it has used, in percent, and whether it runs out of spare blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlashLife {
    pub used_percent: u32,
    pub spare_is_low: bool,
}

/// What a disk says about its flash; `None` when it is not of this kind.
pub fn flash_life(disk: &Disk) -> Option<FlashLife> {
    let device = Path::new(CLASS).join(disk.name()).join("device");
    parse_flash_life(
        &attribute(&device, "life_time")?,
        &attribute(&device, "pre_eol_info").unwrap_or_default(),
    )
}

/// JESD84-B51, section 7.4: tenths of the estimated life for both kinds of cells, and how the spare blocks are.
fn parse_flash_life(life: &str, spare: &str) -> Option<FlashLife> {
    const NORMAL: u32 = 1;
    let number = |word: &str| u32::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let tenths =
        life.split_whitespace().filter_map(number).filter(|tenths| (1..=11).contains(tenths)).max()?;
    Some(FlashLife {
        used_percent: tenths * 10,
        spare_is_low: number(spare.trim()).is_some_and(|level| level > NORMAL),
    })
}

/// Whether anything is mounted from a disk or one of its partitions.
pub fn in_use(disk: &Disk) -> bool {
    let Ok(mounts) = fs::read_to_string("/proc/self/mounts") else { return true };
    mounts.lines().any(|line| is_of_disk(Path::new(line.split(' ').next().unwrap_or_default()), disk))
}

/// Whether a device is a disk or one of its partitions.
pub fn is_of_disk(device: &Path, disk: &Disk) -> bool {
    let Some(name) = device.strip_prefix("/dev").ok() else { return false };
    name == Path::new(disk.name())
        || !name.as_os_str().is_empty() && Path::new(CLASS).join(disk.name()).join(name).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_firmware_of_a_board_is_no_disk_to_install_on() {
        for name in ["mmcblk0boot0", "mmcblk12boot1", "mmcblk0rpmb", "mmcblk0gp0"] {
            assert!(is_boot_area(name), "{name}");
        }
        for name in ["mmcblk0", "mmcblk0p1", "sda", "boot0", "nvme0n1"] {
            assert!(!is_boot_area(name), "{name}");
        }
    }

    #[test]
    fn the_worse_kind_of_cells_decides_how_worn_flash_is() {
        let life = |used_percent, spare_is_low| Some(FlashLife { used_percent, spare_is_low });
        assert_eq!(parse_flash_life("0x02 0x01", "0x01"), life(20, false));
        assert_eq!(parse_flash_life("0x0b 0x01", "0x03"), life(110, true));
        assert_eq!(parse_flash_life("0x00 0x00", "0x00"), None, "it does not say");
        assert_eq!(parse_flash_life("", "zz"), None);
    }
}
