//! The form of one interface, for the installer and for a host.

use edge_model::api::network::InterfaceView;
use edge_model::user_data::interface::{Addressing, Interface, Vlan, with_prefix};

use crate::form::{Field, Form};
use crate::strings::network as words;

/// Longest name that the kernel gives an interface.
const LONGEST_NAME: usize = 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkField {
    Addressing,
    Addresses,
    Gateway,
    NameServers,
    Search,
    Mtu,
    Vlan,
    Apply,
}

const ADDRESSINGS: [Addressing; 3] = [Addressing::Dhcp, Addressing::Static, Addressing::None];

/// What a filled-in form says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// The interface itself, or a VLAN on it.
    pub name: String,
    pub interface: Interface,
}

/// A form with what is configured filled in.
pub fn form(given: &Interface, button: &str) -> Form<NetworkField> {
    use NetworkField as Id;
    let addressing = match given.kind {
        Some(kind) if kind.is_dhcp() => Addressing::Dhcp,
        Some(kind) => kind,
        None if given.all_addresses().is_empty() => Addressing::Dhcp,
        None => Addressing::Static,
    };
    let chosen = ADDRESSINGS.iter().position(|kind| *kind == addressing).unwrap_or(0);
    let vlan = given.vlan.as_ref().map_or_else(String::new, |vlan| vlan.id.to_string());
    let mtu = given.mtu.map_or_else(String::new, |mtu| mtu.to_string());
    let mut form = Form::new(vec![
        Field::choice(Id::Addressing, words::ADDRESSING, &words::ADDRESSINGS, chosen)
            .hint(words::ADDRESSING_HINT)
            .fills(&["type"]),
        Field::text(Id::Addresses, words::ADDRESS, given.all_addresses().join(", "))
            .hint(words::ADDRESS_HINT)
            .fills(&["addresses", "ipAddress", "mask"]),
        Field::text(Id::Gateway, words::GATEWAY, given.gateway.clone().unwrap_or_default())
            .hint(words::GATEWAY_HINT)
            .fills(&["gateway"]),
        Field::text(Id::NameServers, words::NAME_SERVERS, given.all_name_servers().join(", "))
            .hint(words::NAME_SERVERS_HINT)
            .fills(&["dns", "nameserver"]),
        Field::text(Id::Search, words::SEARCH, given.search.join(", "))
            .hint(words::SEARCH_HINT)
            .fills(&["search"]),
        Field::text(Id::Mtu, words::MTU, mtu).hint(words::MTU_HINT).fills(&["mtu"]),
        Field::text(Id::Vlan, words::VLAN, vlan).hint(words::VLAN_HINT).fills(&["vlan", "id"]),
        Field::button(Id::Apply, button),
    ]);
    fit(&mut form);
    form
}

/// Shows the fields that the kind of addressing needs.
pub fn fit(form: &mut Form<NetworkField>) {
    let addressing = addressing(form);
    let is_static = addressing == Addressing::Static;
    form.show(NetworkField::Addresses, is_static);
    form.show(NetworkField::Gateway, is_static);
    form.show(NetworkField::NameServers, addressing != Addressing::None);
    form.show(NetworkField::Search, addressing != Addressing::None);
}

fn addressing(form: &Form<NetworkField>) -> Addressing {
    ADDRESSINGS[form.chosen(NetworkField::Addressing).min(ADDRESSINGS.len() - 1)]
}

/// What the form says; none when a field is wrong, which then says so. What the form does not show stays as
/// `before` has it.
pub fn read(form: &mut Form<NetworkField>, name: &str, before: &Interface) -> Option<Filled> {
    use NetworkField as Id;
    form.forgive();
    let mut interface = before.clone();
    let kind = addressing(form);
    interface.kind = Some(kind.or_as_before(before));
    interface.ip_address = None;
    interface.mask = None;
    interface.nameserver = None;
    interface.addresses = match kind {
        Addressing::Static => form.words(Id::Addresses).iter().map(|address| with_prefix(address)).collect(),
        _ => Vec::new(),
    };
    interface.gateway = form.given(Id::Gateway).filter(|_| kind == Addressing::Static);
    interface.dns = form.words(Id::NameServers);
    interface.search = form.words(Id::Search);
    if kind == Addressing::None {
        interface.dns.clear();
        interface.search.clear();
    }
    interface.mtu = number(form, Id::Mtu, words::MTU_WRONG);
    if kind == Addressing::Static && interface.addresses.is_empty() {
        form.complain(Id::Addresses, words::ADDRESS_MISSING);
    }
    let vlan = number(form, Id::Vlan, words::VLAN_WRONG);
    if form.has_errors() {
        return None;
    }
    Some(match (vlan, &before.vlan) {
        // Without its number there is no VLAN: what is left is the plug that carried it.
        (None, Some(vlan)) => {
            Filled { name: vlan.parent.clone(), interface: Interface { vlan: None, ..interface } }
        }
        (None, None) => Filled { name: name.to_owned(), interface: Interface { vlan: None, ..interface } },
        (Some(id), Some(vlan)) => {
            let parent = vlan.parent.clone();
            Filled {
                name: name.to_owned(),
                interface: Interface { vlan: Some(Vlan { id, parent }), ..interface },
            }
        }
        (Some(id), None) => on_vlan(name, id, interface),
    })
}

