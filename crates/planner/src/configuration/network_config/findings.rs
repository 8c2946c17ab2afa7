//! What of a `network-config` comes to nothing, or to something else than it says: nobody should learn that from a host without a
//! network.

use edge_model::document::tree::Place;
use edge_model::document::{Problem, format};
use edge_model::user_data::interface::Interfaces;
use serde_json::Value as Json;

use super::document::{Device, DeviceKind, Netplan, NetplanAddress, NetworkConfig, Subnet};
use super::interfaces::{Parameters, PlanKind, carries, of_route_device, of_subnet_route, plans};

/// All findings. `interfaces` is what the document has come to.
pub(super) fn of(config: &NetworkConfig, interfaces: &Interfaces, place: &Place) -> Vec<Problem> {
    let mut findings = Findings { place, problems: Vec::new() };
    findings.renderer("renderer", config.renderer.as_deref());
    for (kind, id, plan) in plans(config) {
        findings.plan(&format!("{}.{id}", kind.section()), kind, plan);
    }
    for (at, device) in config.config.iter().enumerate() {
        let path = device.name.clone().unwrap_or_else(|| format!("config.{at}"));
        findings.device(&path, device, interfaces);
    }
    findings.problems
}

struct Findings<'a> {
    place: &'a Place,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    fn error(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(Problem::error(self.place.clone(), path, message.into()));
    }

    /// Nothing acts on these keys.
    fn unused(&mut self, path: &str, keys: &[(&str, bool)]) {
        for (key, _) in keys.iter().filter(|(_, is_given)| *is_given) {
            let path = format!("{path}.{key}");
            self.problems.push(Problem::warning(self.place.clone(), &path, "nothing acts on this"));
        }
    }

    fn renderer(&mut self, path: &str, renderer: Option<&str>) {
        if let Some(other) = renderer.filter(|one| !matches!(*one, "networkd" | "")) {
            let message = format!("{other} is not here: systemd-networkd makes the network");
            self.problems.push(Problem::warning(self.place.clone(), path, message));
        }
    }

    fn parameters(&mut self, path: &str, parameters: &Parameters<'_>) {
        for (key, expected) in parameters.unfit() {
            self.error(&format!("{path}.{key}"), format!("expected {expected}"));
        }
        let unknown: Vec<(&str, bool)> = parameters.unknown().map(|key| (key.as_str(), true)).collect();
        self.unused(path, &unknown);
    }

    fn plan(&mut self, path: &str, kind: PlanKind, plan: &Netplan) {
        self.parameters(&format!("{path}.parameters"), &Parameters(&plan.parameters));
        self.renderer(&format!("{path}.renderer"), plan.renderer.as_deref());
        if kind == PlanKind::Vlan && (plan.id.is_none() || plan.link.is_none()) {
            self.error(path, "a VLAN needs `id` and `link`");
        }
        self.unused(
            path,
            &[
                ("ipv6-privacy", plan.ipv6_privacy == Some(true)),
                ("wakeonlan", plan.wakeonlan == Some(true)),
                ("critical", plan.critical),
                ("link-local", plan.link_local.is_some()),
                ("id", kind != PlanKind::Vlan && plan.id.is_some()),
                ("link", kind != PlanKind::Vlan && plan.link.is_some()),
                (
                    "interfaces",
                    matches!(kind, PlanKind::Ethernet | PlanKind::Vlan) && !plan.interfaces.is_empty(),
                ),
            ],
        );
        if let (Some(one), Some(other)) = (&plan.dhcp4_overrides, &plan.dhcp6_overrides)
            && one != other
        {
            let message = "both versions of DHCP follow dhcp4-overrides: make them equal";
            self.problems.push(Problem::warning(
                self.place.clone(),
                &format!("{path}.dhcp6-overrides"),
                message,
            ));
        }
        let overrides = plan.dhcp4_overrides.iter().chain(&plan.dhcp6_overrides);
        if overrides.filter_map(|one| one.use_domains.as_ref()).any(|value| !matches!(value, Json::Bool(_))) {
            self.error(&format!("{path}.dhcp4-overrides.use-domains"), "expected true or false");
        }
        for address in &plan.addresses {
            let at = format!("{path}.addresses");
            let text = address.text().unwrap_or_default();
            if format::check("ip-network", &text).is_err() {
                self.error(&at, format!("{text:?} is not an address with a prefix length, like 10.0.0.5/24"));
            }
            let has_options = matches!(address, NetplanAddress::WithOptions(options) if options.values().any(|value| !value.is_null()));
            self.unused(&at, &[("label and lifetime", has_options)]);
        }
    }

    fn device(&mut self, path: &str, device: &Device, interfaces: &Interfaces) {
        self.parameters(&format!("{path}.params"), &Parameters(&device.params));
        self.unused(
            path,
            &[
                ("wakeonlan", device.wakeonlan == Some(true)),
                ("keep_configuration", device.keep_configuration.is_some()),
            ],
        );
        match device.kind {
            DeviceKind::Physical | DeviceKind::Bond | DeviceKind::Bridge | DeviceKind::Vlan
                if device.name.is_none() =>
            {
                self.error(path, "an interface needs a name");
            }
            DeviceKind::Vlan if device.vlan_id.is_none() || device.vlan_link.is_none() => {
                self.error(path, "a VLAN needs `vlan_id` and `vlan_link`");
            }
            DeviceKind::Route => match of_route_device(device) {
                None => self.error(path, "a route needs `destination`"),
                Some(route) if !interfaces.values().any(|one| carries(one, &route)) => {
                    self.error(path, "no interface has an address in the network of its gateway");
                }
                Some(_) => {}
            },
            DeviceKind::Nameserver => {
                if let Some(other) = device.interface.as_ref().filter(|name| !interfaces.contains_key(*name))
                {
                    self.error(path, format!("there is no interface {other}"));
                }
            }
            DeviceKind::Physical
            | DeviceKind::Bond
            | DeviceKind::Bridge
            | DeviceKind::Vlan
            | DeviceKind::Loopback => {}
        }
        device
            .subnets
            .iter()
            .enumerate()
            .for_each(|(at, subnet)| self.subnet(&format!("{path}.subnets.{at}"), subnet));
    }

    fn subnet(&mut self, path: &str, subnet: &Subnet) {
        self.unused(
            path,
            &[
                ("control", subnet.control.as_deref().is_some_and(|control| control != "auto")),
                ("scope", subnet.scope.is_some()),
                ("broadcast", subnet.broadcast.is_some()),
            ],
        );
        for (at, _) in subnet.routes.iter().enumerate().filter(|(_, route)| of_subnet_route(route).is_none())
        {
            self.error(&format!("{path}.routes.{at}"), "a route needs `network`");
        }
    }
}
