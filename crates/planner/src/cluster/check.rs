//! Whether a definition is right: by itself, for an image, and on a host. Every finding has its place.

use std::net::Ipv4Addr;

use edge_model::cluster::{ClusterDefinition, Ipv4Network, KubernetesVersions};
use edge_model::document::check::nearest;
use edge_model::document::{self, Node, Problem};
use edge_model::{Error, Result};

use super::manifests;
use super::node::OWN_KUBELET_SETTINGS;

/// Least addresses of each range: a service for DNS is the tenth, pods of a host have 256.
const LEAST: [(&str, u64); 3] = [("hosts", 4), ("pods", 256), ("services", 256)];
/// More services than this the API server refuses.
const MOST_SERVICES: u64 = 1 << 20;

/// Reads a file by itself.
pub fn examine(name: &str, text: &str) -> Vec<Problem> {
    let (node, mut problems) = document::read::<ClusterDefinition>(name, text);
    check(&node, "", &mut problems);
    problems
}

/// The definition of a file.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] with every error in it.
pub fn parse(name: &str, text: &str) -> Result<ClusterDefinition> {
    match document::problem::as_error(name, &examine(name, text)) {
        Some(error) => Err(error),
        None => document::parse(name, text),
    }
}

/// What a schema cannot say, of a definition that stands at `path` of a larger document or is one by itself.
pub(crate) fn check(node: &Node, path: &str, problems: &mut Vec<Problem>) {
    // What cannot be typed has been reported.
    let Ok(definition) = document::typed::<ClusterDefinition>(node) else { return };
    let mut checker = Checker { node, path, problems };
    checker.hosts(&definition);
    checker.network(&definition);
    checker.kubelet(&definition);
    checker.workloads(&definition);
}

struct Checker<'a> {
    node: &'a Node,
    path: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Checker<'_> {
    /// A finding at the nearest place that was written.
    fn error(&mut self, key: &str, message: impl Into<String>) -> &mut Problem {
        let mut at = key;
        let place = loop {
            match self.node.find(at) {
                Some(node) => break node.place.clone(),
                None => at = at.rsplit_once('.').map_or("", |(outer, _)| outer),
            }
        };
        let path =
            [self.path, key].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(".");
        self.problems.push(Problem::error(place, &path, message));
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    fn hosts(&mut self, definition: &ClusterDefinition) {
        match definition.hosts.len() {
            0 => {
                self.error("hosts", "a cluster has at least one host: leave the key out for this one");
            }
            1 => {}
            _ => {
                self.error("hosts", "clusters of several hosts are not made yet");
            }
        }
    }

    fn network(&mut self, definition: &ClusterDefinition) {
        let wanted = &definition.network;
        let texts = [("hosts", &wanted.hosts), ("pods", &wanted.pods), ("services", &wanted.services)];
        let mut known: Vec<(&str, Ipv4Network)> = Vec::new();
        for (name, text) in texts {
            let key = format!("network.{name}");
            let Some(network) = Ipv4Network::parse(text) else {
                self.error(&key, format!("{text:?} is not an IPv4 network: others are not supported yet"));
                continue;
            };
            let least = LEAST.iter().find(|(range, _)| *range == name).map_or(0, |(_, least)| *least);
            if network.size() < least {
                self.error(&key, format!("{text} has {} addresses, and {least} are needed", network.size()));
            }
            if name == "services" && network.size() > MOST_SERVICES {
                self.error(&key, format!("{text} is larger than a /12, which Kubernetes refuses"));
            }
            if let Some(why) = unusable(network) {
                self.error(&key, format!("{text} cannot be used: {why}"));
            }
            if let Some((other, _)) = known.iter().find(|(_, one)| one.overlaps(network)) {
                self.error(&key, format!("{text} overlaps network.{other}"));
            }
            known.push((name, network));
        }
    }

    fn kubelet(&mut self, definition: &ClusterDefinition) {
        for key in definition.passthrough.kubelet.keys() {
            let path = format!("passthrough.kubelet.{key}");
            if OWN_KUBELET_SETTINGS.contains(&key.as_str()) {
                self.error(&path, "the agent sets this itself");
            } else if let Some(near) = nearest(key, OWN_KUBELET_SETTINGS.into_iter())
                && near.eq_ignore_ascii_case(key)
            {
                self.error(&path, format!("this is {near} in another spelling, which the agent sets itself"));
            }
        }
    }

    fn workloads(&mut self, definition: &ClusterDefinition) {
        let mut seen: Vec<&str> = Vec::new();
        for (index, workload) in definition.workloads.iter().enumerate() {
            if seen.contains(&workload.name.as_str()) {
                self.error(
                    &format!("workloads.{index}.name"),
                    format!("{} stands here twice", workload.name),
                );
            }
            seen.push(&workload.name);
            if let Err(why) = manifests::parse(workload.manifests.reveal()) {
                self.error(&format!("workloads.{index}.manifests"), why);
            }
        }
    }
}