/// Of the interface itself only the cable is used.
fn on_vlan(parent: &str, id: u16, interface: Interface) -> Filled {
    let name = Some(format!("{parent}.{id}")).filter(|name| name.len() <= LONGEST_NAME);
    let vlan = Some(Vlan { id, parent: parent.to_owned() });
    Filled {
        name: name.unwrap_or_else(|| format!("vlan{id}")),
        interface: Interface { vlan, mac: None, bond: None, bridge: None, ..interface },
    }
}

/// The number in a field; none when it is empty, or wrong, which the field then says.
fn number<N: std::str::FromStr>(
    form: &mut Form<NetworkField>,
    id: NetworkField,
    wrong: &'static str,
) -> Option<N> {
    let text = form.given(id)?;
    let number = text.parse().ok();
    if number.is_none() {
        form.complain(id, wrong);
    }
    number
}

/// All addresses with prefix length, whichever spelling the document has.
/// Whoever makes an address static mostly wants the one that the host has got.
pub fn take_lease(form: &mut Form<NetworkField>, now: &InterfaceView) {
    use NetworkField as Id;
    if addressing(form) != Addressing::Static || !form.text(Id::Addresses).is_empty() {
        return;
    }
    let is_lease = |address: &&String| {
        let plain = address.split('/').next().unwrap_or_default();
        plain.parse::<std::net::Ipv4Addr>().is_ok_and(|address| !address.is_link_local())
    };
    if let Some(address) = now.addresses.iter().find(is_lease) {
        form.set_text(Id::Addresses, address.clone());
        if form.text(Id::Gateway).is_empty() {
            form.set_text(Id::Gateway, now.gateway.clone().unwrap_or_default());
        }
    }
}

/// In one line, what an interface is configured as.
pub fn summary(interface: &Interface) -> String {
    let addresses = interface.all_addresses();
    let text = match interface.kind {
        Some(Addressing::None) => words::ADDRESSINGS[2].to_owned(),
        Some(kind) if kind.is_dhcp() => words::ADDRESSINGS[0].to_owned(),
        None if addresses.is_empty() => words::ADDRESSINGS[0].to_owned(),
        None | Some(_) => addresses.join(", "),
    };
    match &interface.vlan {
        Some(vlan) => words::on_vlan(&text, vlan.id),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Key;

    #[test]
    fn a_form_gives_back_what_was_filled_in() {
        let given = Interface {
            ip_address: Some("192.0.2.17".into()),
            mask: Some("255.255.255.0".into()),
            gateway: Some("192.0.2.1".into()),
            nameserver: Some("192.0.2.53, 192.0.2.54".into()),
            mtu: Some(1400),
            ..Interface::default()
        };
        let mut form = form(&given, "Apply");
        let filled = read(&mut form, "enp1s0", &given).unwrap();
        assert_eq!(filled.name, "enp1s0");
        assert_eq!(filled.interface.addresses, ["192.0.2.17/24"]);
        assert_eq!(filled.interface.dns, ["192.0.2.53", "192.0.2.54"]);
        assert_eq!((filled.interface.mtu, filled.interface.kind), (Some(1400), Some(Addressing::Static)));
    }

    #[test]
    fn a_mask_is_taken_in_both_notations() {
        assert_eq!(with_prefix("192.0.2.17/255.255.255.0"), "192.0.2.17/24");
        assert_eq!(with_prefix("192.0.2.17/24"), "192.0.2.17/24");
        assert_eq!(with_prefix("192.0.2.17/255.0.255.0"), "192.0.2.17/255.0.255.0");
    }

    #[test]
    fn a_static_address_begins_with_the_lease() {
        let now = InterfaceView {
            name: "enp1s0".into(),
            kind: edge_model::api::network::InterfaceKind::Physical,
            mac: String::new(),
            carrier: true,
            addresses: vec!["fe80::1/64".into(), "192.0.2.17/24".into()],
            gateway: Some("192.0.2.1".into()),
            configured: None,
        };
        let mut form = form(&Interface::default(), "Apply");
        take_lease(&mut form, &now);
        assert_eq!(form.text(NetworkField::Addresses), "");
        form.key(Key::Right);
        take_lease(&mut form, &now);
        assert_eq!(form.text(NetworkField::Addresses), "192.0.2.17/24");
        assert_eq!(form.text(NetworkField::Gateway), "192.0.2.1");
    }

    #[test]
    fn a_vlan_becomes_an_interface_of_its_own() {
        let mut form = form(&Interface::default(), "Apply");
        form.focus(NetworkField::Vlan);
        for letter in "42".chars() {
            form.key(Key::Letter(letter));
        }
        let filled = read(&mut form, "enp1s0", &Interface::default()).unwrap();
        assert_eq!(filled.name, "enp1s0.42");
        assert_eq!(filled.interface.vlan, Some(Vlan { id: 42, parent: "enp1s0".into() }));
        form.key(Key::Letter('x'));
        assert_eq!(read(&mut form, "enp1s0", &Interface::default()), None);
    }
}
