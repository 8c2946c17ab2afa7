//! User data: cloud-config as Kairos and Palette Edge write it, with every key that they document.
//!
//! What nothing acts on yet is marked `x-not-yet`, and readers are told.

pub mod edge;
mod ignored;
pub mod install;
pub mod interface;
pub mod stages;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::Secret;
use install::{Bundle, Install, Reset, Upgrade};
use stages::{Step, SystemUser};

pub use edge::EdgeSection;

/// First lines by which a file is known as user data.
pub const HEADERS: [&str; 3] = ["#cloud-config", "#kairos-config", "#node-config"];
/// How many lines are searched for one of them.
const HEADER_LINES: usize = 10;

/// Whether a text is user data: one of the headers stands in its first lines.
pub fn has_header(text: &str) -> bool {
    text.lines().take(HEADER_LINES).any(|line| {
        let word = line.split_whitespace().next().unwrap_or_default();
        HEADERS.contains(&word)
    })
}

/// A cloud-config document. Sections that nobody here knows belong to plug-ins and bundles.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-open" = true, "x-lenient" = true, "x-ignored" = ignored::as_schema(ignored::TOP)))]
pub struct UserData {
    /// Name of the file in messages, instead of its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-from-site" = true))]
    pub name: Option<String>,
    /// Settings of this system. Palette's `stylus` is the same section.
    #[schemars(extend("x-other-names" = ["stylus"], "x-lenient" = false))]
    pub edge: EdgeSection,
    /// How the medium installs.
    #[schemars(extend("x-from-site" = true))]
    pub install: Install,
    /// Steps of boot and life stages, by stage.
    #[schemars(extend("x-lenient" = false))]
    pub stages: BTreeMap<String, Vec<Step>>,
    /// Host name; `edge.site.hostName` comes first.
    #[schemars(extend("x-from-site" = true, "format" = "host-name-of-kernel", "x-template" = true))]
    pub hostname: Option<String>,
    /// Accounts, made before the service manager starts.
    pub users: Vec<SystemUser>,
    /// Public SSH keys of every account in `users`; of root where there is none.
    #[schemars(extend("x-item-format" = "ssh-key-source"))]
    pub ssh_authorized_keys: Vec<String>,
    /// Files that are written in the stage `boot`.
    pub write_files: Vec<WriteFile>,
    /// Commands of the stage `boot`: a text for the shell, or a list of words.
    pub runcmd: Vec<RunCommand>,
    /// Name, always followed by the domain.
    #[schemars(extend("x-from-site" = true, "x-not-yet" = true))]
    pub fqdn: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub growpart: Option<Value>,
    /// K3s server of this host.
    #[schemars(extend("x-not-yet" = true))]
    pub k3s: Option<Kubernetes>,
    /// K3s agent of this host.
    #[serde(rename = "k3s-agent")]
    #[schemars(extend("x-not-yet" = true))]
    pub k3s_agent: Option<Kubernetes>,
    #[schemars(extend("x-not-yet" = true))]
    pub k0s: Option<Kubernetes>,
    #[serde(rename = "k0s-worker")]
    #[schemars(extend("x-not-yet" = true))]
    pub k0s_worker: Option<Kubernetes>,
    /// Membership in a cluster; provider plug-ins get it.
    pub cluster: Option<Cluster>,
    pub upgrade: Upgrade,
    pub reset: Reset,
    /// Where provider plug-ins are looked for besides the usual folders.
    pub providers: Option<Providers>,
    /// Fetches more user data from here.
    #[schemars(extend("format" = "url"))]
    pub config_url: Option<String>,
    /// Environment of stages and hooks: `KEY=value`.
    #[schemars(extend("x-code" = true))]
    pub env: Vec<String>,
    /// Makes a failing hook an error.
    #[schemars(extend("x-not-yet" = true))]
    pub strict: bool,
    #[schemars(extend("x-not-yet" = true))]
    pub debug: bool,
    /// More folders with stages.
    #[serde(rename = "cloud-init-paths")]
    #[schemars(extend("x-item-format" = "absolute-path"))]
    pub cloud_init_paths: Vec<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub options: Option<BTreeMap<String, String>>,
    #[schemars(extend("x-not-yet" = true))]
    pub bundles: Option<Vec<Bundle>>,
    #[schemars(extend("x-not-yet" = true))]
    pub fail_on_bundles_errors: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub grub_options: Option<BTreeMap<String, String>>,
    #[serde(rename = "eject-cd")]
    #[schemars(extend("x-not-yet" = true))]
    pub eject_cd: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub cosign: Option<bool>,
    #[serde(rename = "cosign-key")]
    #[schemars(extend("x-not-yet" = true))]
    pub cosign_key: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub verify: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub arch: Option<String>,
    #[serde(rename = "squash-compression")]
    #[schemars(extend("x-not-yet" = true))]
    pub squash_compression: Option<Vec<String>>,
    #[serde(rename = "squash-no-compression")]
    #[schemars(extend("x-not-yet" = true))]
    pub squash_no_compression: Option<bool>,
    #[serde(rename = "uki-max-entries")]
    #[schemars(extend("x-not-yet" = true))]
    pub uki_max_entries: Option<u32>,
    #[serde(rename = "bind-pcrs")]
    #[schemars(extend("x-not-yet" = true))]
    pub bind_pcrs: Option<Vec<String>>,
    #[serde(rename = "bind-public-pcrs")]
    #[schemars(extend("x-not-yet" = true))]
    pub bind_public_pcrs: Option<Vec<String>>,
    #[schemars(extend("x-not-yet" = true))]
    pub logs: Option<Logs>,
    #[schemars(extend("x-not-yet" = true))]
    pub p2p: Option<PeerToPeer>,
    #[schemars(extend("x-not-yet" = true))]
    pub kubevip: Option<KubeVip>,
    #[schemars(extend("x-not-yet" = true))]
    pub kcrypt: Option<Kcrypt>,
    #[schemars(extend("x-not-yet" = true))]
    pub phonehome: Option<BTreeMap<String, Value>>,
}

