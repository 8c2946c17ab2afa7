//! What a host is and how it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OperationStatus;
use super::cluster::ClusterStatus;
use crate::cmdline::Mode;
use crate::ids::{RootHash, Slot};
use crate::ledger::{FailedImage, HistoryEntry, ImageRecord};
use crate::user_data::edge::ManagementMode;

/// Written by early boot, read by the agent: how this boot came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Init started this image because the default did not come up.
    #[serde(default)]
    pub is_fallback: bool,
    /// What was found at the beginning about the boots before.
    #[serde(default)]
    pub found: Found,
}

/// What the boots before this one have left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Found {
    /// Why one of them could not go on, as it said itself.
    pub failure: Option<String>,
    /// The boot loader's entry of the image that said so.
    pub failed_entry: Option<String>,
    /// The line of a kernel that names its crash.
    pub crash: Option<String>,
    /// The watchdog says that it has reset the machine.
    pub watchdog: bool,
}

/// How the booted image stands towards the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootState {
    /// The image is the default of the boot loader.
    Committed,
    /// The image was started once and has to prove itself.
    Trial,
    /// The default did not come up, and this image runs in its place. The default is tried again at the next restart.
    Fallback,
    Recovery,
    Live,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "reasons")]
pub enum Health {
    /// Checks have not finished.
    Checking,
    Healthy,
    Unhealthy(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostStatus {
    pub agent_version: String,
    /// Changes with each start of the host.
    #[serde(default)]
    pub boot_id: String,
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
    pub notices: Vec<Notice>,
    #[serde(default)]
    pub operation: Option<OperationStatus>,
    /// Seconds until an image on trial that has not proved itself gives way to the one before.
    #[serde(default)]
    pub trial_seconds_left: Option<u64>,
    /// The first site boot has finished: sticks and other outside sources are not read any more.
    #[serde(default)]
    pub claimed: bool,
    #[serde(default)]
    pub management: Management,
    /// What the console may show and allow.
    #[serde(default)]
    pub console: ConsoleRules,
    /// What can be asked of this host now; surfaces offer nothing else.
    #[serde(default)]
    pub possible: Vec<Possibility>,
    /// The cluster of this host; none where there is none.
    #[serde(default)]
    pub cluster: Option<ClusterStatus>,
    /// The web page of this host, when it has one.
    #[serde(default)]
    pub web_ui: Option<WebUi>,
}

/// Where the web page is, and how a browser knows that it is this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebUi {
    /// Empty as long as the host has no address.
    pub url: String,
    pub port: u16,
    /// SHA-256 of its certificate, in hex.
    pub fingerprint: String,
    /// The certificate is the host's own: browsers warn of it, and the digits tell whether it is the right one.
    pub own: bool,
}

impl WebUi {
    /// The first digits, as people compare them: enough that nobody makes another certificate with the same ones.
    pub fn digits(&self) -> String {
        const GROUPS: usize = 4;
        let upper = self.fingerprint.to_uppercase();
        let groups =
            upper.as_bytes().chunks(4).take(GROUPS).map(|group| String::from_utf8_lossy(group).into_owned());
        groups.collect::<Vec<_>>().join(" ")
    }
}

/// What the web page is told when it starts: `/run/edge/web/settings.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSettings {
    pub port: u16,
    pub host_name: String,
    pub host_id: String,
    /// More names that browsers may use.
    pub names: Vec<String>,
    pub idle_minutes: u64,
}

/// Who manages this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Management {
    /// `local` or `central`, as configured.
    pub mode: Option<ManagementMode>,
    pub endpoint: Option<String>,
    /// Where a person registers this host by telephone.
    pub registration_url: Option<String>,
}

/// What a console shows and when it locks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConsoleRules {
    /// Everybody in front of the host sees its status.
    pub view_without_login: bool,
    /// Seconds without a key after which a login ends.
    pub lock_after_seconds: u64,
    /// The image allows a shell to administrators.
    pub shell: bool,
    /// An account has a password: somebody can log in at the console.
    pub somebody_can_log_in: bool,
    /// The account that can be given its first password here and now.
    pub first_password: Option<String>,
}

impl Default for ConsoleRules {
    fn default() -> Self {
        Self {
            view_without_login: true,
            lock_after_seconds: 600,
            shell: false,
            somebody_can_log_in: false,
            first_password: None,
        }
    }
}

/// Something that a host can be asked to do in its present state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Possibility {
    Install,
    Upgrade,
    /// The other slot holds an image that can be booted.
    Rollback,
    Commit,
    Verify,
    Configure,
    /// A network that worked before can be taken back.
    RestoreNetwork,
    SupportBundle,
    Reboot,
    RebootIntoRecovery,
    PowerOff,
    CreateCluster,
    DeleteCluster,
    RefreshRecovery,
    Fsck,
    Reset,
    RestoreConfiguration,
    /// Bring, look through and remove content bundles.
    ImportContent,
}

impl Possibility {
    pub const ALL: [Possibility; 18] = [
        Possibility::SupportBundle,
        Possibility::Reboot,
        Possibility::PowerOff,
        Possibility::Install,
        Possibility::Verify,
        Possibility::Configure,
        Possibility::RebootIntoRecovery,
        Possibility::Commit,
        Possibility::Upgrade,
        Possibility::Rollback,
        Possibility::CreateCluster,
        Possibility::DeleteCluster,
        Possibility::RestoreNetwork,
        Possibility::RefreshRecovery,
        Possibility::Fsck,
        Possibility::Reset,
        Possibility::RestoreConfiguration,
        Possibility::ImportContent,
    ];
}

/// How bad something is that an operator should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeSeverity {
    Info,
    /// Somebody should look when there is time.
    Warning,
    /// Something does not work.
    Problem,
}

/// When a notice goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeEnd {
    /// When somebody has put it away, or the host restarts.
    WhenRead,
    /// By itself, as soon as it is not true any more.
    WithItsCause,
}

/// Something that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// The same for the same words.
    pub id: String,
    pub severity: NoticeSeverity,
    /// Seconds since 1970 by the host's clock.
    pub since: u64,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    pub ends: NoticeEnd,
}

/// Which notice is put away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoticeChoice {
    /// Its identifier; all notices without one.
    #[serde(default)]
    pub notice: Option<String>,
}

/// How far the present network is trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageIdentity {
    pub name: String,
    pub version: String,
    pub root_hash: RootHash,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceAddress {
    pub interface: String,
    pub address: String,
}
