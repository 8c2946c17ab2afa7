//! `local-ui.tar`, the look of Palette's Local UI: read and unpacked without trusting it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use edge_model::{Context, Error, Result};
use tar::{Archive, EntryType};

pub(crate) const FILE: &str = "local-ui.tar";
/// Where CanvOS unpacks it in a root.
pub(crate) const PLACE: &str = "opt/spectrocloud";
const MOST_ENTRIES: usize = 20_000;
const MOST_BYTES: u64 = 256 << 20;

/// One entry, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    File { program: bool },
    Link(PathBuf),
}

/// The files and links in an archive, in its order.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] naming the entry that leaves the archive's folder, is no file, folder or link,
/// or is too much.
pub(crate) fn list(archive: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    walk(archive, &mut |path, _, _| {
        paths.push(path.to_owned());
        Ok(())
    })?;
    Ok(paths)
}

/// Unpacks an archive into a folder.
///
/// # Errors
/// As [`list`], and when something cannot be written or is there already.
pub(crate) fn unpack(archive: &Path, folder: &Path) -> Result<()> {
    walk(archive, &mut |path, kind, content| {
        let target = folder.join(path);
        let context = || format!("cannot write {}", target.display());
        fs::create_dir_all(target.parent().unwrap_or(folder)).with_context(context)?;
        match kind {
            Kind::Link(to) => std::os::unix::fs::symlink(to, &target).with_context(context),
            Kind::File { program } => {
                let mode = if program { 0o755 } else { 0o644 };
                let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&target);
                std::io::copy(content, &mut file.with_context(context)?).map(drop).with_context(context)
            }
        }
    })
}

type Visit<'a> = dyn FnMut(&str, Kind, &mut dyn Read) -> Result<()> + 'a;

fn walk(archive: &Path, visit: &mut Visit<'_>) -> Result<()> {
    let name = archive.display();
    let context = || format!("cannot read {name}");
    let file = File::open(archive).with_context(context)?;
    let unpacked = decompressed(file).with_context(context)?;
    // Headers count too: names of any length are kept in memory.
    let mut entries = Archive::new(unpacked.take(2 * MOST_BYTES));
    let (mut seen, mut links) = (BTreeSet::new(), BTreeSet::new());
    let mut bytes = 0u64;
    for entry in entries.entries().with_context(context)? {
        let mut entry = entry.map_err(damaged).with_context(context)?;
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let refuse = |why: &str| Error::invalid(format!("{name}: entry {shown:?} {why}"));
        let path = inner(Path::new(&shown)).ok_or_else(|| refuse("leaves the folder"))?;
        if path.is_empty() || entry.header().entry_type() == EntryType::Directory {
            continue;
        }
        bytes = bytes.saturating_add(entry.size());
        if bytes > MOST_BYTES || seen.len() >= MOST_ENTRIES {
            return Err(refuse("is too much: at most 20000 files with 256 MiB together"));
        }
        if Path::new(&path).ancestors().skip(1).any(|parent| links.contains(parent)) {
            return Err(refuse("lies below a link"));
        }
        if !seen.insert(path.clone()) {
            return Err(refuse("is there twice"));
        }
        let kind = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                let mode = entry.header().mode().map_err(damaged).with_context(context)?;
                Kind::File { program: mode & 0o100 != 0 }
            }
            EntryType::Symlink => {
                let to = entry.link_name().map_err(damaged).with_context(context)?;
                let to = to.map(PathBuf::from).filter(|to| stays_inside(&path, to));
                links.insert(PathBuf::from(&path));
                Kind::Link(to.ok_or_else(|| refuse("is a link that leaves the folder"))?)
            }
            _ => return Err(refuse("is neither a file, a folder nor a symbolic link")),
        };
        visit(&path, kind, &mut entry)?;
    }
    Ok(())
}

fn damaged(error: std::io::Error) -> Error {
    Error::invalid(format!("it is damaged: {error}"))
}

/// As `tar -xf` does: gzip and zstd are recognised.
fn decompressed(mut file: File) -> Result<Box<dyn Read>> {
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(file)?),
        _ => Box::new(std::io::BufReader::new(file)),
    })
}

