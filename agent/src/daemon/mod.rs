//! The daemon: one operation at a time, and the care for the boot that is running. What its surfaces share is in [`Shared`].

mod board;
mod boot_care;
pub(crate) mod care;
pub(crate) mod events;
pub(crate) mod installer;
mod local_configuration;
mod network_care;
pub(crate) mod notices;
mod recovery_care;
pub(crate) mod register;
mod shared;
mod snapshot;
mod support;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use edge_model::{Result, paths};
use edge_planner::host_kind::HostKind;

use tokio::runtime::Handle;

use edge_host::resources;
use edge_model::api::BootState;

use crate::access::audit::AuditLog;
use crate::cluster;
use crate::configuration::Settings;
use crate::content::ContentCaretaker;
use crate::facts::Host;
use crate::web::WebCaretaker;
use network_care::NetworkCaretaker;
use notices::Said;
pub(crate) use shared::Shared;

/// Between two looks at what changes without the agent's doing: addresses, accounts.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS_ON_TRIAL: Duration = Duration::from_secs(1);

/// Begins the care for this host. The runtime is for those of it that talk with a cluster.
///
/// # Errors
/// When this is not an edge host.
pub(crate) fn begin(runtime: &Handle) -> Result<Arc<Shared>> {
    let host = Host::observe()?;
    let kind = host.kind;
    let audit =
        AuditLog::open(Path::new(if host.keeps_state() { paths::OEM_AUDIT } else { paths::RUN_AUDIT }));
    let shared = Arc::new(Shared::new(host, Settings::load(kind), audit));
    let caretaker = shared.clone();
    std::thread::spawn(move || match kind {
        HostKind::Appliance => boot_care::watch_main(&caretaker),
        HostKind::Recovery => boot_care::watch_recovery(&caretaker),
        HostKind::Installer => installer::watch(&caretaker),
    });
    if kind == HostKind::Appliance {
        care::begin(&shared, NetworkCaretaker::Begins);
        care::begin(&shared, cluster::caretaker(&shared, runtime));
        care::begin(&shared, ContentCaretaker);
    }
    care::begin(&shared, WebCaretaker::default());
    let observer = shared.clone();
    std::thread::spawn(move || observe(&observer));
    Ok(shared)
}

/// Keeps the status as the host is.
fn observe(shared: &Shared) {
    loop {
        let on_trial = shared.status().boot_state == BootState::Trial;
        for (about, folder) in [(paths::OEM, paths::OEM), ("the data partition", paths::PERSISTENT)] {
            shared.notice_while(about, full(about, folder).into_iter().collect());
        }
        sleep(if on_trial { BETWEEN_LOOKS_ON_TRIAL } else { BETWEEN_LOOKS });
        shared.refresh();
    }
}

/// Why nothing can be kept any more, before it comes to that.
fn full(about: &str, folder: &str) -> Option<Said> {
    const LITTLE: u64 = 1 << 20;
    /// Of a large disk a fiftieth is plenty.
    const ENOUGH: u64 = 1 << 30;
    let space = resources::file_system(folder)?;
    let is_full = space.free_bytes < (space.total_bytes / 50).clamp(LITTLE, ENOUGH);
    // The same words as long as it lasts.
    is_full.then(|| {
        Said::problem(format!("{about} is full ({folder}): changes may be lost"))
            .help("remove what is not needed")
    })
}
