//! Both versions of `network-config` as they are written.

use std::collections::BTreeMap;

use edge_model::user_data::interface::RouteKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Either version; a document may stand below a key `network`.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NetworkConfig {
    #[schemars(range(min = 1, max = 2))]
    pub(super) version: u32,
    pub(super) renderer: Option<String>,
    pub(super) config: Vec<Device>,
    pub(super) ethernets: BTreeMap<String, Netplan>,
    pub(super) vlans: BTreeMap<String, Netplan>,
    pub(super) bonds: BTreeMap<String, Netplan>,
    pub(super) bridges: BTreeMap<String, Netplan>,
}

edge_model::document!(NetworkConfig);

/// An interface of version 1.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Device {
    #[serde(rename = "type")]
    pub(super) kind: DeviceKind,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    #[schemars(extend("format" = "mac"))]
    pub(super) mac_address: Option<String>,
    #[serde(default)]
    pub(super) mtu: Option<u32>,
    #[serde(default)]
    pub(super) subnets: Vec<Subnet>,
    #[serde(default)]
    pub(super) vlan_link: Option<String>,
    #[serde(default)]
    #[schemars(range(min = 1, max = 4094))]
    pub(super) vlan_id: Option<u16>,
    #[serde(default)]
    pub(super) bond_interfaces: Vec<String>,
    #[serde(default)]
    pub(super) bridge_interfaces: Vec<String>,
    #[serde(default)]
    pub(super) params: BTreeMap<String, Json>,
    /// One address, or several.
    #[serde(default)]
    pub(super) address: OneOrMore,
    #[serde(default)]
    pub(super) search: OneOrMore,
    #[serde(default)]
    pub(super) interface: Option<String>,
    #[serde(default)]
    pub(super) accept_ra: Option<bool>,
    #[serde(default, rename = "accept-ra")]
    pub(super) accept_ra_too: Option<bool>,
    /// Of `type: route`.
    #[serde(default)]
    pub(super) destination: Option<String>,
    #[serde(default)]
    pub(super) netmask: Option<String>,
    #[serde(default)]
    pub(super) gateway: Option<String>,
    #[serde(default)]
    pub(super) metric: Option<u32>,
    /// Of `type: physical`, for what is not there at every boot.
    #[serde(default)]
    pub(super) keep_configuration: Option<Json>,
    #[serde(default)]
    pub(super) wakeonlan: Option<bool>,
}

