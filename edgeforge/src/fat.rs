//! FAT file systems in files, without mounting: mkfs.vfat and mtools, reproducibly.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use edge_host::child::Child;
use edge_host::sandbox::Sandbox;
use edge_model::{Context, Result};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

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

/// Copies a file into another at an offset, holes as holes.
///
/// # Errors
/// When reading or writing fails.
pub(crate) fn place(source: &Path, target: &Path, offset: u64) -> Result<()> {
    const PIECE: usize = 1 << 20;
    let context = || format!("cannot copy {} into {}", source.display(), target.display());
    let input = File::open(source).with_context(context)?;
    let output = OpenOptions::new().write(true).open(target).with_context(context)?;
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while let Some((start, end)) = next_data(&input, at).with_context(context)? {
        at = start;
        while at < end {
            let piece = &mut buffer[..PIECE.min((end - at) as usize)];
            input.read_exact_at(piece, at).with_context(context)?;
            output.write_all_at(piece, offset + at).with_context(context)?;
            at += piece.len() as u64;
        }
    }
    Ok(())
}

/// The next range of a file that is not a hole.
///
/// # Errors
/// When the file cannot be searched.
pub(crate) fn next_data(file: &File, from: u64) -> std::io::Result<Option<(u64, u64)>> {
    let start = match seek(file, SeekFrom::Data(from)) {
        Ok(start) => start,
        // No data behind `from`.
        Err(Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some((start, seek(file, SeekFrom::Hole(start))?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_placed_and_holes_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("source"), folder.path().join("target"));
        let file = File::create(&source).unwrap();
        file.set_len(10 << 20).unwrap();
        file.write_all_at(b"middle", 5 << 20).unwrap();
        file.write_all_at(b"end", (10 << 20) - 3).unwrap();
        File::create(&target).unwrap().set_len(12 << 20).unwrap();
        place(&source, &target, 1 << 20).unwrap();
        let copied = std::fs::read(&target).unwrap();
        assert!(copied[6 << 20..].starts_with(b"middle") && copied[..11 << 20].ends_with(b"end"));
        assert_eq!(copied.iter().filter(|byte| **byte != 0).count(), 9);
    }
}
