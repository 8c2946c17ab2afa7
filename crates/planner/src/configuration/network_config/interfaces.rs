//! What a `network-config` says, interface by interface.

use std::collections::BTreeMap;
use std::net::IpAddr;

use edge_model::document::format::{network_address, same_network};
use edge_model::user_data::interface::{
    Addressing, Bond, BondMode, Bridge, DhcpRules, Interface, Interfaces, Route, RoutingPolicy, Vlan,
};
use serde_json::Value as Json;

use super::document::*;

pub(super) fn interfaces(config: &NetworkConfig) -> Interfaces {
    let mut all = Interfaces::new();
    let plans = plans(config);
    // Others refer to an interface by its id in the document.
    let names: BTreeMap<&String, &String> = plans
        .iter()
        .map(|(_, id, plan)| (*id, plan.set_name.as_ref().or(plan.matches.name.as_ref()).unwrap_or(id)))
        .collect();
    for (kind, id, plan) in &plans {
        let mut interface = of_netplan(plan, *kind);
        let rename = |reference: &mut String| {
            if let Some(name) = names.get(reference) {
                *reference = (*name).clone();
            }
        };
        interface.vlan.iter_mut().for_each(|vlan| rename(&mut vlan.parent));
        interface.bond.iter_mut().flat_map(|bond| &mut bond.members).for_each(rename);
        interface.bridge.iter_mut().flat_map(|bridge| &mut bridge.members).for_each(rename);
        all.insert(names[id].clone(), interface);
    }
    let is_link = |kind| !matches!(kind, DeviceKind::Nameserver | DeviceKind::Route | DeviceKind::Loopback);
    for device in config.config.iter().filter(|device| is_link(device.kind)) {
        if let Some(name) = &device.name {
            all.insert(name.clone(), of_device(device));
        }
    }
    for device in &config.config {
        match device.kind {
            DeviceKind::Nameserver => {
                for (name, interface) in &mut all {
                    if device.interface.as_ref().is_none_or(|wanted| wanted == name) {
                        interface.dns.extend(device.address.all());
                        interface.search.extend(device.search.all());
                    }
                }
            }
            DeviceKind::Route => {
                let Some(route) = of_route_device(device) else { continue };
                if let Some(interface) = all.values_mut().find(|interface| carries(interface, &route)) {
                    interface.routes.push(route);
                }
            }
            DeviceKind::Physical
            | DeviceKind::Vlan
            | DeviceKind::Bond
            | DeviceKind::Bridge
            | DeviceKind::Loopback => {}
        }
    }
    all
}

/// Section of version 2 that an interface stands in: what it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlanKind {
    Ethernet,
    Vlan,
    Bond,
    Bridge,
}

impl PlanKind {
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Ethernet => "ethernets",
            Self::Vlan => "vlans",
            Self::Bond => "bonds",
            Self::Bridge => "bridges",
        }
    }
}

/// All interfaces of version 2, by id.
pub(super) fn plans(config: &NetworkConfig) -> Vec<(PlanKind, &String, &Netplan)> {
    let sections = [
        (PlanKind::Ethernet, &config.ethernets),
        (PlanKind::Vlan, &config.vlans),
        (PlanKind::Bond, &config.bonds),
        (PlanKind::Bridge, &config.bridges),
    ];
    sections
        .into_iter()
        .flat_map(|(kind, plans)| plans.iter().map(move |(id, plan)| (kind, id, plan)))
        .collect()
}

/// Whether a route of its own goes out through an interface: its gateway is in one of the interface's networks.
pub(super) fn carries(interface: &Interface, route: &Route) -> bool {
    reaches(interface, route.via.as_deref().and_then(|via| via.parse::<IpAddr>().ok()))
}

pub(super) fn of_route_device(device: &Device) -> Option<Route> {
    let network = device.destination.as_deref()?;
    let whole = super::super::values::with_prefix(network, device.netmask.as_deref())
        .unwrap_or_else(|| network.to_owned());
    Some(Route { to: target(&whole), via: device.gateway.clone(), metric: device.metric, ..Route::default() })
}

