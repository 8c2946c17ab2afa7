//! What the installer's screens need: disks, answers, and media to write answers to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstallDisk {
    pub path: String,
    pub model: String,
    pub serial: String,
    /// Bytes.
    pub size: u64,
    pub rotational: bool,
    pub holds: DiskContent,
    /// Why it cannot be installed on; none for one that can.
    #[serde(default)]
    pub unsuitable: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskContent {
    Nothing,
    /// An installation of this medium, which is booted instead of wiped.
    ThisInstallation,
    /// An older installation of this system.
    OtherInstallation,
    /// An installation that was begun and never finished.
    UnfinishedInstallation,
    Data,
}

/// The answers that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answers {
    /// An unattended file, without secrets.
    pub text: String,
    /// Secrets that are known and not shown: `operator.password`.
    #[serde(default)]
    pub hidden: Vec<String>,
    pub findings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswersRequest {
    /// An unattended file. What it leaves out is as the medium says.
    pub text: String,
}

/// A removable volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Volume {
    pub device: String,
    pub label: String,
    pub file_system: String,
    /// Bytes.
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// Device of a volume that `GET /v1/volumes` lists.
    pub device: String,
    /// For this very machine again: with its name, its identifier and its fixed addresses. Otherwise the file is a
    /// template for others.
    #[serde(default)]
    pub this_machine: bool,
}

/// What became of a request that is done at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    pub message: String,
    /// Warnings and notes.
    #[serde(default)]
    pub findings: Vec<String>,
}
