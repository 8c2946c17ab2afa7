//! Work that changes the host or takes long: one at a time, each with an identifier, steps, progress and an end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::content::ImportRequest;
use super::{Actor, Health, HostStatus};
use crate::error::Error;
use crate::ids::RootHash;
use crate::unattended::{DiskChoice, WipePolicy};
use crate::user_data::install::ExtraPartition;

/// A request to change the host. One runs at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "operation", deny_unknown_fields)]
pub enum OperationRequest {
    /// Install the medium's image; only in the installer.
    Install(InstallRequest),
    Upgrade(UpgradeRequest),
    /// Boot the other slot's image on trial.
    Rollback,
    /// Confirm the image on trial now.
    Commit,
    /// Read every block of the booted image and of the other slot.
    Verify,
    /// Use a document; a changed network is on trial until it has proved itself.
    Configure(ConfigurationRequest),
    /// Collect what a support line asks for.
    SupportBundle {
        /// Write it to a USB stick instead of keeping it for a download.
        #[serde(default)]
        stick: bool,
    },
    /// Restart, into the recovery image if asked.
    Reboot {
        #[serde(default)]
        recovery: bool,
    },
    PowerOff,
    /// Make the running, committed image the one that recovery starts.
    RefreshRecovery,
    /// Look at everything that a boot needs, and mend what can be mended if asked.
    Fsck {
        #[serde(default)]
        repair: bool,
    },
    /// Erase the data partition, and what the site has told if asked; images, identity and history stay.
    Reset {
        /// Also forget what the site and operators have told.
        #[serde(default)]
        oem: bool,
    },
    /// Put the configuration of the last healthy boot in the place of the present one, or forget what the site has brought; data stays.
    RestoreConfiguration {
        /// Forget what volumes and operators have brought, instead.
        #[serde(default)]
        without_site: bool,
    },
    /// Bring the container images of content bundles to this host.
    ImportContent(ImportRequest),
    /// Read every byte of all content bundles; what is damaged is put aside.
    VerifyContent,
}

/// What kind of work an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    Install,
    Upgrade,
    Rollback,
    Commit,
    Verify,
    Configure,
    SupportBundle,
    Reboot,
    PowerOff,
    RefreshRecovery,
    Fsck,
    Reset,
    RestoreConfiguration,
    ImportContent,
    VerifyContent,
}

impl OperationKind {
    pub const ALL: [OperationKind; 15] = [
        OperationKind::Install,
        OperationKind::Upgrade,
        OperationKind::Rollback,
        OperationKind::Commit,
        OperationKind::Verify,
        OperationKind::Configure,
        OperationKind::SupportBundle,
        OperationKind::Reboot,
        OperationKind::PowerOff,
        OperationKind::RefreshRecovery,
        OperationKind::Fsck,
        OperationKind::Reset,
        OperationKind::RestoreConfiguration,
        OperationKind::ImportContent,
        OperationKind::VerifyContent,
    ];

    /// As the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            OperationKind::Install => "install",
            OperationKind::Upgrade => "upgrade",
            OperationKind::Rollback => "rollback",
            OperationKind::Commit => "commit",
            OperationKind::Verify => "verify",
            OperationKind::Configure => "configure",
            OperationKind::SupportBundle => "support-bundle",
            OperationKind::Reboot => "reboot",
            OperationKind::PowerOff => "power-off",
            OperationKind::RefreshRecovery => "refresh-recovery",
            OperationKind::Fsck => "fsck",
            OperationKind::Reset => "reset",
            OperationKind::RestoreConfiguration => "restore-configuration",
            OperationKind::ImportContent => "import-content",
            OperationKind::VerifyContent => "verify-content",
        }
    }
}

