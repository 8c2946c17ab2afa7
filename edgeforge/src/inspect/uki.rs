//! What a unified kernel image carries: its command line, and the list of modules in its initrd.
//!
//! <https://uapi-group.org/specifications/specs/unified_kernel_image/>

use std::io::Read;

use edge_model::initrd::{MODULE_LIST, ModuleEntry};
use edge_model::{Context, Error, Result};

/// Unpacked bytes of an initrd, and bytes of a UKI.
const MOST_UNPACKED: u64 = 1 << 30;
pub(super) const LARGEST: u64 = 1 << 30;

#[derive(Debug)]
pub(crate) struct Uki {
    pub(crate) command_line: String,
    /// Bytes of the compressed initrd.
    pub(crate) initrd_size: u64,
    pub(crate) modules: Vec<ModuleEntry>,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    let mut value = [0; 8];
    value[..N].copy_from_slice(bytes.get(at..at.checked_add(N)?)?);
    usize::try_from(u64::from_le_bytes(value)).ok()
}

/// The content of a section of a PE file.
fn section<'b>(bytes: &'b [u8], wanted: &str) -> Option<&'b [u8]> {
    const HEADER: usize = 24;
    const RECORD: usize = 40;
    let pe = number::<4>(bytes, 0x3c)?;
    if bytes.get(pe..pe.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let (sections, optional) = (number::<2>(bytes, pe + 6)?, number::<2>(bytes, pe + 20)?);
    (0..sections).find_map(|index| {
        let at = pe + HEADER + optional + index * RECORD;
        let name = bytes.get(at..at + 8)?.split(|byte| *byte == 0).next()?;
        let size = number::<4>(bytes, at + 8)?.min(number::<4>(bytes, at + 16)?);
        let start = number::<4>(bytes, at + 20)?;
        (name == wanted.as_bytes()).then(|| bytes.get(start..start.checked_add(size)?)).flatten()
    })
}

impl Uki {
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when these are not the bytes of a UKI of ours.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let part = |name: &str| {
            section(bytes, name).ok_or_else(|| Error::invalid(format!("the UKI has no section {name}")))
        };
        let command_line = String::from_utf8_lossy(part(".cmdline")?);
        let initrd = part(".initrd")?;
        Ok(Self {
            command_line: command_line.trim_matches(['\0', '\n', ' ']).to_owned(),
            initrd_size: initrd.len() as u64,
            modules: modules(initrd).context("the initrd of the UKI cannot be read")?,
        })
    }
}

/// The kernel in a UKI.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when there is none.
pub(super) fn kernel(bytes: &[u8]) -> Result<&[u8]> {
    section(bytes, ".linux").ok_or_else(|| Error::invalid("the UKI has no kernel"))
}

fn modules(initrd: &[u8]) -> Result<Vec<ModuleEntry>> {
    let decoder = zstd::Decoder::new(initrd).context("it is not compressed with zstd")?;
    let list = find_in_archive(decoder.take(MOST_UNPACKED), &MODULE_LIST[1..])?;
    serde_json::from_slice(&list).context("its list of modules is damaged")
}

/// A file of a cpio archive in the "new ASCII" form.
fn find_in_archive(mut archive: impl Read, wanted: &str) -> Result<Vec<u8>> {
    const HEADER: usize = 110;
    const LONGEST_NAME: u64 = 4096;
    let damaged = || Error::integrity("the archive is damaged");
    let mut header = [0; HEADER];
    loop {
        archive.read_exact(&mut header).context("the archive ended early")?;
        let field = |index: usize| {
            let digits = header.get(6 + index * 8..14 + index * 8);
            let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
            digits.and_then(|digits| u64::from_str_radix(digits, 16).ok())
        };
        if &header[..6] != b"070701" {
            return Err(damaged());
        }
        let (size, length) = (field(6).ok_or_else(damaged)?, field(11).ok_or_else(damaged)?);
        if length > LONGEST_NAME {
            return Err(damaged());
        }
        let padded = |at: u64, length: u64| (at + length).next_multiple_of(4) - at;
        let name = take(&mut archive, padded(HEADER as u64, length))?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name == b"TRAILER!!!" {
            return Err(Error::invalid(format!("it has no file {wanted}")));
        }
        if name == wanted.as_bytes() {
            let mut content = take(&mut archive, padded(0, size))?;
            content.truncate(usize::try_from(size).unwrap_or(0));
            return Ok(content);
        }
        let skipped = std::io::copy(&mut (&mut archive).take(padded(0, size)), &mut std::io::sink());
        skipped.context("the archive ended early")?;
    }
}

fn take(archive: &mut impl Read, length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    archive.take(length).read_to_end(&mut bytes).context("the archive ended early")?;
    if bytes.len() as u64 != length {
        return Err(Error::integrity("the archive ended early"));
    }
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = b"070701".to_vec();
        for index in 0..13 {
            let field = match index {
                6 => content.len(),
                11 => name.len() + 1,
                _ => 0,
            };
            bytes.extend(format!("{field:08x}").bytes());
        }
        bytes.extend(name.bytes().chain([0]));
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// A PE file with these sections and nothing else.
    fn pe(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 0x40];
        bytes[0x3c] = 0x40;
        bytes.extend(b"PE\0\0\x64\x86");
        bytes.extend((sections.len() as u16).to_le_bytes());
        bytes.extend([0; 16]);
        let mut at = bytes.len() + sections.len() * 40;
        for (name, content) in sections {
            let mut record = [0; 40];
            record[..name.len()].copy_from_slice(name.as_bytes());
            record[8..12].copy_from_slice(&(content.len() as u32).to_le_bytes());
            record[16..20].copy_from_slice(&(content.len() as u32).to_le_bytes());
            record[20..24].copy_from_slice(&(at as u32).to_le_bytes());
            bytes.extend(record);
            at += content.len();
        }
        sections.iter().for_each(|(_, content)| bytes.extend(*content));
        bytes
    }

    pub(in crate::inspect) fn uki() -> Vec<u8> {
        let list = br#"[{"file":"nvme.ko","needs":[],"load":"always"}]"#;
        let archive =
            [record("init", b"abc"), record("modules/list.json", list), record("TRAILER!!!", b"")].concat();
        let initrd = zstd::encode_all(archive.as_slice(), 1).unwrap();
        pe(&[(".cmdline", b"edge.mode=main quiet\0"), (".initrd", &initrd)])
    }

    #[test]
    fn command_line_and_modules_are_found() {
        let uki = Uki::parse(&uki()).unwrap();
        assert_eq!(uki.command_line, "edge.mode=main quiet");
        assert_eq!(uki.modules[0].file, "nvme.ko");
        assert!(Uki::parse(b"MZ").is_err());
    }

    proptest! {
        #[test]
        fn damage_never_panics(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
            let mut bytes = uki();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = Uki::parse(&bytes);
        }

        #[test]
        fn no_archive_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = find_in_archive(&[&record("a", b"b")[..], b"070701", &bytes].concat()[..], "x");
        }
    }
}
