//! NoCloud's `meta-data` and `network-config`, and words of the kernel command line, in the spelling of user data.

use std::collections::BTreeMap;

use edge_model::document::tree::{Entry, Node, Place, Value};
use edge_model::document::{self, Document, Problem};
use edge_model::user_data::UserData;
use edge_model::user_data::interface::{
    Addressing, Bond, BondMode, Bridge, Interface, Interfaces, Route, Vlan,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
struct MetaData {
    #[serde(rename = "local-hostname")]
    #[schemars(extend("format" = "host-name-of-kernel"))]
    local_hostname: Option<String>,
    /// A list of keys, or keys by their names, as `public-keys` of clouds has them.
    #[serde(rename = "public-keys")]
    #[schemars(extend("x-other-names" = ["public_keys", "public-ssh-keys"]))]
    public_keys: Option<Json>,
}

edge_model::document!(MetaData);

pub(super) fn meta_data(name: &str, text: &str) -> (Node, Vec<Problem>) {
    let (mut node, problems) = document::read::<MetaData>(name, text);
    let mut user_data = Node::empty(node.place.clone());
    if let Some(entry) = node.take("local-hostname") {
        user_data.put(&["edge", "site", "hostName"], entry);
    }
    for key in KEYS {
        node.take(key);
    }
    (user_data, problems)
}

const KEYS: [&str; 3] = ["public-keys", "public_keys", "public-ssh-keys"];

/// The public keys that a `meta-data` brings, and where they stand: they are added to the operator's, whoever names that one.
pub(super) fn public_keys(name: &str, text: &str) -> Option<(Place, Vec<Node>)> {
    let (mut node, _) = document::read::<MetaData>(name, text);
    let entry = KEYS.into_iter().find_map(|key| node.take(key))?;
    let place = entry.value.place.clone();
    let keys = keys_in(&entry.value).into_iter().map(|key| Node::text(place.clone(), key)).collect();
    Some((place, keys))
}

/// A key, a list of keys, keys by name, or `{0: {openssh-key: KEY}}`.
fn keys_in(node: &Node) -> Vec<String> {
    match &node.value {
        Value::Scalar { text, .. } if node.is_null() || text.is_empty() => Vec::new(),
        Value::Scalar { text, .. } => vec![text.trim().to_owned()],
        Value::List(items) => items.iter().flat_map(keys_in).collect(),
        Value::Map(entries) => entries.iter().flat_map(|entry| keys_in(&entry.value)).collect(),
    }
}

/// Either version; a document may stand below a key `network`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NetworkConfig {
    #[schemars(range(min = 1, max = 2))]
    version: u32,
    renderer: Option<String>,
    config: Vec<Device>,
    ethernets: BTreeMap<String, Netplan>,
    vlans: BTreeMap<String, Netplan>,
    bonds: BTreeMap<String, Netplan>,
    bridges: BTreeMap<String, Netplan>,
}

edge_model::document!(NetworkConfig);

