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
    let address = interface.mac.as_ref().or(interface.set_mac.as_ref());
    let address = address.map(|mac| format!("MACAddress={mac}\n")).unwrap_or_default();
    let head = |kind: &str| format!("[NetDev]\nName={name}\nKind={kind}\n{address}");
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
        let mut text = format!("{}\n[Bond]\nMode={mode}\n", head("bond"));
        let _ = writeln!(text, "MIIMonitorSec={}ms", bond.mii_monitor.unwrap_or(100));
        let texts =
            [("LACPTransmitRate", &bond.lacp_rate), ("TransmitHashPolicy", &bond.transmit_hash_policy)];
        for (key, value) in texts.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
            let _ = writeln!(text, "{key}={value}");
        }
        let delays = [("UpDelaySec", bond.up_delay), ("DownDelaySec", bond.down_delay)];
        for (key, value) in delays.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            let _ = writeln!(text, "{key}={value}ms");
        }
        if let Some(links) = bond.min_links {
            let _ = writeln!(text, "MinLinks={links}");
        }
        return Some(text);
    }
    let bridge = interface.bridge.as_ref()?;
    let mut text = format!("{}\n[Bridge]\nSTP={}\n", head("bridge"), if bridge.stp { "yes" } else { "no" });
    let numbers = [("ForwardDelaySec", bridge.forward_delay), ("Priority", bridge.priority)];
    for (key, value) in numbers.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        let _ = writeln!(text, "{key}={value}");
    }
    Some(text)
}

/// What the unit of an interface applies to. A device that networkd makes is known by its name: its address is one that a member may
/// have had before.
fn matching(name: &str, interface: &Interface) -> String {
    let is_made = interface.vlan.is_some() || interface.bond.is_some() || interface.bridge.is_some();
    match (&interface.mac, &interface.driver) {
        (Some(mac), _) if !is_made => format!("[Match]\nPermanentMACAddress={mac}\n"),
        (None, Some(driver)) if !is_made => format!("[Match]\nDriver={driver}\n"),
        _ => format!("[Match]\nName={name}\n"),
    }
}

