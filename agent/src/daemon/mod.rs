//! The daemon: one socket, one operation at a time, and the care for the boot that is running.

mod api;
mod boot_care;
pub(crate) mod installer;
mod local_configuration;
mod network_care;
mod shared;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;

use edge_model::cmdline::Mode;
use edge_model::{Context, Result};

use crate::configuration::Settings;
use crate::facts::Host;
pub(crate) use shared::Shared;

/// Serves until it is stopped.
///
/// # Errors
/// When this is not an edge host, or the socket cannot be made.
pub(crate) fn serve() -> Result<()> {
    let host = Host::observe()?;
    let mode = host.record.mode;
    let shared = Arc::new(Shared::new(host, Settings::load(mode)));
    let caretaker = shared.clone();
    std::thread::spawn(move || match mode {
        Mode::Main => boot_care::watch_main(&caretaker),
        Mode::Recovery => boot_care::watch_recovery(&caretaker),
        Mode::Live => installer::watch(&caretaker),
    });
    if mode == Mode::Main {
        let caretaker = shared.clone();
        std::thread::spawn(move || network_care::watch(&caretaker));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the daemon's runtime")?;
    runtime.block_on(api::serve(shared, notify_ready))
}

/// Tells the service manager that the socket is there.
fn notify_ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"READY=1", Path::new(&path)));
    if let Err(error) = sent {
        eprintln!("warning: the service manager was not told that the agent is ready: {error}");
    }
}
