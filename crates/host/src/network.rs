//! The host's network as the kernel has it.

use std::collections::BTreeMap;
use std::path::Path;

use edge_model::api::InterfaceAddress;
use edge_model::api::network::{InterfaceKind, InterfaceView};
use edge_model::{Context, Result};
use nix::ifaddrs::getifaddrs;
use serde::Deserialize;

use crate::child::Child;

/// Devices that a cluster and its pods' networks make: no address of theirs is one that the host is reached at.
const OF_CLUSTERS: [&str; 12] = [
    "edge0",
    "cni",
    "veth",
    "flannel",
    "cali",
    "cilium",
    "lxc",
    "kube-",
    "tunl",
    "vxlan.calico",
    "weave",
    "antrea-",
];

/// Whether a device belongs to a cluster.
fn is_of_cluster(interface: &str) -> bool {
    OF_CLUSTERS.iter().any(|start| interface.starts_with(start))
}

/// Addresses at which the host is reached: global ones, of all interfaces that are not a cluster's.
pub fn addresses() -> Vec<InterfaceAddress> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    all.filter(|entry| entry.interface_name != "lo" && !is_of_cluster(&entry.interface_name))
        .filter_map(|entry| {
            let storage = entry.address?;
            let address = match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
                (Some(v4), _) => v4.ip().to_string(),
                // Link-local addresses tell a person nothing.
                (_, Some(v6)) if v6.ip().segments()[0] & 0xffc0 != 0xfe80 => v6.ip().to_string(),
                _ => return None,
            };
            Some(InterfaceAddress { interface: entry.interface_name, address })
        })
        .collect()
}

/// What `ip -json -details address` says of an interface, as far as it is used.
#[derive(Debug, Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    link_type: String,
    #[serde(default)]
    linkinfo: Option<LinkInfo>,
    #[serde(default)]
    addr_info: Vec<LinkAddress>,
}

#[derive(Debug, Deserialize)]
struct LinkInfo {
    #[serde(default)]
    info_kind: String,
}

#[derive(Debug, Deserialize)]
struct LinkAddress {
    #[serde(default)]
    scope: String,
    local: String,
    prefixlen: u8,
}

#[derive(Debug, Deserialize)]
struct Route {
    dst: String,
    #[serde(default)]
    gateway: Option<String>,
    #[serde(default)]
    dev: String,
}

fn ip<T: serde::de::DeserializeOwned>(arguments: &[&str]) -> Result<Vec<T>> {
    let output = Child::new("ip").arg("-json").args(arguments).run()?;
    // Without anything to list it prints nothing, not even a list.
    if output.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&output).context("the kernel's list of the network cannot be read")
}

/// All interfaces but the loopback and those of a cluster.
///
/// # Errors
/// When they cannot be listed.
pub fn interfaces() -> Result<Vec<InterfaceView>> {
    let gateways = gateways(ip(&["route", "show", "default"])?);
    let links: Vec<Link> = ip(&["-details", "address"])?;
    Ok(links
        .into_iter()
        .filter(|link| link.link_type != "loopback" && !is_of_cluster(&link.ifname))
        .map(|link| view(link, &gateways))
        .collect())
}

/// By interface.
fn gateways(routes: Vec<Route>) -> BTreeMap<String, String> {
    let defaults = routes.into_iter().filter(|route| route.dst == "default");
    defaults.filter_map(|route| Some((route.dev, route.gateway?))).collect()
}

fn view(link: Link, gateways: &BTreeMap<String, String>) -> InterfaceView {
    let kind = match link.linkinfo.as_ref().map(|info| info.info_kind.as_str()) {
        Some("vlan") => InterfaceKind::Vlan,
        Some("bond") => InterfaceKind::Bond,
        Some("bridge") => InterfaceKind::Bridge,
        None | Some("") if link.link_type == "ether" => InterfaceKind::Physical,
        _ => InterfaceKind::Other,
    };
    let global = link.addr_info.iter().filter(|address| address.scope != "link");
    InterfaceView {
        kind,
        mac: link.address,
        carrier: link.flags.iter().any(|flag| flag == "LOWER_UP"),
        addresses: global.map(|address| format!("{}/{}", address.local, address.prefixlen)).collect(),
        gateway: gateways.get(&link.ifname).cloned(),
        configured: None,
        name: link.ifname,
    }
}

