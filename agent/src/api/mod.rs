//! The API on the Unix socket: the one door to this host. Routes, roles and types stand in
//! [`edge_model::api::routes`]; each route has its handler here, behind the guard.

mod answer;
pub(crate) mod audit;
mod caller;
mod guard;
mod handlers;
pub(crate) mod sessions;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use edge_model::api::routes::ROUTES;
use edge_model::cmdline::Mode;
use edge_model::{Class, Context, Error, Result, paths};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::daemon::Shared;
use answer::Refusal;
use audit::AuditLog;
use caller::{House, Peer};
use guard::Limits;
use sessions::Sessions;

/// Largest request.
const BODY_LIMIT: usize = 2 << 20;
/// Connections at one time; each costs some memory. Readers of events are among them.
const CONNECTIONS: usize = 512;
/// A connection that does not say what it wants is closed.
const HEADERS_WITHIN: Duration = Duration::from_secs(15);

/// Everything that handlers need.
pub(crate) struct Door {
    pub(crate) shared: Arc<Shared>,
    pub(crate) sessions: Sessions,
    pub(crate) audit: AuditLog,
    limits: Limits,
}

impl Door {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let audit = match shared.host.record.mode {
            Mode::Main | Mode::Recovery => paths::OEM_AUDIT,
            Mode::Live => paths::RUN_AUDIT,
        };
        Self {
            shared,
            sessions: Sessions::default(),
            audit: AuditLog::open(Path::new(audit)),
            limits: Limits::default(),
        }
    }

    fn house(&self) -> House {
        House {
            mode: self.shared.host.record.mode,
            view_without_login: self.shared.settings().edge().console.view_without_login(),
        }
    }
}

/// Serves until the process is stopped.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) async fn serve(door: Arc<Door>, ready: impl FnOnce()) -> Result<()> {
    let listener = listen(Path::new(paths::AGENT_SOCKET))?;
    ready();
    serve_on(listener, &door).await
}

async fn serve_on(listener: UnixListener, door: &Arc<Door>) -> Result<()> {
    let router = router(door);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        let (stream, _) = listener.accept().await.context("the agent's socket failed")?;
        let router = router.clone();
        tokio::spawn(async move {
            serve_connection(router, stream).await;
            drop(place);
        });
    }
}

fn listen(path: &Path) -> Result<UnixListener> {
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
        .context("cannot open the socket for everybody")?;
    Ok(listener)
}

async fn serve_connection(router: Router, stream: UnixStream) {
    let Ok(credentials) = stream.peer_cred() else { return };
    let peer = Peer { uid: credentials.uid(), pid: credentials.pid() };
    let service = router.layer(axum::Extension(peer));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    // Whoever is at the other end may leave at any time.
    let _ = served.await;
}

/// All routes, each behind the guard.
fn router(door: &Arc<Door>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let door_of_route = door.clone();
        let guarded = handlers::handler(route.id).layer(from_fn(move |request: Request, next: Next| {
            guard::guard(door_of_route.clone(), route, request, next)
        }));
        router = router.route(route.path, guarded);
    }
    router
        .fallback(|| async {
            let error =
                Error::new(Class::NotFound, "there is no such path").help("docs/openapi.json lists them");
            Refusal(error).into_response()
        })
        .method_not_allowed_fallback(|| async {
            let error = Error::new(Class::NotFound, "this path does not take that method");
            Refusal(error).into_response()
        })
        // The guard has a limit of its own, and says so in our words.
        .layer(DefaultBodyLimit::disable())
        .with_state(door.clone())
}

#[cfg(test)]
mod tests;
