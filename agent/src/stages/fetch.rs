//! Fetching over HTTP: certificates are checked, each attempt has a time limit, and there are a few attempts.

use std::thread::sleep;
use std::time::Duration;

use edge_model::error::chain;
use edge_model::user_data::edge::SiteNetwork;
use edge_model::{Context, Error, Result};
use tokio::runtime::Builder;

use crate::outbound;

const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(15);
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer, in bytes.
const LIMIT: u64 = 256 << 20;

/// Fetches a whole answer.
///
/// # Errors
/// When no attempt succeeds within its time, or the answer is too large.
pub(crate) fn get(url: &str, timeout: Duration, network: &SiteNetwork) -> Result<Vec<u8>> {
    let mut last = Error::internal("nothing was tried");
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            sleep(PAUSE * attempt);
        }
        match once(url, timeout, network) {
            Ok(bytes) => return Ok(bytes),
            Err(error) => last = error,
        }
    }
    Err(last.context(format!("cannot fetch {url} in {ATTEMPTS} attempts")))
}

fn once(url: &str, timeout: Duration, network: &SiteNetwork) -> Result<Vec<u8>> {
    let failed = |error: reqwest::Error| Error::environment(chain(&error));
    let runtime =
        Builder::new_current_thread().enable_all().build().context("cannot start the network runtime")?;
    runtime.block_on(async {
        let network = network.clone();
        let client = reqwest::Client::builder()
            .user_agent(outbound::USER_AGENT)
            .timeout(timeout)
            .connect_timeout(CONNECT)
            .no_proxy()
            .proxy(reqwest::Proxy::custom(move |url| outbound::proxy(&network, url)))
            .build()
            .map_err(failed)?;
        let mut answer =
            client.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
        let mut bytes = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if (bytes.len() + part.len()) as u64 > LIMIT {
                return Err(Error::invalid(format!("the answer is larger than {LIMIT} bytes")));
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    })
}

/// Public SSH keys: as they stand, of a user of GitHub or GitLab, or behind a URL.
///
/// # Errors
/// When keys have to be fetched and cannot.
pub(super) fn ssh_keys(sources: &[String], network: &SiteNetwork) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    for source in sources {
        let url = match source.split_once(':') {
            Some(("github", user)) => format!("https://github.com/{user}.keys"),
            Some(("gitlab", user)) => format!("https://gitlab.com/{user}.keys"),
            Some(("http" | "https", _)) => source.clone(),
            _ => {
                keys.push(source.clone());
                continue;
            }
        };
        let text = String::from_utf8(get(&url, TIMEOUT, network)?)
            .map_err(|_| Error::invalid(format!("{url} does not answer with text")))?;
        let is_key = |line: &&str| edge_model::document::format::check("ssh-key", line).is_ok();
        keys.extend(text.lines().filter(is_key).map(str::to_owned));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn stages_take_the_proxies_of_the_site() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            String::from_utf8_lossy(&buffer[..length]).lines().next().unwrap_or_default().to_owned()
        });
        let network = SiteNetwork { http_proxy: Some(proxy), ..SiteNetwork::default() };
        assert_eq!(get("http://files.example/a", TIMEOUT, &network).unwrap(), b"ok");
        assert_eq!(serving.join().unwrap(), "GET http://files.example/a HTTP/1.1");
    }
}
