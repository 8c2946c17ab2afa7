//! The way out of this host, link by link: cable, address, gateway, name server, time, proxy, registries.

use edge_host::network;
use edge_model::api::diagnostics::{LinkKind, NetworkLink, WebAddress};
use edge_model::api::network::{InterfaceKind, InterfaceView};
use edge_model::user_data::edge::{Site, SiteNetwork};
use edge_model::{Error, Result};
use edge_planner::ways_out;

use super::{connectivity, time, web};

/// Asks one after the other; what this host does not need is left out.
///
/// # Errors
/// When the kernel does not tell of its interfaces.
pub(crate) fn check(site: &Site, registries: &[String]) -> Result<Vec<NetworkLink>> {
    let interfaces = network::interfaces()?;
    let mut links = vec![cable(&interfaces), address(&interfaces), gateway(&interfaces)];
    if let Some(name) = ways_out::name_to_look_up(site, registries) {
        links.push(name_server(&name));
    }
    links.push(clock());
    if let Some(endpoint) = ways_out::proxy(&site.network) {
        links.push(proxy(&endpoint));
    }
    links.extend(registries.iter().map(|domain| registry(domain, &site.network)));
    Ok(links)
}

fn cable(interfaces: &[InterfaceView]) -> NetworkLink {
    let plugs = interfaces.iter().filter(|interface| interface.kind == InterfaceKind::Physical);
    let with_cable: Vec<&str> = plugs.filter(|plug| plug.carrier).map(|plug| plug.name.as_str()).collect();
    if with_cable.is_empty() {
        NetworkLink::bad(LinkKind::Cable, "no cable is plugged in, or nothing answers at its other end")
    } else {
        NetworkLink::good(LinkKind::Cable, with_cable.join(", "))
    }
}

fn address(interfaces: &[InterfaceView]) -> NetworkLink {
    let addresses = interfaces.iter().flat_map(|interface| &interface.addresses);
    let usable: Vec<&str> = addresses
        .map(String::as_str)
        .filter(|address| !address.starts_with("fe80") && !address.starts_with("169.254."))
        .collect();
    if usable.is_empty() {
        NetworkLink::bad(LinkKind::Address, "none: nobody has given one (DHCP), and none is set")
    } else {
        NetworkLink::good(LinkKind::Address, usable.join(", "))
    }
}

fn gateway(interfaces: &[InterfaceView]) -> NetworkLink {
    let what = LinkKind::Gateway;
    let Some(gateway) = interfaces.iter().find_map(|interface| interface.gateway.clone()) else {
        return NetworkLink::bad(what, "none is known");
    };
    match gateway.parse().and_then(|endpoint| connectivity::ping(&endpoint)) {
        Ok(ping) if ping.received > 0 => NetworkLink::good(what, answers(&gateway)),
        Ok(_) => NetworkLink::bad(what, format!("{gateway} does not answer")),
        Err(error) => NetworkLink::bad(what, error.to_string()),
    }
}

fn name_server(name: &str) -> NetworkLink {
    match name.parse().and_then(|endpoint| connectivity::resolve(&endpoint)) {
        Ok(found) => {
            NetworkLink::good(LinkKind::NameServer, format!("{name} is {}", found.addresses.join(", ")))
        }
        Err(error) => NetworkLink::bad(LinkKind::NameServer, error.to_string()),
    }
}

fn clock() -> NetworkLink {
    if time::time_offset().synchronized {
        NetworkLink::good(LinkKind::Time, "set by a time server")
    } else {
        NetworkLink::bad(LinkKind::Time, "no time server has answered yet")
    }
}

fn proxy(endpoint: &str) -> NetworkLink {
    match endpoint.parse().and_then(|endpoint| connectivity::connect(&endpoint)) {
        Ok(_) => NetworkLink::good(LinkKind::Proxy, answers(endpoint)),
        Err(error) => NetworkLink::bad(LinkKind::Proxy, error.to_string()),
    }
}

/// Any answer will do: most registries ask for a login first. One without TLS is asked a second time.
/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#endpoints>
fn registry(domain: &str, network: &SiteNetwork) -> NetworkLink {
    let ask = |scheme: &str| {
        let address: WebAddress = format!("{scheme}://{domain}/v2/").parse()?;
        let check = web::fetch(&address, network)?;
        match (check.status, check.error) {
            (Some(status), _) => Ok(status),
            (None, error) => Err(Error::environment(error.unwrap_or_default())),
        }
    };
    match ask("https").or_else(|error| ask("http").map_err(|_| error)) {
        Ok(status) if status < 500 => NetworkLink::good(LinkKind::Registry, answers(domain)),
        Ok(status) => {
            NetworkLink::bad(LinkKind::Registry, format!("{domain} answers with HTTP status {status}"))
        }
        Err(error) => NetworkLink::bad(LinkKind::Registry, format!("{domain}: {error}")),
    }
}

fn answers(endpoint: &str) -> String {
    format!("{endpoint} answers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

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

    #[test]
    fn a_registry_that_wants_a_login_or_no_tls_is_there() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let domain = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let link = registry(&domain, &SiteNetwork::default());
        assert!(link.is_good, "{}", link.said);
        let link = registry(&domain, &SiteNetwork::default());
        assert!(!link.is_good && link.said.contains(&domain), "{}", link.said);
    }
}
