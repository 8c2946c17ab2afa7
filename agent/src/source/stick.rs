//! The newest image on a USB stick: the archive that the builder wrote, copied to it as it is.

use std::cmp::Ordering;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use edge_host::block;
use edge_host::mount::ScopedMount;
use edge_host::sticks;
use edge_model::{Error, Result};
use edge_planner::upgrade::compare_versions;
use edge_slot_image::oci::Descriptor;

use super::BlobSource;
use super::archive::ArchiveFile;

const SUFFIX: &str = ".oci.tar";

/// An archive on a stick that is mounted as long as this lives.
pub(super) struct Stick {
    // Before the mount: fields are dropped in order.
    archive: ArchiveFile,
    _mount: ScopedMount,
}

impl Stick {
    /// # Errors
    /// When no stick holds an image.
    pub(super) fn open(own_disk: &str) -> Result<Self> {
        for volume in sticks::removable(own_disk)? {
            // One that cannot be read is not the one with the image.
            let Ok(mount) = sticks::look_at(&volume) else { continue };
            if let Some(path) = newest(mount.path()) {
                return Ok(Self { archive: ArchiveFile::open(&path)?, _mount: mount });
            }
        }
        let seen = block::disks().iter().filter(|disk| disk.removable && !disk.optical).count();
        Err(Error::environment(format!("none of {seen} sticks holds an image"))
            .help("copy NAME-VERSION-amd64.oci.tar of a build to a stick with FAT32, exFAT or ext4"))
    }
}

fn newest(folder: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let archives =
        names.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(SUFFIX)));
    archives.max_by(|one, other| by_version(one, other))
}

/// Names of one appliance differ in their version only.
fn by_version(one: &Path, other: &Path) -> Ordering {
    let stem = |path: &Path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.trim_end_matches(SUFFIX).to_owned()
    };
    compare_versions(&stem(one), &stem(other))
}

impl BlobSource for Stick {
    fn manifest(&mut self) -> Result<Vec<u8>> {
        self.archive.manifest()
    }

    fn open(&mut self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + '_>> {
        self.archive.open(blob, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["shop-1.9.0-amd64.oci.tar", "shop-1.10.0-amd64.oci.tar", "shop-1.2.0-amd64.iso", "note.txt"]
        {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = newest(folder.path()).unwrap();
        assert!(found.ends_with("shop-1.10.0-amd64.oci.tar"), "{found:?}");
        fs::remove_file(found).unwrap();
        assert!(newest(folder.path()).unwrap().ends_with("shop-1.9.0-amd64.oci.tar"));
    }
}
