//! The network of a host as systemd-networkd units, and what services are told about proxies, names and time.

use std::collections::BTreeMap;
use std::fmt::Write;

use edge_model::user_data::edge::{Site, SiteNetwork};
use edge_model::user_data::interface::{Addressing, BondMode, Interface, Interfaces};

use crate::configuration::addresses;

/// A file to be written below `/run`: its path there and its content.
pub type RunFile = (String, String);

/// All files that follow from the site's settings.
pub fn files(site: &Site) -> Vec<RunFile> {
    let mut files: Vec<RunFile> = units(&site.network.interfaces)
        .into_iter()
        .map(|(name, text)| (format!("systemd/network/{name}"), text))
        .collect();
    if let Some(servers) = site.network.nameserver.as_deref().filter(|servers| !servers.is_empty()) {
        let text = format!("[Resolve]\nDNS={}\n", servers.replace(',', " "));
        files.push(("systemd/resolved.conf.d/50-edge.conf".into(), text));
    }
    if !site.ntp_servers.is_empty() {
        let text = format!("[Time]\nNTP={}\n", site.ntp_servers.join(" "));
        files.push(("systemd/timesyncd.conf.d/50-edge.conf".into(), text));
    }
    let environment = proxy_environment(&site.network);
    if !environment.is_empty() {
        let mut text = String::from("[Service]\n");
        for (key, value) in &environment {
            let _ = writeln!(
                text,
                "Environment=\"{key}={}\"",
                value.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")
            );
        }
        for unit in PROXY_USERS {
            files.push((format!("systemd/system/{unit}.service.d/50-edge-proxy.conf"), text.clone()));
        }
    }
    files
}

/// All paths that [`files`] may give, besides network units: those of an earlier configuration must go.
pub fn fixed_paths() -> Vec<String> {
    let drop_in = |unit: &&str| format!("systemd/system/{unit}.service.d/50-edge-proxy.conf");
    let services = ["systemd/resolved.conf.d/50-edge.conf", "systemd/timesyncd.conf.d/50-edge.conf"];
    services.iter().map(|path| (*path).to_owned()).chain(PROXY_USERS.iter().map(drop_in)).collect()
}

/// Units that reach registries and management planes. Workloads are told by their own means.
const PROXY_USERS: [&str; 4] = ["edge-agent", "containerd", "k3s", "k3s-agent"];

/// Hosts that are never reached through a proxy.
const ALWAYS_DIRECT: &str = "localhost,127.0.0.1,::1";

/// The variables that programs read, in both spellings.
pub fn proxy_environment(network: &SiteNetwork) -> BTreeMap<String, String> {
    let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let mut environment = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        environment.insert(name.to_owned(), value.clone());
        environment.insert(name.to_lowercase(), value);
    };
    let (http, https) = (given(&network.http_proxy), given(&network.https_proxy));
    if http.is_none() && https.is_none() {
        return BTreeMap::new();
    }
    if let Some(http) = http {
        set("HTTP_PROXY", http);
    }
    if let Some(https) = https {
        set("HTTPS_PROXY", https);
    }
    let direct = given(&network.no_proxy);
    set("NO_PROXY", direct.map_or_else(|| ALWAYS_DIRECT.into(), |more| format!("{ALWAYS_DIRECT},{more}")));
    environment
}

/// File names and contents. Interfaces with a name come before patterns.
pub fn units(interfaces: &Interfaces) -> Vec<RunFile> {
    let mut files = Vec::new();
    let mut all = interfaces.clone();
    // Parents and members that nobody describes must still carry what depends on them.
    for interface in interfaces.values() {
        let parent = interface.vlan.iter().map(|vlan| &vlan.parent);
        let of_bond = interface.bond.iter().flat_map(|bond| &bond.members);
        let of_bridge = interface.bridge.iter().flat_map(|bridge| &bridge.members);
        for name in parent.chain(of_bond).chain(of_bridge) {
            all.entry(name.clone())
                .or_insert_with(|| Interface { kind: Some(Addressing::None), ..Interface::default() });
        }
    }
    for (name, interface) in &all {
        let is_pattern = name.contains(['*', '?', '[']);
        let file = format!("{}-edge-{}", if is_pattern { 30 } else { 20 }, file_name(name));
        if let Some(device) = device(name, interface) {
            files.push((format!("{file}.netdev"), device));
        }
        files.push((format!("{file}.network"), network(name, interface, interfaces)));
    }
    files.sort();
    files
}

