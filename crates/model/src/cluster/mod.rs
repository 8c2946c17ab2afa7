//! The cluster definition: one document that says what cluster a site wants. It never says how.

mod kubernetes;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use kubernetes::{
    CarriedKubernetes, CoreImage, CoreImages, Distribution, ImageKubernetes, KubernetesVersions,
    UpgradesFrom, etcd_of_tag,
};

use crate::secret::Secret;

/// First address of [`ClusterNetwork::hosts`]: the address of a host that is a cluster by itself.
const FIRST_HOST: u32 = 1;

/// `cluster.yaml`, and the section `edge.cluster` of user data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClusterDefinition {
    /// Always `Cluster`: it tells what the file is.
    #[serde(default)]
    pub kind: Option<DefinitionKind>,
    /// Name of the cluster; it cannot be changed.
    #[schemars(extend("format" = "cluster-name"))]
    pub name: String,
    /// Which distribution of Kubernetes; by default the one that the image carries.
    #[serde(default)]
    pub distribution: Option<Distribution>,
    /// `image`, for the version that the image carries, or that version by its number. An image with another one
    /// is then refused.
    #[serde(default)]
    #[schemars(extend("format" = "kubernetes-version"))]
    pub version: Option<String>,
    /// The hosts of the cluster; by default this one.
    #[serde(default = "this_host")]
    pub hosts: Vec<ClusterHost>,
    #[serde(default)]
    pub network: ClusterNetwork,
    /// What runs in the cluster, applied in this order.
    #[serde(default)]
    pub workloads: Vec<Workload>,
    /// Settings of Kubernetes' own programs, for what this document has no words for.
    #[serde(default)]
    pub passthrough: Passthrough,
}

crate::document!(ClusterDefinition);

fn this_host() -> Vec<ClusterHost> {
    vec![ClusterHost::default()]
}

/// What a file says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DefinitionKind {
    Cluster,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClusterHost {
    pub role: HostRole,
    /// Name of the node; by default the host name when the cluster is made. It cannot be changed.
    #[schemars(extend("format" = "node-name"))]
    pub node_name: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostRole {
    /// Runs the control plane, and workloads too.
    #[default]
    Server,
}

/// Addresses inside the cluster. None of them is on a wire, and none can be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClusterNetwork {
    /// Of hosts: each has one that stays when its LAN changes.
    #[schemars(extend("format" = "ip-network"))]
    pub hosts: String,
    /// Of pods; a part of 256 for each host.
    #[schemars(extend("format" = "ip-network"))]
    pub pods: String,
    #[schemars(extend("format" = "ip-network"))]
    pub services: String,
    #[schemars(extend("format" = "domain"))]
    pub dns_domain: String,
}

impl Default for ClusterNetwork {
    fn default() -> Self {
        Self {
            // The benchmark range: carriers and VPNs use 100.64/10, and kubelet refuses link-local addresses.
            hosts: "198.19.0.0/24".into(),
            pods: "10.42.0.0/16".into(),
            services: "10.43.0.0/16".into(),
            dns_domain: "cluster.local".into(),
        }
    }
}

/// Objects of Kubernetes that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Workload {
    #[schemars(extend("format" = "cluster-name"))]
    pub name: String,
    /// Manifests of Kubernetes as YAML text, one document for each object. They may hold secrets, so no status, log or
    /// support bundle shows them.
    pub manifests: Secret,
}

/// Raw settings; those that the agent makes itself are refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Passthrough {
    /// Fields of KubeletConfiguration (`kubelet.config.k8s.io/v1beta1`).
    pub kubelet: BTreeMap<String, Value>,
}

impl ClusterDefinition {
    /// The version that was asked for by its number.
    pub fn exact_version(&self) -> Option<&str> {
        self.version.as_deref().filter(|version| *version != IMAGE_VERSION)
    }
}

/// In place of a version: the one of the image.
pub const IMAGE_VERSION: &str = "image";

/// An IPv4 network: its first address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Network {
    pub first: std::net::Ipv4Addr,
    pub prefix: u8,
}

impl Ipv4Network {
    /// `10.42.0.0/16`; bits behind the prefix are ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = crate::document::format::network_address(text).ok()?;
        let std::net::IpAddr::V4(address) = address else { return None };
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        Some(Self { first: (address.to_bits() & mask).into(), prefix })
    }

    /// Addresses in it.
    pub fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix))
    }

    /// The address with this number; 0 is the network itself.
    pub fn address(self, number: u32) -> Option<std::net::Ipv4Addr> {
        (u64::from(number) < self.size()).then(|| (self.first.to_bits() + number).into())
    }

    pub fn overlaps(self, other: Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        crate::document::format::same_network(self.first.into(), other.first.into(), prefix)
    }

    pub fn contains(self, address: std::net::Ipv4Addr) -> bool {
        self.overlaps(Self { first: address, prefix: 32 })
    }

    /// Address of a host that is a cluster by itself.
    pub fn first_host(self) -> Option<std::net::Ipv4Addr> {
        self.address(FIRST_HOST)
    }
}

impl std::fmt::Display for Ipv4Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn four_lines_are_a_cluster() {
        let text = "kind: Cluster\nname: shop\nversion: image\nhosts: [{role: server}]\n";
        let definition = crate::document::parse::<ClusterDefinition>("cluster.yaml", text).unwrap();
        assert_eq!((definition.name.as_str(), definition.exact_version()), ("shop", None));
        assert_eq!(definition.hosts, [ClusterHost::default()]);
        let short = crate::document::parse::<ClusterDefinition>("cluster.yaml", "name: shop\n").unwrap();
        assert_eq!(short.hosts.len(), 1);
        let wrong = "name: shop\nhosts: [{rol: server}]\n";
        let error = crate::document::parse::<ClusterDefinition>("cluster.yaml", wrong).unwrap_err();
        assert!(
            error.to_string().contains("cluster.yaml:2:10") && error.to_string().contains("`role`"),
            "{error}"
        );
    }

    #[test]
    fn manifests_are_not_printed() {
        let text = "name: shop\nworkloads: [{name: pos, manifests: 'password: geheim'}]\n";
        let definition = crate::document::parse::<ClusterDefinition>("cluster.yaml", text).unwrap();
        assert!(!format!("{definition:?}").contains("geheim"));
        assert!(!serde_json::to_string(&definition).unwrap().contains("geheim"));
    }

    proptest! {
        #[test]
        fn networks_overlap_when_they_share_an_address(one: u32, other: u32, a in 0_u8..=32, b in 0_u8..=32) {
            let network = |bits: u32, prefix: u8| {
                Ipv4Network::parse(&format!("{}/{prefix}", std::net::Ipv4Addr::from(bits))).unwrap()
            };
            let (one, other) = (network(one, a), network(other, b));
            let shared = one.contains(other.first) || other.contains(one.first);
            prop_assert_eq!(one.overlaps(other), shared);
            prop_assert!(one.contains(one.first));
        }

        #[test]
        fn no_text_panics(text in "[ -~\n]{0,300}") {
            let _ = crate::document::parse::<ClusterDefinition>("cluster.yaml", &text);
        }
    }
}