/// An interface of version 1.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Device {
    #[serde(rename = "type")]
    kind: DeviceKind,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    #[schemars(extend("format" = "mac"))]
    mac_address: Option<String>,
    #[serde(default)]
    mtu: Option<u32>,
    #[serde(default)]
    subnets: Vec<Subnet>,
    #[serde(default)]
    vlan_link: Option<String>,
    #[serde(default)]
    #[schemars(range(min = 1, max = 4094))]
    vlan_id: Option<u16>,
    #[serde(default)]
    bond_interfaces: Vec<String>,
    #[serde(default)]
    bridge_interfaces: Vec<String>,
    #[serde(default)]
    params: BTreeMap<String, Json>,
    #[serde(default)]
    address: Vec<String>,
    #[serde(default)]
    search: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum DeviceKind {
    Physical,
    Vlan,
    Bond,
    Bridge,
    Nameserver,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Subnet {
    #[serde(rename = "type")]
    kind: SubnetKind,
    #[serde(default)]
    #[schemars(extend("format" = "ip-or-network"))]
    address: Option<String>,
    #[serde(default)]
    netmask: Option<String>,
    #[serde(default)]
    #[schemars(extend("format" = "ip"))]
    gateway: Option<String>,
    #[serde(default)]
    dns_nameservers: Vec<String>,
    #[serde(default)]
    dns_search: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SubnetKind {
    Dhcp,
    Dhcp4,
    Dhcp6,
    Static,
    Static6,
    Manual,
}

/// An interface of version 2.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Netplan {
    #[serde(rename = "match")]
    matches: NetplanMatch,
    #[serde(rename = "set-name")]
    set_name: Option<String>,
    dhcp4: bool,
    dhcp6: bool,
    #[schemars(extend("x-item-format" = "ip-network"))]
    addresses: Vec<String>,
    #[schemars(extend("format" = "ip"))]
    gateway4: Option<String>,
    #[schemars(extend("format" = "ip"))]
    gateway6: Option<String>,
    nameservers: NetplanNames,
    mtu: Option<u32>,
    routes: Vec<Route>,
    optional: bool,
    #[schemars(range(min = 1, max = 4094))]
    id: Option<u16>,
    link: Option<String>,
    interfaces: Vec<String>,
    parameters: BTreeMap<String, Json>,
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NetplanMatch {
    name: Option<String>,
    #[schemars(extend("format" = "mac"))]
    macaddress: Option<String>,
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NetplanNames {
    #[schemars(extend("x-item-format" = "ip"))]
    addresses: Vec<String>,
    search: Vec<String>,
}

pub(super) fn network_config(name: &str, text: &str) -> (Node, Vec<Problem>) {
    let mut node = match document::tree::read(name, text) {
        Ok(node) => node,
        Err(problem) => return (Node::empty(problem.place.clone()), vec![problem]),
    };
    if let Some(inner) = node.take("network") {
        node = inner.value;
    }
    let mut problems = Vec::new();
    document::check::check(&mut node, NetworkConfig::schema().root(), &mut problems);
    let place = node.place.clone();
    let mut user_data = Node::empty(place.clone());
    match document::typed::<NetworkConfig>(&node) {
        Ok(config) => {
            let interfaces = serde_json::to_value(interfaces(&config)).unwrap_or_default();
            let value = without_nothing(&interfaces);
            let value = Node::from_json(&place, &value);
            let entry = Entry { key: String::new(), key_place: place, value };
            user_data.put(&["edge", "site", "network", "interfaces"], entry);
        }
        Err(error) => problems.push(Problem::error(place, "", error.to_string())),
    }
    (user_data, problems)
}

/// Without nulls and empty lists: what was not said must not overrule anything.
fn without_nothing(json: &Json) -> Json {
    match json {
        Json::Object(entries) => Json::Object(
            entries
                .iter()
                .filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
                .map(|(key, value)| (key.clone(), without_nothing(value)))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.iter().map(without_nothing).collect()),
        other => other.clone(),
    }
}

fn interfaces(config: &NetworkConfig) -> Interfaces {
    let mut all = Interfaces::new();
    let not_bridges = config.ethernets.iter().chain(&config.vlans).chain(&config.bonds);
    let plans = not_bridges.map(|plan| (plan, false)).chain(config.bridges.iter().map(|plan| (plan, true)));
    let plans: Vec<_> = plans.collect();
    // Others refer to an interface by its id in the document.
    let names: BTreeMap<&String, &String> = plans
        .iter()
        .map(|((id, plan), _)| (*id, plan.set_name.as_ref().or(plan.matches.name.as_ref()).unwrap_or(id)))
        .collect();
    for ((id, plan), is_bridge) in &plans {
        let mut interface = of_netplan(plan, *is_bridge);
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
    for device in config.config.iter().filter(|device| device.kind != DeviceKind::Nameserver) {
        if let Some(name) = &device.name {
            all.insert(name.clone(), of_device(device));
        }
    }
    for names in config.config.iter().filter(|device| device.kind == DeviceKind::Nameserver) {
        for interface in all.values_mut() {
            interface.dns.extend(names.address.iter().cloned());
            interface.search.extend(names.search.iter().cloned());
        }
    }
    all
}

fn bond_mode(parameters: &BTreeMap<String, Json>) -> BondMode {
    let mode = parameters.get("mode").or_else(|| parameters.get("bond-mode"));
    mode.and_then(|mode| serde_json::from_value(mode.clone()).ok()).unwrap_or_default()
}

fn of_netplan(plan: &Netplan, is_bridge: bool) -> Interface {
    let members = (!plan.interfaces.is_empty()).then(|| plan.interfaces.clone());
    let vlan = plan.id.zip(plan.link.clone()).map(|(id, parent)| Vlan { id, parent });
    let dynamic = plan.dhcp4 || plan.dhcp6;
    Interface {
        kind: match (dynamic, plan.addresses.is_empty()) {
            (true, _) => Some(Addressing::Dhcp),
            (false, true) => Some(Addressing::None),
            (false, false) => Some(Addressing::Static),
        },
        addresses: plan.addresses.clone(),
        gateway: plan.gateway4.clone().or_else(|| plan.gateway6.clone()),
        dns: plan.nameservers.addresses.clone(),
        search: plan.nameservers.search.clone(),
        mtu: plan.mtu,
        routes: plan.routes.clone(),
        mac: plan.matches.macaddress.clone(),
        vlan,
        bond: members
            .clone()
            .filter(|_| !is_bridge)
            .map(|members| Bond { members, mode: bond_mode(&plan.parameters) }),
        bridge: members.filter(|_| is_bridge).map(|members| Bridge {
            members,
            stp: plan.parameters.get("stp").and_then(Json::as_bool).unwrap_or(false),
        }),
        ..Interface::default()
    }
}

fn of_device(device: &Device) -> Interface {
    let mut interface = Interface {
        kind: Some(Addressing::None),
        mtu: device.mtu,
        mac: device.mac_address.clone(),
        vlan: device.vlan_id.zip(device.vlan_link.clone()).map(|(id, parent)| Vlan { id, parent }),
        bond: (device.kind == DeviceKind::Bond)
            .then(|| Bond { members: device.bond_interfaces.clone(), mode: bond_mode(&device.params) }),
        bridge: (device.kind == DeviceKind::Bridge)
            .then(|| Bridge { members: device.bridge_interfaces.clone(), stp: false }),
        ..Interface::default()
    };
    for subnet in &device.subnets {
        match subnet.kind {
            SubnetKind::Dhcp | SubnetKind::Dhcp4 | SubnetKind::Dhcp6 => {
                interface.kind = Some(Addressing::Dhcp)
            }
            SubnetKind::Static | SubnetKind::Static6 => {
                interface.kind = Some(Addressing::Static);
                let with_prefix = subnet.address.as_deref().map(|address| {
                    super::values::with_prefix(address, subnet.netmask.as_deref())
                        .unwrap_or_else(|| address.to_owned())
                });
                interface.addresses.extend(with_prefix);
            }
            SubnetKind::Manual => {}
        }
        interface.gateway = interface.gateway.or_else(|| subnet.gateway.clone());
        interface.dns.extend(subnet.dns_nameservers.iter().cloned());
        interface.search.extend(subnet.dns_search.iter().cloned());
    }
    interface
}

/// Words like `install.auto=true`, of the sections that user data has.
pub(super) fn kernel_words(name: &str, text: &str) -> (Node, Vec<Problem>) {
    let place = Place::whole(name);
    let mut node = Node::empty(place.clone());
    for word in text.split_whitespace() {
        let Some((path, value)) = word.split_once('=') else { continue };
        let keys: Vec<&str> = path.split('.').collect();
        let known = UserData::schema().root().property(keys[0]).is_some() || keys[0] == "stylus";
        if keys.len() > 1 && known && !edge_model::cmdline::OWN_KEYS.contains(&path) {
            let value = Node::plain(place.clone(), value.trim_matches('"'));
            node.put(&keys, Entry { key: String::new(), key_place: place.clone(), value });
        }
    }
    let mut problems = Vec::new();
    document::check::check(&mut node, UserData::schema().root(), &mut problems);
    (node, problems)
}
