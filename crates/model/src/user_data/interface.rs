//! The network of a host, interface by interface.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Interfaces by name or pattern (`en*`). One that a later source names replaces the earlier one as a whole.
pub type Interfaces = BTreeMap<String, Interface>;

/// One interface. `ipAddress`, `mask` and `nameserver` are Palette's way to say `addresses` and `dns`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Interface {
    /// `dhcp` or `static`; by default `static` when there is an address.
    #[serde(rename = "type")]
    pub kind: Option<Addressing>,
    /// Addresses with prefix length.
    #[schemars(extend("x-item-format" = "ip-network"))]
    pub addresses: Vec<String>,
    /// One address, with prefix length or with `mask`.
    #[schemars(extend("format" = "ip-or-network"))]
    pub ip_address: Option<String>,
    /// Netmask of `ipAddress`: 255.255.255.0 or a prefix length.
    pub mask: Option<String>,
    #[schemars(extend("format" = "ip"))]
    pub gateway: Option<String>,
    #[schemars(extend("x-item-format" = "ip"))]
    pub dns: Vec<String>,
    /// One name server, or several with commas.
    #[schemars(extend("format" = "name-servers"))]
    pub nameserver: Option<String>,
    /// Domains in which short names are looked for.
    #[schemars(extend("x-item-format" = "domain"))]
    pub search: Vec<String>,
    #[schemars(range(min = 576, max = 65535))]
    pub mtu: Option<u32>,
    pub routes: Vec<Route>,
    /// Finds the interface by its hardware address instead of its name; a VLAN, bond or bridge gets this address.
    #[schemars(extend("format" = "mac"))]
    pub mac: Option<String>,
    /// Finds the interface by the name of its driver.
    pub driver: Option<String>,
    /// The interface is given this hardware address.
    #[schemars(extend("format" = "mac"))]
    pub set_mac: Option<String>,
    /// What DHCP may decide.
    pub dhcp: Option<DhcpRules>,
    /// Whether routers may tell IPv6 addresses and routes; by default they may.
    pub accept_ra: Option<bool>,
    /// More gateways, for the other version of IP.
    #[schemars(extend("x-item-format" = "ip"))]
    pub more_gateways: Vec<String>,
    /// Rules that choose a table of routes.
    pub policies: Vec<RoutingPolicy>,
    /// Makes this interface a VLAN of another one.
    pub vlan: Option<Vlan>,
    /// Makes this interface a bond of others.
    pub bond: Option<Bond>,
    /// Makes this interface a bridge of others.
    pub bridge: Option<Bridge>,
}

impl Interface {
    /// Its addresses, however they were written.
    pub fn all_addresses(&self) -> Vec<String> {
        let mut addresses = self.addresses.clone();
        if let Some(address) = &self.ip_address {
            let prefix = self.mask.as_deref().map_or_else(String::new, |mask| format!("/{}", prefix(mask)));
            addresses.push(format!("{address}{prefix}"));
        }
        addresses
    }

    /// Its name servers, however they were written.
    pub fn all_name_servers(&self) -> Vec<String> {
        let more = self.nameserver.iter().flat_map(|list| list.split(',')).map(|name| name.trim().to_owned());
        self.dns.iter().cloned().chain(more).collect()
    }
}

/// `192.0.2.17/255.255.255.0` as it is written everywhere else.
pub fn with_prefix(address: &str) -> String {
    match address.split_once('/') {
        Some((address, mask)) => format!("{address}/{}", prefix(mask)),
        None => address.to_owned(),
    }
}