crate::document!(UserData);

/// A file of cloud-init's `write_files`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-ignored" = ignored::as_schema(ignored::WRITE_FILES)))]
pub struct WriteFile {
    #[schemars(extend("format" = "absolute-path"))]
    pub path: String,
    pub content: Secret,
    #[schemars(extend("enum" = ["b64", "base64", "gz", "gzip", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64"]))]
    pub encoding: Option<String>,
    /// `user:group`.
    pub owner: Option<String>,
    /// Octal, with or without a zero in front.
    #[schemars(extend("format" = "octal-mode"))]
    pub permissions: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RunCommand {
    Shell(String),
    Words(Vec<String>),
}

/// One Kubernetes service in Kairos' spelling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kubernetes {
    pub enabled: bool,
    pub env: BTreeMap<String, Secret>,
    #[schemars(extend("x-code" = true))]
    pub args: Vec<String>,
    pub replace_env: bool,
    pub replace_args: bool,
    pub embedded_registry: bool,
}

/// What a provider plug-in is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    pub cluster_token: Secret,
    /// Address of the first node, or of a load balancer in front of all.
    pub control_plane_host: String,
    pub role: ClusterRole,
    /// Options of the distribution as YAML text.
    #[schemars(extend("x-code" = true))]
    pub config: String,
    #[serde(rename = "providerConfig")]
    #[schemars(extend("x-code" = true))]
    pub provider_config: BTreeMap<String, String>,
    #[schemars(extend("x-code" = true))]
    pub env: BTreeMap<String, String>,
    pub ca_certs: Vec<String>,
    pub import_local_images: bool,
    pub local_images_path: Option<String>,
    pub cluster_config_path: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClusterRole {
    #[default]
    Init,
    Controlplane,
    Worker,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Providers {
    #[schemars(extend("x-item-format" = "absolute-path"))]
    pub paths: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    pub journal: Vec<String>,
    pub files: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PeerToPeer {
    pub network_token: Secret,
    pub network_id: Option<String>,
    pub role: Option<String>,
    pub dns: bool,
    pub loglevel: Option<String>,
    pub vpn: Option<BTreeMap<String, Value>>,
    pub minimum_nodes: Option<u32>,
    pub disable_dht: bool,
    pub auto: Option<BTreeMap<String, Value>>,
    pub dynamic_roles: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KubeVip {
    pub eip: Option<String>,
    pub manifest_url: Option<String>,
    pub interface: Option<String>,
    pub enable: bool,
    pub static_pod: bool,
    pub version: Option<String>,
    pub image: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kcrypt {
    pub nv_index: Option<String>,
    pub c_index: Option<String>,
    pub tpm_device: Option<String>,
    pub challenger: Option<BTreeMap<String, Value>>,
}