impl std::fmt::Display for OperationKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl OperationRequest {
    pub fn kind(&self) -> OperationKind {
        match self {
            OperationRequest::Install(_) => OperationKind::Install,
            OperationRequest::Upgrade(_) => OperationKind::Upgrade,
            OperationRequest::Rollback => OperationKind::Rollback,
            OperationRequest::Commit => OperationKind::Commit,
            OperationRequest::Verify => OperationKind::Verify,
            OperationRequest::Configure(_) => OperationKind::Configure,
            OperationRequest::SupportBundle { .. } => OperationKind::SupportBundle,
            OperationRequest::Reboot { .. } => OperationKind::Reboot,
            OperationRequest::PowerOff => OperationKind::PowerOff,
            OperationRequest::RefreshRecovery => OperationKind::RefreshRecovery,
            OperationRequest::Fsck { .. } => OperationKind::Fsck,
            OperationRequest::Reset { .. } => OperationKind::Reset,
            OperationRequest::RestoreConfiguration { .. } => OperationKind::RestoreConfiguration,
            OperationRequest::ImportContent(_) => OperationKind::ImportContent,
            OperationRequest::VerifyContent => OperationKind::VerifyContent,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InstallRequest {
    pub disk: DiskChoice,
    pub wipe: WipePolicy,
    pub extra_partitions: Vec<ExtraPartition>,
    pub slot_size_mib: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeRequest {
    /// `oci:REF`, `oci-layout:DIR`, `file:PATH`, or `stick:` for the newest image on a USB stick.
    pub source: String,
    #[serde(default)]
    pub allow_downgrade: bool,
    /// The image that must be found there, by its root hash; another one is refused.
    #[serde(default)]
    pub root_hash: Option<RootHash>,
    /// Try again an image that failed its trial before.
    #[serde(default)]
    pub retry_failed: bool,
    #[serde(default)]
    pub plain_http: bool,
    /// Restart into the trial boot when the image is ready.
    #[serde(default)]
    pub reboot: bool,
    /// Check everything, say what would be done, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// A document for this host, from its API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigurationRequest {
    /// How the document is called in messages.
    pub name: String,
    /// User data: `#cloud-config`.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperationStatus {
    pub id: u64,
    pub operation: OperationKind,
    /// Who asked for it.
    #[serde(flatten)]
    pub by: Actor,
    /// Seconds since 1970 by the host's clock; for people, never for decisions.
    pub started_at: u64,
    pub state: OperationState,
    /// What is being done now, for a person.
    pub step: String,
    /// Bytes done and bytes in all of the present step.
    pub done: u64,
    pub total: u64,
    /// The steps so far, the present one last.
    pub steps: Vec<StepRecord>,
}

impl OperationStatus {
    pub fn is_running(&self) -> bool {
        self.state == OperationState::Running
    }
}

/// The last operations of a host, as it keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptOperations {
    /// Oldest first.
    pub operations: Vec<OperationStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepRecord {
    pub title: String,
    /// Seconds from the beginning of the operation to the beginning of this step.
    pub after_seconds: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum OperationState {
    Running,
    /// Finished, with what a person should read.
    Done {
        message: String,
    },
    Failed {
        error: Error,
    },
}

/// News of the event stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Grows with each event, through all restarts; a reader that comes back says the last one it has seen.
    pub sequence: u64,
    /// Seconds since 1970 by the host's clock; for people, never for decisions.
    #[serde(default)]
    pub at: u64,
    #[serde(flatten)]
    pub kind: EventKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum EventKind {
    /// The agent has begun; with another boot than before, the host has.
    Started {
        boot_id: String,
    },
    Operation(OperationStatus),
    Health {
        health: Health,
    },
    /// Anything of the status has changed.
    Status {
        status: Box<HostStatus>,
    },
    /// The reader was too slow or away for too long: events are missing, and the status must be read again.
    Missed,
    /// From a newer agent than the reader.
    #[serde(other)]
    Unknown,
}

impl EventKind {
    /// Whether it tells of something that happened, and not how things stand: that is kept through restarts.
    pub fn is_kept(&self) -> bool {
        match self {
            Self::Started { .. } | Self::Health { .. } => true,
            Self::Operation(status) => !status.is_running(),
            Self::Status { .. } | Self::Missed | Self::Unknown => false,
        }
    }
}

/// What a host keeps of its news.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptEvents {
    /// Number of the newest event when this was written: those of the next run are above.
    pub newest: u64,
    /// Oldest first.
    pub events: Vec<Event>,
}

/// How much the agent says to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Error,
    Warning,
    Info,
    Debug,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogSetting {
    pub level: LogLevel,
}
