//! The client for programs that speak for many people at once: each call says for whom.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_model::api::access::{BROWSER_HEADER, BY_ITSELF_HEADER};
use edge_model::api::routes::{Route, RouteId};
use edge_model::{Context, Error, Result};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use serde::de::DeserializeOwned;

use crate::{Call, collect, exchange, route, send};

/// Whom a call speaks for.
#[derive(Clone, Default)]
pub struct Speaker {
    pub token: Option<String>,
    /// Where the browser is.
    pub browser: Option<IpAddr>,
    /// A page asks, and nobody has clicked.
    pub by_itself: bool,
}

/// The token stays hidden.
impl std::fmt::Debug for Speaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Speaker({:?})", self.browser)
    }
}

/// The agent answers these from its memory.
const SOON: Duration = Duration::from_secs(10);
/// Longer than any of its own answers takes.
const AT_LAST: Duration = Duration::from_secs(100);

fn silent(socket: &Path) -> Error {
    Error::environment(format!("cannot reach the agent at {}: it does not answer", socket.display()))
        .help("systemctl status edge-agent")
}

/// A client of the agent behind a socket.
#[derive(Debug, Clone)]
pub struct AsyncClient {
    socket: PathBuf,
}

impl AsyncClient {
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// # Errors
    /// What the agent answers, or [`edge_model::Class::Environment`] when it cannot be reached.
    pub async fn call<T: DeserializeOwned>(&self, speaker: &Speaker, id: RouteId, call: Call) -> Result<T> {
        let whole = async { collect(self.open(speaker, id, call).await?).await };
        let answer = tokio::time::timeout(AT_LAST, whole).await.map_err(|_| silent(&self.socket))??;
        serde_json::from_slice(&answer).context("the agent's answer cannot be read")
    }

    /// A call whose answer has no content.
    ///
    /// # Errors
    /// As [`AsyncClient::call`].
    pub async fn tell(&self, speaker: &Speaker, id: RouteId, call: Call) -> Result<()> {
        self.open(speaker, id, call).await.map(drop)
    }

    /// A call whose answer is read by whoever called, piece by piece.
    ///
    /// # Errors
    /// As [`AsyncClient::call`].
    pub async fn open(&self, speaker: &Speaker, id: RouteId, mut call: Call) -> Result<Response<Incoming>> {
        if let Some(address) = speaker.browser {
            call = call.header(BROWSER_HEADER, address.to_string());
        }
        if speaker.by_itself {
            call = call.header(BY_ITSELF_HEADER, "yes".to_owned());
        }
        let within = match id {
            RouteId::Status | RouteId::Ping => SOON,
            _ => AT_LAST,
        };
        let sent = send(&self.socket, speaker.token.clone(), route(id)?, &call);
        tokio::time::timeout(within, sent).await.map_err(|_| silent(&self.socket))?
    }

    /// Somebody else's call as it came; what the agent answers is not looked at.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when it cannot be reached.
    pub async fn forward(
        &self,
        speaker: &Speaker,
        route: &Route,
        target: &str,
        mut headers: Vec<(&'static str, String)>,
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        if let Some(address) = speaker.browser {
            headers.push((BROWSER_HEADER, address.to_string()));
        }
        let sent = exchange(&self.socket, speaker.token.clone(), route.method.name(), target, &headers, body);
        tokio::time::timeout(AT_LAST, sent).await.map_err(|_| silent(&self.socket))?
    }
}