/// The prefix length of a mask; anything else stays, and the agent says what is wrong with it.
fn prefix(mask: &str) -> String {
    match mask.parse::<std::net::Ipv4Addr>().map(u32::from) {
        Ok(mask) if mask.leading_ones() == mask.count_ones() => mask.leading_ones().to_string(),
        _ => mask.to_owned(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Addressing {
    Dhcp,
    Dhcp4,
    Dhcp6,
    Static,
    /// No address: a member of a bond or bridge, or the parent of VLANs.
    None,
}

impl Addressing {
    pub fn is_dhcp(self) -> bool {
        matches!(self, Self::Dhcp | Self::Dhcp4 | Self::Dhcp6)
    }

    /// What a person chose who only knows DHCP: which versions of IP stays as the document has it.
    #[must_use]
    pub fn or_as_before(self, before: &Interface) -> Self {
        before.kind.filter(|kind| self == Self::Dhcp && kind.is_dhcp()).unwrap_or(self)
    }
}

/// What an interface takes of an answer by DHCP; what is not said is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DhcpRules {
    pub use_dns: Option<bool>,
    pub use_domains: Option<bool>,
    pub use_ntp: Option<bool>,
    pub use_routes: Option<bool>,
    pub use_hostname: Option<bool>,
    pub use_mtu: Option<bool>,
    pub send_hostname: Option<bool>,
    pub hostname: Option<String>,
    pub route_metric: Option<u32>,
    /// `mac` or `duid`: how the host calls itself.
    #[schemars(extend("enum" = ["mac", "duid"]))]
    pub identifier: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RoutingPolicy {
    #[schemars(extend("format" = "ip-or-network"))]
    pub from: Option<String>,
    #[schemars(extend("format" = "ip-or-network"))]
    pub to: Option<String>,
    pub table: Option<u32>,
    pub priority: Option<u32>,
    pub mark: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Route {
    /// Destination: a network, or `default`.
    #[schemars(extend("format" = "route-target"))]
    pub to: String,
    /// The gateway; a route without one is on the wire itself, or leads nowhere by its type.
    #[schemars(extend("format" = "ip"))]
    pub via: Option<String>,
    pub metric: Option<u32>,
    /// The gateway is on this wire, whatever the addresses say.
    pub on_link: Option<bool>,
    #[serde(rename = "type")]
    pub kind: Option<RouteKind>,
    /// Address that packets are sent from.
    #[schemars(extend("format" = "ip"))]
    pub from: Option<String>,
    pub table: Option<u32>,
    #[schemars(extend("enum" = ["global", "link", "host"]))]
    pub scope: Option<String>,
    pub mtu: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RouteKind {
    Unicast,
    Local,
    Blackhole,
    Unreachable,
    Prohibit,
    Throw,
}

impl RouteKind {
    /// As networkd writes it.
    pub fn name(self) -> &'static str {
        match self {
            RouteKind::Unicast => "unicast",
            RouteKind::Local => "local",
            RouteKind::Blackhole => "blackhole",
            RouteKind::Unreachable => "unreachable",
            RouteKind::Prohibit => "prohibit",
            RouteKind::Throw => "throw",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Vlan {
    #[schemars(range(min = 1, max = 4094))]
    pub id: u16,
    /// The interface that carries it.
    #[schemars(extend("format" = "interface"))]
    pub parent: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Bond {
    #[schemars(extend("x-item-format" = "interface"))]
    pub members: Vec<String>,
    #[serde(default)]
    pub mode: BondMode,
    /// Milliseconds between looks at the cables; by default 100.
    #[serde(default)]
    pub mii_monitor: Option<u32>,
    #[serde(default)]
    #[schemars(extend("enum" = ["slow", "fast"]))]
    pub lacp_rate: Option<String>,
    #[serde(default)]
    #[schemars(extend("enum" = ["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4"]))]
    pub transmit_hash_policy: Option<String>,
    /// The member that is used while it works.
    #[serde(default)]
    #[schemars(extend("format" = "interface"))]
    pub primary: Option<String>,
    #[serde(default)]
    pub min_links: Option<u32>,
    /// Milliseconds before a member counts as up, and as down.
    #[serde(default)]
    pub up_delay: Option<u32>,
    #[serde(default)]
    pub down_delay: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BondMode {
    #[default]
    ActiveBackup,
    BalanceRr,
    BalanceXor,
    Broadcast,
    #[serde(rename = "802.3ad")]
    Lacp,
    BalanceTlb,
    BalanceAlb,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Bridge {
    #[schemars(extend("x-item-format" = "interface"))]
    pub members: Vec<String>,
    /// Spanning tree protocol.
    #[serde(default)]
    pub stp: bool,
    /// Seconds before a member forwards.
    #[serde(default)]
    pub forward_delay: Option<u32>,
    #[serde(default)]
    pub priority: Option<u32>,
}
