//! Device-mapper by its ioctl interface: a verified device over a slot, and a window into a medium.
//!
//! <https://docs.kernel.org/admin-guide/device-mapper/verity.html>

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use edge_model::ids::RootHash;
use edge_model::manifest::BLOCK_SIZE;
use edge_model::{Context, Error, Result};

const CONTROL: &str = "/dev/mapper/control";
const SECTOR: u64 = 512;
const TYPE: u8 = 0xfd;
const HEADER: usize = 312;
const DEV_CREATE: u8 = 3;
const DEV_SUSPEND: u8 = 6;
const TABLE_LOAD: u8 = 9;
const READ_ONLY: u32 = 1;

/// One target that makes up a whole device.
struct Target {
    kind: &'static str,
    sectors: u64,
    parameters: String,
}

/// Creates a read-only device that panics the machine when a block does not match the tree below
/// `root_hash`. Returns its path.
///
/// # Errors
/// When the kernel refuses, as it does for a tree whose superior blocks do not match.
pub fn create_verity(name: &str, device: &str, root_hash: &RootHash, data_blocks: u64) -> Result<PathBuf> {
    let parameters = format!(
        "1 {device} {device} {BLOCK_SIZE} {BLOCK_SIZE} {data_blocks} {} sha256 {root_hash} - 1 panic_on_corruption",
        data_blocks + 1
    );
    create(name, Target { kind: "verity", sectors: data_blocks * BLOCK_SIZE / SECTOR, parameters })
}

/// Creates a read-only device that shows `length` bytes of `device` from `start`.
///
/// # Errors
/// When the kernel refuses, or the range does not consist of whole sectors.
pub fn create_linear(name: &str, device: &str, start: u64, length: u64) -> Result<PathBuf> {
    if !start.is_multiple_of(SECTOR) || !length.is_multiple_of(SECTOR) {
        return Err(Error::invalid("a window into a device must consist of whole sectors"));
    }
    let parameters = format!("{device} {}", start / SECTOR);
    create(name, Target { kind: "linear", sectors: length / SECTOR, parameters })
}

/// Path of a device by the name it was created with.
///
/// # Errors
/// When there is none.
pub fn device(name: &str) -> Result<PathBuf> {
    let devices = std::fs::read_dir("/sys/block").context("cannot list block devices")?;
    let named = |entry: &std::fs::DirEntry| {
        std::fs::read_to_string(entry.path().join("dm/name")).is_ok_and(|found| found.trim() == name)
    };
    devices
        .flatten()
        .find(named)
        .map(|entry| PathBuf::from("/dev").join(entry.file_name()))
        .ok_or_else(|| Error::environment(format!("there is no device named {name}")))
}

/// Whether a device of ours stands on a partition: another disk may have one of the same name.
pub fn is_over(device: &Path, partition: &Path) -> bool {
    let (Some(device), Some(partition)) = (device.file_name(), partition.file_name()) else { return false };
    Path::new("/sys/block").join(device).join("slaves").join(partition).exists()
}

fn create(name: &str, target: Target) -> Result<PathBuf> {
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open(CONTROL)
        .context("the kernel has no device mapper (/dev/mapper/control)")?;
    let context = || format!("cannot create the device {name} ({})", target.kind);
    let device = command(&control, DEV_CREATE, &request(name, READ_ONLY, None)).with_context(context)?;
    command(&control, TABLE_LOAD, &request(name, READ_ONLY, Some(&target))).with_context(context)?;
    command(&control, DEV_SUSPEND, &request(name, 0, None)).with_context(context)?;
    let minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    Ok(PathBuf::from(format!("/dev/dm-{minor}")))
}

/// `struct dm_ioctl`, with a target behind it when one is given, as 64-bit words for its alignment.
fn request(name: &str, flags: u32, target: Option<&Target>) -> Vec<u64> {
    let mut bytes = vec![0u8; HEADER];
    if let Some(target) = target {
        bytes.extend(0u64.to_le_bytes()); // first sector
        bytes.extend(target.sectors.to_le_bytes());
        bytes.extend([0; 8]); // status, offset of the next target
        let mut kind = [0u8; 16];
        kind[..target.kind.len()].copy_from_slice(target.kind.as_bytes());
        bytes.extend(kind);
        bytes.extend(target.parameters.as_bytes());
        bytes.push(0);
    }
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let size = bytes.len() as u32;
    let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(0, 4); // interface version 4.0.0
    put(12, size);
    put(16, HEADER as u32);
    put(20, u32::from(target.is_some()));
    put(28, flags);
    let length = name.len().min(127);
    bytes[48..48 + length].copy_from_slice(&name.as_bytes()[..length]);
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    bytes.chunks_exact(8).map(word).collect()
}

/// Sends one command and returns the device number that the kernel filled in.
#[allow(unsafe_code)]
fn command(control: &File, number: u8, request: &[u64]) -> Result<u64> {
    let mut buffer = request.to_vec();
    let code = nix::request_code_readwrite!(TYPE, number, HEADER);
    // SAFETY: the buffer begins with a `struct dm_ioctl` whose data_size is the buffer's length, and the
    // kernel neither reads nor writes beyond data_size.
    let result = unsafe { nix::libc::ioctl(control.as_raw_fd(), code, buffer.as_mut_ptr()) };
    if result < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(buffer[5]) // dev, at byte 40
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_laid_out_as_the_kernel_reads_it() {
        let target = Target { kind: "linear", sectors: 8, parameters: "/dev/x 0".into() };
        let words = request("root", READ_ONLY, Some(&target));
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(&bytes[48..53], b"root\0");
        assert_eq!(u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize, bytes.len());
        assert_eq!(&bytes[HEADER + 24..HEADER + 30], b"linear");
        assert_eq!(&bytes[HEADER + 40..HEADER + 49], b"/dev/x 0\0");
    }
}
