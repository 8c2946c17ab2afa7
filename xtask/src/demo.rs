//! The demo: a machine that is installed from an ISO, runs in the background, is upgraded, broken and comes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use edge_model::{Context, Error, Result};
use qemu_tests::images::{self, Built, Recipe, Site};
use qemu_tests::lab::Lab;
use qemu_tests::machine::{Accelerator, Bus, Machine, Medium, free_port};
use qemu_tests::registry::Registry;
use qemu_tests::serial::Serial;
use qemu_tests::ssh::{Key, Ssh};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::{build, packages, root};

const DISK_GIB: u64 = 8;
const INSTALL_WITHIN: Duration = Duration::from_secs(400);
const BOOT_WITHIN: Duration = Duration::from_secs(400);

/// What the other demo commands need to know.
#[derive(Debug, Serialize, Deserialize)]
struct Running {
    machine: u32,
    registry: u32,
    registry_port: u16,
    ssh_port: u16,
}

fn folder() -> PathBuf {
    root().join(".demo")
}

fn state_file() -> PathBuf {
    folder().join("running.json")
}

fn open_lab() -> Result<Lab> {
    Lab::open(&root(), &folder())
}

fn site(key: &Key) -> Site {
    let user_data = "#cloud-config\nhostname: edge-demo\n".to_owned();
    Site { operator_key: key.public.clone(), after: "reboot", wipe: true, asks: false, user_data }
}

/// Builds, installs and starts the appliance.
///
/// # Errors
/// When a step fails; the serial line's end is then shown.
pub(crate) fn demo() -> Result<()> {
    let started = Instant::now();
    packages::for_builder()?;
    stop_if_running()?;
    build::build(false)?;
    let lab = open_lab()?;
    let key = Key::prepare(&lab)?;
    let built = say_and("building the image and its ISO", || {
        images::build(&lab, "first", &Recipe::version("1.0.0"), &site(&key), None)
    })?;
    let accelerator = Accelerator::probe(&lab, &built.iso())?;
    let machine = Machine::new(&lab, "machine", DISK_GIB, Bus::Virtio)?
        .with_medium(Medium::Cd(built.iso()))
        .independent();
    let registry = Registry::start_independent(&lab, free_port()?)?;
    let mut powered = machine.power_on(&lab, accelerator)?;
    for (wanted, within) in [
        ("edge: starting the installer", BOOT_WITHIN),
        ("edge: installing", BOOT_WITHIN),
        ("is installed on", INSTALL_WITHIN),
        ("edge: healthy", BOOT_WITHIN),
    ] {
        let line = powered.serial.expect(wanted, within)?;
        let line = line.find("edge: ").map_or(line.as_str(), |at| &line[at..]);
        eprintln!("[{:>4} s] {line}", started.elapsed().as_secs());
    }
    let running = Running {
        registry_port: registry.port(),
        registry: registry.detach(),
        machine: powered.detach(),
        ssh_port: machine.ssh_port(),
    };
    let state = serde_json::to_vec(&running).context("cannot write the demo's state")?;
    fs::write(state_file(), state).context("cannot write the demo's state")?;
    print_what_next(&machine, &built);
    Ok(())
}

fn print_what_next(machine: &Machine, built: &Built) {
    println!("The appliance runs in the background, installed from {}", built.iso().display());
    println!();
    println!("  make demo-console   a shell on it (try: sudo edge-agent status, edge-tui)");
    println!("  make demo-upgrade   upgrade it to a second version");
    println!("  make demo-break     give it a broken version and watch it come back");
    println!("  make demo-stop      switch it off");
    println!();
    println!("  its serial line: {}", machine.folder().join("serial.log").display());
}

/// A shell on the machine.
///
/// # Errors
/// When no demo runs.
pub(crate) fn console() -> Result<()> {
    let running = running()?;
    let lab = open_lab()?;
    let key = Key::prepare(&lab)?;
    Ssh { lab: &lab, key: &key, port: running.ssh_port }.shell()
}