/// What may be written as one value or as a list.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl OneOrMore {
    pub(super) fn all(&self) -> Vec<String> {
        match self {
            Self::One(one) => one.split_whitespace().map(str::to_owned).collect(),
            Self::More(all) => all.clone(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum DeviceKind {
    Physical,
    Vlan,
    Bond,
    Bridge,
    Nameserver,
    Route,
    Loopback,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Subnet {
    #[serde(rename = "type")]
    pub(super) kind: SubnetKind,
    #[serde(default)]
    #[schemars(extend("format" = "ip-or-network"))]
    pub(super) address: Option<String>,
    #[serde(default)]
    pub(super) netmask: Option<String>,
    #[serde(default)]
    #[schemars(extend("format" = "ip"))]
    pub(super) gateway: Option<String>,
    #[serde(default)]
    pub(super) dns_nameservers: OneOrMore,
    #[serde(default)]
    pub(super) dns_search: OneOrMore,
    #[serde(default)]
    pub(super) routes: Vec<SubnetRoute>,
    /// `auto` or `manual`: everything is configured at boot.
    #[serde(default)]
    pub(super) control: Option<String>,
    #[serde(default)]
    pub(super) metric: Option<u32>,
    #[serde(default)]
    pub(super) mtu: Option<u32>,
    #[serde(default)]
    pub(super) scope: Option<String>,
    #[serde(default)]
    pub(super) broadcast: Option<String>,
    #[serde(default)]
    pub(super) ipv4: Option<bool>,
    #[serde(default)]
    pub(super) ipv6: Option<bool>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubnetRoute {
    #[serde(default)]
    pub(super) network: Option<String>,
    #[serde(default)]
    pub(super) destination: Option<String>,
    #[serde(default)]
    pub(super) to: Option<String>,
    #[serde(default)]
    pub(super) netmask: Option<String>,
    #[serde(default)]
    #[schemars(extend("format" = "ip"))]
    pub(super) gateway: Option<String>,
    #[serde(default)]
    #[schemars(extend("format" = "ip"))]
    pub(super) via: Option<String>,
    #[serde(default)]
    pub(super) metric: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SubnetKind {
    Dhcp,
    Dhcp4,
    Dhcp6,
    Static,
    Static6,
    Manual,
    #[serde(rename = "ipv6_dhcpv6-stateful")]
    Dhcp6Stateful,
    #[serde(rename = "ipv6_dhcpv6-stateless")]
    Dhcp6Stateless,
    #[serde(rename = "ipv6_slaac")]
    Slaac,
}

/// An interface of version 2.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Netplan {
    #[serde(rename = "match")]
    pub(super) matches: NetplanMatch,
    #[serde(rename = "set-name")]
    pub(super) set_name: Option<String>,
    pub(super) dhcp4: bool,
    pub(super) dhcp6: bool,
    pub(super) addresses: Vec<NetplanAddress>,
    #[schemars(extend("format" = "ip"))]
    pub(super) gateway4: Option<String>,
    #[schemars(extend("format" = "ip"))]
    pub(super) gateway6: Option<String>,
    pub(super) nameservers: NetplanNames,
    pub(super) mtu: Option<u32>,
    pub(super) routes: Vec<NetplanRoute>,
    #[serde(rename = "routing-policy")]
    pub(super) routing_policy: Vec<NetplanPolicy>,
    pub(super) optional: bool,
    pub(super) critical: bool,
    #[serde(rename = "accept-ra")]
    pub(super) accept_ra: Option<bool>,
    #[serde(rename = "dhcp4-overrides")]
    pub(super) dhcp4_overrides: Option<NetplanOverrides>,
    #[serde(rename = "dhcp6-overrides")]
    pub(super) dhcp6_overrides: Option<NetplanOverrides>,
    #[serde(rename = "dhcp-identifier")]
    #[schemars(extend("enum" = ["mac", "duid"]))]
    pub(super) dhcp_identifier: Option<String>,
    #[schemars(extend("format" = "mac"))]
    pub(super) macaddress: Option<String>,
    #[serde(rename = "link-local")]
    pub(super) link_local: Option<Vec<String>>,
    #[serde(rename = "ipv6-privacy")]
    pub(super) ipv6_privacy: Option<bool>,
    pub(super) wakeonlan: Option<bool>,
    pub(super) renderer: Option<String>,
    #[schemars(range(min = 1, max = 4094))]
    pub(super) id: Option<u16>,
    pub(super) link: Option<String>,
    pub(super) interfaces: Vec<String>,
    pub(super) parameters: BTreeMap<String, Json>,
}

/// `10.0.0.5/24`, or the same with a label and a lifetime.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum NetplanAddress {
    Plain(String),
    WithOptions(BTreeMap<String, Json>),
}

impl NetplanAddress {
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Plain(text) => Some(text.clone()),
            Self::WithOptions(options) => options.keys().next().cloned(),
        }
    }
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NetplanRoute {
    #[schemars(extend("format" = "route-target"))]
    pub(super) to: String,
    #[schemars(extend("format" = "ip"))]
    pub(super) via: Option<String>,
    pub(super) metric: Option<u32>,
    #[serde(rename = "on-link")]
    pub(super) on_link: Option<bool>,
    #[serde(rename = "type")]
    pub(super) kind: Option<RouteKind>,
    #[schemars(extend("format" = "ip"))]
    pub(super) from: Option<String>,
    pub(super) table: Option<u32>,
    pub(super) scope: Option<String>,
    pub(super) mtu: Option<u32>,
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NetplanPolicy {
    #[schemars(extend("format" = "ip-or-network"))]
    pub(super) from: Option<String>,
    #[schemars(extend("format" = "ip-or-network"))]
    pub(super) to: Option<String>,
    pub(super) table: Option<u32>,
    pub(super) priority: Option<u32>,
    pub(super) mark: Option<u32>,
}

#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct NetplanOverrides {
    pub(super) use_dns: Option<bool>,
    /// `true`, `false` or `route`.
    pub(super) use_domains: Option<Json>,
    pub(super) use_ntp: Option<bool>,
    pub(super) use_routes: Option<bool>,
    pub(super) use_hostname: Option<bool>,
    pub(super) use_mtu: Option<bool>,
    pub(super) send_hostname: Option<bool>,
    pub(super) hostname: Option<String>,
    pub(super) route_metric: Option<u32>,
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NetplanMatch {
    pub(super) name: Option<String>,
    #[schemars(extend("format" = "mac"))]
    pub(super) macaddress: Option<String>,
    /// One name of a driver, or several.
    pub(super) driver: OneOrMore,
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NetplanNames {
    #[schemars(extend("x-item-format" = "ip"))]
    pub(super) addresses: Vec<String>,
    pub(super) search: Vec<String>,
}
