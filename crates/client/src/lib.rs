//! Typed client of the agent's API on `/run/edge/agent.sock`: HTTP/1.1 over a Unix socket.

use std::path::{Path, PathBuf};

use edge_model::api::{
    ConfigurationAnswer, ConfigurationRequest, Event, EventKind, HostStatus, OperationRequest,
    OperationState, OperationStatus,
};
use edge_model::ledger::Ledger;
use edge_model::{Context, Error, Result, paths};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

/// Largest answer that is read.
const LIMIT: usize = 8 << 20;

/// A client that blocks. Surfaces are simple programs; those that need more run it in a thread.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
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
        Ok(Self { socket: socket.to_owned(), runtime })
    }

    /// # Errors
    /// [`edge_model::Class::Environment`] when the agent cannot be reached; otherwise what it answers.
    pub fn status(&self) -> Result<HostStatus> {
        self.runtime.block_on(self.get("/v1/status"))
    }

    /// # Errors
    /// As [`Client::status`].
    pub fn ledger(&self) -> Result<Ledger> {
        self.runtime.block_on(self.get("/v1/ledger"))
    }

    /// Has the host use a document.
    ///
    /// # Errors
    /// Why it was refused; nothing was changed then.
    pub fn configure(&self, request: &ConfigurationRequest) -> Result<ConfigurationAnswer> {
        let body = serde_json::to_vec(request).context("cannot write the request")?;
        self.runtime.block_on(async { read(self.send(Method::POST, "/v1/configuration", body).await?).await })
    }

    /// Keeps the network that is on trial.
    ///
    /// # Errors
    /// [`edge_model::Class::Rejected`] when none is.
    pub fn confirm_network(&self) -> Result<ConfigurationAnswer> {
        self.runtime.block_on(async {
            read(self.send(Method::POST, "/v1/configuration/confirm", Vec::new()).await?).await
        })
    }

    /// Starts an operation and follows it to its end. `seen` is told every change.
    ///
    /// # Errors
    /// Why it was refused or failed.
    pub fn run(&self, request: &OperationRequest, mut seen: impl FnMut(&OperationStatus)) -> Result<String> {
        self.runtime.block_on(async {
            // Listen first, so that no event is missed.
            let mut events = self.events().await?;
            let body = serde_json::to_vec(request).context("cannot write the request")?;
            let answer = self.send(Method::POST, "/v1/operations", body).await?;
            let mut operation: OperationStatus = read(answer).await?;
            loop {
                seen(&operation);
                match operation.state {
                    OperationState::Running => {}
                    OperationState::Done { message } => return Ok(message),
                    OperationState::Failed { error } => return Err(error),
                }
                operation = events.next_of(operation.id).await?;
            }
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        read(self.send(Method::GET, path, Vec::new()).await?).await
    }

    async fn events(&self) -> Result<EventStream> {
        let answer = self.send(Method::GET, "/v1/events", Vec::new()).await?;
        Ok(EventStream { body: answer.into_body(), buffer: Vec::new() })
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Response<Incoming>> {
        let unreachable = |error: String| {
            Error::environment(error)
                .context(format!("cannot reach the agent at {}", self.socket.display()))
                .help("systemctl status edge-agent")
        };
        let stream =
            UnixStream::connect(&self.socket).await.map_err(|error| unreachable(error.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "agent")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Error::internal(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(|error| unreachable(error.to_string()))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = collect(answer).await?;
        Err(serde_json::from_slice(&body)
            .unwrap_or_else(|_| Error::internal(format!("the agent answered {status} without a reason"))))
    }
}

async fn collect(answer: Response<Incoming>) -> Result<Vec<u8>> {
    let limited = http_body_util::Limited::new(answer.into_body(), LIMIT);
    let body = limited
        .collect()
        .await
        .map_err(|error| Error::environment(format!("the agent's answer broke off: {error}")))?;
    Ok(body.to_bytes().to_vec())
}

async fn read<T: DeserializeOwned>(answer: Response<Incoming>) -> Result<T> {
    serde_json::from_slice(&collect(answer).await?).context("the agent's answer cannot be read")
}

/// Events, one JSON document a line.
struct EventStream {
    body: Incoming,
    buffer: Vec<u8>,
}

impl EventStream {
    /// The next news of an operation.
    async fn next_of(&mut self, id: u64) -> Result<OperationStatus> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                match serde_json::from_slice::<Event>(&line) {
                    Ok(Event { kind: EventKind::Operation(operation), .. }) if operation.id == id => {
                        return Ok(operation);
                    }
                    // Other news, or news from a newer agent.
                    _ => {}
                }
            }
            let broken =
                || Error::environment("the agent ended before the operation did").help("edge-agent status");
            let frame = self.body.frame().await.ok_or_else(broken)?.map_err(|_| broken())?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }
}
