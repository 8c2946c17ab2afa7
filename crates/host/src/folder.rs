//! Folders that are copied and put in each other's place as wholes.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use edge_model::ids::Digest;
use edge_model::{Context, Error, Result};

use crate::faults::{effect, flush};
use crate::files;

/// Copies a folder to a new one with the modes of everything in it, and waits until all of it is on the disk. Gives the digest of
/// each file by its path inside. Links, devices and sockets are not what data consists of, and are an error.
///
/// # Errors
/// When anything cannot be read or written. What is there of the copy stays, and is no whole.
pub fn copy(from: &Path, to: &Path) -> Result<BTreeMap<String, Digest>> {
    let mut digests = BTreeMap::new();
    copy_level(from, to, "", &mut digests)?;
    Ok(digests)
}

fn copy_level(from: &Path, to: &Path, inside: &str, digests: &mut BTreeMap<String, Digest>) -> Result<()> {
    let context = || format!("cannot copy {}", from.display());
    // Nobody else reads what is in it before it has the modes of what it is a copy of.
    effect("create", to)
        .and_then(|()| fs::DirBuilder::new().mode(0o700).create(to))
        .with_context(|| format!("cannot create {}", to.display()))?;
    let mut entries =
        fs::read_dir(from).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).with_context(context)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if inside.is_empty() { name.clone() } else { format!("{inside}/{name}") };
        let kind = entry.file_type().with_context(context)?;
        if kind.is_dir() {
            copy_level(&entry.path(), &to.join(&name), &path, digests)?;
        } else if kind.is_file() {
            let mut input = File::open(entry.path())
                .with_context(|| format!("cannot open {}", entry.path().display()))?;
            let mode = input.metadata().with_context(context)?.permissions();
            let target = to.join(&name);
            files::copy_durably(&mut input, &target, |digest, _| {
                digests.insert(path, digest);
                Ok(())
            })?;
            fs::set_permissions(&target, Permissions::from_mode(mode.mode())).with_context(context)?;
        } else {
            return Err(Error::integrity(format!(
                "{} is neither a file nor a folder",
                entry.path().display()
            )));
        }
    }
    let mode = fs::metadata(from).with_context(context)?.permissions();
    fs::set_permissions(to, mode).with_context(context)?;
    File::open(to).and_then(|opened| flush("flush", to, &opened)).with_context(context)
}

/// Bytes of all files in a folder.
///
/// # Errors
/// When it cannot be read.
pub fn size(folder: &Path) -> Result<u64> {
    let context = || format!("cannot look into {}", folder.display());
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        let metadata = fs::symlink_metadata(entry.path()).with_context(context)?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Removes a folder with everything in it; that there is none is well.
///
/// # Errors
/// When something of it stays.
pub fn remove(folder: &Path) -> Result<()> {
    let context = || format!("cannot remove {}", folder.display());
    match effect("remove", folder).and_then(|()| fs::remove_dir_all(folder)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(context),
        Ok(()) => files::sync_folder(folder.parent().unwrap_or(folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_everything_with_its_modes() {
        let scratch = tempfile::tempdir().unwrap();
        let from = scratch.path().join("member");
        fs::create_dir_all(from.join("snap")).unwrap();
        fs::write(from.join("snap/db"), "data").unwrap();
        fs::write(from.join("wal"), "log").unwrap();
        fs::set_permissions(&from, Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(from.join("wal"), Permissions::from_mode(0o600)).unwrap();
        let to = scratch.path().join("copy");
        let digests = copy(&from, &to).unwrap();
        assert_eq!(digests.keys().collect::<Vec<_>>(), ["snap/db", "wal"]);
        assert_eq!(digests["wal"], edge_slot_image::sha256(b"log"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&to), mode(&to.join("wal"))), (0o700, 0o600));
        assert_eq!(size(&to).unwrap(), 7);
        assert!(copy(&from, &to).is_err(), "a copy is a new folder");
        std::os::unix::fs::symlink("wal", from.join("link")).unwrap();
        assert!(copy(&from, &scratch.path().join("other")).unwrap_err().message.contains("link"));
        remove(&to).unwrap();
        remove(&to).unwrap();
        assert!(!to.exists());
    }
}
