//! The way out of this host, link by link: cable, address, gateway, name server, time, proxy. The first that fails is where
//! somebody has to look.

use edge_client::Client;
use edge_model::Result;
use edge_model::api::host::SiteSettings;
use edge_model::api::network::{InterfaceKind, InterfaceView};

use crate::action::Link;
use crate::strings::network_check as words;

/// Asks one after the other; what cannot be asked about is left out.
///
/// # Errors
/// When the agent cannot be asked at all.
pub(super) fn check(client: &Client) -> Result<Vec<Link>> {
    let interfaces = client.interfaces()?;
    let mut links = vec![cable(&interfaces), address(&interfaces)];
    links.push(match interfaces.iter().find_map(|interface| interface.gateway.clone()) {
        None => Link::bad(words::GATEWAY, words::NO_GATEWAY),
        Some(gateway) => match client.ping_endpoint(&gateway) {
            Ok(ping) if ping.received > 0 => Link::good(words::GATEWAY, words::answers(&gateway)),
            Ok(_) => Link::bad(words::GATEWAY, words::silent(&gateway)),
            Err(error) => Link::bad(words::GATEWAY, error.to_string()),
        },
    });
    let settings = client.site_settings()?;
    if let Some(name) = name_to_ask_for(&settings) {
        links.push(match client.resolve_name(&name) {
            Ok(found) => Link::good(words::NAME_SERVER, words::known(&name, &found.addresses.join(", "))),
            Err(error) => Link::bad(words::NAME_SERVER, error.to_string()),
        });
    }
    links.push(match client.time_offset() {
        Ok(time) if time.synchronized => Link::good(words::TIME, words::TIME_SET),
        Ok(_) => Link::bad(words::TIME, words::TIME_NOT_SET),
        Err(error) => Link::bad(words::TIME, error.to_string()),
    });
    for proxy in settings.https_proxy.iter().chain(&settings.http_proxy).take(1) {
        let endpoint = endpoint_of(proxy);
        links.push(match client.connect_endpoint(&endpoint) {
            Ok(_) => Link::good(words::PROXY, words::answers(&endpoint)),
            Err(error) => Link::bad(words::PROXY, error.to_string()),
        });
    }
    Ok(links)
}

fn cable(interfaces: &[InterfaceView]) -> Link {
    let plugs = interfaces.iter().filter(|interface| interface.kind == InterfaceKind::Physical);
    let with_cable: Vec<&str> = plugs.filter(|plug| plug.carrier).map(|plug| plug.name.as_str()).collect();
    if with_cable.is_empty() {
        Link::bad(words::CABLE, words::NO_CABLE)
    } else {
        Link::good(words::CABLE, with_cable.join(", "))
    }
}

fn address(interfaces: &[InterfaceView]) -> Link {
    let addresses = interfaces.iter().flat_map(|interface| &interface.addresses);
    let usable: Vec<&str> = addresses
        .map(String::as_str)
        .filter(|address| !address.starts_with("fe80") && !address.starts_with("169.254."))
        .collect();
    if usable.is_empty() {
        Link::bad(words::ADDRESS, words::NO_ADDRESS)
    } else {
        Link::good(words::ADDRESS, usable.join(", "))
    }
}

/// `HOST:PORT` of a proxy's URL.
fn endpoint_of(proxy: &str) -> String {
    let (scheme, rest) = proxy.split_once("://").unwrap_or(("http", proxy));
    let host = rest.rsplit('@').next().unwrap_or_default().split('/').next().unwrap_or_default();
    let has_port =
        host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok() && !host.ends_with(']'));
    let port = if scheme == "https" { 443 } else { 80 };
    if has_port { host.to_owned() } else { format!("{host}:{port}") }
}

/// A name that this host needs anyhow: nobody outside hears of more than that.
fn name_to_ask_for(settings: &SiteSettings) -> Option<String> {
    let servers = settings.ntp_servers.iter().flatten().cloned();
    let proxies = [&settings.https_proxy, &settings.http_proxy].into_iter().flatten();
    let hosts = proxies.filter_map(|proxy| Some(endpoint_of(proxy).rsplit_once(':')?.0.to_owned()));
    servers.chain(hosts).find(|name| name.parse::<std::net::IpAddr>().is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_host_needs_are_asked_for() {
        let settings = |ntp: &[&str], proxy: Option<&str>| SiteSettings {
            ntp_servers: Some(ntp.iter().map(|name| (*name).to_owned()).collect()),
            http_proxy: proxy.map(str::to_owned),
            ..SiteSettings::default()
        };
        assert_eq!(
            name_to_ask_for(&settings(&["192.0.2.1", "ntp.example"], None)).as_deref(),
            Some("ntp.example")
        );
        let proxy = Some("http://u:p@proxy.example:3128");
        assert_eq!(name_to_ask_for(&settings(&["192.0.2.1"], proxy)).as_deref(), Some("proxy.example"));
        assert_eq!(name_to_ask_for(&settings(&[], None)), None);
    }

    #[test]
    fn a_proxy_has_a_port_also_when_nobody_writes_it() {
        for (proxy, endpoint) in [
            ("http://u:p@proxy.example:3128/", "proxy.example:3128"),
            ("http://proxy.example", "proxy.example:80"),
            ("https://proxy.example", "proxy.example:443"),
            ("http://[2001:db8::1]", "[2001:db8::1]:80"),
            ("http://[2001:db8::1]:3128", "[2001:db8::1]:3128"),
        ] {
            assert_eq!(endpoint_of(proxy), endpoint);
        }
    }

    #[test]
    fn a_link_local_address_is_none() {
        let interface = |address: &str| InterfaceView {
            name: "enp1s0".into(),
            kind: InterfaceKind::Physical,
            mac: String::new(),
            carrier: true,
            addresses: vec![address.into()],
            gateway: None,
            configured: None,
        };
        assert!(!address(&[interface("169.254.3.4/16")]).is_good);
        assert!(address(&[interface("192.0.2.17/24")]).is_good);
        assert!(cable(&[interface("192.0.2.17/24")]).is_good && !cable(&[]).is_good);
    }
}
