//! The initrd: our init and the modules it may load, as a zstd-compressed newc archive.
//!
//! <https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use edge_host::child::Child;
use edge_host::sandbox::Sandbox;
use edge_model::initrd::{MODULE_DIRECTORY, MODULE_LIST, ModuleEntry};
use edge_model::{Context, Error, Result};
use zstd::stream::write::Encoder;
use zstd::zstd_safe::CParameter;

use crate::kernel::InitrdModule;
use crate::tree::Tree;

/// Strong, because the initrd is built rarely and read at every boot.
const LEVEL: i32 = 19;
const DEADLINE: Duration = Duration::from_secs(120);
const FOLDERS: [&str; 6] = ["dev", "modules", "proc", "run", "sys", "sysroot"];

/// Writes the initrd to `output`.
///
/// # Errors
/// When a module cannot be read or unpacked.
pub(crate) fn build(
    tree: &Tree,
    modules: &[InitrdModule],
    init: &Path,
    tools: &Sandbox,
    scratch: &Path,
    output: &Path,
) -> Result<()> {
    unpack_modules(tree, modules, tools, scratch)?;
    let context = || format!("cannot write {}", output.display());
    let file = fs::File::create(output).with_context(context)?;
    let mut archive = Newc { writer: compressor(file).with_context(context)?, inode: 0, written: 0 };
    for folder in FOLDERS {
        archive.add(folder, 0o040_755, &[]).with_context(context)?;
    }
    let program = fs::read(init).with_context(|| format!("cannot read {}", init.display()))?;
    archive.add("init", 0o100_755, &program).with_context(context)?;
    let entries: Vec<&ModuleEntry> = modules.iter().map(|module| &module.entry).collect();
    let list = serde_json::to_vec(&entries).context("cannot write the list of modules")?;
    archive.add(&MODULE_LIST[1..], 0o100_644, &list).with_context(context)?;
    for module in modules {
        let content = fs::read(scratch.join(&module.entry.file)).context("cannot read an unpacked module")?;
        let path = format!("{}/{}", &MODULE_DIRECTORY[1..], module.entry.file);
        archive.add(&path, 0o100_644, &content).with_context(context)?;
    }
    archive.finish().and_then(Encoder::finish).map(drop).with_context(context)
}

/// The level's own tables would take 100 MB of memory more, and make the result 2.5 % smaller.
fn compressor(file: fs::File) -> std::io::Result<Encoder<'static, fs::File>> {
    let mut encoder = Encoder::new(file, LEVEL)?;
    for parameter in [CParameter::WindowLog(22), CParameter::ChainLog(21), CParameter::HashLog(20)] {
        encoder.set_parameter(parameter)?;
    }
    Ok(encoder)
}

/// The kernel loads modules from a file descriptor only when they are not compressed.
fn unpack_modules(tree: &Tree, modules: &[InitrdModule], tools: &Sandbox, scratch: &Path) -> Result<()> {
    let mut packed = Vec::new();
    for module in modules {
        let plain = scratch.join(&module.entry.file);
        let bytes = tree.read_file(&module.source)?;
        let context = || format!("cannot unpack /{}", module.source);
        let (target, bytes) = match module.source.rsplit('.').next() {
            Some("ko") => (plain, bytes),
            Some("xz") => (plain.with_extension("ko.xz"), bytes),
            Some("zst") => (plain, zstd::decode_all(&bytes[..]).with_context(context)?),
            Some("gz") => {
                let mut module = Vec::new();
                flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut module).with_context(context)?;
                (plain, module)
            }
            _ => {
                return Err(Error::rejected(format!("/{} is compressed in an unknown way", module.source))
                    .help("use a kernel whose modules end in .ko, .ko.xz, .ko.zst or .ko.gz"));
            }
        };
        fs::write(&target, bytes).context("cannot write a module")?;
        if target.extension().is_some_and(|extension| extension == "xz") {
            packed.push(target);
        }
    }
    if !packed.is_empty() {
        Child::new("xz").arg("--decompress").args(&packed).deadline(DEADLINE).inside(tools)?.run()?;
    }
    Ok(())
}

/// A cpio archive in the "new ASCII" format, with all variable fields zero.
struct Newc<W> {
    writer: W,
    inode: u32,
    /// Bytes so far.
    written: usize,
}

impl<W: Write> Newc<W> {
    fn add(&mut self, path: &str, mode: u32, content: &[u8]) -> std::io::Result<()> {
        self.inode += 1;
        self.record(path, self.inode, mode, content)
    }

    fn record(&mut self, path: &str, inode: u32, mode: u32, content: &[u8]) -> std::io::Result<()> {
        let links = 1;
        let fields =
            [inode, mode, 0, 0, links, 0, content.len() as u32, 0, 0, 0, 0, path.len() as u32 + 1, 0];
        let header: String = fields.iter().map(|field| format!("{field:08x}")).collect();
        self.put(format!("070701{header}{path}\0").as_bytes())?;
        self.put(content)
    }

    /// Everything begins at a multiple of four bytes.
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(bytes)?;
        let end = self.written + bytes.len();
        self.written = end.next_multiple_of(4);
        self.writer.write_all(&[0; 3][..self.written - end])
    }

    fn finish(mut self) -> std::io::Result<W> {
        self.record("TRAILER!!!", 0, 0, &[])?;
        Ok(self.writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_aligned_and_end_with_a_trailer() {
        let mut archive = Newc { writer: Vec::new(), inode: 0, written: 0 };
        archive.add("init", 0o100_755, b"abc").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[54..62], b"00000003", "file size");
        assert_eq!(&bytes[94..102], b"00000005", "name size");
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }
}
