//! What a schema cannot say: values that contradict each other.

use std::collections::BTreeMap;
use std::net::IpAddr;

use edge_model::document::check::nearest;
use edge_model::document::format::{self, network_address, same_network};
use edge_model::document::{Node, Problem};
use edge_model::user_data::UserData;
use edge_model::user_data::edge::{InstallationMode, ManagementMode};
use edge_model::user_data::interface::{Addressing, Interface};
use edge_model::user_data::stages::{STAGES, STAGES_NOT_YET};

use super::templates::sample_values;
use crate::{stages, template};

/// Checks a tree in the spelling of user data. `now` is given where the clock can be trusted.
pub(super) fn check(tree: &Node, now: Option<u64>, problems: &mut Vec<Problem>) {
    // The tree has been checked against the schema: what cannot be typed has been reported and left out.
    let Ok(data) = edge_model::document::typed::<UserData>(tree) else { return };
    let mut checker = Checker { tree, problems };
    checker.network(&data);
    checker.install(&data);
    checker.operator(&data);
    checker.management(&data);
    checker.stages(&data);
    checker.cluster(tree);
    if let Some(now) = now {
        checker.certificates(&data, now);
    }
}

/// `10.0.0.5` with `255.255.255.0` or `24` as `10.0.0.5/24`.
pub(super) fn with_prefix(address: &str, mask: Option<&str>) -> Option<String> {
    if address.contains('/') {
        return network_address(address).ok().map(|_| address.to_owned());
    }
    let mask = mask?.trim_start_matches('/');
    let prefix = match mask.parse::<std::net::Ipv4Addr>() {
        Ok(mask) => {
            let bits = mask.to_bits();
            (bits.leading_ones() + bits.trailing_zeros() == 32 || bits == u32::MAX)
                .then(|| bits.leading_ones() as u8)?
        }
        Err(_) => mask.parse().ok()?,
    };
    let text = format!("{address}/{prefix}");
    network_address(&text).ok().map(|_| text)
}

/// All addresses of an interface with prefix length, in either spelling.
pub(crate) fn addresses(interface: &Interface) -> Vec<String> {
    let mut all = interface.addresses.clone();
    if let Some(address) = interface.ip_address.as_deref().filter(|address| !address.is_empty()) {
        all.extend(with_prefix(address, interface.mask.as_deref()));
    }
    all
}

struct Checker<'a> {
    tree: &'a Node,
    problems: &'a mut Vec<Problem>,
}

const INTERFACES: &str = "edge.site.network.interfaces";

