//! Typed client of the agent's API on `/run/edge/agent.sock`: HTTP/1.1 over a Unix socket.
//!
//! [`Client`] blocks: surfaces are simple programs, and those that need more run it in a thread. Paths and methods come
//! from the table of routes that the agent serves by.

mod asynchronous;
mod calls;
mod events;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use edge_model::api::routes::{ROUTES, Route, RouteId};
use edge_model::{Context, Error, Result, paths};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

pub use asynchronous::{AsyncClient, Speaker};
pub use calls::LogQuery;
pub use events::EventReader;

/// Largest answer that is read into memory.
const LIMIT: usize = 8 << 20;

/// A client that blocks.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
    token: Mutex<Option<String>>,
}

/// One call: what varies in its path, its query and its body.
#[derive(Debug, Clone, Default)]
pub struct Call {
    segments: Vec<(&'static str, String)>,
    query: Vec<(&'static str, String)>,
    body: Vec<u8>,
    headers: Vec<(&'static str, String)>,
}

impl Call {
    /// What stands for `{name}` in the path.
    #[must_use]
    pub fn segment(mut self, name: &'static str, value: impl ToString) -> Self {
        self.segments.push((name, value.to_string()));
        self
    }

    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// # Errors
    /// When it cannot be written as JSON.
    pub fn body<T: Serialize>(mut self, body: &T) -> Result<Self> {
        self.body = serde_json::to_vec(body).context("cannot write the request")?;
        Ok(self)
    }

    fn path(&self, route: &Route) -> String {
        let mut path = route.path.to_owned();
        for (name, value) in &self.segments {
            path = path.replace(&format!("{{{name}}}"), &escaped(value));
        }
        let query: Vec<String> =
            self.query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }
}

/// As RFC 3986 wants what is not unreserved.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

impl Client {
    /// A client of this host's agent.
    ///
    /// # Errors
    /// [`edge_model::Class::Internal`] when the runtime cannot start.
    pub fn new() -> Result<Self> {
        Self::at(Path::new(paths::AGENT_SOCKET))
    }

    /// A client of the agent behind another socket.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn at(socket: &Path) -> Result<Self> {
        let runtime =
            Builder::new_current_thread().enable_all().build().context("cannot start the client")?;
        Ok(Self { socket: socket.to_owned(), runtime, token: Mutex::new(None) })
    }

    /// Speaks for somebody who has logged in, or for nobody.
    pub fn use_token(&self, token: Option<String>) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    fn token(&self) -> Option<String> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn call<T: DeserializeOwned>(&self, id: RouteId, call: Call) -> Result<T> {
        let token = self.token();
        self.runtime.block_on(async {
            let answer = collect(send(&self.socket, token, route(id)?, &call).await?).await?;
            serde_json::from_slice(&answer).context("the agent's answer cannot be read")
        })
    }

    /// A call whose answer has no content.
    pub(crate) fn tell(&self, id: RouteId, call: Call) -> Result<()> {
        let token = self.token();
        self.runtime.block_on(async { send(&self.socket, token, route(id)?, &call).await.map(drop) })
    }

    /// A call whose answer is passed on piece by piece.
    pub(crate) fn stream(
        &self,
        id: RouteId,
        call: Call,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let token = self.token();
        self.runtime.block_on(async {
            let mut body = send(&self.socket, token, route(id)?, &call).await?.into_body();
            while let Some(frame) = body.frame().await {
                let frame = frame
                    .map_err(|error| Error::environment(format!("the agent's answer broke off: {error}")))?;
                if let Ok(data) = frame.into_data() {
                    take(&data)?;
                }
            }
            Ok(())
        })
    }
}

fn route(id: RouteId) -> Result<&'static Route> {
    ROUTES.iter().find(|route| route.id == id).ok_or_else(|| Error::internal("a route is missing"))
}

async fn send(
    socket: &Path,
    token: Option<String>,
    route: &Route,
    call: &Call,
) -> Result<Response<Incoming>> {
    let (mut headers, target) = (call.headers.clone(), call.path(route));
    headers.push(("content-type", "application/json".to_owned()));
    let body = Bytes::from(call.body.clone());
    let answer = exchange(socket, token, route.method.name(), &target, &headers, body).await?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let body = collect(answer).await?;
    Err(serde_json::from_slice(&body)
        .unwrap_or_else(|_| Error::internal(format!("the agent answered {status} without a reason"))))
}

/// One request and the answer to it, whatever that is.
async fn exchange(
    socket: &Path,
    token: Option<String>,
    method: &str,
    target: &str,
    headers: &[(&'static str, String)],
    body: Bytes,
) -> Result<Response<Incoming>> {
    let unreachable = |error: String| {
        Error::environment(error)
            .context(format!("cannot reach the agent at {}", socket.display()))
            .help("systemctl status edge-agent")
    };
    let stream = UnixStream::connect(socket).await.map_err(|error| unreachable(error.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    tokio::spawn(connection);
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| Error::internal(error.to_string()))?;
    let mut request = Request::builder().method(method).uri(target).header("host", "agent");
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(body)).map_err(|error| Error::internal(error.to_string()))?;
    sender.send_request(request).await.map_err(|error| unreachable(error.to_string()))
}

async fn collect(answer: Response<Incoming>) -> Result<Vec<u8>> {
    let limited = http_body_util::Limited::new(answer.into_body(), LIMIT);
    let body = limited
        .collect()
        .await
        .map_err(|error| Error::environment(format!("the agent's answer broke off: {error}")))?;
    Ok(body.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_is_escaped() {
        let call = Call::default().segment("name", "vlan 1/2").query("endpoint", "a&b=c");
        let path = call.path(route(RouteId::ChangeInterface).unwrap());
        assert_eq!(path, "/v1/edge-mgmt/network/interfaces/vlan%201%2F2/config?endpoint=a%26b%3Dc");
    }
}