fn file_name(interface: &str) -> String {
    interface
        .chars()
        .map(|character| match character {
            '*' => "any".to_owned(),
            '?' => "one".to_owned(),
            other if other.is_ascii_alphanumeric() || "-_.".contains(other) => other.to_string(),
            other => format!("x{:x}", u32::from(other)),
        })
        .collect()
}

/// A device that networkd has to make.
fn device(name: &str, interface: &Interface) -> Option<String> {
    let head = |kind: &str| format!("[NetDev]\nName={name}\nKind={kind}\n");
    if let Some(vlan) = &interface.vlan {
        return Some(format!("{}\n[VLAN]\nId={}\n", head("vlan"), vlan.id));
    }
    if let Some(bond) = &interface.bond {
        let mode = match bond.mode {
            BondMode::ActiveBackup => "active-backup",
            BondMode::BalanceRr => "balance-rr",
            BondMode::BalanceXor => "balance-xor",
            BondMode::Broadcast => "broadcast",
            BondMode::Lacp => "802.3ad",
            BondMode::BalanceTlb => "balance-tlb",
            BondMode::BalanceAlb => "balance-alb",
        };
        return Some(format!("{}\n[Bond]\nMode={mode}\nMIIMonitorSec=100ms\n", head("bond")));
    }
    let bridge = interface.bridge.as_ref()?;
    Some(format!("{}\n[Bridge]\nSTP={}\n", head("bridge"), if bridge.stp { "yes" } else { "no" }))
}

fn network(name: &str, interface: &Interface, all: &Interfaces) -> String {
    let mut text = match &interface.mac {
        Some(mac) => format!("[Match]\nPermanentMACAddress={mac}\n"),
        None => format!("[Match]\nName={name}\n"),
    };
    if let Some(mtu) = interface.mtu {
        let _ = write!(text, "\n[Link]\nMTUBytes={mtu}\n");
    }
    text.push_str("\n[Network]\n");
    let own = addresses(interface);
    let owner = all.iter().find_map(|(owner, other)| {
        let of_bond = other.bond.as_ref().filter(|bond| bond.members.iter().any(|member| member == name));
        let of_bridge =
            other.bridge.as_ref().filter(|bridge| bridge.members.iter().any(|member| member == name));
        of_bond.map(|_| format!("Bond={owner}")).or_else(|| of_bridge.map(|_| format!("Bridge={owner}")))
    });
    for (vlan, _) in
        all.iter().filter(|(_, other)| other.vlan.as_ref().is_some_and(|vlan| vlan.parent == name))
    {
        let _ = writeln!(text, "VLAN={vlan}");
    }
    let dynamic = match interface.kind {
        Some(Addressing::Dhcp) => true,
        Some(Addressing::Static | Addressing::None) => false,
        None => own.is_empty() && owner.is_none(),
    };
    match &owner {
        Some(line) => {
            let _ = writeln!(text, "{line}");
        }
        None if dynamic => text.push_str("DHCP=yes\n"),
        None if own.is_empty() => text.push_str("LinkLocalAddressing=no\n"),
        None => {}
    }
    for address in &own {
        let _ = writeln!(text, "Address={address}");
    }
    if let Some(gateway) = interface.gateway.as_deref().filter(|gateway| !gateway.is_empty()) {
        let _ = writeln!(text, "Gateway={gateway}");
    }
    let more = interface
        .nameserver
        .iter()
        .flat_map(|list| list.split([',', ' ']))
        .filter(|server| !server.is_empty());
    for server in interface.dns.iter().map(String::as_str).chain(more) {
        let _ = writeln!(text, "DNS={server}");
    }
    if !interface.search.is_empty() {
        let _ = writeln!(text, "Domains={}", interface.search.join(" "));
    }
    routes(interface, &mut text);
    text
}

fn routes(interface: &Interface, text: &mut String) {
    for route in &interface.routes {
        text.push_str("\n[Route]\n");
        if route.to != "default" {
            let _ = writeln!(text, "Destination={}", route.to);
        }
        let _ = writeln!(text, "Gateway={}", route.via);
        if let Some(metric) = route.metric {
            let _ = writeln!(text, "Metric={metric}");
        }
    }
}

/// What must answer before a changed network is kept.
pub fn peers(network: &SiteNetwork) -> Vec<String> {
    if !network.peers.is_empty() {
        return network.peers.clone();
    }
    let gateways = network.interfaces.values().filter_map(|interface| interface.gateway.clone());
    gateways.filter(|gateway| !gateway.is_empty()).collect()
}
