//! The client below everything: which way it goes, whom it trusts, where it lets itself be sent, and how long it waits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use edge_model::error::chain;
use edge_model::registry::Trouble;
use edge_model::{Error, Result};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Proxy, Url};

/// A registry sends to a storage, and that perhaps to a cache.
const MOST_REDIRECTS: usize = 5;

/// How long a registry may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub connect: Duration,
    /// Without a byte.
    pub silence: Duration,
    /// In each `window` at least `least` bytes must come.
    pub window: Duration,
    pub least: u64,
    /// Before a broken download is tried again; doubled each time.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            window: Duration::from_secs(60),
            least: 64 << 10,
            pause: Duration::from_secs(1),
        }
    }
}

type Choose = dyn Fn(&Url) -> Option<String> + Send + Sync;

/// Says the proxy for an address; none when it is reached directly.
#[derive(Clone)]
pub struct ProxyChoice(pub Arc<Choose>);

impl fmt::Debug for ProxyChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's address may hold a password.
        f.write_str("ProxyChoice")
    }
}

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// As which program.
    pub user_agent: String,
    pub plain_http: bool,
    /// In PEM form, trusted beside the usual ones.
    pub certificates: Vec<String>,
    /// None: what the environment says.
    pub proxy: Option<ProxyChoice>,
    /// What a person does about a login that is missing or refused; none for people who can log in.
    pub login_help: Option<&'static str>,
    pub patience: Patience,
}

/// # Errors
/// [`edge_model::Class::InvalidInput`] for a certificate that cannot be used.
pub(crate) fn client(options: &Options) -> Result<Client> {
    let plain_http = options.plain_http;
    let policy = Policy::custom(move |attempt| {
        if attempt.previous().len() > MOST_REDIRECTS {
            attempt.error("the registry redirects without end")
        } else if attempt.url().scheme() != "https" && !plain_http {
            attempt.error("the registry redirects to an address without TLS")
        } else {
            attempt.follow()
        }
    });
    let mut builder = Client::builder()
        .user_agent(&options.user_agent)
        .redirect(policy)
        .connect_timeout(options.patience.connect)
        .read_timeout(options.patience.silence);
    if let Some(ProxyChoice(choose)) = options.proxy.clone() {
        builder = builder.no_proxy().proxy(Proxy::custom(move |url| choose(url)));
    }
    let certificates = options.certificates.iter().map(|pem| Certificate::from_pem(pem.as_bytes()));
    let certificates = certificates
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::invalid(format!("a certificate cannot be used: {error}")))?;
    builder.tls_certs_merge(certificates).build().map_err(|error| {
        Error::environment(format!("cannot prepare for talking to a registry: {}", chain(&error)))
    })
}

/// Why there is no answer, for a person.
pub(crate) fn unreachable(error: &reqwest::Error) -> Error {
    Trouble::silence(error).error()
}
