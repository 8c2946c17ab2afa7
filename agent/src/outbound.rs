//! How everything on this host reaches others: images, documents, what stages fetch, SSH keys, and the diagnosis of all that.

use std::sync::Arc;

use edge_model::user_data::edge::SiteNetwork;
use edge_planner::proxy::proxy_for;
use edge_registry::ProxyChoice;
use reqwest::Url;

pub(crate) const USER_AGENT: &str = concat!("edge-agent/", env!("CARGO_PKG_VERSION"));

/// The proxies of the site, as they are configured now: the agent's own environment is that of its start.
pub(crate) fn proxies(network: &SiteNetwork) -> ProxyChoice {
    let network = network.clone();
    ProxyChoice(Arc::new(move |url| proxy(&network, url)))
}

pub(crate) fn proxy(network: &SiteNetwork, url: &Url) -> Option<String> {
    proxy_for(network, url.scheme() == "https", url.host_str().unwrap_or_default())
}
