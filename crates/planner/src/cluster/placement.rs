//! A definition on a host: every name and address that follows from it.

use std::net::{IpAddr, Ipv4Addr};

use edge_model::cluster::{
    ClusterDefinition, CoreImages, ImageKubernetes, Ipv4Network, KubernetesVersions, Workload,
};
use edge_model::{Error, Result};
use serde_json::{Map, Value};

/// Number of the name service's address among the services; Kubernetes itself has the first.
const NAME_SERVICE: u32 = 10;
/// Addresses for the pods of one host.
const POD_PREFIX: u8 = 24;

/// A definition that is right, the image's Kubernetes and the node's name.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    pub cluster: String,
    pub node: String,
    pub versions: KubernetesVersions,
    pub images: CoreImages,
    /// The host's address in the cluster: on no wire.
    pub address: Ipv4Addr,
    pub hosts: Ipv4Network,
    pub pods: Ipv4Network,
    /// The part of `pods` that is this host's.
    pub own_pods: Ipv4Network,
    pub services: Ipv4Network,
    pub name_service: Ipv4Addr,
    pub dns_domain: String,
    /// Where names outside the cluster are asked for; none on a host without a name server.
    pub name_servers: Vec<IpAddr>,
    pub kubelet: Map<String, Value>,
    pub workloads: Vec<Workload>,
}

impl Placement {
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when the definition is not right: [`super::check`] says so with the place.
    /// [`edge_model::Class::Rejected`] for a distribution whose clusters are not made yet.
    pub fn new(
        definition: &ClusterDefinition,
        image: &ImageKubernetes,
        node: &str,
        name_servers: &[IpAddr],
    ) -> Result<Self> {
        let Some(images) = image.images.clone() else {
            return Err(Error::rejected(format!(
                "clusters of {} are not made yet",
                image.versions.distribution
            ))
            .help("use an image with kubernetes: {kubeadm: …}"));
        };
        let network = |what: &str, text: &str| {
            Ipv4Network::parse(text)
                .ok_or_else(|| Error::invalid(format!("network.{what}: {text:?} is no IPv4 network")))
        };
        let wanted = &definition.network;
        let (hosts, pods) = (network("hosts", &wanted.hosts)?, network("pods", &wanted.pods)?);
        let services = network("services", &wanted.services)?;
        let small = |what: &str| Error::invalid(format!("network.{what} is too small"));
        Ok(Self {
            cluster: definition.name.clone(),
            node: node.to_owned(),
            versions: image.versions.clone(),
            images,
            address: hosts.first_host().ok_or_else(|| small("hosts"))?,
            hosts,
            pods,
            own_pods: Ipv4Network { first: pods.first, prefix: POD_PREFIX.max(pods.prefix) },
            services,
            name_service: services.address(NAME_SERVICE).ok_or_else(|| small("services"))?,
            dns_domain: wanted.dns_domain.clone(),
            name_servers: name_servers.to_vec(),
            kubelet: definition.passthrough.kubelet.clone().into_iter().collect(),
            workloads: definition.workloads.clone(),
        })
    }

    /// Where the API is reached by the cluster's own parts.
    pub fn api_endpoint(&self) -> String {
        format!("{}:{}", self.address, super::kubeadm::API_PORT)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use edge_model::cluster::Distribution;

    pub(crate) fn image() -> ImageKubernetes {
        let of_release = |name: &str| format!("registry.k8s.io/{name}:v1.37.2");
        ImageKubernetes {
            versions: KubernetesVersions {
                distribution: Distribution::Kubeadm,
                kubernetes: "v1.37.2".into(),
                etcd: Some("3.7.3".into()),
            },
            images: Some(CoreImages {
                api_server: of_release("kube-apiserver"),
                controller_manager: of_release("kube-controller-manager"),
                scheduler: of_release("kube-scheduler"),
                proxy: of_release("kube-proxy"),
                etcd: "registry.k8s.io/etcd:3.7.3-0".into(),
                core_dns: "registry.k8s.io/coredns/coredns:v1.14.6".into(),
                pause: "registry.k8s.io/pause:3.10.2".into(),
            }),
        }
    }

    pub(crate) fn placement(text: &str, name_servers: &[IpAddr]) -> Placement {
        let definition = super::super::check::parse("cluster.yaml", text).unwrap();
        Placement::new(&definition, &image(), "till-a", name_servers).unwrap()
    }

    #[test]
    fn addresses_follow_from_the_ranges() {
        let placed = placement("name: shop\nnetwork: {pods: 172.20.0.0/16, services: 172.21.0.0/20}\n", &[]);
        assert_eq!(placed.address, Ipv4Addr::new(198, 19, 0, 1));
        assert_eq!(placed.own_pods.to_string(), "172.20.0.0/24");
        assert_eq!(placed.name_service, Ipv4Addr::new(172, 21, 0, 10));
        assert_eq!(placed.api_endpoint(), "198.19.0.1:6443");
    }
}
