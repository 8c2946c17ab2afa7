//! What a host says of its cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::KubernetesVersions;
use crate::secret::HIDDEN;

/// Pods that are named one by one in a status.
pub const MOST_NAMED: usize = 8;

/// The cluster of a host, as far as a status says it: small, and the same as long as nothing happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterStatus {
    pub name: String,
    pub node: String,
    /// Of the image; none when it carries no Kubernetes.
    #[serde(default)]
    pub versions: Option<KubernetesVersions>,
    pub phase: ClusterPhase,
    /// What is being waited for, or what went wrong.
    #[serde(default)]
    pub waits_for: Option<ClusterWait>,
    pub pods: PodCounts,
    /// Pods that do not run, the first ones.
    #[serde(default)]
    pub troubled: Vec<PodStatus>,
    /// Its data of before the last change of the version: a rollback brings it back, and what was made since is put aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptData>,
}

impl ClusterStatus {
    /// Of a cluster of which no more is known than this.
    pub fn new(name: impl Into<String>, phase: ClusterPhase) -> Self {
        Self {
            name: name.into(),
            node: String::new(),
            versions: None,
            phase,
            waits_for: None,
            pods: PodCounts::default(),
            troubled: Vec::new(),
            kept: None,
        }
    }
}

/// Data that an image has left for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptData {
    /// What it was written with.
    pub versions: KubernetesVersions,
    /// Seconds since 1970 by the host's clock; for people.
    pub made: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterPhase {
    /// It has never served before.
    Making,
    Starting,
    /// The node is ready.
    Running,
    /// It has run in this boot, and something of it does not answer.
    Degraded,
    Removing,
    /// Nothing of it is started: `waits_for` says why.
    Stopped,
    /// From a newer agent.
    #[serde(other)]
    Unknown,
}

impl ClusterPhase {
    /// For a person.
    pub fn words(self) -> &'static str {
        match self {
            ClusterPhase::Making => "being made",
            ClusterPhase::Starting => "starting",
            ClusterPhase::Running => "running",
            ClusterPhase::Degraded => "not well",
            ClusterPhase::Removing => "being removed",
            ClusterPhase::Stopped => "not started",
            ClusterPhase::Unknown => "in a state that this program does not know",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterWait {
    /// In words.
    pub what: String,
    /// Seconds since 1970 by the host's clock; for people.
    pub since: u64,
    /// Why it is not there yet, when something says so.
    #[serde(default)]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodCounts {
    pub running: u32,
    /// Those that should run; jobs that are done do not count.
    pub wanted: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodStatus {
    pub namespace: String,
    pub name: String,
    pub state: PodState,
    #[serde(default)]
    pub restarts: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum PodState {
    Running,
    Done,
    /// It is on its way.
    Waiting {
        reason: String,
    },
    /// Waiting does not help.
    Failing {
        reason: String,
    },
    #[serde(other)]
    Unknown,
}

/// Everything about the cluster that an operator may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterView {
    /// None: this host has no cluster.
    pub status: Option<ClusterStatus>,
    pub pods: Vec<PodStatus>,
}

/// Asks for a cluster.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterRequest {
    /// `cluster.yaml` as text; without it the definition that this host was told.
    pub definition: Option<String>,
}

/// Workloads of a definition may hold secrets.
impl std::fmt::Debug for ClusterRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Asks for the end of a cluster; its name proves that this one is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterName {
    pub name: String,
}

/// Access for people and their tools, for a day.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kubeconfig {
    pub kubeconfig: String,
}

impl std::fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}