/// Whether one of an interface's addresses is in the network of a gateway.
fn reaches(interface: &Interface, via: Option<IpAddr>) -> bool {
    let own = interface.addresses.iter().filter_map(|address| network_address(address).ok());
    via.is_some_and(|via| own.into_iter().any(|(address, prefix)| same_network(address, via, prefix)))
}

/// The parameters of bonds and bridges, in the spelling of both versions: `lacp-rate` and `bond-lacp-rate` are one.
pub(super) struct Parameters<'a>(pub(super) &'a BTreeMap<String, Json>);

impl Parameters<'_> {
    fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(key, _)| Self::plain(key) == name).map(|(_, value)| value)
    }

    fn number(&self, name: &str) -> Option<u32> {
        match self.get(name)? {
            Json::Number(number) => u32::try_from(number.as_u64()?).ok(),
            Json::String(text) => text.trim_end_matches("ms").trim().parse().ok(),
            _ => None,
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Json::String(text) => Some(text.clone()),
            Json::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Numbers, as the kernel's documentation gives them too, by name.
    fn named(&self, name: &str, names: &[&str]) -> Option<String> {
        let text = self.text(name)?;
        let of_number = text.parse::<usize>().ok().and_then(|at| names.get(at));
        Some(of_number.map_or(text.clone(), |name| (*name).to_owned()))
    }

    fn mode(&self) -> Option<Result<BondMode, String>> {
        const MODES: [&str; 7] = [
            "balance-rr",
            "active-backup",
            "balance-xor",
            "broadcast",
            "802.3ad",
            "balance-tlb",
            "balance-alb",
        ];
        let mode = self.named("mode", &MODES)?;
        Some(serde_json::from_value(mode.clone().into()).map_err(|_| mode))
    }

    fn bond(&self, members: Vec<String>) -> Bond {
        const RATES: [&str; 2] = ["slow", "fast"];
        Bond {
            members,
            mode: self.mode().and_then(Result::ok).unwrap_or_default(),
            mii_monitor: self.number("mii-monitor-interval").or_else(|| self.number("miimon")),
            lacp_rate: self.named("lacp-rate", &RATES),
            transmit_hash_policy: self.text("transmit-hash-policy").or_else(|| self.text("xmit-hash-policy")),
            primary: self.text("primary"),
            min_links: self.number("min-links"),
            up_delay: self.number("up-delay").or_else(|| self.number("updelay")),
            down_delay: self.number("down-delay").or_else(|| self.number("downdelay")),
        }
    }

    fn bridge(&self, members: Vec<String>) -> Bridge {
        Bridge {
            members,
            stp: self.flag("stp").unwrap_or(false),
            forward_delay: self.number("forward-delay").or_else(|| self.number("fd")),
            priority: self.number("priority").or_else(|| self.number("bridgeprio")),
        }
    }

    fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Json::Bool(flag) => Some(*flag),
            Json::String(text) => match text.as_str() {
                "on" | "yes" | "true" => Some(true),
                "off" | "no" | "false" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// Names with a value that does not fit: it must not become a default.
    pub(super) fn unfit(&self) -> Vec<(&String, &'static str)> {
        let find = |names: &'static [&'static str]| {
            self.0.keys().filter(move |key| names.contains(&Self::plain(key).as_str()))
        };
        let own = |key: &String| Parameters::plain(key);
        let mut unfit = Vec::new();
        unfit.extend(
            find(&NUMBERS).filter(|key| self.number(&own(key)).is_none()).map(|key| (key, "a number")),
        );
        unfit.extend(find(&TEXTS).filter(|key| self.text(&own(key)).is_none()).map(|key| (key, "one word")));
        unfit.extend(
            find(&["stp"]).filter(|key| self.flag(&own(key)).is_none()).map(|key| (key, "true or false")),
        );
        if matches!(self.mode(), Some(Err(_))) {
            unfit.extend(find(&["mode"]).map(|key| (key, "a mode of bonds, like active-backup or 802.3ad")));
        }
        unfit
    }

    /// Those that nothing is made of.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &String> {
        let is_known = |key: &str| NUMBERS.contains(&key) || TEXTS.contains(&key) || key == "stp";
        self.0.keys().filter(move |key| !is_known(&Self::plain(key)))
    }

    fn plain(key: &str) -> String {
        key.replace('_', "-").trim_start_matches("bond-").trim_start_matches("bridge-").to_owned()
    }
}

