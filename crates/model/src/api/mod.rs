//! What the agent says about a host and what it can be asked to do. Wire types of `/run/edge/agent.sock`.

use serde::{Deserialize, Serialize};

use crate::cmdline::Mode;
use crate::error::Error;
use crate::ids::{RootHash, Slot};
use crate::ledger::{FailedImage, HistoryEntry, ImageRecord};
use crate::unattended::{DiskChoice, WipePolicy};
use crate::user_data::install::ExtraPartition;

/// Written by early boot, read by the agent: how this boot came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRecord {
    pub mode: Mode,
    pub root_hash: RootHash,
    pub data_blocks: u64,
    /// The slot that was booted; none in recovery and live mode.
    pub slot: Option<Slot>,
    /// Block device of the disk that the host is installed on, or of the medium.
    pub disk: String,
    /// Why the host is in recovery, or what early boot had to repair.
    pub reasons: Vec<String>,
}

/// How the booted image stands towards the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootState {
    /// The image is the default of the boot loader.
    Committed,
    /// The image was started once and has to prove itself.
    Trial,
    Recovery,
    Live,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "reasons")]
pub enum Health {
    /// Checks have not finished.
    Checking,
    Healthy,
    Unhealthy(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    pub agent_version: String,
    pub host_name: String,
    /// Identifier of this host for its owner and a management plane.
    #[serde(default)]
    pub host_id: String,
    #[serde(default)]
    pub network: NetworkState,
    pub mode: Mode,
    pub boot_state: BootState,
    pub health: Health,
    pub image: ImageIdentity,
    #[serde(default)]
    pub slot: Option<Slot>,
    #[serde(default)]
    pub slot_a: Option<ImageRecord>,
    #[serde(default)]
    pub slot_b: Option<ImageRecord>,
    pub addresses: Vec<InterfaceAddress>,
    #[serde(default)]
    pub last_event: Option<HistoryEntry>,
    pub failed: Vec<FailedImage>,
    /// What an operator should know: why recovery, what was repaired, unsigned images allowed.
    pub notices: Vec<String>,
    #[serde(default)]
    pub operation: Option<OperationStatus>,
}

/// How far the present network is trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum NetworkState {
    /// It has worked, or there is nothing to return to.
    #[default]
    Kept,
    /// A change that must prove itself, or the last network that worked returns.
    Trial { seconds_left: u64 },
    /// The last change did not prove itself: the network that worked before is used.
    Returned,
}

/// A document for this host, from its API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigurationRequest {
    /// How the document is called in messages.
    pub name: String,
    pub text: String,
}

/// What the API says about a new document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationAnswer {
    pub message: String,
    /// Warnings and notes about the document.
    pub findings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageIdentity {
    pub name: String,
    pub version: String,
    pub root_hash: RootHash,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceAddress {
    pub interface: String,
    pub address: String,
}

/// A request to change the host. One runs at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "operation", deny_unknown_fields)]
pub enum OperationRequest {
    Install(InstallRequest),
    Upgrade(UpgradeRequest),
    /// Boot the other slot's image on trial.
    Rollback,
    /// Confirm the image on trial now.
    Commit,
    /// Read every block of the booted image and of the other slot.
    Verify,
    /// Restart, into the recovery image if asked.
    Reboot {
        recovery: bool,
    },
}

impl OperationRequest {
    pub fn name(&self) -> &'static str {
        match self {
            OperationRequest::Install(_) => "install",
            OperationRequest::Upgrade(_) => "upgrade",
            OperationRequest::Rollback => "rollback",
            OperationRequest::Commit => "commit",
            OperationRequest::Verify => "verify",
            OperationRequest::Reboot { .. } => "reboot",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstallRequest {
    pub disk: DiskChoice,
    pub wipe: WipePolicy,
    pub extra_partitions: Vec<ExtraPartition>,
    pub slot_size_mib: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeRequest {
    /// `oci:REF`, `oci-layout:DIR` or `file:PATH`.
    pub source: String,
    #[serde(default)]
    pub allow_downgrade: bool,
    /// Try again an image that failed its trial before.
    #[serde(default)]
    pub retry_failed: bool,
    #[serde(default)]
    pub plain_http: bool,
    /// Restart into the trial boot when the image is ready.
    #[serde(default)]
    pub reboot: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationStatus {
    pub id: u64,
    pub operation: String,
    pub state: OperationState,
    /// What is being done now, for a person.
    pub step: String,
    /// Bytes done and bytes in all of the present step.
    pub done: u64,
    pub total: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// One line of the event stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub sequence: u64,
    #[serde(flatten)]
    pub kind: EventKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum EventKind {
    Operation(OperationStatus),
    Health {
        health: Health,
    },
    /// From a newer agent than the reader.
    #[serde(other)]
    Unknown,
}
