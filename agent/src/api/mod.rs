//! The API on the Unix socket: the one door to this host. Routes, roles and types stand in
//! [`edge_model::api::routes`]; each route has its handler here, behind the guard.

mod answer;
mod caller;
mod guard;
mod handlers;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use edge_model::api::OperationKind;
use edge_model::api::routes::ROUTES;
use edge_model::{Class, Context, Error, Result, paths};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};

use crate::access::sessions::Sessions;
use crate::daemon::Shared;
use answer::Refusal;
use caller::{House, Peer};
use guard::Limits;

/// Largest request.
const BODY_LIMIT: usize = 2 << 20;
/// Connections at one time, of everybody but root; each costs some memory. Readers of events are among them.
const CONNECTIONS: usize = 600;
const CONNECTIONS_OF_A_USER: usize = 256;
const AFTER_TROUBLE: Duration = Duration::from_millis(200);
/// A connection that does not say what it wants is closed.
const HEADERS_WITHIN: Duration = Duration::from_secs(15);

/// Everything that handlers need.
pub(crate) struct Door {
    pub(crate) shared: Arc<Shared>,
    pub(crate) sessions: Sessions,
    /// Held from reading the host's document to the start of the operation that replaces it.
    changing: Mutex<()>,
    limits: Limits,
}

impl Door {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, sessions: Sessions::default(), changing: Mutex::new(()), limits: Limits::default() }
    }

    /// Keeps others from changing the host's document as long as the result lives.
    ///
    /// # Errors
    /// [`Class::Rejected`] while an operation runs that may be replacing it.
    pub(crate) fn alone(&self) -> Result<MutexGuard<'_, ()>> {
        let alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.may_begin(OperationKind::Configure)?;
        Ok(alone)
    }

    fn house(&self) -> House {
        House {
            kind: self.shared.host.kind,
            somebody_can_log_in: self.shared.status().console.somebody_can_log_in,
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
    let places = Places::default();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Too many files are open: some connection will end.
            Err(error) => {
                tracing::warn!("a connection was not taken: {error}");
                tokio::time::sleep(AFTER_TROUBLE).await;
                continue;
            }
        };
        let Some(peer) = peer_of(&stream) else { continue };
        // Whoever has too many is not answered at all; others are.
        let Some(place) = places.take(peer.uid) else { continue };
        let router = router.clone();
        tokio::spawn(async move {
            serve_connection(router, stream, peer).await;
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

fn peer_of(stream: &UnixStream) -> Option<Peer> {
    let credentials = stream.peer_cred().ok()?;
    // Tests of the server speak as root, whoever runs them.
    let uid = if cfg!(test) { 0 } else { credentials.uid() };
    Some(Peer { uid, pid: credentials.pid() })
}

/// Connections that are open, by user.
#[derive(Default, Clone)]
struct Places(Arc<Mutex<BTreeMap<u32, usize>>>);

struct Place {
    places: Places,
    uid: u32,
}

impl Places {
    fn take(&self, uid: u32) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others: usize = taken.values().sum();
        let of_user = taken.entry(uid).or_insert(0);
        // The last places are root's.
        if uid != 0 && (*of_user >= CONNECTIONS_OF_A_USER || others >= CONNECTIONS) {
            return None;
        }
        *of_user += 1;
        Some(Place { places: self.clone(), uid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_user) = taken.get_mut(&self.uid) {
            *of_user = of_user.saturating_sub(1);
            if *of_user == 0 {
                taken.remove(&self.uid);
            }
        }
    }
}

async fn serve_connection(router: Router, stream: UnixStream, peer: Peer) {
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