/// The path without `./`; `None` when it leaves the folder. Empty for the folder itself.
fn inner(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            _ => return None,
        }
    }
    let path = parts.join("/");
    (!path.contains('\u{fffd}')).then_some(path)
}

/// Whether a link that lies at `path` leads to a place in the same folder. Steps up may only come first: after a name
/// they would depend on where that one leads.
fn stays_inside(path: &str, to: &Path) -> bool {
    let mut depth = Path::new(path).components().count() - 1;
    let mut went_down = false;
    for part in to.components() {
        match part {
            Component::Normal(_) => went_down = true,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 && !went_down => depth -= 1,
            _ => return false,
        }
    }
    to.components().next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use tar::{Builder, Header};

    /// Writes entries without the checks that the library makes.
    fn archive(entries: &[(&str, EntryType, &str)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut builder = Builder::new(File::create(&path).unwrap());
        for (name, kind, content) in entries {
            let mut header = Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o4755);
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            if is_link {
                header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content.as_bytes());
            }
            let data = if is_link { "" } else { content };
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap();
        (folder, path)
    }

    #[test]
    fn an_archive_is_unpacked_whatever_compresses_it() {
        use EntryType::{Directory, Regular, Symlink};
        let (folder, plain) = archive(&[
            ("./ui/", Directory, ""),
            ("./ui/a.json", Regular, "{}"),
            ("ui/b", Symlink, "../ui/a.json"),
        ]);
        let bytes = fs::read(&plain).unwrap();
        let zstd = folder.path().join("zstd.tar");
        fs::write(&zstd, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
        let gzip = folder.path().join("gzip.tar");
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&gzip).unwrap(), flate2::Compression::fast());
        encoder.write_all(&bytes).unwrap();
        encoder.finish().unwrap();
        for (number, path) in [plain, zstd, gzip].iter().enumerate() {
            assert_eq!(list(path).unwrap(), ["ui/a.json", "ui/b"]);
            let target = folder.path().join(number.to_string());
            unpack(path, &target).unwrap();
            assert_eq!(fs::read(target.join("ui/b")).unwrap(), b"{}");
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(target.join("ui/a.json")).unwrap().permissions().mode();
            assert_eq!(mode & 0o7100, 0o100, "{mode:o}");
            assert!(unpack(path, &target).is_err(), "nothing is overwritten");
        }
    }

    #[test]
    fn what_leaves_the_folder_is_refused_with_its_name() {
        use EntryType::{Char, Fifo, Link, Regular, Symlink};
        for (entries, why) in [
            (&[("../x", Regular, "")][..], "leaves the folder"),
            (&[("/etc/passwd", Regular, "")], "leaves the folder"),
            (&[("a/../../x", Regular, "")], "leaves the folder"),
            (&[("a", Symlink, "/etc")], "link that leaves"),
            (&[("a", Symlink, "..")], "link that leaves"),
            (&[("d/a", Symlink, "../../x")], "link that leaves"),
            (&[("d", Symlink, "."), ("a", Symlink, "d/../x")], "link that leaves"),
            (&[("a", Symlink, "b"), ("a/x", Regular, "")], "below a link"),
            (&[("a", Link, "b")], "neither"),
            (&[("a", Char, "")], "neither"),
            (&[("a", Fifo, "")], "neither"),
            (&[("a", Regular, ""), ("./a", Regular, "")], "twice"),
        ] {
            let (folder, path) = archive(entries);
            let error = unpack(&path, &folder.path().join("out")).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("entry"), "{entries:?}: {error}");
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut header = Header::new_gnu();
        header.set_path("big").unwrap();
        header.set_size(1 << 40);
        header.set_cksum();
        fs::write(&path, header.as_bytes()).unwrap();
        assert!(list(&path).unwrap_err().to_string().contains("too much"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1100), cut in 0usize..2000) {
            let (folder, path) = archive(&[("a/b", EntryType::Regular, "text"), ("a/c", EntryType::Symlink, "b")]);
            let mut whole = fs::read(&path).unwrap();
            whole.truncate(cut);
            whole.extend(&bytes);
            fs::write(&path, &whole).unwrap();
            let _ = unpack(&path, &folder.path().join("out"));
            fs::write(&path, &bytes).unwrap();
            let _ = list(&path);
        }
    }
}