impl Checker<'_> {
    fn at(&self, path: &str) -> edge_model::document::Place {
        // Lists are merged: an item that is gone stands for its list.
        let mut path = path;
        loop {
            if let Some(node) = self.tree.find(path) {
                return node.place.clone();
            }
            path = path.rsplit_once('.').map_or("", |(outer, _)| outer);
        }
    }

    fn error(&mut self, path: &str, message: impl Into<String>) {
        let problem = Problem::error(self.at(path), path, message);
        self.problems.push(problem);
    }

    fn warning(&mut self, path: &str, message: impl Into<String>) {
        let problem = Problem::warning(self.at(path), path, message);
        self.problems.push(problem);
    }

    fn cluster(&mut self, tree: &Node) {
        const PATH: &str = "edge.cluster";
        if let Some(node) = tree.find(PATH) {
            crate::cluster::check::check(node, PATH, self.problems);
        }
    }

    fn network(&mut self, data: &UserData) {
        let interfaces = &data.edge.site.network.interfaces;
        let mut owners: BTreeMap<IpAddr, &str> = BTreeMap::new();
        let mut members: BTreeMap<&str, &str> = BTreeMap::new();
        let mut vlans: BTreeMap<(&str, u16), &str> = BTreeMap::new();
        let mut default: Option<&str> = None;
        for (name, interface) in interfaces {
            let path = format!("{INTERFACES}.{name}");
            if let Err(message) = format::check("interface", name) {
                self.error(&path, message);
            }
            self.interface(&path, name, interface);
            for address in addresses(interface).iter().filter_map(|address| network_address(address).ok()) {
                if let Some(other) = owners.insert(address.0, name) {
                    self.error(&path, format!("{} is the address of {other} too", address.0));
                }
            }
            if interface.gateway.is_some()
                && let Some(other) = default.replace(name)
            {
                self.warning(
                    &format!("{path}.gateway"),
                    format!("{other} has a gateway too: one of them is used"),
                );
            }
            let of_bond = interface.bond.iter().flat_map(|bond| &bond.members);
            let of_bridge = interface.bridge.iter().flat_map(|bridge| &bridge.members);
            for member in of_bond.chain(of_bridge) {
                if let Some(other) = members.insert(member, name) {
                    self.error(&path, format!("{member} belongs to {other} already"));
                }
            }
            if let Some(vlan) = &interface.vlan
                && let Some(other) = vlans.insert((&vlan.parent, vlan.id), name)
            {
                self.error(&path, format!("{other} is VLAN {} of {} already", vlan.id, vlan.parent));
            }
        }
        for (member, owner) in members {
            let addressed = interfaces.get(member).is_some_and(|interface| !addresses(interface).is_empty());
            if addressed {
                let message = format!("{member} belongs to {owner} and cannot have an address of its own");
                self.error(&format!("{INTERFACES}.{member}"), message);
            }
        }
        let overlay = data.p2p.as_ref().and_then(|p2p| p2p.vpn.as_ref()).and_then(|vpn| vpn.get("create"));
        let has_static = interfaces.values().any(|interface| !addresses(interface).is_empty());
        if overlay.and_then(serde_json::Value::as_bool) == Some(true) && has_static {
            self.error("p2p.vpn.create", "an overlay network needs DHCP: an interface has a static address");
        }
    }

    fn interface(&mut self, path: &str, name: &str, interface: &Interface) {
        let kinds = [interface.vlan.is_some(), interface.bond.is_some(), interface.bridge.is_some()];
        if kinds.iter().filter(|kind| **kind).count() > 1 {
            self.error(path, "an interface is one of vlan, bond and bridge");
        }
        if interface.vlan.as_ref().is_some_and(|vlan| vlan.parent == name) {
            self.error(&format!("{path}.vlan.parent"), "a VLAN cannot be its own parent");
        }
        if kinds.contains(&true) && name.contains(['*', '?']) {
            self.error(path, "a VLAN, bond or bridge needs a name, not a pattern");
        }
        let own = addresses(interface);
        if let Some(address) = interface.ip_address.as_deref().filter(|address| !address.is_empty())
            && with_prefix(address, interface.mask.as_deref()).is_none()
        {
            match &interface.mask {
                Some(mask) => self.error(&format!("{path}.mask"), format!("{mask:?} is not a netmask")),
                None => self.error(&format!("{path}.ipAddress"), "a prefix length or `mask` is missing"),
            }
        }
        match interface.kind {
            Some(Addressing::Static) if own.is_empty() && interface.ip_address.is_none() => {
                self.error(path, "type is static, and there is no address");
            }
            Some(Addressing::Dhcp | Addressing::Dhcp4 | Addressing::Dhcp6) if !own.is_empty() => {
                self.warning(path, "type is dhcp: the addresses are used beside the one from DHCP");
            }
            Some(Addressing::None) if !own.is_empty() => {
                self.error(path, "type is none, and there is an address");
            }
            _ => {}
        }
        for (index, address) in interface.addresses.iter().enumerate() {
            self.host_address(&format!("{path}.addresses.{index}"), address);
        }
        let networks: Vec<(IpAddr, u8)> =
            own.iter().filter_map(|address| network_address(address).ok()).collect();
        if let Some(gateway) = interface.gateway.as_deref().filter(|gateway| !gateway.is_empty()) {
            self.gateway(&format!("{path}.gateway"), gateway, &networks, interface);
        }
        for (index, route) in interface.routes.iter().enumerate() {
            let via = route.via.as_deref().filter(|_| route.on_link != Some(true));
            if let Some(via) = via.and_then(|via| via.parse::<IpAddr>().ok()) {
                let reached = networks.iter().any(|(address, prefix)| same_network(*address, via, *prefix));
                if !networks.is_empty() && !reached {
                    let message = format!("{via} cannot be reached from the addresses of {name}");
                    self.error(&format!("{path}.routes.{index}.via"), message);
                }
            }
        }
    }

    fn gateway(&mut self, path: &str, gateway: &str, networks: &[(IpAddr, u8)], interface: &Interface) {
        let Ok(gateway) = gateway.parse::<IpAddr>() else { return };
        let dynamic =
            matches!(interface.kind, Some(Addressing::Dhcp | Addressing::Dhcp4 | Addressing::Dhcp6));
        if networks.is_empty() && !dynamic && interface.ip_address.is_none() {
            self.error(path, "there is a gateway and no address");
        } else if networks.iter().any(|(address, _)| *address == gateway) {
            self.error(path, format!("{gateway} is this host's own address"));
        } else if !networks.is_empty()
            && !networks.iter().any(|(address, prefix)| same_network(*address, gateway, *prefix))
        {
            let list: Vec<String> =
                networks.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
            self.error(path, format!("{gateway} cannot be reached from {}", list.join(", ")));
        }
    }

    /// The first and last address of a network are not a host's.
    fn host_address(&mut self, path: &str, text: &str) {
        let Ok((IpAddr::V4(address), prefix)) = network_address(text) else { return };
        if prefix >= 31 {
            return;
        }
        let host = address.to_bits() & (u32::MAX >> prefix);
        if host == 0 || host == u32::MAX >> prefix {
            self.error(
                path,
                format!(
                    "{address} is the {} of its network, not a host's address",
                    if host == 0 { "name" } else { "broadcast address" }
                ),
            );
        }
    }

    fn install(&mut self, data: &UserData) {
        if data.install.reboot && data.install.poweroff {
            self.error("install.poweroff", "reboot and poweroff exclude each other");
        }
        let disk = &data.edge.install.disk;
        if let (Some(least), Some(most)) = (disk.min_size_gib, disk.max_size_gib)
            && least > most
        {
            self.error(
                "edge.install.disk.minSizeGib",
                format!("no disk has at least {least} and at most {most} GiB"),
            );
        }
        let mut names: Vec<&str> = Vec::new();
        for (index, partition) in data.install.extra_partitions.iter().enumerate() {
            let path = format!("install.extra-partitions.{index}");
            let ours = edge_model::layout::PARTITIONS.iter().any(|spec| spec.label == partition.name);
            if ours || names.contains(&partition.name.as_str()) {
                self.error(&path, format!("there is a partition {:?} already", partition.name));
            }
            if partition.name.is_empty() || partition.name.len() > 36 || !partition.name.is_ascii() {
                self.error(&path, "a partition needs a name of at most 36 letters");
            }
            names.push(&partition.name);
        }
        let mut accounts: Vec<&str> = Vec::new();
        for (index, user) in data.users.iter().enumerate() {
            if user.name.is_empty() {
                self.error(&format!("users.{index}"), "the account has no name");
            } else if accounts.contains(&user.name.as_str()) {
                self.error(
                    &format!("users.{index}.name"),
                    format!("the account {} stands here twice", user.name),
                );
            }
            accounts.push(&user.name);
        }
    }

    fn operator(&mut self, data: &UserData) {
        let Some(operator) = &data.edge.operator else { return };
        if operator.password.is_some() && operator.password_hash.is_some() {
            self.error("edge.operator", "password and passwordHash exclude each other");
        }
        if operator.password.as_ref().is_some_and(|password| password.reveal().is_empty()) {
            self.error("edge.operator.password", "an empty password would open the account to everybody");
        }
        if operator.password.is_none() && operator.password_hash.is_none() && operator.ssh_keys.is_empty() {
            self.warning(
                "edge.operator",
                "without a password and SSH keys nobody can log in with this account",
            );
        }
    }

    fn management(&mut self, data: &UserData) {
        let edge = &data.edge;
        let old = edge.installation_mode.map(|mode| match mode {
            InstallationMode::Airgap => ManagementMode::Local,
            InstallationMode::Connected => ManagementMode::Central,
        });
        if let (Some(old), Some(new)) = (old, edge.management_mode)
            && old != new
        {
            self.error("edge.installationMode", "this contradicts managementMode");
        }
        if edge.management_mode.or(old) == Some(ManagementMode::Local) {
            for (given, key) in [
                (edge.site.palette_endpoint.is_some(), "paletteEndpoint"),
                (edge.site.edge_host_token.is_some(), "edgeHostToken"),
            ] {
                if given {
                    self.warning(&format!("edge.site.{key}"), "not used: managementMode is local");
                }
            }
        }
    }

    fn stages(&mut self, data: &UserData) {
        let mut sample = None;
        for (stage, steps) in &data.stages {
            let path = format!("stages.{stage}");
            let whole = STAGES.contains(&stage.as_str()) || STAGES_NOT_YET.contains(&stage.as_str());
            let neighbour = stage.strip_suffix(".before").or_else(|| stage.strip_suffix(".after"));
            let base = neighbour.filter(|_| !whole).unwrap_or(stage);
            let of_plug_in = stage.starts_with("provider-kairos.bootstrap.");
            if STAGES_NOT_YET.contains(&base) {
                let problem = Problem::note(self.at(&path), &path, "accepted, not yet acted on");
                self.problems.push(problem);
            } else if !STAGES.contains(&base) && !of_plug_in {
                let mut problem =
                    Problem::warning(self.at(&path), &path, "nothing runs a stage of this name");
                if let Some(near) = nearest(base, STAGES.iter().copied()) {
                    problem = problem.help(format!("did you mean `{near}`?"));
                }
                self.problems.push(problem);
            }
            for (index, step) in steps.iter().enumerate() {
                let path = format!("{path}.{index}");
                for (key, text) in stages::templates(step) {
                    if let Err(error) = template::render(text, sample.get_or_insert_with(sample_values)) {
                        let what = if key == "if" { "does not hold" } else { "is taken as it stands" };
                        self.warning(&format!("{path}.{key}"), format!("the template {what}: {error}"));
                    }
                }
                if !step.dns.as_ref().is_none_or(|dns| dns.options.is_empty() || dns.path.is_some()) {
                    self.warning(
                        &format!("{path}.dns.options"),
                        "the resolver service has no options: they need `path`",
                    );
                }
                for file in step.files.iter().filter(|file| file.path.is_empty()) {
                    let _ = file;
                    self.error(&format!("{path}.files"), "a file has no path");
                }
                for download in step
                    .downloads
                    .iter()
                    .filter(|download| download.url.is_empty() || download.path.is_empty())
                {
                    let _ = download;
                    self.error(&format!("{path}.downloads"), "a download needs url and path");
                }
            }
        }
    }

    fn certificates(&mut self, data: &UserData, now: u64) {
        for (index, certificate) in data.edge.site.ca_certs.iter().enumerate() {
            let ends = format::certificate_ends(certificate).unwrap_or_default();
            if ends.iter().any(|end| *end < now) {
                self.error(&format!("edge.site.caCerts.{index}"), "the certificate has expired");
            }
        }
    }
}
