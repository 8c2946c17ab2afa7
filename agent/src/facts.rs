//! What is true on this host now: read once, passed on as values.

use std::fs;
use std::path::Path;

use edge_host::disk::PartitionedDisk;
use edge_host::efivars::{EfiVars, Variable};
use edge_host::esp::Esp;
use edge_host::files;
use edge_host::machine::Machine;
use edge_model::api::{BootRecord, ImageIdentity};
use edge_model::ids::Entry;
use edge_model::layout::Role;
use edge_model::ledger::{ImageRecord, Ledger};
use edge_model::{Context, Error, Result, paths};
use edge_planner::boot::BootedImage;
use edge_planner::boot::outcome::was_ordered;
use edge_planner::boot::recovery::Counters;
use edge_planner::host_kind::HostKind;
use edge_slot_image::signing::TrustedKey;
use serde::Deserialize;

use crate::state_file::StateFile;

/// The boot that is running.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) kind: HostKind,
    pub(crate) machine: Machine,
    pub(crate) record: BootRecord,
    pub(crate) image: ImageIdentity,
    /// The booted image as the ledger describes images.
    pub(crate) image_record: ImageRecord,
    pub(crate) variables: Option<EfiVars>,
}

#[derive(Deserialize)]
struct ImageFile {
    name: String,
    version: String,
    created: u64,
    signed: bool,
}

impl Host {
    /// # Errors
    /// When this is not a host that our init has booted.
    pub(crate) fn observe() -> Result<Self> {
        Self::observe_on(Machine::real())
    }

    /// # Errors
    /// As [`Host::observe`].
    pub(crate) fn observe_on(machine: Machine) -> Result<Self> {
        let bytes = files::read(&machine.path(paths::BOOT_RECORD), 1 << 20)
            .map_err(|error| error.help("this command works on an edge host only"))?;
        let record: BootRecord = serde_json::from_slice(&bytes).context("the boot record cannot be read")?;
        let bytes = files::read(&machine.path(paths::IMAGE_DESCRIPTION), 1 << 16)?;
        let file: ImageFile =
            serde_json::from_slice(&bytes).context("the image's own description cannot be read")?;
        let image_record = ImageRecord {
            name: file.name.clone(),
            version: file.version.clone(),
            root_hash: record.root_hash,
            created: file.created,
            data_blocks: record.data_blocks,
            signed: file.signed,
        };
        let image = ImageIdentity { name: file.name, version: file.version, root_hash: record.root_hash };
        let variables = machine.variables();
        Ok(Self { kind: HostKind::of(record.mode), machine, record, image, image_record, variables })
    }

    /// Whether what is remembered outlives this boot.
    pub(crate) fn keeps_state(&self) -> bool {
        self.kind.has_memory() && self.machine.is_mounted(paths::OEM)
    }

    /// The disk of this installation.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn disk(&self) -> Result<PartitionedDisk> {
        self.machine.disk(&self.record.disk)
    }

    /// What this host remembers about its images.
    pub(crate) fn ledger(&self) -> StateFile<Ledger> {
        StateFile::new(&self.machine.path(paths::OEM_EDGE))
    }

    /// How the boots before this one went, with this one.
    ///
    /// # Errors
    /// When the firmware does not say.
    pub(crate) fn counters(&self) -> Result<Counters> {
        let Some(variables) = &self.variables else { return Ok(Counters::default()) };
        Ok(Counters::from_bytes(&variables.get(Variable::BootCount)?.unwrap_or_default()))
    }

    /// How the loader stands towards the booted image.
    ///
    /// # Errors
    /// When neither variables nor the ESP can be read.
    pub(crate) fn booted(&self) -> Result<BootedImage> {
        let default_entry = match self.kind {
            HostKind::Appliance => self.default_entry(|disk| Esp::open(disk, Role::Efi).map(Some))?.flatten(),
            _ => None,
        };
        self.booted_with(default_entry)
    }

    /// As [`Host::booted`], for those who only look: none while somebody writes to the ESP, without which it cannot be told.
    ///
    /// # Errors
    /// As [`Host::booted`].
    pub(crate) fn booted_now(&self) -> Result<Option<BootedImage>> {
        if self.kind != HostKind::Appliance {
            return self.booted_with(None).map(Some);
        }
        let default_entry = self.default_entry(|disk| Esp::open_now(disk, Role::Efi))?;
        default_entry.map(|entry| self.booted_with(entry)).transpose()
    }

    /// What starts when nothing else is said, whatever runs now.
    ///
    /// # Errors
    /// As [`Host::booted`].
    pub(crate) fn default_entry_of_disk(&self) -> Result<Option<Entry>> {
        Ok(self.default_entry(|disk| Esp::open(disk, Role::Efi).map(Some))?.flatten())
    }

    fn booted_with(&self, default_entry: Option<Entry>) -> Result<BootedImage> {
        Ok(BootedImage {
            mode: self.record.mode,
            root_hash: self.record.root_hash,
            slot: self.record.slot,
            is_fallback: self.record.is_fallback
                && !was_ordered(&self.ledger().load(), &self.record.root_hash),
            default_entry,
            armed_entry: match &self.variables {
                Some(variables) => variables.get_entry(Variable::LoaderEntryOneShot)?,
                None => None,
            },
        })
    }

    /// What systemd-boot starts when nothing else is said: the variable, else its configuration. None when `open` has no ESP.
    fn default_entry(
        &self,
        open: impl FnOnce(&PartitionedDisk) -> Result<Option<Esp>>,
    ) -> Result<Option<Option<Entry>>> {
        if let Some(variables) = &self.variables
            && let Some(entry) = variables.get_entry(Variable::LoaderEntryDefault)?
        {
            return Ok(Some(Some(entry)));
        }
        let Some(esp) = open(&self.disk()?)? else { return Ok(None) };
        let entry = esp.default_entry()?;
        esp.close()?;
        Ok(Some(entry))
    }

    /// # Errors
    /// When the machine has no UEFI firmware.
    pub(crate) fn variables(&self) -> Result<&EfiVars> {
        self.variables.as_ref().ok_or_else(edge_host::efivars::missing)
    }
}

/// Keys of the verified image that may sign its successors.
///
/// # Errors
/// When a key file is damaged.
pub(crate) fn trusted_keys(machine: &Machine) -> Result<Vec<TrustedKey>> {
    let Ok(entries) = fs::read_dir(machine.path(paths::IMAGE_KEYS)) else { return Ok(Vec::new()) };
    let mut keys = Vec::new();
    for entry in entries {
        let path = entry.context("cannot list the trusted keys")?.path();
        if path.extension().is_some_and(|extension| extension == "pub") {
            keys.push(TrustedKey::parse(&files::read_text(&path)?)?);
        }
    }
    Ok(keys)
}

/// Debian's name of this machine's architecture.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The host's identifier for its owner.
pub(crate) fn host_id() -> String {
    files::read_text(Path::new(paths::HOST_ID)).unwrap_or_default().trim().to_owned()
}

/// Seconds since 1970 by the wall clock. For people, never for decisions.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |duration| duration.as_secs())
}

/// The host's name as the kernel knows it.
pub(crate) fn host_name() -> Result<String> {
    Some(edge_host::system_info::host_name())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Error::environment("the host has no name"))
}
