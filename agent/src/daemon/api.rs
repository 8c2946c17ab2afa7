//! The API on the Unix socket. Everybody on the host may read the status; only root may change anything.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use edge_model::api::{
    ConfigurationAnswer, ConfigurationRequest, HostStatus, OperationRequest, OperationStatus,
};
use edge_model::ledger::Ledger;
use edge_model::{Class, Context, Error, Result, paths};
use tokio::net::UnixListener;
use tokio::sync::broadcast::error::RecvError;

use super::{Shared, local_configuration};
use crate::operations;

/// Largest request.
const BODY_LIMIT: usize = 2 << 20;

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
struct Peer {
    uid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self { uid: stream.io().peer_cred().ok().map(|credentials| credentials.uid()) }
    }
}

/// An error as an answer.
struct Refusal(Error);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.class.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// Serves until the process is stopped.
///
/// # Errors
/// When the socket cannot be made.
pub(super) async fn serve(shared: Arc<Shared>, ready: impl FnOnce()) -> Result<()> {
    let path = Path::new(paths::AGENT_SOCKET);
    let folder = path.parent().unwrap_or(Path::new("/run"));
    fs::create_dir_all(folder).context("cannot create /run/edge")?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
        .context("cannot open /run/edge for readers")?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context("cannot replace the agent's socket");
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).context("cannot make the agent's socket")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
        .context("cannot open the socket for readers")?;
    let router = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/ledger", get(ledger))
        .route("/v1/events", get(events))
        .route("/v1/operations", post(start))
        .route("/v1/operations/current", get(current))
        .route("/v1/operations/current", delete(cancel))
        .route("/v1/configuration", post(configure))
        .route("/v1/configuration/confirm", post(confirm))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(shared);
    ready();
    axum::serve(listener, router.into_make_service_with_connect_info::<Peer>())
        .await
        .context("the agent's socket failed")
}

async fn status(State(shared): State<Arc<Shared>>) -> Result<Json<HostStatus>, Refusal> {
    Ok(Json(shared.status()?))
}

async fn ledger(ConnectInfo(peer): ConnectInfo<Peer>) -> Result<Json<Ledger>, Refusal> {
    only_root(peer)?;
    Ok(Json(operations::ledger_store().load()))
}

async fn start(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Bytes,
) -> Result<(StatusCode, Json<OperationStatus>), Refusal> {
    only_root(peer)?;
    let request: OperationRequest = serde_json::from_slice(&body).context("the request cannot be read")?;
    Ok((StatusCode::ACCEPTED, Json(shared.start(request)?)))
}

async fn current(State(shared): State<Arc<Shared>>) -> Json<Option<OperationStatus>> {
    Json(shared.operation())
}

async fn cancel(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<StatusCode, Refusal> {
    only_root(peer)?;
    shared.cancel();
    Ok(StatusCode::ACCEPTED)
}

/// Takes a document for this host. It is checked, kept, and put to use beside the serving thread.
async fn configure(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Bytes,
) -> Result<Json<ConfigurationAnswer>, Refusal> {
    only_root(peer)?;
    let request: ConfigurationRequest =
        serde_json::from_slice(&body).context("the request cannot be read")?;
    let work = tokio::task::spawn_blocking(move || local_configuration::take(&shared, &request));
    let answer = work.await.map_err(|error| Error::internal(error.to_string()))??;
    Ok(Json(answer))
}

async fn confirm(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<ConfigurationAnswer>, Refusal> {
    only_root(peer)?;
    shared.confirm_network()?;
    let message = "the network is kept".into();
    Ok(Json(ConfigurationAnswer { message, findings: Vec::new() }))
}

/// One JSON document a line, from now on. A reader that is too slow misses events and sees a gap in their
/// numbers.
async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let lines = futures_util::stream::unfold(shared.subscribe(), |mut receiver| async move {
        loop {
            match receiver.recv().await {
                Ok(event) => {
                    let mut line = serde_json::to_vec(&event).unwrap_or_default();
                    line.push(b'\n');
                    return Some((Ok::<_, Infallible>(Bytes::from(line)), receiver));
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    ([("content-type", "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

fn only_root(peer: Peer) -> Result<()> {
    match peer.uid {
        Some(0) => Ok(()),
        _ => Err(Error::new(Class::Rejected, "only root may do this").help("sudo edge-agent …")),
    }
}
