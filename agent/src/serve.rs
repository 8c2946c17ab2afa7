//! The daemon as a whole: what it knows and does, and the door through which others reach it.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;

use edge_model::{Context, Result};

use crate::api::{self, Door};
use crate::{daemon, log};

/// Serves until it is stopped.
///
/// # Errors
/// When this is not an edge host, or the socket cannot be made.
pub(crate) fn serve() -> Result<()> {
    log::of_the_daemon();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the daemon's runtime")?;
    let shared = daemon::begin(runtime.handle())?;
    runtime.block_on(api::serve(Arc::new(Door::new(shared)), notify_ready))
}

/// Tells the service manager that the socket is there.
fn notify_ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"READY=1", Path::new(&path)));
    if let Err(error) = sent {
        tracing::warn!("the service manager was not told that the agent is ready: {error}");
    }
}