/// Ranges that Kubernetes or the kernel give another meaning.
fn unusable(network: Ipv4Network) -> Option<&'static str> {
    let special = [
        ("0.0.0.0/8", "it means this network"),
        ("127.0.0.0/8", "it is the host's own loopback"),
        ("169.254.0.0/16", "it is link-local, which kubelet refuses"),
        ("224.0.0.0/4", "it is for multicast"),
        ("240.0.0.0/4", "it is reserved"),
    ];
    special
        .into_iter()
        .find(|(range, _)| Ipv4Network::parse(range).is_some_and(|range| range.overlaps(network)))
        .map(|(_, why)| why)
}

/// Whether an image can make this cluster.
///
/// # Errors
/// [`edge_model::Class::Rejected`] with what the image carries instead.
pub fn fits_versions(definition: &ClusterDefinition, versions: Option<&KubernetesVersions>) -> Result<()> {
    let Some(versions) = versions else {
        return Err(Error::rejected("this image carries no Kubernetes")
            .help("build an image with `kubernetes:` in forge.yaml, and upgrade to it"));
    };
    if let Some(wanted) = definition.distribution.filter(|wanted| *wanted != versions.distribution) {
        return Err(Error::rejected(format!(
            "the definition wants {wanted}, and this image carries {}",
            versions.distribution
        )));
    }
    if let Some(wanted) = definition.exact_version().filter(|wanted| *wanted != versions.kubernetes) {
        return Err(Error::rejected(format!(
            "the definition wants Kubernetes {wanted}, and this image carries {}",
            versions.kubernetes
        ))
        .help("write `version: image`, or use an image with that version"));
    }
    Ok(())
}

/// Whether the cluster's ranges are free of the site's: an address that both have cannot be reached.
///
/// # Errors
/// [`edge_model::Class::Rejected`] naming both.
pub fn fits_site(definition: &ClusterDefinition, interfaces: &[(String, Ipv4Addr, u8)]) -> Result<()> {
    let wanted = &definition.network;
    for (name, text) in [("hosts", &wanted.hosts), ("pods", &wanted.pods), ("services", &wanted.services)] {
        let Some(range) = Ipv4Network::parse(text) else { continue };
        let overlaps = |(_, address, prefix): &&(String, Ipv4Addr, u8)| {
            Ipv4Network { first: *address, prefix: *prefix }.overlaps(range)
        };
        if let Some((interface, address, prefix)) = interfaces.iter().find(overlaps) {
            return Err(Error::rejected(format!(
                "the cluster's network.{name} {text} overlaps the site's network: {interface} has {address}/{prefix}"
            ))
            .help("give the cluster other ranges in its definition, before it is made"));
        }
    }
    Ok(())
}

