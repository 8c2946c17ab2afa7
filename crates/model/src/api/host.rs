//! The host as people who know Palette's local API look at it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::Digest;

use super::HostStatus;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pong {
    pub msg: String,
    /// Changes with each start of the host.
    #[serde(default)]
    pub boot_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagementSettings {
    pub feature_flags: Vec<String>,
    pub installation_mode: String,
    pub management_mode: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeHost {
    pub uid: String,
    pub name: String,
    pub hardware_spec: HardwareSpec,
    pub host_info: HostInfo,
    pub dns: Vec<String>,
    pub ntp: Vec<String>,
    pub status: HostStatus,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HardwareSpec {
    pub cpu: Processor,
    pub memory: Memory,
    pub disks: Vec<DiskSpec>,
    pub os: OperatingSystem,
    /// Maker and model, by the firmware.
    pub machine: String,
    pub serial: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Processor {
    pub model: String,
    pub cores: u32,
    pub arch: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    pub size_in_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiskSpec {
    pub name: String,
    pub model: String,
    pub serial: String,
    pub size_in_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatingSystem {
    pub family: String,
    pub version: String,
    pub kernel: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostInfo {
    pub host_state: String,
    pub secure_boot: bool,
    /// Digest of the host's own public key (P-256, uncompressed point); none in installer and recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<Digest>,
}

/// What services of the host use to reach others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct HostConfigurations {
    /// PEM, or base64 of PEM.
    pub ca_certs: Vec<String>,
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    pub no_proxy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConfigurationsState {
    #[serde(rename = "Not Configured")]
    NotConfigured,
    #[serde(rename = "In Progress")]
    InProgress,
    Configured,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationsStatus {
    pub status: ConfigurationsState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LogsState {
    Unknown,
    InProgress,
    Completed,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogsStatus {
    pub status: LogsState,
}

/// Lines of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLines {
    pub lines: Vec<String>,
}

/// The site's own settings of this host, and where every value in use comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationView {
    /// User data that was told to this host, without secrets.
    pub local: String,
    /// What is in use, as `key = value  # origin` lines, without secrets.
    pub effective: Vec<String>,
    pub findings: Vec<String>,
}

/// The settings that the console edits, as they are in use. A value that is set to nothing is left as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SiteSettings {
    pub host_name: Option<String>,
    pub ntp_servers: Option<Vec<String>>,
    pub time_zone: Option<String>,
    /// Name servers of all interfaces.
    pub name_servers: Option<Vec<String>>,
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    pub no_proxy: Option<String>,
    /// PEM, or base64 of PEM.
    pub ca_certs: Option<Vec<String>>,
}
