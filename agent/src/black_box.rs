//! The black box of this host: how its last boots ended, in one small file on `/oem`.

use std::path::Path;

use edge_host::efivars::Variable;
use edge_host::machine::Machine;
use edge_host::pstore::Crashes;
use edge_host::watchdog;
use edge_host::{console, files, kernel, resources, system_info};
use edge_model::api::BootRecord;
use edge_model::api::black_box::{BlackBox, Boot, Ending};
use edge_model::{Context, Result, paths};
use edge_planner::black_box::{self, Evidence};
use edge_planner::boot::recovery::Counters;

use crate::facts::{self, Host};
use crate::state_file::StateFile;

/// What the host remembers; nothing when it cannot be read.
pub(crate) fn load(machine: &Machine) -> BlackBox {
    store(machine).load()
}

fn store(machine: &Machine) -> StateFile<BlackBox> {
    StateFile::new(&machine.path(paths::OEM_EDGE))
}

/// Not on a medium, which belongs to nobody.
fn can_be_kept(machine: &Machine) -> bool {
    machine.is_mounted(paths::OEM)
}

/// Begins the record of this boot and settles the one before: what crashed kernels and the watchdog say is found now. What
/// fails is a reason to show.
pub(crate) fn begin(machine: &Machine, record: &mut BootRecord) {
    if let Err(error) = try_begin(machine, record) {
        record.reasons.push(format!("the black box does not work: {error}"));
    }
}

fn try_begin(machine: &Machine, record: &mut BootRecord) -> Result<()> {
    if !can_be_kept(machine) {
        return Ok(());
    }
    let mut boot = this_boot(machine, record);
    if let Err(error) = store(machine).read() {
        boot.doubts.push(format!("earlier boots are forgotten: {error}"));
    }
    let crashes = Crashes::read();
    let records = crashes.as_ref().map_or_else(|_| Vec::new(), |crashes| crashes.records.clone());
    let evidence =
        Evidence { crashes: black_box::order_records(records), watchdog: watchdog::has_reset_the_machine() };
    record.found.crash = evidence.crash();
    record.found.watchdog = evidence.watchdog;
    store(machine).change_or_begin(|ring| {
        *ring = black_box::begin(std::mem::take(ring), boot, &evidence);
        Ok(())
    })?;
    // What is kept now may go from where the kernel left it, and not before.
    crashes.and_then(Crashes::remove)
}

fn this_boot(machine: &Machine, record: &BootRecord) -> Boot {
    let image_made = files::read_text(Path::new(paths::CLOCK_EPOCH)).ok();
    let image_made = image_made.and_then(|text| text.trim().parse().ok());
    Boot {
        id: system_info::boot_id(),
        mode: record.mode,
        slot: record.slot,
        version: Host::observe_on(machine.clone()).map(|host| host.image.version).unwrap_or_default(),
        root_hash: record.root_hash,
        began: black_box::beginning(facts::now(), image_made),
        ending: Ending::StillRunning,
        console: Vec::new(),
        doubts: unfinished_boots(machine).into_iter().collect(),
    }
}

/// A boot that ended before it came here has no entry. The firmware has counted it.
fn unfinished_boots(machine: &Machine) -> Option<String> {
    let count = machine.variables()?.get(Variable::BootCount).ok().flatten()?;
    // This boot is counted too.
    let before = Counters::from_bytes(&count).points > 1;
    before.then(|| {
        "boots before this one did not last; not each of them came as far as to be recorded".to_owned()
    })
}

/// Writes down, before the machine is restarted or switched off on purpose, that it is meant.
///
/// # Errors
/// When `/oem` cannot be written.
pub(crate) fn intend(machine: &Machine, ending: Ending) -> Result<()> {
    change(machine, |ring, id| black_box::intend(ring, id, ending))
}

/// Writes down that this boot ends now, for restarts that ask nobody.
///
/// # Errors
/// As [`intend`].
pub(crate) fn end_now(machine: &Machine, ending: Ending) -> Result<()> {
    change(machine, |ring, id| black_box::end(ring, id, ending))
}

/// Writes down how the service manager ends this boot. Does nothing when it does not.
///
/// # Errors
/// When the service manager cannot be asked, or `/oem` cannot be written.
pub(crate) fn ended() -> Result<()> {
    let machine = Machine::real();
    let jobs = machine
        .program("systemctl")
        .args(["list-jobs", "--plain", "--no-legend", "--no-pager"])
        .run()
        .context("cannot ask the service manager how this boot ends")?;
    match black_box::ending_of_jobs(&String::from_utf8_lossy(&jobs)) {
        Some(ending) => {
            tell(&ending);
            end_now(&machine, ending)
        }
        None => Ok(()),
    }
}

/// The console has ended before, and left its last screen.
fn tell(ending: &Ending) {
    let Ok(host) = Host::observe() else { return };
    console::quiet_kernel();
    let what = format!("{} {}", host.image.name, host.image.version);
    match ending {
        Ending::SwitchedOff { .. } => console::say_alone(&format!("edge: {what} is being switched off.")),
        _ => console::say_alone(&format!("edge: {what} is stopping, and the machine restarts.")),
    }
}

fn change(machine: &Machine, change: impl FnOnce(BlackBox, &str) -> BlackBox) -> Result<()> {
    if !can_be_kept(machine) {
        return Ok(());
    }
    let id = system_info::boot_id();
    store(machine).change(|ring| {
        if resources::time_is_synchronized() {
            let began = facts::now().saturating_sub(kernel::up_time().as_secs());
            *ring = black_box::prove_beginning(std::mem::take(ring), &id, began);
        }
        *ring = change(std::mem::take(ring), &id);
        Ok(())
    })
}