/// What cannot be changed in a cluster that is there.
///
/// # Errors
/// [`edge_model::Class::Rejected`] with the list of what is different.
pub fn may_change(present: &ClusterDefinition, wanted: &ClusterDefinition) -> Result<()> {
    let node =
        |definition: &ClusterDefinition| definition.hosts.first().and_then(|host| host.node_name.clone());
    let different: Vec<&str> = [
        ("name", present.name != wanted.name),
        ("network", present.network != wanted.network),
        // Without a name the one that the node has is kept.
        ("hosts.node-name", node(wanted).is_some() && node(present) != node(wanted)),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect();
    if different.is_empty() {
        return Ok(());
    }
    Err(Error::rejected(format!("{} cannot be changed in a cluster that is there", different.join(", ")))
        .help("delete the cluster with `edge-agent cluster delete`, and make the new one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> String {
        examine("cluster.yaml", text).iter().map(|problem| format!("{problem}\n")).collect()
    }

    #[test]
    fn every_rule_names_its_place() {
        for (text, expected) in [
            ("name: Shop\n", "cluster.yaml:1:7"),
            ("name: shop\nhosts: [{}, {}]\n", "cluster.yaml:2:8: error: hosts: clusters of several hosts"),
            ("name: shop\nhosts: []\n", "at least one host"),
            ("name: shop\nnetwork: {pods: 10.43.0.0/17}\n", "overlaps network.pods"),
            ("name: shop\nnetwork:\n  pods: 10.42.0.0/26\n", "cluster.yaml:3:9"),
            ("name: shop\nnetwork: {services: 10.0.0.0/8}\n", "larger than a /12"),
            ("name: shop\nnetwork: {hosts: 169.254.7.0/24}\n", "link-local"),
            ("name: shop\nnetwork: {pods: 'fd00::/48'}\n", "not an IPv4 network"),
            ("name: shop\nnetwork: {podz: 10.0.0.0/16}\n", "did you mean `pods`?"),
            ("name: shop\nversion: 1.37.2\n", "not `image` or a version"),
            ("name: shop\nhosts: [{node-name: Till_A}]\n", "a node name"),
            ("name: shop\npassthrough: {kubelet: {clusterDNS: [10.0.0.1]}}\n", "the agent sets this itself"),
            ("name: shop\npassthrough: {kubelet: {clusterDns: [10.0.0.1]}}\n", "another spelling"),
            ("name: shop\nworkloads: [{name: a, manifests: 'x: 1'}]\n", "document 1 has no apiVersion"),
            (
                "name: shop\nworkloads:\n- {name: a, manifests: 'x: 1'}\n- {name: a, manifests: 'x: 1'}\n",
                "a stands here twice",
            ),
            ("name: shop\nkind: Pod\n", "Cluster"),
        ] {
            let seen = findings(text);
            assert!(seen.contains(expected), "{text}: {seen}");
        }
        let right = "kind: Cluster\nname: shop\npassthrough: {kubelet: {maxPods: 50}}\nnetwork: {pods: 172.20.0.0/16}\n";
        assert_eq!(findings(right), "");
    }

    fn definition(text: &str) -> ClusterDefinition {
        parse("cluster.yaml", text).unwrap()
    }

    #[test]
    fn an_image_with_something_else_is_refused_in_words() {
        let image = super::super::placement::tests::image();
        for (text, refusal) in [
            ("name: a\n", None),
            ("name: a\nversion: image\n", None),
            ("name: a\nversion: v1.37.2\ndistribution: kubeadm\n", None),
            ("name: a\nversion: v1.36.0\n", Some("wants Kubernetes v1.36.0, and this image carries v1.37.2")),
            ("name: a\ndistribution: k3s\n", Some("wants k3s, and this image carries kubeadm")),
        ] {
            let seen =
                fits_versions(&definition(text), Some(&image.versions)).err().map(|error| error.message);
            assert_eq!(seen.is_some(), refusal.is_some(), "{text}: {seen:?}");
            assert!(seen.unwrap_or_default().contains(refusal.unwrap_or_default()));
        }
        assert!(fits_versions(&definition("name: a\n"), None).is_err());
    }

    #[test]
    fn ranges_of_the_site_are_left_alone() {
        let site = [("enp1s0".to_owned(), Ipv4Addr::new(10, 42, 7, 5), 24)];
        let error = fits_site(&definition("name: a\n"), &site).unwrap_err();
        assert!(error.message.contains("network.pods 10.42.0.0/16") && error.message.contains("enp1s0"));
        let moved = definition("name: a\nnetwork: {pods: 172.20.0.0/16}\n");
        assert!(fits_site(&moved, &site).is_ok());
    }

    #[test]
    fn what_is_written_in_every_address_cannot_be_changed() {
        let present = definition("name: a\nhosts: [{node-name: till}]\n");
        for (text, key) in [
            ("name: b\n", Some("name")),
            ("name: a\nnetwork: {dns-domain: x.local}\n", Some("network")),
            ("name: a\nhosts: [{node-name: other}]\n", Some("hosts.node-name")),
            ("name: a\n", None),
            ("name: a\nversion: v1.37.2\npassthrough: {kubelet: {maxPods: 5}}\n", None),
        ] {
            let seen = may_change(&present, &definition(text)).err().map(|error| error.message);
            assert_eq!(seen.is_some(), key.is_some(), "{text}");
            assert!(seen.unwrap_or_default().contains(key.unwrap_or_default()));
        }
    }
}
