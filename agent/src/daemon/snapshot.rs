//! One look at the host: everything that its status says.

use edge_host::{kernel, network, system_info};
use edge_model::api::{BootState, ConsoleRules, Health, HostStatus, Management, NetworkState, WebUi};
use edge_model::ledger::Ledger;
use edge_planner::admission::{self, HostFacts};

use super::Shared;
use crate::access::sessions;
use crate::configuration::{Settings, site};
use crate::facts::{self, Host};
use crate::{cluster, network_trial};

/// What is known before the first look.
pub(super) fn blank(host: &Host) -> HostStatus {
    HostStatus {
        agent_version: env!("CARGO_PKG_VERSION").into(),
        boot_id: system_info::boot_id(),
        host_name: String::new(),
        host_id: String::new(),
        network: NetworkState::default(),
        mode: host.record.mode,
        boot_state: BootState::Committed,
        health: Health::Checking,
        image: host.image.clone(),
        slot: host.record.slot,
        slot_a: None,
        slot_b: None,
        addresses: Vec::new(),
        last_event: None,
        failed: Vec::new(),
        notices: Vec::new(),
        operation: None,
        trial_seconds_left: None,
        claimed: false,
        management: Management::default(),
        console: ConsoleRules::default(),
        possible: Vec::new(),
        cluster: None,
        web_ui: None,
    }
}

pub(super) fn look(shared: &Shared) -> HostStatus {
    let ledger = shared.host.ledger().load();
    let settings = shared.settings();
    let known = shared.booted_state();
    // For people; what may be begun is decided by what is known.
    let boot_state = known.unwrap_or(BootState::Committed);
    HostStatus {
        host_name: facts::host_name().unwrap_or_default(),
        host_id: facts::host_id(),
        network: shared.network(),
        boot_state,
        health: shared.board.health(),
        slot_a: ledger.slot_a.clone(),
        slot_b: ledger.slot_b.clone(),
        addresses: network::addresses(),
        last_event: ledger.history.last().cloned(),
        notices: shared.notices(),
        operation: shared.operations.last(),
        trial_seconds_left: trial_seconds_left(shared, &settings, boot_state),
        claimed: site::is_claimed(&shared.host.machine),
        management: management(&settings),
        console: console(shared, &settings),
        possible: admission::possible(&admission_facts(shared, known, &ledger)),
        failed: ledger.failed,
        cluster: shared.cluster.status(),
        web_ui: shared.board.web().map(|page| WebUi { url: web_address(page.port), ..page }),
        ..blank(&shared.host)
    }
}

/// Where a browser finds the page: at the first address, which is the one that people are told.
fn web_address(port: u16) -> String {
    let address = network::addresses().into_iter().map(|address| address.address).next();
    address.map_or_else(String::new, |address| match address.contains(':') {
        true => format!("https://[{address}]:{port}"),
        false => format!("https://{address}:{port}"),
    })
}

fn trial_seconds_left(shared: &Shared, settings: &Settings, state: BootState) -> Option<u64> {
    // A trial that is slow has more time than was planned.
    let ends = shared.board.trial_ends().max(settings.edge().health.deadline_seconds);
    (state == BootState::Trial).then(|| ends.saturating_sub(kernel::up_time().as_secs()))
}

fn management(settings: &Settings) -> Management {
    let site = &settings.edge().site;
    Management {
        mode: settings.edge().management_mode,
        endpoint: site.palette_endpoint.clone(),
        registration_url: site.registration_url.clone(),
    }
}

fn console(shared: &Shared, settings: &Settings) -> ConsoleRules {
    let console = &settings.edge().console;
    ConsoleRules {
        view_without_login: console.view_without_login(),
        lock_after_seconds: console.lock_after_seconds(),
        shell: shared.shell_is_allowed(),
        somebody_can_log_in: sessions::somebody_can_log_in(),
        first_password: shared.first_password(),
    }
}

/// What decides about what may be asked of this host now.
pub(super) fn admission_facts(shared: &Shared, boot_state: Option<BootState>, ledger: &Ledger) -> HostFacts {
    let has_other_image = match shared.host.record.slot {
        Some(slot) => ledger.slot(slot.other()).is_some(),
        // In recovery one of them is the default.
        None => ledger.slot_a.is_some() && ledger.slot_b.is_some(),
    };
    HostFacts {
        kind: shared.host.kind,
        boot_state,
        has_other_image,
        network: shared.network(),
        network_is_proven: network_trial::memory(&shared.host.machine).proven.is_some(),
        cluster: cluster::facts(),
    }
}