/// Upgrades the machine to the next version.
///
/// # Errors
/// When no demo runs, or the new version does not come up.
pub(crate) fn upgrade() -> Result<()> {
    let line = send("upgrade", &next_recipe()?, &[])?;
    println!("{line}");
    println!("The new version is kept. make demo-break shows what happens to one that is not good.");
    Ok(())
}

/// Gives the machine a version whose kernel panics.
///
/// # Errors
/// When no demo runs, or the machine does not come back.
pub(crate) fn break_it() -> Result<()> {
    let recipe = next_recipe()?;
    let recipe = Recipe { version: format!("{}-broken", recipe.version), ..recipe };
    let line = send("broken", &recipe.kernel_argument("edge.fault=panic-in-init"), &["Kernel panic"])?;
    println!("{line}");
    println!("The broken version panicked, and the machine came back by itself. Its status says so:");
    let running = running()?;
    let lab = open_lab()?;
    let key = Key::prepare(&lab)?;
    let ssh = Ssh { lab: &lab, key: &key, port: running.ssh_port };
    println!("{}", ssh.run("sudo edge-agent status", BOOT_WITHIN)?);
    Ok(())
}

/// Each demo upgrade is newer than the one before.
fn next_recipe() -> Result<Recipe> {
    let counter = folder().join("version");
    let last =
        fs::read_to_string(&counter).ok().and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or(1);
    fs::write(&counter, (last + 1).to_string()).context("cannot count demo versions")?;
    Ok(Recipe::version(&format!("{}.0.0", last + 1)))
}

/// Builds, publishes and installs an image; returns the marker of the boot that lasts.
fn send(name: &str, recipe: &Recipe, allowed: &[&str]) -> Result<String> {
    let running = running()?;
    let lab = open_lab()?;
    let key = Key::prepare(&lab)?;
    let path = format!("edge/appliance:{}", recipe.version);
    let here = format!("127.0.0.1:{}/{path}", running.registry_port);
    say_and("building and publishing the new version", || {
        images::build(&lab, name, recipe, &site(&key), Some(&here))
    })?;
    let mut serial = Serial::from_now(&lab.work().join("machine/serial.log"));
    let ssh = Ssh { lab: &lab, key: &key, port: running.ssh_port };
    let command = format!(
        "sudo edge-agent upgrade oci:10.0.2.2:{}/{path} --plain-http --reboot",
        running.registry_port
    );
    let outcome = say_and("upgrading the machine", || ssh.outcome(&command, INSTALL_WITHIN))?;
    if outcome.status.code().is_some_and(|code| code != 0 && code != 255) {
        return Err(Error::environment(outcome.stderr));
    }
    eprintln!("waiting for the machine to judge it...");
    let line = serial.expect_despite("edge: healthy", allowed, BOOT_WITHIN)?;
    Ok(line.find("edge: ").map_or(line.clone(), |at| line[at..].to_owned()))
}

fn say_and<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("{what}...");
    work()
}

/// Switches the machine off.
///
/// # Errors
/// When the demo's state cannot be removed.
pub(crate) fn stop() -> Result<()> {
    stop_if_running()?;
    println!("The demo is off. Its disk and logs stay in {} until the next one.", folder().display());
    Ok(())
}

fn stop_if_running() -> Result<()> {
    let Ok(running) = read_state(&state_file()) else { return Ok(()) };
    for process in [running.machine, running.registry].into_iter().filter(|process| is_ours(*process)) {
        if let Some(group) = i32::try_from(process).ok().and_then(Pid::from_raw) {
            // Either may have ended by itself.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
    fs::remove_file(state_file()).context("cannot forget the demo that ended")
}

/// Process identifiers are used again: ours has our folder among its arguments.
fn is_ours(process: u32) -> bool {
    let arguments = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&arguments).contains(&*folder().to_string_lossy())
}

fn read_state(path: &Path) -> Result<Running> {
    let bytes = edge_host::files::read(path, 1 << 16)?;
    serde_json::from_slice(&bytes).context("the demo's state cannot be read")
}

fn running() -> Result<Running> {
    let none = || Error::rejected("no demo is running").help("make demo");
    let running = read_state(&state_file()).map_err(|_| none())?;
    if is_ours(running.machine) { Ok(running) } else { Err(none()) }
}
