//! The forms in which an image leaves the builder: the installer ISO always, disks for machines that are imaged, and
//! a container image when the project asks for them.

mod checksums;
pub(crate) mod container;
mod content;
mod iso;
mod outputs;
mod raw;
mod virtual_disk;
mod zstd_disk;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::gpt::Guid;
use edge_host::sandbox::Sandbox;
use edge_model::forge::Envelope;
use edge_model::ids::InstallationId;
use edge_model::{Context, Result};
use edge_slot_image::Hasher;

pub(crate) use content::Content;
pub(crate) use outputs::{Output, list};

use crate::progress::Progress;
use crate::project::Project;
use crate::provider_image::Image;
use crate::root_image::BuiltRoot;

/// For a tool that handles one medium without content.
const DEADLINE: Duration = Duration::from_secs(600);

/// What all envelopes are made from.
pub(crate) struct Parts<'a> {
    pub(crate) project: &'a Project,
    pub(crate) content: &'a Content,
    pub(crate) image: &'a Image,
    pub(crate) root: &'a BuiltRoot,
    /// The layout that [`container::build`] has made, when it is asked for.
    pub(crate) container: Option<&'a Path>,
    /// systemd-boot.
    pub(crate) loader: &'a Path,
    pub(crate) tools: &'a Sandbox,
    /// A folder for files on the way.
    pub(crate) scratch: &'a Path,
}

impl Parts<'_> {
    fn created(&self) -> u64 {
        self.image.manifest.created
    }

    /// A number that depends on the image and `purpose` only.
    fn volume_id(&self, purpose: &str) -> u32 {
        let guid = self.guid(purpose).0;
        u32::from_le_bytes([guid[0], guid[1], guid[2], guid[3]])
    }

    fn guid(&self, purpose: &str) -> Guid {
        Guid::derived(format!("{} {purpose}", self.image.manifest.root.root_hash).as_bytes())
    }

    fn write_scratch(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.scratch.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// The identity of a medium: everything that an installation from it would bring to a host.
    fn installation_id(&self) -> Result<InstallationId> {
        let mut hasher = Hasher::default();
        hasher.update(&self.image.manifest_bytes);
        hasher.update(self.project.user_data.as_bytes());
        hasher.update(b"\0");
        hasher.update(self.project.unattended.as_bytes());
        let overlay = self.project.medium_overlay.iter().map(|(path, source)| (path.as_str(), source));
        for (path, source) in overlay.chain(self.content.sources()) {
            hasher.update(path.as_bytes());
            hasher.update(&edge_host::files::digest(source)?.0.0);
        }
        Ok(InstallationId(hasher.finish()))
    }
}

/// Writes the installer ISO, and beside it what the project asks for.
///
/// # Errors
/// When a tool fails or the disk is full.
pub(crate) fn write(parts: &Parts<'_>, folder: &Path, progress: &Progress) -> Result<()> {
    let name = parts.project.forge.artifact_name();
    let output = |suffix: &str| folder.join(format!("{name}{suffix}"));
    let wants = |envelope| parts.project.forge.envelopes.contains(&envelope);
    progress.step("installer ISO", || iso::write(parts, &output(".iso")))?;
    let raw = if wants(Envelope::Raw) { output(".raw") } else { parts.scratch.join("disk.raw") };
    if [Envelope::Raw, Envelope::RawZst, Envelope::Qcow2, Envelope::Vmdk].into_iter().any(wants) {
        progress.step("raw disk", || raw::write(parts, &raw))?;
    }
    if wants(Envelope::RawZst) {
        progress.step("compressed raw disk", || zstd_disk::write(&raw, &output(".raw.zst")))?;
    }
    if wants(Envelope::Qcow2) {
        progress.step("qcow2 disk", || virtual_disk::write_qcow2(parts.tools, &raw, &output(".qcow2")))?;
    }
    if wants(Envelope::Vmdk) {
        let id = parts.volume_id("vmdk");
        progress.step("vmdk disk", || virtual_disk::write_vmdk(parts.tools, &raw, id, &output(".vmdk")))?;
    }
    if let Some(layout) = parts.container {
        progress.step("container archive", || {
            container::publish(layout, parts.created(), &folder.join("container"), &output(".container.tar"))
        })?;
    }
    progress.step("checksums", || checksums::write(folder))
}
