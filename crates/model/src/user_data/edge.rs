//! The section `edge:` (Palette's `stylus:`), with every field that Palette documents and ours beside them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interface::Interfaces;
use crate::cluster::ClusterDefinition;
use crate::secret::Secret;
use crate::unattended::{InstallAnswers, Interactive, Operator};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct EdgeSection {
    /// Where and how the medium installs; comes before Kairos' `install`.
    #[schemars(extend("x-from-site" = true))]
    pub install: InstallAnswers,
    /// Whether somebody may be asked for what is left out.
    #[schemars(extend("x-from-site" = true))]
    pub interactive: Option<Interactive>,
    /// The account of the site's operator.
    #[schemars(extend("x-merge" = "replace"))]
    pub operator: Option<Operator>,
    pub site: Site,
    pub upgrade: UpgradeSettings,
    pub health: HealthSettings,
    /// The console on the first screen.
    pub console: ConsoleSettings,
    /// `local`: this host has no management plane. `central`: it registers with one.
    #[schemars(extend("x-not-yet" = true))]
    pub management_mode: Option<ManagementMode>,
    /// The cluster that this host makes by itself.
    #[schemars(extend("x-merge" = "replace"))]
    pub cluster: Option<ClusterDefinition>,
    /// A cluster definition to apply, as a path on the medium or the host.
    #[schemars(extend("x-not-yet" = true))]
    pub cluster_definition: Option<String>,
    /// Container images of the site.
    pub content: ContentSettings,
    /// Content bundles to import, as paths on the medium.
    #[schemars(extend("x-not-yet" = true))]
    pub content_bundles: Option<Vec<String>>,
    #[schemars(extend("x-not-yet" = true))]
    pub debug: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub trace: Option<bool>,
    /// Surfaces do not offer to change a password; it can still be changed otherwise.
    pub disable_password_update: Option<bool>,
    /// Leaves the first screen to the kernel, from the next boot on.
    pub disable_tui: Option<bool>,
    #[schemars(extend("x-deprecated" = "disableTui"))]
    pub include_tui: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub enable_multi_node: Option<bool>,
    /// Names of features, separated by commas.
    #[schemars(extend("x-not-yet" = true))]
    pub feature_gate: Option<String>,
    #[schemars(extend("x-deprecated" = "managementMode: central for connected, local for airgap"))]
    pub installation_mode: Option<InstallationMode>,
    #[serde(rename = "localUI")]
    pub local_ui: Option<LocalUi>,
    #[schemars(extend("x-not-yet" = true, "format" = "absolute-path"))]
    pub path: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub vip: Option<Vip>,
    /// The login that upgrades are fetched with.
    pub registry_credentials: Option<RegistryCredentials>,
    /// More registries with logins and certificates of their own, and rules that lead from one to another.
    pub external_registries: Option<ExternalRegistries>,
    #[schemars(extend("x-not-yet" = true))]
    pub image_redirect_webhook: Option<ImageRedirectWebhook>,
}

impl EdgeSection {
    /// Whether the console is not to be started.
    pub fn console_is_off(&self) -> bool {
        self.disable_tui.or(self.include_tui.map(|include| !include)).unwrap_or(false)
    }
}

/// Who sees what on the console, and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ConsoleSettings {
    /// Whether everybody in front of the host sees its status; by default they do.
    pub view_without_login: Option<bool>,
    /// Minutes without a key after which a login ends; by default 10.
    #[schemars(range(min = 1, max = 1440))]
    pub lock_after_minutes: Option<u64>,
}

impl ConsoleSettings {
    pub fn view_without_login(&self) -> bool {
        self.view_without_login.unwrap_or(true)
    }

    pub fn lock_after_seconds(&self) -> u64 {
        self.lock_after_minutes.unwrap_or(10) * 60
    }
}

