//! FAT file systems in files, without mounting: mkfs.vfat and mtools, reproducibly.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use edge_host::child::Child;
use edge_host::sandbox::Sandbox;
use edge_model::{Context, Result};

/// A file system to be made.
pub(crate) struct Fat<'a> {
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) label: Option<&'a str>,
    /// Volume identifier.
    pub(crate) id: u32,
    /// Seconds since 1970 for every file.
    pub(crate) modified: u64,
    /// Path in the file system and source.
    pub(crate) files: Vec<(String, PathBuf)>,
}

impl Fat<'_> {
    /// Bytes that hold `files` with room for tables, in whole MiB.
    pub(crate) fn size_for(files: &[(String, PathBuf)]) -> Result<u64> {
        const ROOM: u64 = 2 << 20;
        let mut size = ROOM;
        for (_, path) in files {
            size += path.metadata().with_context(|| format!("cannot look at {}", path.display()))?.len();
        }
        Ok(size.next_multiple_of(1 << 20))
    }

    /// Makes the file system in a new file.
    ///
    /// # Errors
    /// When a tool fails, for example because the files do not fit.
    pub(crate) fn write(&self, tools: &Sandbox, image: &Path) -> Result<()> {
        let file = File::create(image).with_context(|| format!("cannot create {}", image.display()))?;
        file.set_len(self.size).with_context(|| format!("cannot create {}", image.display()))?;
        let mut format = Child::new("mkfs.vfat").args(["--invariant", "-i", &format!("{:08x}", self.id)]);
        if let Some(label) = self.label {
            format = format.args(["-n", label]);
        }
        format.arg(image).inside(tools)?.run()?;
        let epoch = self.modified.to_string();
        let mtools = |program: &str| {
            Child::new(program)
                .env("SOURCE_DATE_EPOCH", &epoch)
                .env("TZ", "UTC")
                .arg("-i")
                .arg(image)
                .inside(tools)
        };
        for folder in self.folders() {
            mtools("mmd")?.arg(format!("::{folder}")).run()?;
        }
        for (path, source) in &self.files {
            mtools("mcopy")?.arg(source).arg(format!("::{path}")).run()?;
        }
        Ok(())
    }

    fn folders(&self) -> BTreeSet<&str> {
        self.files.iter().flat_map(|(path, _)| path.match_indices('/').map(|(at, _)| &path[..at])).collect()
    }
}

/// Copies a file into another at an offset, leaving holes where the source is zero.
///
/// # Errors
/// When reading or writing fails.
pub(crate) fn place(source: &Path, target: &Path, offset: u64) -> Result<()> {
    use std::io::Read;
    use std::os::unix::fs::FileExt;
    const PIECE: usize = 1 << 20;
    let context = || format!("cannot copy {} into {}", source.display(), target.display());
    let mut input = File::open(source).with_context(context)?;
    let output = OpenOptions::new().write(true).open(target).with_context(context)?;
    input.seek(SeekFrom::Start(0)).with_context(context)?;
    let mut at = offset;
    let mut buffer = vec![0; PIECE];
    loop {
        let length = input.read(&mut buffer).with_context(context)?;
        if length == 0 {
            return Ok(());
        }
        if buffer[..length].iter().any(|byte| *byte != 0) {
            output.write_all_at(&buffer[..length], at).with_context(context)?;
        }
        at += length as u64;
    }
}