/// Whether an interface has an address, without the length of its prefix.
pub fn has_address(interface: &str, address: &str) -> bool {
    let Ok(all) = getifaddrs() else { return false };
    let address_of = |storage: nix::sys::socket::SockaddrStorage| {
        storage
            .as_sockaddr_in()
            .map(|v4| v4.ip().to_string())
            .or_else(|| Some(storage.as_sockaddr_in6()?.ip().to_string()))
    };
    all.filter(|entry| entry.interface_name == interface)
        .any(|entry| entry.address.and_then(address_of).as_deref() == Some(address))
}

/// A bridge that nothing is plugged into, with an address and networks that are reached through it. What is there already
/// stays.
///
/// # Errors
/// When the kernel refuses.
pub fn make_bridge(name: &str, address: &str, networks: &[String]) -> Result<()> {
    let ip = |arguments: &[&str]| Child::new("ip").args(arguments).run().map(drop);
    if !exists(name) {
        ip(&["link", "add", name, "type", "bridge"])?;
    }
    ip(&["address", "replace", address, "dev", name])?;
    ip(&["link", "set", name, "up"])?;
    networks.iter().try_for_each(|network| ip(&["route", "replace", network, "dev", name]))
}

fn exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// Takes a device away, if it is there.
///
/// # Errors
/// When the kernel refuses.
pub fn remove_device(name: &str) -> Result<()> {
    if !exists(name) {
        return Ok(());
    }
    Child::new("ip").args(["link", "delete", name]).run().map(drop)
}

/// Takes the packet rules of a cluster's proxy and of its pods' network away.
///
/// # Errors
/// When they cannot be listed or removed.
pub fn remove_rules_of_pods() -> Result<()> {
    const OURS: [&str; 3] = ["kube-proxy", "cni_hostport", "cni_plugins_masquerade"];
    // Where there is no such program nobody has made rules with it in this boot.
    if !Path::new("/usr/sbin/nft").exists() {
        return Ok(());
    }
    let list = Child::new("nft").args(["list", "tables"]).run()?;
    for line in String::from_utf8_lossy(&list).lines() {
        // `table ip kube-proxy`
        if let [_, family, name] = line.split_whitespace().collect::<Vec<_>>()[..]
            && OURS.contains(&name)
        {
            Child::new("nft").args(["delete", "table", family, name]).run()?;
        }
    }
    Ok(())
}

/// The interface that leads out.
pub fn default_interface() -> Option<String> {
    let routes: Vec<Route> = ip(&["route", "show", "default"]).unwrap_or_default();
    routes.into_iter().find(|route| route.dst == "default").map(|route| route.dev)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_told_apart() {
        let text = r#"[{"ifname":"lo","link_type":"loopback","flags":["UP"],"addr_info":[]},
            {"ifname":"enp1s0","link_type":"ether","address":"52:54:00:12:34:56","flags":["UP","LOWER_UP"],
             "addr_info":[{"family":"inet","local":"10.0.2.15","prefixlen":24,"scope":"global"},
                          {"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]},
            {"ifname":"mgmt","link_type":"ether","linkinfo":{"info_kind":"vlan"},"flags":[],"addr_info":[]}]"#;
        let links: Vec<Link> = serde_json::from_str(text).unwrap();
        let routes = r#"[{"dst":"default","gateway":"10.0.2.2","dev":"enp1s0","flags":[]}]"#;
        let gateways = gateways(serde_json::from_str(routes).unwrap());
        let views: Vec<InterfaceView> = links.into_iter().map(|link| view(link, &gateways)).collect();
        assert_eq!((views[1].kind, views[1].carrier), (InterfaceKind::Physical, true));
        assert_eq!(
            (views[1].addresses.as_slice(), views[1].gateway.as_deref()),
            (&["10.0.2.15/24".to_owned()][..], Some("10.0.2.2"))
        );
        assert_eq!((views[2].kind, views[2].carrier), (InterfaceKind::Vlan, false));
        for (name, expected) in
            [("cni0", true), ("veth12ab", true), ("edge0", true), ("enp1s0", false), ("br0", false)]
        {
            assert_eq!(is_of_cluster(name), expected, "{name}");
        }
    }
}
