//! Interfaces of the unattended file as systemd-networkd units.

use edge_model::unattended::Interface;

/// File names and contents, in order of precedence.
pub fn units(interfaces: &[Interface]) -> Vec<(String, String)> {
    let unit =
        |(index, interface): (usize, &Interface)| (format!("20-edge-{index:02}.network"), render(interface));
    interfaces.iter().enumerate().map(unit).collect()
}

fn render(interface: &Interface) -> String {
    let mut text = format!("[Match]\nName={}\n\n[Network]\n", interface.name);
    if interface.addresses.is_empty() {
        text.push_str("DHCP=yes\n");
    }
    for address in &interface.addresses {
        text.push_str(&format!("Address={address}\n"));
    }
    if let Some(gateway) = interface.gateway {
        text.push_str(&format!("Gateway={gateway}\n"));
    }
    for server in &interface.dns {
        text.push_str(&format!("DNS={server}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_and_dynamic_interfaces_are_rendered() {
        let fixed = Interface {
            name: "enp1s0".into(),
            addresses: vec!["10.0.0.5/24".into()],
            gateway: "10.0.0.1".parse().ok(),
            dns: vec!["10.0.0.2".parse().unwrap()],
        };
        let dynamic = Interface { name: "en*".into(), addresses: Vec::new(), gateway: None, dns: Vec::new() };
        let units = units(&[fixed, dynamic]);
        assert_eq!(
            units[0].1,
            "[Match]\nName=enp1s0\n\n[Network]\nAddress=10.0.0.5/24\nGateway=10.0.0.1\nDNS=10.0.0.2\n"
        );
        assert_eq!(
            units[1],
            ("20-edge-01.network".into(), "[Match]\nName=en*\n\n[Network]\nDHCP=yes\n".into())
        );
    }
}
