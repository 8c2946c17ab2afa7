//! A request to a web address, by the same client and the same proxies that images and documents are fetched with.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use edge_model::api::diagnostics::{HttpCheck, WebAddress, describe_certificate};
use edge_model::error::chain;
use edge_model::user_data::edge::SiteNetwork;
use edge_model::{Context, Error, Result};
use edge_planner::proxy::without_user;
use reqwest::tls::TlsInfo;
use reqwest::{Client, Proxy, redirect};
use tokio::runtime::Builder;

use super::milliseconds;
use crate::outbound;

const CONNECT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(20);

/// Asks a web address and reads no more than the head of the answer. That there is no answer is an outcome.
///
/// # Errors
/// [`edge_model::Class::Internal`] when no request can be made at all.
pub(crate) fn fetch(address: &WebAddress, network: &SiteNetwork) -> Result<HttpCheck> {
    let runtime =
        Builder::new_current_thread().enable_all().build().context("cannot start the network runtime")?;
    let asked: Arc<Mutex<Option<String>>> = Arc::default();
    let client = client(network, &asked)
        .map_err(|error| Error::internal(chain(&error)).context("cannot prepare a web request"))?;
    let began = Instant::now();
    let answer = runtime.block_on(async { client.get(address.as_str()).send().await });
    let through_proxy = asked.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut check = HttpCheck { milliseconds: milliseconds(began), through_proxy, ..HttpCheck::default() };
    match answer {
        Ok(answer) => {
            check.status = Some(answer.status().as_u16());
            let certificate = answer.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
            check.tls = certificate.and_then(describe_certificate);
        }
        Err(error) => check.error = Some(explain(&chain(&error), check.through_proxy.is_some())),
    }
    Ok(check)
}

/// `asked` is told which proxy was chosen.
fn client(network: &SiteNetwork, asked: &Arc<Mutex<Option<String>>>) -> reqwest::Result<Client> {
    let (network, asked) = (network.clone(), asked.clone());
    let proxy = Proxy::custom(move |url| {
        let proxy = outbound::proxy(&network, url)?;
        *asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(without_user(&proxy));
        Some(proxy)
    });
    let builder = Client::builder()
        .user_agent(outbound::USER_AGENT)
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT)
        .tls_info(true);
    // Where it would lead is the answer, and not a second question.
    builder.redirect(redirect::Policy::none()).no_proxy().proxy(proxy).build()
}

/// What a failure means, in words that can be read over the phone; then what the client said.
fn explain(chain: &str, through_proxy: bool) -> String {
    let lower = chain.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let meaning = if has(&["unknownissuer", "unknown issuer", "self-signed", "self signed"]) {
        "its certificate is signed by nobody that this host trusts: a proxy opens TLS, or a certificate of the site is missing"
    } else if has(&["notvalidyet", "not valid yet"]) {
        "its certificate is not valid yet: is the host's clock right?"
    } else if has(&["expired"]) {
        "its certificate has expired, or the host's clock is wrong"
    } else if has(&["notvalidforname", "not valid for name"]) {
        "its certificate is for another name"
    } else if has(&["certificate", "tls", "handshake", "corrupt message", "fatal alert"]) {
        "no encrypted connection was agreed on"
    } else if has(&["dns", "resolve", "lookup"]) {
        "the name is not known"
    } else if has(&["connection refused"]) {
        "nothing listens there"
    } else if has(&["timed out", "deadline"]) {
        "no answer in time"
    } else if has(&["tunnel", "proxy"]) {
        "the proxy refused"
    } else {
        "no answer"
    };
    let proxy = if through_proxy { " (through the proxy)" } else { "" };
    let said: String = chain.chars().take(500).collect();
    format!("{meaning}{proxy}: {said}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Answers one request; gives back its first line.
    fn answer_once(answer: &'static [u8]) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).lines().next().unwrap_or_default().to_owned()
        });
        (address, serving)
    }

    fn prepare() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }

    #[test]
    fn an_answer_is_its_status_and_a_redirection_is_not_followed() {
        prepare();
        let (address, serving) =
            answer_once(b"HTTP/1.1 302 Found\r\nLocation: http://other.example/\r\n\r\n");
        let url: WebAddress = format!("http://{address}/x").parse().unwrap();
        let check = fetch(&url, &SiteNetwork::default()).unwrap();
        assert_eq!((check.status, check.through_proxy), (Some(302), None));
        assert_eq!(serving.join().unwrap(), "GET /x HTTP/1.1");
    }

    #[test]
    fn the_configured_proxy_is_asked_and_its_password_not_shown() {
        prepare();
        let (address, serving) = answer_once(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
        let network =
            SiteNetwork { http_proxy: Some(format!("http://user:pass@{address}")), ..SiteNetwork::default() };
        let check = fetch(&"http://registry.example/".parse().unwrap(), &network).unwrap();
        assert_eq!(check.status, Some(407));
        assert_eq!(check.through_proxy, Some(format!("http://{address}")));
        assert_eq!(serving.join().unwrap(), "GET http://registry.example/ HTTP/1.1");
    }

    #[test]
    fn failures_are_said_plainly() {
        prepare();
        let (address, serving) = answer_once(b"this is not TLS at all\r\n\r\n");
        let check = fetch(&format!("https://{address}/").parse().unwrap(), &SiteNetwork::default()).unwrap();
        let error = check.error.unwrap();
        assert!(error.starts_with("no encrypted connection was agreed on"), "{error}");
        drop(serving.join());
        let cases = [
            ("invalid peer certificate: UnknownIssuer", "signed by nobody"),
            ("invalid peer certificate: certificate expired: verified at time", "has expired"),
            ("invalid peer certificate: certificate not valid yet", "clock right?"),
            ("certificate not valid for name \"a\"; certificate is only valid for b", "another name"),
            ("dns error: no record found", "not known"),
            ("tcp connect error: Connection refused (os error 111)", "nothing listens"),
            ("operation timed out", "in time"),
        ];
        for (chain, expected) in cases {
            assert!(explain(chain, false).contains(expected), "{chain}");
        }
    }

    proptest! {
        #[test]
        fn no_failure_panics(chain in ".{0,600}") {
            let _ = explain(&chain, true);
        }
    }
}