/// Parameters that something is made of, in the spelling of both versions without their first word.
const NUMBERS: [&str; 11] = [
    "mii-monitor-interval",
    "miimon",
    "min-links",
    "up-delay",
    "updelay",
    "down-delay",
    "downdelay",
    "forward-delay",
    "fd",
    "priority",
    "bridgeprio",
];
const TEXTS: [&str; 5] = ["mode", "lacp-rate", "transmit-hash-policy", "xmit-hash-policy", "primary"];

fn dhcp_rules(plan: &Netplan) -> Option<DhcpRules> {
    // The two versions rarely differ; what version 4 says comes first.
    let both = [&plan.dhcp4_overrides, &plan.dhcp6_overrides];
    let said = both.into_iter().flatten().next().cloned();
    if said.is_none() && plan.dhcp_identifier.is_none() {
        return None;
    }
    let said = said.unwrap_or_default();
    Some(DhcpRules {
        use_dns: said.use_dns,
        use_domains: said.use_domains.as_ref().map(|value| value.as_bool().unwrap_or(true)),
        use_ntp: said.use_ntp,
        use_routes: said.use_routes,
        use_hostname: said.use_hostname,
        use_mtu: said.use_mtu,
        send_hostname: said.send_hostname,
        hostname: said.hostname,
        route_metric: said.route_metric,
        identifier: plan.dhcp_identifier.clone(),
    })
}

fn of_netplan(plan: &Netplan, kind: PlanKind) -> Interface {
    let members = || plan.interfaces.clone();
    let vlan = plan.id.zip(plan.link.clone()).map(|(id, parent)| Vlan { id, parent });
    let parameters = Parameters(&plan.parameters);
    let gateways: Vec<String> = plan.gateway4.iter().chain(&plan.gateway6).cloned().collect();
    let driver = plan.matches.driver.all();
    Interface {
        kind: match (plan.dhcp4, plan.dhcp6, plan.addresses.is_empty()) {
            (true, true, _) => Some(Addressing::Dhcp),
            (true, false, _) => Some(Addressing::Dhcp4),
            (false, true, _) => Some(Addressing::Dhcp6),
            (false, false, true) => Some(Addressing::None),
            (false, false, false) => Some(Addressing::Static),
        },
        addresses: plan.addresses.iter().filter_map(NetplanAddress::text).collect(),
        gateway: gateways.first().cloned(),
        more_gateways: gateways.into_iter().skip(1).collect(),
        dns: plan.nameservers.addresses.clone(),
        search: plan.nameservers.search.clone(),
        mtu: plan.mtu,
        routes: plan.routes.iter().map(of_netplan_route).collect(),
        policies: plan.routing_policy.iter().map(of_netplan_policy).collect(),
        mac: plan.matches.macaddress.clone(),
        driver: (!driver.is_empty()).then(|| driver.join(" ")),
        set_mac: plan.macaddress.clone(),
        dhcp: dhcp_rules(plan),
        accept_ra: plan.accept_ra,
        vlan,
        bond: (kind == PlanKind::Bond).then(|| parameters.bond(members())),
        bridge: (kind == PlanKind::Bridge).then(|| parameters.bridge(members())),
        ..Interface::default()
    }
}

/// `0.0.0.0/0` is the way to everywhere.
fn target(text: &str) -> String {
    if matches!(text, "0.0.0.0/0" | "::/0" | "0.0.0.0/0.0.0.0") { "default".into() } else { text.to_owned() }
}

fn of_netplan_route(route: &NetplanRoute) -> Route {
    Route {
        to: target(&route.to),
        via: route.via.clone(),
        metric: route.metric,
        on_link: route.on_link,
        kind: route.kind,
        from: route.from.clone(),
        table: route.table,
        scope: route.scope.clone(),
        mtu: route.mtu,
    }
}

fn of_netplan_policy(policy: &NetplanPolicy) -> RoutingPolicy {
    RoutingPolicy {
        from: policy.from.clone(),
        to: policy.to.clone(),
        table: policy.table,
        priority: policy.priority,
        mark: policy.mark,
    }
}