/// Who and where this host is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Site {
    /// Identifier of this host; `$random` makes one.
    #[schemars(extend("x-from-site" = true, "format" = "host-id", "x-template" = true))]
    pub name: Option<String>,
    /// Host name; by default the identifier.
    #[schemars(extend("x-from-site" = true, "format" = "host-name-of-kernel", "x-template" = true))]
    pub host_name: Option<String>,
    /// Stands in front of an identifier that the machine gives; default `edge`.
    #[schemars(extend("x-from-site" = true, "format" = "host-id-prefix"))]
    pub prefix: Option<String>,
    /// Files that hold an identifier of the machine; the first that gives one is taken.
    #[schemars(extend("x-merge" = "replace"))]
    #[serde(rename = "deviceUIDPaths")]
    pub device_uid_paths: Vec<DeviceUidPath>,
    #[schemars(extend("x-from-site" = true))]
    pub network: SiteNetwork,
    #[schemars(extend("x-from-site" = true, "x-item-format" = "host-or-ip", "x-merge" = "replace"))]
    pub ntp_servers: Vec<String>,
    #[schemars(extend("x-from-site" = true, "format" = "time-zone"))]
    pub time_zone: Option<String>,
    /// Layout of the keyboard at the console: `us`, `gb`, `de`, `ch`, `fr` and others. The installer guesses it from the time
    /// zone.
    #[schemars(extend("x-from-site" = true, "format" = "keyboard-layout"))]
    pub keyboard: Option<String>,
    /// Certificates to trust: PEM, or base64 of PEM.
    #[schemars(extend("x-item-format" = "certificate"))]
    pub ca_certs: Vec<String>,
    #[schemars(extend("x-from-site" = true, "x-not-yet" = true))]
    pub tags: BTreeMap<String, String>,
    #[schemars(extend("x-not-yet" = true))]
    pub tags_from_file: Option<TagsFromFile>,
    #[schemars(extend("x-not-yet" = true))]
    pub tags_from_script: Option<TagsFromScript>,
    #[schemars(extend("x-not-yet" = true, "format" = "host-or-ip"))]
    pub palette_endpoint: Option<String>,
    #[schemars(extend("x-from-site" = true, "x-not-yet" = true))]
    pub edge_host_token: Option<Secret>,
    #[schemars(extend("x-not-yet" = true))]
    pub auto_register: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub disable_auto_register: Option<bool>,
    #[schemars(extend("x-from-site" = true, "x-not-yet" = true))]
    pub project_name: Option<String>,
    #[schemars(extend("x-from-site" = true, "x-not-yet" = true))]
    pub project_uid: Option<String>,
    #[serde(rename = "registrationURL")]
    #[schemars(extend("x-not-yet" = true))]
    pub registration_url: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub insecure_skip_verify: Option<bool>,
    #[schemars(extend("x-not-yet" = true))]
    pub cluster_id: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub cluster_name: Option<String>,
    #[schemars(extend("x-not-yet" = true))]
    pub remote_shell: Option<RemoteShell>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceUidPath {
    #[schemars(extend("format" = "absolute-path"))]
    pub name: String,
    /// What of the file's text is the identifier, as an RE2 pattern.
    #[serde(default)]
    #[schemars(extend("format" = "re2"))]
    pub regex: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SiteNetwork {
    #[schemars(extend("format" = "proxy"))]
    pub http_proxy: Option<String>,
    #[schemars(extend("format" = "proxy"))]
    pub https_proxy: Option<String>,
    /// Hosts, domains and networks that are reached without the proxy, separated by commas.
    #[schemars(extend("format" = "no-control"))]
    pub no_proxy: Option<String>,
    /// Name servers of all interfaces, separated by commas.
    #[schemars(extend("format" = "name-servers"))]
    pub nameserver: Option<String>,
    #[schemars(extend("x-merge" = "replace-each"))]
    pub interfaces: Interfaces,
    /// What must answer before a changed network is kept; by default the gateway.
    #[schemars(extend("x-item-format" = "host-or-ip", "x-merge" = "replace"))]
    pub peers: Vec<String>,
    /// Seconds in which a changed network must prove itself.
    #[schemars(range(min = 10, max = 3600))]
    pub confirm_seconds: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TagsFromFile {
    pub file_name: String,
    /// Between tags; by default the end of a line.
    #[serde(default)]
    pub delimiter: Option<String>,
    /// Between key and value; by default a colon.
    #[serde(default)]
    pub separator: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TagsFromScript {
    /// A program that prints a JSON object.
    pub script_name: String,
    /// Seconds it may take; by default 60.
    #[serde(default)]
    pub timeout: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteShell {
    pub disable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ManagementMode {
    Local,
    Central,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstallationMode {
    Connected,
    Airgap,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocalUi {
    /// Whether there is a web page; by default there is.
    pub enabled: Option<bool>,
    /// Where it listens; by default 5080. Its program has no rights, and lower ports take some.
    #[schemars(range(min = 1024, max = 65535))]
    pub port: Option<u16>,
    /// More names by which browsers reach this host.
    #[schemars(extend("x-item-format" = "host-or-ip", "x-merge" = "replace"))]
    pub names: Option<Vec<String>>,
    /// Minutes without a click after which a login ends; by default 15.
    #[serde(rename = "idleMinutes")]
    #[schemars(range(min = 1, max = 60))]
    pub idle_minutes: Option<u64>,
    /// How wrong passwords are met, here and on the console.
    pub login: Option<LocalUiLogin>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LocalUiLogin {
    pub disable_rate_limiting: bool,
    pub attempts_before_exponential_delay_starts: Option<u32>,
    pub max_failed_attempts_before_lockout: Option<u32>,
    pub lockout_duration_in_minutes: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Vip {
    pub skip: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RegistryCredentials {
    /// `HOST` or `HOST:PORT`, also with a path: then for what is below it.
    pub domain: String,
    pub username: String,
    pub password: Secret,
    /// Talk to it without TLS.
    pub insecure: bool,
    /// The password is written in Base64.
    pub encoded_password: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ExternalRegistries {
    pub registries: Vec<ExternalRegistry>,
    /// From the beginning of an image's name to what takes its place: asked first, and before the name itself.
    pub registry_mapping_rules: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ExternalRegistry {
    /// `HOST` or `HOST:PORT`, also with a path: then for what is below it.
    pub domain: String,
    pub username: String,
    pub password: Secret,
    pub repository_name: String,
    #[schemars(extend("x-item-format" = "certificate"))]
    pub certificates: Vec<String>,
    pub insecure: bool,
    pub encoded_password: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImageRedirectWebhook {
    pub enable: bool,
    pub port: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct UpgradeSettings {
    /// Whether images without a signature that this host knows are accepted.
    pub unsigned: Unsigned,
}

/// Where container images come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ContentSettings {
    /// Whether content bundles without a signature that this host knows are accepted.
    pub unsigned: Unsigned,
    /// Whether images that are not on this host are asked for at their registries; by default they are. A site without a way out
    /// has its answer sooner with `false`.
    pub upstream: Option<bool>,
}

impl ContentSettings {
    pub fn asks_upstream(&self) -> bool {
        self.upstream.unwrap_or(true)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unsigned {
    #[default]
    Refuse,
    Allow,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct HealthSettings {
    /// Shell commands that must succeed before an image on trial is committed.
    #[schemars(extend("x-code" = true))]
    pub commands: Vec<String>,
    /// Units that may fail, as RE2 patterns for whole names: `iscsid.service`, `apt-.*`.
    #[schemars(extend("x-item-format" = "re2"))]
    pub ignore_units: Vec<String>,
    /// Seconds after power-on by which an image on trial must have proved healthy. A boot that still starts goes on beyond that
    /// while something happens in it, four times as long at most.
    #[schemars(extend("x-old-names" = ["deadline-seconds"]))]
    pub deadline_seconds: u64,
    /// Seconds that the host has to be healthy without a break before an image on trial is committed, and before earlier boots
    /// that did not finish are forgotten.
    pub soak_seconds: u64,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self { commands: Vec::new(), ignore_units: Vec::new(), deadline_seconds: 600, soak_seconds: 120 }
    }
}
