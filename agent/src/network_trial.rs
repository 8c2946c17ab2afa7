//! Putting a network to use, and watching over one that is on trial.

use std::time::Duration;

use edge_host::files;
use edge_host::machine::Machine;
use edge_model::api::NetworkState;
use edge_model::user_data::UserData;
use edge_model::user_data::edge::Site;
use edge_model::{Context, Result, paths};
use edge_planner::network;
use edge_planner::network_trial::{Choice, DEFAULT_CONFIRM_SECONDS, Memory, Reach, choose};

use crate::host_state;
use crate::state_file::StateFile;

/// What a configuration wants.
pub(crate) fn wanted(data: &UserData) -> Reach {
    Reach {
        network: data.edge.site.network.clone(),
        management_endpoint: data.edge.site.palette_endpoint.clone(),
    }
}

fn store(machine: &Machine) -> StateFile<Memory> {
    StateFile::new(&machine.path(paths::OEM_EDGE))
}

/// What the host remembers; nothing when it cannot be read, which makes the next network the first one.
pub(crate) fn memory(machine: &Machine) -> Memory {
    store(machine).load()
}

/// Changes what the host remembers.
///
/// # Errors
/// When `/oem` cannot be written.
pub(crate) fn remember(machine: &Machine, change: impl FnOnce(&mut Memory)) -> Result<()> {
    store(machine).change_or_begin(|memory| {
        change(memory);
        Ok(())
    })
}

/// Chooses the network for this configuration and writes its units. On a host whose `/oem` is there, a change is
/// remembered before it is used.
///
/// # Errors
/// When units or memory cannot be written.
pub(crate) fn apply(machine: &Machine, data: &UserData) -> Result<Choice> {
    let before = memory(machine);
    let (mut choice, after) = choose(&before, wanted(data));
    // A host whose `/oem` cannot be written still gets its network, where there is nothing to remember.
    if after != before {
        choice = store(machine).change_or_begin(|memory| {
            let (choice, after) = choose(memory, wanted(data));
            *memory = after;
            Ok(choice)
        })?;
    }
    write_units(machine, &data.edge.site, choice.reach())?;
    // For the agent, which starts after the network.
    record_state(machine, state_of(&choice))?;
    Ok(choice)
}

fn write_units(machine: &Machine, site: &Site, reach: &Reach) -> Result<()> {
    let site = Site { network: reach.network.clone(), ..site.clone() };
    host_state::write_run_files(machine, &site)
}

/// Leaves a state for an agent that is started again.
///
/// # Errors
/// When `/run` cannot be written.
pub(crate) fn record_state(machine: &Machine, state: NetworkState) -> Result<()> {
    let bytes = serde_json::to_vec(&state).context("cannot write the network's state")?;
    files::write_durably(&machine.path(paths::NETWORK_STATE), &bytes, 0o644)
}

pub(crate) fn state_of(choice: &Choice) -> NetworkState {
    match choice {
        Choice::Proven(_) | Choice::First(_) => NetworkState::Kept,
        Choice::Trial(reach) => NetworkState::Trial { seconds_left: confirm_seconds(reach) },
        Choice::Returned(_) => NetworkState::Returned,
    }
}

pub(crate) fn confirm_seconds(reach: &Reach) -> u64 {
    reach.network.confirm_seconds.unwrap_or(DEFAULT_CONFIRM_SECONDS)
}

/// Has services use what was written. Each is tried, whatever became of the one before; returns what failed.
pub(crate) fn reload(machine: &Machine) -> Vec<String> {
    let run = |program: &str, arguments: &[&str]| machine.program(program).args(arguments).run();
    let mut failures = Vec::new();
    let mut attempt = |result: Result<Vec<u8>>| match result {
        Ok(output) => String::from_utf8_lossy(&output).into_owned(),
        Err(error) => {
            failures.push(error.to_string());
            String::new()
        }
    };
    attempt(run("systemctl", &["daemon-reload"]));
    attempt(run("networkctl", &["reload"]));
    // Addresses of links that are up already change only when they are told.
    let links = attempt(run("networkctl", &["list", "--no-legend", "--no-pager"]));
    for name in links.lines().filter_map(|line| line.split_whitespace().nth(1)).filter(|name| *name != "lo") {
        attempt(run("networkctl", &["reconfigure", name]));
    }
    failures.extend(reload_services(machine));
    failures
}

/// Has the services of names and time read their settings again; returns what failed.
pub(crate) fn reload_services(machine: &Machine) -> Vec<String> {
    let services = ["systemd-resolved.service", "systemd-timesyncd.service"];
    let reload =
        |service: &&str| machine.program("systemctl").args(["try-reload-or-restart", service]).run().err();
    services.iter().filter_map(reload).map(|error| error.to_string()).collect()
}

/// Whether everything that must answer does.
pub(crate) fn reaches_its_peers(machine: &Machine, reach: &Reach) -> bool {
    let mut peers = network::peers(&reach.network);
    if peers.is_empty() {
        peers = default_gateways(machine);
    }
    !peers.is_empty() && peers.iter().all(|peer| answers(machine, peer))
}

fn answers(machine: &Machine, peer: &str) -> bool {
    let ping = machine.program("ping").args(["-n", "-q", "-c", "1", "-W", "2", peer]);
    ping.deadline(Duration::from_secs(10)).run().is_ok()
}

fn default_gateways(machine: &Machine) -> Vec<String> {
    let routes = machine.program("ip").args(["-o", "route", "show", "default"]).run().unwrap_or_default();
    let routes = String::from_utf8_lossy(&routes).into_owned();
    let via =
        |line: &str| line.split_whitespace().skip_while(|word| *word != "via").nth(1).map(str::to_owned);
    routes.lines().filter_map(via).collect()
}
