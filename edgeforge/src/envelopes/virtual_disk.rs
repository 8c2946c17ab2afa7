//! The raw disk in the formats of hypervisors.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use edge_host::child::Child;
use edge_host::sandbox::Sandbox;
use edge_model::{Context, Error, Result};

const DEADLINE: Duration = Duration::from_secs(1800);
/// Largest description of a vmdk file that is looked at.
const DESCRIPTOR_LIMIT: u64 = 64 << 10;
const SECTOR: u64 = 512;

/// Writes a compressed qcow2 file.
///
/// # Errors
/// When qemu-img fails.
pub(super) fn write_qcow2(tools: &Sandbox, raw: &Path, output: &Path) -> Result<()> {
    convert(tools, raw, output, &["-c", "-O", "qcow2", "-o", "compat=1.1,compression_type=zstd"])
}

/// Writes a vmdk file in the form in which hypervisors import and export disks.
///
/// # Errors
/// When qemu-img fails.
pub(super) fn write_vmdk(tools: &Sandbox, raw: &Path, id: u32, output: &Path) -> Result<()> {
    convert(tools, raw, output, &["-O", "vmdk", "-o", "subformat=streamOptimized,adapter_type=lsilogic"])?;
    set_content_id(output, id).with_context(|| format!("cannot finish {}", output.display()))
}

fn convert(tools: &Sandbox, raw: &Path, output: &Path, format: &[&str]) -> Result<()> {
    Child::new("qemu-img")
        .args(["convert", "-f", "raw"])
        .args(format)
        .arg(raw)
        .arg(output)
        .deadline(DEADLINE)
        .inside(tools)?
        .run()
        .map(drop)
}

/// qemu-img gives every vmdk file a random content ID; the same image is to give the same bytes.
///
/// Header and description: "VMware Virtual Disks: Virtual Disk Format 5.0", *Hosted Sparse Extent Header* and *The
/// Descriptor File*.
fn set_content_id(path: &Path, id: u32) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path).context("cannot open it")?;
    let mut header = [0; 44];
    file.read_exact_at(&mut header, 0).context("cannot read it")?;
    let (start, length) = descriptor_place(&header)?;
    let mut descriptor = vec![0; length];
    file.read_exact_at(&mut descriptor, start).context("cannot read its description")?;
    let at = content_id_place(&descriptor)?;
    file.write_all_at(format!("{id:08x}").as_bytes(), start + at).context("cannot write its description")
}

/// First byte and length of the description.
fn descriptor_place(header: &[u8; 44]) -> Result<(u64, usize)> {
    let number = |at: usize| header[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).unwrap_or(0);
    let start = number(28).checked_mul(SECTOR);
    let length = number(36).checked_mul(SECTOR).filter(|length| *length <= DESCRIPTOR_LIMIT);
    match (header.starts_with(b"KDMV"), start, length) {
        (true, Some(start), Some(length)) => Ok((start, length as usize)),
        _ => Err(Error::internal("qemu-img wrote a vmdk file of another kind")),
    }
}

/// Where the eight digits of the content ID begin.
fn content_id_place(descriptor: &[u8]) -> Result<u64> {
    const KEY: &[u8] = b"\nCID=";
    let at = descriptor.windows(KEY.len()).position(|window| window == KEY).map(|at| at + KEY.len());
    let digits = at.and_then(|at| descriptor.get(at..at + 8));
    match (at, digits) {
        (Some(at), Some(digits)) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(at as u64),
        _ => Err(Error::internal("qemu-img wrote a vmdk file without a content ID")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(header in proptest::array::uniform32(any::<u8>()), rest in "\\PC{0,40}") {
            let mut whole = [0; 44];
            whole[..4].copy_from_slice(b"KDMV");
            whole[12..].copy_from_slice(&header);
            let _ = descriptor_place(&whole);
            let _ = content_id_place(format!("\nCID={rest}").as_bytes());
        }
    }

    #[test]
    fn the_content_id_is_replaced_where_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.vmdk");
        let mut bytes = vec![0; 1024 + 512];
        bytes[..4].copy_from_slice(b"KDMV");
        bytes[28..36].copy_from_slice(&2_u64.to_le_bytes());
        bytes[36..44].copy_from_slice(&1_u64.to_le_bytes());
        let descriptor = b"# Disk DescriptorFile\nversion=1\nCID=deadbeef\nparentCID=ffffffff\n";
        bytes[1024..1024 + descriptor.len()].copy_from_slice(descriptor);
        std::fs::write(&path, &bytes).unwrap();
        set_content_id(&path, 0x12ab).unwrap();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        assert!(text.contains("\nCID=000012ab\nparentCID=ffffffff\n"), "{text}");
        std::fs::write(&path, vec![0; 600]).unwrap();
        assert!(set_content_id(&path, 1).is_err());
    }
}
