//! Which proxy a request goes through, by the settings of the site.

use std::net::IpAddr;

use edge_model::user_data::edge::SiteNetwork;

/// The proxy for a host; `None` when it is reached directly.
pub fn proxy_for(network: &SiteNetwork, https: bool, host: &str) -> Option<String> {
    let proxy = if https { &network.https_proxy } else { &network.http_proxy };
    let proxy = proxy.clone().filter(|proxy| !proxy.is_empty())?;
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let direct = network.no_proxy.as_deref().unwrap_or_default();
    let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let listed = direct.split(',').map(str::trim).any(|entry| names(entry, &host));
    (!is_local && !listed).then_some(proxy)
}

/// Whether an entry of the list names a host: an address, a network, a name with everything below it, or `*`.
fn names(entry: &str, host: &str) -> bool {
    let entry = entry.to_ascii_lowercase();
    if entry.is_empty() {
        return false;
    }
    if entry == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return entry.parse() == Ok(address) || in_network(&entry, address);
    }
    let name = entry.trim_start_matches("*.").trim_start_matches('.');
    host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
}

fn in_network(network: &str, address: IpAddr) -> bool {
    let Some((base, length)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    let (base, address, width): (u128, u128, u32) = match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            (u128::from(base.to_bits()), u128::from(address.to_bits()), 32)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => (base.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    match width.checked_sub(length) {
        // Shifting by the whole width is no shift.
        Some(128) => true,
        Some(rest) => base >> rest == address >> rest,
        None => false,
    }
}

/// A proxy as it may be shown: without user and password.
pub fn without_user(proxy: &str) -> String {
    match proxy.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        None => proxy.rsplit_once('@').map_or(proxy, |(_, host)| host).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(direct: &str) -> SiteNetwork {
        SiteNetwork {
            https_proxy: Some("http://user:pass@proxy.example:3128".into()),
            no_proxy: Some(direct.into()),
            ..SiteNetwork::default()
        }
    }

    #[test]
    fn what_is_listed_is_reached_directly() {
        let list = "shop.example, .ship.example,10.0.0.0/8,fd00::/8,192.0.2.7";
        let direct = |host: &str| proxy_for(&network(list), true, host).is_none();
        for host in ["shop.example", "a.shop.example", "SHIP.example.", "10.1.2.3", "[fd00::5]", "192.0.2.7"]
        {
            assert!(direct(host), "{host}");
        }
        for host in ["workshop.example", "example", "11.0.0.1", "fe00::1", "192.0.2.8"] {
            assert!(!direct(host), "{host}");
        }
        assert!(direct("localhost") && direct("127.0.0.5") && direct("::1"));
        assert_eq!(proxy_for(&network("*"), true, "a.example"), None);
        assert_eq!(proxy_for(&network(""), false, "a.example"), None, "there is no proxy for http");
        let proxy = proxy_for(&network(""), true, "a.example").unwrap();
        assert_eq!(without_user(&proxy), "http://proxy.example:3128");
    }

    proptest! {
        #[test]
        fn no_list_panics(list in "[0-9a-f:./,* ]{0,60}|.{0,40}", host in "[0-9a-f:.]{0,20}|.{0,20}") {
            let _ = proxy_for(&network(&list), true, &host);
        }
    }
}
