//! Addresses of the host, for people.

use edge_model::api::InterfaceAddress;
use nix::ifaddrs::getifaddrs;

/// Global addresses of all interfaces.
pub fn addresses() -> Vec<InterfaceAddress> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    all.filter(|entry| entry.interface_name != "lo")
        .filter_map(|entry| {
            let storage = entry.address?;
            let address = match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
                (Some(v4), _) => v4.ip().to_string(),
                // Link-local addresses tell a person nothing.
                (_, Some(v6)) if v6.ip().segments()[0] & 0xffc0 != 0xfe80 => v6.ip().to_string(),
                _ => return None,
            };
            Some(InterfaceAddress { interface: entry.interface_name, address })
        })
        .collect()
}