pub(super) fn of_subnet_route(route: &SubnetRoute) -> Option<Route> {
    let network = route.network.as_ref().or(route.destination.as_ref()).or(route.to.as_ref())?;
    let whole = super::super::values::with_prefix(network, route.netmask.as_deref())
        .unwrap_or_else(|| network.clone());
    let via = route.gateway.clone().or_else(|| route.via.clone());
    Some(Route { to: target(&whole), via, metric: route.metric, ..Route::default() })
}

fn of_device(device: &Device) -> Interface {
    let parameters = Parameters(&device.params);
    let mut interface = Interface {
        kind: Some(Addressing::None),
        mtu: device.mtu,
        mac: device.mac_address.clone(),
        accept_ra: device.accept_ra.or(device.accept_ra_too),
        vlan: device.vlan_id.zip(device.vlan_link.clone()).map(|(id, parent)| Vlan { id, parent }),
        bond: (device.kind == DeviceKind::Bond).then(|| parameters.bond(device.bond_interfaces.clone())),
        bridge: (device.kind == DeviceKind::Bridge)
            .then(|| parameters.bridge(device.bridge_interfaces.clone())),
        ..Interface::default()
    };
    for subnet in &device.subnets {
        add_subnet(&mut interface, subnet);
    }
    interface
}

fn add_subnet(interface: &mut Interface, subnet: &Subnet) {
    let dynamic = |kind: Addressing, before: Option<Addressing>| match (before, kind) {
        (Some(Addressing::Dhcp4), Addressing::Dhcp6) | (Some(Addressing::Dhcp6), Addressing::Dhcp4) => {
            Addressing::Dhcp
        }
        _ => kind,
    };
    match subnet.kind {
        SubnetKind::Dhcp => interface.kind = Some(Addressing::Dhcp),
        SubnetKind::Dhcp4 => interface.kind = Some(dynamic(Addressing::Dhcp4, interface.kind)),
        SubnetKind::Dhcp6 | SubnetKind::Dhcp6Stateful | SubnetKind::Dhcp6Stateless => {
            interface.kind = Some(dynamic(Addressing::Dhcp6, interface.kind));
            interface.accept_ra = interface.accept_ra.or(Some(true));
        }
        SubnetKind::Slaac => {
            interface.accept_ra = interface.accept_ra.or(Some(true));
            // An address comes by itself; nobody is asked for one.
            interface.kind =
                interface.kind.filter(|kind| *kind != Addressing::None).or(Some(Addressing::Static));
        }
        SubnetKind::Static | SubnetKind::Static6 => {
            let is_dynamic =
                matches!(interface.kind, Some(Addressing::Dhcp | Addressing::Dhcp4 | Addressing::Dhcp6));
            if !is_dynamic {
                interface.kind = Some(Addressing::Static);
            }
            let with_prefix = subnet.address.as_deref().map(|address| {
                super::super::values::with_prefix(address, subnet.netmask.as_deref())
                    .unwrap_or_else(|| address.to_owned())
            });
            interface.addresses.extend(with_prefix);
        }
        SubnetKind::Manual => {}
    }
    let is_fixed = matches!(subnet.kind, SubnetKind::Static | SubnetKind::Static6);
    match (subnet.gateway.clone(), subnet.metric) {
        // The gateway of an interface has no metric: it is a route like others.
        (Some(via), Some(metric)) if is_fixed => {
            let route =
                Route { to: "default".into(), via: Some(via), metric: Some(metric), ..Route::default() };
            interface.routes.push(route);
        }
        (gateway, metric) => {
            match (gateway, &interface.gateway) {
                (Some(gateway), None) => interface.gateway = Some(gateway),
                (Some(gateway), Some(_)) => interface.more_gateways.push(gateway),
                (None, _) => {}
            }
            if let Some(metric) = metric.filter(|_| !is_fixed) {
                interface.dhcp.get_or_insert_default().route_metric = Some(metric);
            }
        }
    }
    interface.mtu = interface.mtu.or(subnet.mtu);
    interface.routes.extend(subnet.routes.iter().filter_map(of_subnet_route));
    interface.dns.extend(subnet.dns_nameservers.all());
    interface.search.extend(subnet.dns_search.all());
}
