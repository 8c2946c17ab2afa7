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
    let changed = with_content_id(&descriptor, id)?;
    file.write_all_at(&changed, start).context("cannot write its description")
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

/// The description with another content ID, in the same space. qemu-img writes the number without leading zeros, so
/// the old one may be shorter.
fn with_content_id(descriptor: &[u8], id: u32) -> Result<Vec<u8>> {
    const KEY: &[u8] = b"\nCID=";
    let wrong = || Error::internal("qemu-img wrote a vmdk file without a content ID");
    let end = descriptor.iter().position(|byte| *byte == 0).unwrap_or(descriptor.len());
    let text = &descriptor[..end];
    let at = text.windows(KEY.len()).position(|window| window == KEY).ok_or_else(wrong)? + KEY.len();
    let digits = text[at..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || text.get(at + digits) != Some(&b'\n') {
        return Err(wrong());
    }
    let number = format!("{id:08x}");
    let mut changed = [&text[..at], number.as_bytes(), &text[at + digits..]].concat();
    if changed.len() > descriptor.len() {
        return Err(Error::internal("qemu-img left no space in the description of a vmdk file"));
    }
    changed.resize(descriptor.len(), 0);
    Ok(changed)
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
            let _ = with_content_id(format!("\nCID={rest}").as_bytes(), 1);
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
        let short = b"version=1\nCID=beef\nparentCID=ffffffff\n\0\0\0\0\0\0";
        let long = with_content_id(short, 0x12ab).unwrap();
        assert_eq!(&long[..], b"version=1\nCID=000012ab\nparentCID=ffffffff\n\0\0");
        std::fs::write(&path, vec![0; 600]).unwrap();
        assert!(set_content_id(&path, 1).is_err());
    }
}
