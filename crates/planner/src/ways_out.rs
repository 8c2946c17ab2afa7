//! Whom a test of the network asks: nobody but those that this host needs anyhow. Nobody outside hears of more than that.

use edge_model::user_data::edge::{EdgeSection, Site, SiteNetwork};

use crate::proxy::without_user;

/// `HOST:PORT` of the proxy that is used for most, if there is one.
pub fn proxy(network: &SiteNetwork) -> Option<String> {
    let proxy = network.https_proxy.as_deref().or(network.http_proxy.as_deref());
    proxy.filter(|proxy| !proxy.is_empty()).map(endpoint_of)
}

/// A name that has to be known.
pub fn name_to_look_up(site: &Site, registries: &[String]) -> Option<String> {
    let servers = site.ntp_servers.iter().cloned();
    let host = |endpoint: &str| {
        let (host, port) = endpoint.rsplit_once(':').unwrap_or((endpoint, ""));
        if port.parse::<u16>().is_ok() { host.to_owned() } else { endpoint.to_owned() }
    };
    // Behind a proxy, the proxy looks the names of registries up.
    let proxy = proxy(&site.network);
    let direct = if proxy.is_some() { &[][..] } else { registries };
    let hosts = proxy.iter().chain(direct).map(|endpoint| host(endpoint));
    let is_name = |name: &String| name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err();
    servers.chain(hosts).find(is_name)
}

/// `HOST` or `HOST:PORT` of each registry, without those that stand twice. `used` is the one that the last image came from.
pub fn registries(edge: &EdgeSection, used: Option<&str>) -> Vec<String> {
    let told = edge.registry_credentials.iter().map(|registry| registry.domain.as_str());
    let external = edge.external_registries.iter().flat_map(|external| &external.registries);
    let mut found: Vec<String> = Vec::new();
    for registry in told.chain(external.map(|registry| registry.domain.as_str())).chain(used) {
        let registry = registry.split_once("://").map_or(registry, |(_, rest)| rest);
        let domain = registry.split('/').next().unwrap_or_default();
        if !domain.is_empty() && !found.iter().any(|known| known == domain) {
            found.push(domain.to_owned());
        }
    }
    found
}

/// `HOST:PORT` of a proxy's URL.
fn endpoint_of(proxy: &str) -> String {
    let without_user = without_user(proxy);
    let (scheme, rest) = without_user.split_once("://").unwrap_or(("http", &without_user));
    let host = rest.split('/').next().unwrap_or_default();
    let has_port =
        host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok() && !host.ends_with(']'));
    let port = if scheme == "https" { 443 } else { 80 };
    if has_port { host.to_owned() } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::user_data::edge::{ExternalRegistries, ExternalRegistry, RegistryCredentials};
    use proptest::prelude::*;

    #[test]
    fn only_names_that_the_host_needs_are_asked_for() {
        let site = |ntp: &[&str], proxy: Option<&str>| Site {
            ntp_servers: ntp.iter().map(|name| (*name).to_owned()).collect(),
            network: SiteNetwork { http_proxy: proxy.map(str::to_owned), ..SiteNetwork::default() },
            ..Site::default()
        };
        let registry = ["registry.example:5000".to_owned()];
        let asked = |site: &Site| name_to_look_up(site, &registry);
        assert_eq!(asked(&site(&["192.0.2.1", "ntp.example"], None)).as_deref(), Some("ntp.example"));
        let proxy = Some("http://u:p@proxy.example:3128");
        assert_eq!(asked(&site(&["192.0.2.1"], proxy)).as_deref(), Some("proxy.example"));
        assert_eq!(asked(&site(&[], Some("http://192.0.2.3:3128"))), None, "the proxy asks");
        assert_eq!(asked(&site(&[], None)).as_deref(), Some("registry.example"));
        assert_eq!(
            name_to_look_up(&site(&[], None), &["192.0.2.9:5000".into(), "[2001:db8::1]:5000".into()]),
            None
        );
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
    fn registries_are_those_of_the_documents_and_of_the_last_image() {
        let edge = EdgeSection {
            registry_credentials: Some(RegistryCredentials {
                domain: "https://a.example/path".into(),
                ..RegistryCredentials::default()
            }),
            external_registries: Some(ExternalRegistries {
                registries: vec![ExternalRegistry {
                    domain: "b.example:5000".into(),
                    ..ExternalRegistry::default()
                }],
                ..ExternalRegistries::default()
            }),
            ..EdgeSection::default()
        };
        assert_eq!(registries(&edge, Some("b.example:5000")), ["a.example", "b.example:5000"]);
        assert_eq!(registries(&EdgeSection::default(), Some("c.example")), ["c.example"]);
        assert!(registries(&EdgeSection::default(), None).is_empty());
    }

    proptest! {
        #[test]
        fn no_text_panics(proxy in ".{0,60}", used in ".{0,60}") {
            let _ = endpoint_of(&proxy);
            let registries = registries(&EdgeSection::default(), Some(&used));
            let _ = name_to_look_up(&Site::default(), &registries);
        }
    }
}
