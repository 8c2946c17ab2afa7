//! What a build has written, and what to do with it next.

use std::fs;
use std::path::{Path, PathBuf};

use edge_model::{Context, Result};
use serde::Serialize;

/// What is known about an output by the end of its name.
struct Kind {
    suffix: &'static str,
    what: &'static str,
    /// What to do with it: for what, and the command, with `{}` for the file.
    next: Option<(&'static str, &'static str)>,
}

const fn kind(suffix: &'static str, what: &'static str) -> Kind {
    Kind { suffix, what, next: None }
}

impl Kind {
    const fn then(self, goal: &'static str, command: &'static str) -> Self {
        Self { next: Some((goal, command)), ..self }
    }
}

const KINDS: [Kind; 12] = [
    kind(".iso", "installer for CD, USB stick and HTTP boot")
        .then("a USB stick", "sudo dd if={} of=/dev/DISK bs=4M oflag=direct status=progress"),
    kind(".raw", "disk as an installation leaves it; mostly holes")
        .then("a disk", "sudo dd if={} of=/dev/DISK bs=4M conv=sparse oflag=direct status=progress"),
    kind(".raw.zst", "the same disk, compressed").then(
        "a disk",
        "zstd -dc {} | sudo dd of=/dev/DISK bs=4M iflag=fullblock oflag=direct status=progress",
    ),
    kind(".qcow2", "the same disk for QEMU and libvirt").then(
        "libvirt",
        "virt-install --import --boot uefi --memory 4096 --osinfo linux2024 --disk {},bus=virtio",
    ),
    kind(".vmdk", "the same disk for VMware").then("VMware", "govc import.vmdk {} FOLDER"),
    kind(".oci.tar", "provider image, for upgrades without a registry").then(
        "an installed host",
        "scp {} HOST:image.oci.tar && ssh HOST sudo edge-agent upgrade file:image.oci.tar --reboot",
    ),
    kind("oci", "provider image as an OCI layout"),
    kind(".container.tar", "container image, for docker load").then("a scanner", "docker load --input {}"),
    kind("container", "container image as an OCI layout"),
    kind("manifest.json", "what is signed"),
    kind("sbom.spdx.json", "list of packages"),
    kind("SHA256SUMS", "checksums of all but the raw disk"),
];

/// A file or folder of the output.
#[derive(Debug, Serialize)]
pub(crate) struct Output {
    pub(crate) path: PathBuf,
    /// Bytes.
    pub(crate) size: u64,
    #[serde(skip)]
    pub(crate) what: &'static str,
    /// For what it is used next, and the command for that.
    #[serde(skip)]
    pub(crate) next: Option<(&'static str, String)>,
}

/// What is in the output folder of a build named `name`.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn list(folder: &Path, name: &str) -> Result<Vec<Output>> {
    let mut found = Vec::new();
    for Kind { suffix, what, next } in KINDS {
        let file = if suffix.starts_with('.') { format!("{name}{suffix}") } else { suffix.to_owned() };
        let path = folder.join(file);
        if path.exists() {
            let next = next.map(|(goal, command)| (goal, command.replace("{}", &path.display().to_string())));
            found.push(Output { size: size_of(&path)?, path, what, next });
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
        let (goal, command) = found[0].next.as_ref().unwrap();
        assert!(*goal == "a USB stick" && command.contains("a-1-amd64.iso of=/dev/DISK"), "{command}");
        let found: Vec<_> = found
            .iter()
            .map(|output| (output.path.file_name().unwrap().to_str().unwrap(), output.size))
            .collect();
        assert_eq!(found, [("a-1-amd64.iso", 7), ("oci", 10_005)]);
    }
}
