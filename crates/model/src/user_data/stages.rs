//! Steps of stages, in yip's schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ignored;
use crate::secret::Secret;

/// Stages that this system runs, each with `.before` and `.after`.
pub const STAGES: [&str; 15] = [
    "rootfs",
    "initramfs",
    "fs",
    "boot",
    "network",
    "reconcile",
    "kairos-install.pre",
    "before-install",
    "after-install-chroot",
    "after-install",
    "kairos-install.after",
    "before-upgrade",
    "after-upgrade-chroot",
    "after-upgrade",
    "kairos-agent.bootstrap",
];

/// Stages that Kairos has and nothing runs yet.
pub const STAGES_NOT_YET: [&str; 9] = [
    "before-reset",
    "after-reset-chroot",
    "after-reset",
    "kairos-uki-install.pre",
    "kairos-uki-install.after",
    "kairos-uki-upgrade.pre",
    "kairos-uki-upgrade.after",
    "kairos-uki-reset.pre",
    "kairos-uki-reset.after",
];

/// One step. Its parts are carried out in the order in which they stand here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-guarded" = true))]
pub struct Step {
    /// Shown in the log. A step whose name begins with `skip-copy-` runs from the medium and is not kept on the host.
    pub name: Option<String>,
    /// Steps that must have run before, instead of the one above.
    #[schemars(extend("x-guards" = true))]
    pub after: Vec<After>,
    /// Runs only on hosts whose name matches, as an RE2 pattern.
    #[schemars(extend("format" = "re2", "x-guards" = true))]
    pub node: Option<String>,
    /// Runs only if this shell command succeeds.
    #[serde(rename = "if")]
    #[schemars(extend("x-guards" = true, "x-code" = true))]
    pub condition: Option<String>,
    /// Runs only where the full name of the system (`PRETTY_NAME` of os-release) matches, like `Debian.*`.
    #[schemars(extend("format" = "re2", "x-guards" = true))]
    pub only_os: Option<String>,
    #[schemars(extend("format" = "re2", "x-guards" = true))]
    pub only_os_version: Option<String>,
    #[schemars(extend("format" = "re2", "x-guards" = true))]
    pub only_arch: Option<String>,
    #[schemars(extend("format" = "re2", "x-guards" = true))]
    pub only_service_manager: Option<String>,
    #[schemars(extend("x-guards" = true))]
    pub if_files: IfFiles,
    pub dns: Option<Dns>,
    pub downloads: Vec<Download>,
    pub git: Option<Git>,
    pub ensure_entities: Vec<AccountEntity>,
    pub directories: Vec<Directory>,
    pub files: Vec<File>,
    /// Shell commands; each is run, also after one that failed.
    #[schemars(extend("x-code" = true))]
    pub commands: Vec<String>,
    pub delete_entities: Vec<AccountEntity>,
    pub hostname: Option<String>,
    pub sysctl: BTreeMap<String, String>,
    pub users: BTreeMap<String, User>,
    pub authorized_keys: BTreeMap<String, Vec<String>>,
    pub modules: Vec<String>,
    /// Settings of systemd-timesyncd, like `NTP`.
    pub timesyncd: BTreeMap<String, String>,
    pub systemctl: Systemctl,
    #[schemars(extend("x-code" = true))]
    pub environment: BTreeMap<String, String>,
    #[schemars(extend("format" = "absolute-path"))]
    pub environment_file: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub systemd_firstboot: Option<BTreeMap<String, String>>,
    pub datasource: Option<DataSource>,
    #[schemars(extend("x-not-yet" = true))]
    pub layout: Option<Layout>,
    #[schemars(extend("x-not-yet" = true))]
    pub package_pins: Option<BTreeMap<String, String>>,
    #[schemars(extend("x-not-yet" = true))]
    pub packages: Option<Packages>,
    #[schemars(extend("x-not-yet" = true))]
    pub unpack_images: Option<Vec<UnpackImage>>,
}

