//! The Kubernetes that an image carries: its versions, and the container images without which nothing starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which programs run a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Kubernetes' own programs, put together by kubeadm, with containerd.
    Kubeadm,
    K3s,
}

impl Distribution {
    pub fn name(self) -> &'static str {
        match self {
            Distribution::Kubeadm => "kubeadm",
            Distribution::K3s => "k3s",
        }
    }
}

impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What decides whether data of one image may be opened by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KubernetesVersions {
    pub distribution: Distribution,
    /// With `v`: `v1.37.2`.
    pub kubernetes: String,
    /// Without: `3.7.3`. Where the datastore is another, there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<String>,
}

impl std::fmt::Display for KubernetesVersions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kubernetes {}", self.kubernetes.trim_start_matches('v'))?;
        if let Some(etcd) = &self.etcd {
            write!(f, " with etcd {etcd}")?;
        }
        Ok(())
    }
}

/// The oldest releases whose data an image takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpgradesFrom {
    /// With `v`.
    pub kubernetes: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<String>,
}

/// What the signed manifest of an image says of its Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedKubernetes {
    #[serde(flatten)]
    pub versions: KubernetesVersions,
    /// Of images of the first releases there is none: then the rules that the host knows count.
    #[serde(default, rename = "upgrades-from", skip_serializing_if = "Option::is_none")]
    pub upgrades_from: Option<UpgradesFrom>,
}

/// `/usr/lib/edge/kubernetes.json`: written by the builder into the verified root, read by the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageKubernetes {
    #[serde(flatten)]
    pub versions: KubernetesVersions,
    /// None for a distribution that is one program.
    #[serde(default)]
    pub images: Option<CoreImages>,
}

/// A container image that a cluster does not start without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreImage {
    ApiServer,
    ControllerManager,
    Scheduler,
    Proxy,
    Etcd,
    CoreDns,
    Pause,
}

/// Full names with their tags, as manifests name them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CoreImages {
    pub api_server: String,
    pub controller_manager: String,
    pub scheduler: String,
    pub proxy: String,
    pub etcd: String,
    pub core_dns: String,
    pub pause: String,
}

impl CoreImage {
    pub const ALL: [CoreImage; 7] = [
        CoreImage::ApiServer,
        CoreImage::ControllerManager,
        CoreImage::Scheduler,
        CoreImage::Proxy,
        CoreImage::Etcd,
        CoreImage::CoreDns,
        CoreImage::Pause,
    ];

    /// Its name without the tag, where Kubernetes' own release has it.
    pub fn repository(self) -> &'static str {
        match self {
            CoreImage::ApiServer => "registry.k8s.io/kube-apiserver",
            CoreImage::ControllerManager => "registry.k8s.io/kube-controller-manager",
            CoreImage::Scheduler => "registry.k8s.io/kube-scheduler",
            CoreImage::Proxy => "registry.k8s.io/kube-proxy",
            CoreImage::Etcd => "registry.k8s.io/etcd",
            CoreImage::CoreDns => "registry.k8s.io/coredns/coredns",
            CoreImage::Pause => "registry.k8s.io/pause",
        }
    }

    /// Whether its tag is the version of Kubernetes; the others have versions of their own.
    pub fn is_of_kubernetes(self) -> bool {
        matches!(
            self,
            CoreImage::ApiServer | CoreImage::ControllerManager | CoreImage::Scheduler | CoreImage::Proxy
        )
    }
}

/// `3.7.3` of etcd's tag `3.7.3-0`: what stands behind the hyphen is the build of the image.
pub fn etcd_of_tag(tag: &str) -> &str {
    tag.trim_start_matches('v').split('-').next().unwrap_or(tag)
}