fn network(name: &str, interface: &Interface, all: &Interfaces) -> String {
    let mut text = matching(name, interface);
    link(interface, &mut text);
    text.push_str("\n[Network]\n");
    let own = addresses(interface);
    let owner = owner_of(name, all);
    for (vlan, _) in
        all.iter().filter(|(_, other)| other.vlan.as_ref().is_some_and(|vlan| vlan.parent == name))
    {
        let _ = writeln!(text, "VLAN={vlan}");
    }
    let dynamic = match interface.kind {
        Some(Addressing::Dhcp) => Some("yes"),
        Some(Addressing::Dhcp4) => Some("ipv4"),
        Some(Addressing::Dhcp6) => Some("ipv6"),
        Some(Addressing::Static | Addressing::None) => None,
        None => (own.is_empty() && owner.is_none()).then_some("yes"),
    };
    match (&owner, dynamic) {
        (Some(lines), _) => text.push_str(lines),
        (None, Some(dynamic)) => {
            let _ = writeln!(text, "DHCP={dynamic}");
        }
        // A made device comes up by being configured, also without an address.
        (None, None) if own.is_empty() => {
            text.push_str("LinkLocalAddressing=no\nConfigureWithoutCarrier=yes\n")
        }
        (None, None) => {}
    }
    if let Some(accepts) = interface.accept_ra {
        let _ = writeln!(text, "IPv6AcceptRA={}", yes(accepts));
    }
    for address in &own {
        let _ = writeln!(text, "Address={address}");
    }
    let gateways = interface.gateway.iter().chain(&interface.more_gateways);
    for gateway in gateways.filter(|gateway| !gateway.is_empty()) {
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
    dhcp(interface, &mut text);
    routes(interface, &mut text);
    text
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}

fn link(interface: &Interface, text: &mut String) {
    let is_made = interface.vlan.is_some() || interface.bond.is_some() || interface.bridge.is_some();
    let mac = interface.set_mac.as_ref().filter(|_| !is_made);
    if interface.mtu.is_none() && mac.is_none() {
        return;
    }
    text.push_str("\n[Link]\n");
    if let Some(mac) = mac {
        let _ = writeln!(text, "MACAddress={mac}");
    }
    if let Some(mtu) = interface.mtu {
        let _ = writeln!(text, "MTUBytes={mtu}");
    }
}

/// Lines of a member of a bond or a bridge.
fn owner_of(name: &str, all: &Interfaces) -> Option<String> {
    all.iter().find_map(|(owner, other)| {
        let of_bond = other.bond.as_ref().filter(|bond| bond.members.iter().any(|member| member == name));
        let of_bridge =
            other.bridge.as_ref().filter(|bridge| bridge.members.iter().any(|member| member == name));
        let of_bond = of_bond.map(|bond| {
            let primary = if bond.primary.as_deref() == Some(name) { "PrimarySlave=yes\n" } else { "" };
            format!("Bond={owner}\n{primary}")
        });
        of_bond.or_else(|| of_bridge.map(|_| format!("Bridge={owner}\n")))
    })
}

/// <https://www.freedesktop.org/software/systemd/man/systemd.network.html>
fn dhcp(interface: &Interface, text: &mut String) {
    let Some(rules) = &interface.dhcp else { return };
    let flags = [
        ("UseDNS", rules.use_dns),
        ("UseDomains", rules.use_domains),
        ("UseNTP", rules.use_ntp),
        ("UseRoutes", rules.use_routes),
        ("UseHostname", rules.use_hostname),
        ("UseMTU", rules.use_mtu),
        ("SendHostname", rules.send_hostname),
    ];
    let mut lines = String::new();
    for (key, holds) in flags.into_iter().filter_map(|(key, holds)| Some((key, holds?))) {
        let _ = writeln!(lines, "{key}={}", yes(holds));
    }
    if let Some(metric) = rules.route_metric {
        let _ = writeln!(lines, "RouteMetric={metric}");
    }
    if let Some(name) = &rules.hostname {
        let _ = writeln!(lines, "Hostname={name}");
    }
    let mut of_v4 = lines.clone();
    if let Some(identifier) = &rules.identifier {
        let _ = writeln!(of_v4, "ClientIdentifier={identifier}");
    }
    let of_v6: String = lines
        .lines()
        .filter(|line| {
            !["UseRoutes", "UseMTU", "RouteMetric", "Hostname"].iter().any(|key| line.starts_with(key))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    for (section, lines) in [("DHCPv4", of_v4), ("DHCPv6", of_v6)] {
        if !lines.is_empty() {
            let _ = write!(text, "\n[{section}]\n{lines}");
        }
    }
}

fn routes(interface: &Interface, text: &mut String) {
    for route in &interface.routes {
        text.push_str("\n[Route]\n");
        if route.to != "default" {
            let _ = writeln!(text, "Destination={}", route.to);
        }
        let texts = [("Gateway", &route.via), ("PreferredSource", &route.from), ("Scope", &route.scope)];
        for (key, value) in texts.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
            let _ = writeln!(text, "{key}={value}");
        }
        if let Some(on_link) = route.on_link {
            let _ = writeln!(text, "GatewayOnLink={}", yes(on_link));
        }
        if let Some(kind) = route.kind {
            let _ = writeln!(text, "Type={}", kind.name());
        }
        let numbers = [("Metric", route.metric), ("Table", route.table), ("MTUBytes", route.mtu)];
        for (key, value) in numbers.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            let _ = writeln!(text, "{key}={value}");
        }
    }
    for policy in &interface.policies {
        text.push_str("\n[RoutingPolicyRule]\n");
        for (key, value) in [("From", &policy.from), ("To", &policy.to)] {
            if let Some(value) = value {
                let _ = writeln!(text, "{key}={value}");
            }
        }
        let numbers = [("Table", policy.table), ("Priority", policy.priority), ("FirewallMark", policy.mark)];
        for (key, value) in numbers.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            let _ = writeln!(text, "{key}={value}");
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
