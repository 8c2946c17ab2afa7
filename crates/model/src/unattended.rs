//! The unattended file: the answers of the site operator, the same document that the installer's screens fill in.
//! Every field is optional, and each has its place in the section `edge:` of user data ([`PLACES`]).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::user_data::edge::ManagementMode;
use crate::user_data::interface::Interfaces;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Unattended {
    /// Whether somebody may be asked for what the document leaves out.
    pub interactive: Option<Interactive>,
    /// Where and how to install. Without this section the medium waits.
    pub install: Option<InstallAnswers>,
    #[schemars(extend("format" = "host-name-of-kernel", "x-old-names" = ["host-name"]))]
    pub host_name: Option<String>,
    /// Identifier of this host; `$random` makes one.
    #[schemars(extend("format" = "host-id"))]
    pub device_id: Option<String>,
    pub operator: Option<Operator>,
    /// Interfaces by name or pattern; without any, every wired interface uses DHCP.
    pub network: Interfaces,
    pub proxy: Proxy,
    #[schemars(extend("x-item-format" = "host-or-ip"))]
    pub ntp_servers: Vec<String>,
    #[schemars(extend("format" = "time-zone"))]
    pub time_zone: Option<String>,
    /// Layout of the keyboard at the console: `us`, `gb`, `de`, `ch`, `fr` and others. The installer guesses it from the time
    /// zone.
    #[schemars(extend("format" = "keyboard-layout"))]
    pub keyboard: Option<String>,
    /// Certificates to trust: PEM, or base64 of PEM.
    #[schemars(extend("x-item-format" = "certificate"))]
    pub ca_certificates: Vec<String>,
    pub management: Management,
    #[schemars(extend("x-not-yet" = true))]
    pub tags: BTreeMap<String, String>,
    #[schemars(extend("x-not-yet" = true))]
    pub cluster_definition: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub content_bundles: Option<Vec<String>>,
}

crate::document!(Unattended);

/// Where each answer stands in user data.
pub const PLACES: [(&str, &[&str]); 19] = [
    ("interactive", &["edge", "interactive"]),
    ("install", &["edge", "install"]),
    ("hostName", &["edge", "site", "hostName"]),
    ("deviceId", &["edge", "site", "name"]),
    ("operator", &["edge", "operator"]),
    ("network", &["edge", "site", "network", "interfaces"]),
    ("proxy.http", &["edge", "site", "network", "httpProxy"]),
    ("proxy.https", &["edge", "site", "network", "httpsProxy"]),
    ("proxy.noProxy", &["edge", "site", "network", "noProxy"]),
    ("ntpServers", &["edge", "site", "ntpServers"]),
    ("timeZone", &["edge", "site", "timeZone"]),
    ("keyboard", &["edge", "site", "keyboard"]),
    ("caCertificates", &["edge", "site", "caCerts"]),
    ("management.mode", &["edge", "managementMode"]),
    ("management.endpoint", &["edge", "site", "paletteEndpoint"]),
    ("management.registrationToken", &["edge", "site", "edgeHostToken"]),
    ("tags", &["edge", "site", "tags"]),
    ("clusterDefinition", &["edge", "clusterDefinition"]),
    ("contentBundles", &["edge", "contentBundles"]),
];

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Interactive {
    #[default]
    Ask,
    Never,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct InstallAnswers {
    #[schemars(extend("x-merge" = "replace"))]
    pub disk: DiskChoice,
    /// What the installation may erase.
    pub wipe: WipePolicy,
    /// Size of each slot in MiB; by default twice the image, at least 1024.
    #[schemars(extend("x-old-names" = ["slot-size-mib"]))]
    pub slot_size_mib: Option<u64>,
    /// What happens when the installation is finished; by default the machine restarts.
    pub after: Option<AfterInstall>,
}

/// Which disk to install on: every condition that is given must hold, and of those that are left the
/// largest is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DiskChoice {
    /// A device: `/dev/vda`, `/dev/disk/by-id/…`, `/dev/disk/by-path/…`.
    #[schemars(extend("format" = "device-path"))]
    pub path: Option<String>,
    /// The name under `/dev/disk/by-id`.
    pub id: Option<String>,
    pub serial: Option<String>,
    /// A part of the model's name.
    pub model: Option<String>,
    /// `true` for disks that turn, `false` for those that do not.
    pub rotational: Option<bool>,
    #[schemars(extend("x-old-names" = ["min-size-gib"]))]
    pub min_size_gib: Option<u64>,
    #[schemars(extend("x-old-names" = ["max-size-gib"]))]
    pub max_size_gib: Option<u64>,
}

/// What an installation may erase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WipePolicy {
    /// Only a disk that holds nothing.
    #[default]
    Never,
    /// Also a disk that holds an older installation of this system, and nothing else.
    Installations,
    /// Any disk.
    Everything,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AfterInstall {
    #[default]
    Reboot,
    PowerOff,
    /// Stay in the installer.
    Nothing,
}

/// The account of the site's operator. It has no password unless one is given here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Operator {
    #[schemars(extend("format" = "account"))]
    pub name: String,
    /// Plain; the host keeps only its hash.
    #[serde(default)]
    pub password: Option<Secret>,
    /// As `mkpasswd` prints it.
    #[serde(default)]
    #[schemars(extend("format" = "password-hash"))]
    pub password_hash: Option<Secret>,
    #[serde(default)]
    #[schemars(extend("x-item-format" = "ssh-key", "x-old-names" = ["ssh-keys"]))]
    pub ssh_keys: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Proxy {
    #[schemars(extend("format" = "proxy"))]
    pub http: Option<String>,
    #[schemars(extend("format" = "proxy"))]
    pub https: Option<String>,
    /// Hosts, domains and networks that are reached without it, separated by commas.
    #[schemars(extend("format" = "no-control"))]
    pub no_proxy: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Management {
    /// `local`: this host has no management plane. `central`: it registers with one.
    #[schemars(extend("x-not-yet" = true))]
    pub mode: Option<ManagementMode>,
    #[schemars(extend("x-not-yet" = true, "format" = "host-or-ip"))]
    pub endpoint: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub registration_token: Option<Secret>,
}
