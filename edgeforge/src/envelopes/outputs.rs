//! What a build has written, and what to do with it next.

use std::fs;
use std::path::{Path, PathBuf};

use edge_model::{Context, Result};
use serde::Serialize;

/// Suffix of an output, and what it is.
const KINDS: [(&str, &str); 12] = [
    (".iso", "installer for CD, USB stick and HTTP boot"),
    (".raw", "disk as an installation leaves it; mostly holes"),
    (".raw.zst", "the same disk, compressed"),
    (".qcow2", "the same disk for QEMU and libvirt"),
    (".vmdk", "the same disk for VMware"),
    (".oci.tar", "provider image, for upgrades without a registry"),
    ("oci", "provider image as an OCI layout"),
    (".container.tar", "container image, for docker load"),
    ("container", "container image as an OCI layout"),
    ("manifest.json", "what is signed"),
    ("sbom.spdx.json", "list of packages"),
    ("SHA256SUMS", "checksums of all but the raw disk"),
];

/// A file or folder of the output.
#[derive(Debug, Serialize)]
pub(crate) struct Output {
    pub(crate) path: PathBuf,
    /// Bytes.
    pub(crate) size: u64,
    #[serde(skip)]
    pub(crate) what: &'static str,
}

/// What is in the output folder of a build named `name`.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn list(folder: &Path, name: &str) -> Result<Vec<Output>> {
    let mut found = Vec::new();
    for (suffix, what) in KINDS {
        let file = if suffix.starts_with('.') { format!("{name}{suffix}") } else { suffix.to_owned() };
        let path = folder.join(file);
        if path.exists() {
            found.push(Output { size: size_of(&path)?, path, what });
        }
    }
    Ok(found)
}

/// Bytes of a file, or of all files of a folder.
fn size_of(path: &Path) -> Result<u64> {
    let context = || format!("cannot look at {}", path.display());
    let metadata = fs::metadata(path).with_context(context)?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    let mut size = 0;
    for entry in fs::read_dir(path).with_context(context)? {
        size += size_of(&entry.with_context(context)?.path())?;
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_listed_in_their_order_and_folders_are_summed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("oci/blobs")).unwrap();
        for (name, size) in
            [("oci/index.json", 5), ("oci/blobs/x", 10_000), ("a-1-amd64.iso", 7), ("other", 1)]
        {
            fs::write(folder.path().join(name), vec![1; size]).unwrap();
        }
        let found = list(folder.path(), "a-1-amd64").unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|output| (output.path.file_name().unwrap().to_str().unwrap(), output.size))
            .collect();
        assert_eq!(found, [("a-1-amd64.iso", 7), ("oci", 10_005)]);
    }
}