/// Beginning of the names of steps that are not kept on the host.
pub const SKIP_COPY: &str = "skip-copy-";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct After {
    pub name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IfFiles {
    pub any: Vec<String>,
    pub all: Vec<String>,
    pub none: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    #[schemars(extend("format" = "absolute-path", "x-template" = "step"))]
    pub path: String,
    #[schemars(extend("format" = "file-mode"))]
    pub permissions: Option<String>,
    pub owner: Option<u32>,
    pub group: Option<u32>,
    /// `user:group`, by name.
    #[schemars(extend("x-other-names" = ["ownerstring"]))]
    pub owner_string: Option<String>,
    pub content: Secret,
    #[schemars(extend("enum" = ["b64", "base64", "gz", "gzip", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64"]))]
    pub encoding: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Directory {
    #[schemars(extend("format" = "absolute-path"))]
    pub path: String,
    #[schemars(extend("format" = "file-mode"))]
    pub permissions: Option<String>,
    pub owner: Option<u32>,
    pub group: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Download {
    #[schemars(extend("format" = "absolute-path"))]
    pub path: String,
    #[schemars(extend("format" = "url", "x-template" = "step"))]
    pub url: String,
    #[schemars(extend("format" = "file-mode"))]
    pub permissions: Option<String>,
    pub owner: Option<u32>,
    pub group: Option<u32>,
    #[schemars(extend("x-other-names" = ["ownerstring"]))]
    pub owner_string: Option<String>,
    /// Seconds for one attempt.
    pub timeout: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Git {
    pub url: String,
    #[schemars(extend("format" = "absolute-path"))]
    pub path: String,
    pub branch: Option<String>,
    pub branch_only: bool,
    pub auth: Option<GitAuth>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GitAuth {
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub private_key: Option<Secret>,
    pub public_key: Option<String>,
    pub insecure: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    #[schemars(extend("x-item-format" = "ip"))]
    pub nameservers: Vec<String>,
    pub search: Vec<String>,
    pub options: Vec<String>,
    /// Where resolv.conf is written; by default the resolver service is told.
    #[schemars(extend("format" = "absolute-path"))]
    pub path: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Systemctl {
    pub enable: Vec<String>,
    pub disable: Vec<String>,
    pub start: Vec<String>,
    pub mask: Vec<String>,
    pub overrides: Vec<UnitOverride>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UnitOverride {
    pub service: String,
    pub name: Option<String>,
    #[schemars(extend("x-code" = true))]
    pub content: String,
}

/// An account of a stage step. A password that begins with `$`, `!` or is `*` is written as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-ignored" = ignored::as_schema(ignored::USERS)))]
pub struct User {
    pub name: Option<String>,
    #[schemars(extend("x-other-names" = ["password_hash"]))]
    pub passwd: Option<Secret>,
    #[schemars(extend("x-item-format" = "ssh-key-source"))]
    pub ssh_authorized_keys: Vec<String>,
    pub gecos: Option<String>,
    #[schemars(extend("format" = "absolute-path"))]
    pub homedir: Option<String>,
    pub no_create_home: bool,
    pub primary_group: Option<String>,
    #[schemars(extend("x-words" = true))]
    pub groups: Vec<String>,
    pub no_user_group: bool,
    pub system: bool,
    pub no_log_init: bool,
    pub shell: Option<String>,
    pub lock_passwd: bool,
    pub uid: Option<NumberOrText>,
    /// Day on which the password ends: `2027-03-31`.
    #[serde(rename = "passwordExpiry")]
    #[schemars(extend("format" = "date"))]
    pub password_expiry: Option<String>,
}

/// An account in the list at the top of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-ignored" = ignored::as_schema(ignored::USERS)))]
pub struct SystemUser {
    #[schemars(extend("format" = "account-or-root"))]
    pub name: String,
    #[schemars(extend("x-other-names" = ["password_hash"]))]
    pub passwd: Option<Secret>,
    #[schemars(extend("x-item-format" = "ssh-key-source"))]
    pub ssh_authorized_keys: Vec<String>,
    pub gecos: Option<String>,
    #[schemars(extend("format" = "absolute-path"))]
    pub homedir: Option<String>,
    pub no_create_home: bool,
    pub primary_group: Option<String>,
    #[schemars(extend("x-words" = true))]
    pub groups: Vec<String>,
    pub no_user_group: bool,
    pub system: bool,
    pub no_log_init: bool,
    pub shell: Option<String>,
    pub lock_passwd: bool,
    pub uid: Option<NumberOrText>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum NumberOrText {
    Number(u32),
    Text(String),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountEntity {
    #[schemars(extend("format" = "absolute-path"))]
    pub path: Option<String>,
    /// YAML of the account, group or shadow line.
    pub entity: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataSource {
    pub providers: Vec<Provider>,
    #[schemars(extend("format" = "absolute-path"))]
    pub path: Option<String>,
    pub userdata_name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    Cdrom,
    ConfigDrive,
    File,
    Aws,
    Azure,
    Digitalocean,
    Gcp,
    Hetzner,
    Maas,
    Metaldata,
    Openstack,
    Packet,
    Scaleway,
    Vmware,
    Vultr,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Layout {
    pub device: Option<LayoutDevice>,
    pub expand_partition: Option<LayoutSize>,
    pub add_partitions: Vec<LayoutPartition>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LayoutDevice {
    pub init_disk: bool,
    pub disk_name: Option<String>,
    pub label: Option<String>,
    pub path: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LayoutSize {
    pub size: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LayoutPartition {
    #[serde(rename = "fsLabel")]
    pub fs_label: Option<String>,
    pub size: u64,
    #[serde(rename = "pLabel")]
    pub p_label: Option<String>,
    pub filesystem: Option<String>,
    pub bootable: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Packages {
    pub install: Vec<String>,
    pub remove: Vec<String>,
    pub refresh: bool,
    pub upgrade: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UnpackImage {
    pub source: String,
    pub target: String,
    pub platform: Option<String>,
}
