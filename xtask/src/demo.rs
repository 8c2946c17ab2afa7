//! The demo: a machine that is installed from an ISO, runs in the background, is upgraded, broken and comes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use edge_model::{Context, Error, Result};
use qemu_tests::bench_ground::CLUSTER;
use qemu_tests::images::{self, Built, Recipe, Site};
use qemu_tests::lab::Lab;
use qemu_tests::machine::{Accelerator, Bus, Machine, Medium, free_port};
use qemu_tests::page;
use qemu_tests::registry::Registry;
use qemu_tests::serial::Serial;
use qemu_tests::ssh::{Key, OPERATOR, Ssh};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::{build, kubernetes, packages, root};

const DISK_GIB: u64 = 8;
const CLUSTER_DISK_GIB: u64 = 16;
/// Of the operator, at the console of a machine that only this machine reaches.
const PASSWORD: &str = "look-around";
/// Without a sign of life of the machine.
const PATIENCE: Duration = Duration::from_secs(400);

/// What the other demo commands need to know.
#[derive(Debug, Serialize, Deserialize)]
struct Running {
    machine: u32,
    registry: u32,
    registry_port: u16,
    ssh_port: u16,
    /// The component of Kubernetes that its images carry.
    kubernetes: Option<PathBuf>,
}

fn folder() -> PathBuf {
    root().join(".demo")
}

fn state_file() -> PathBuf {
    folder().join("running.json")
}

fn open_lab() -> Result<Lab> {
    Ok(Lab::open(&root(), &folder())?.showing_builds())
}

fn site(key: &Key) -> Site {
    let user_data = "#cloud-config\nhostname: edge-demo\n".to_owned();
    let (operator_key, password) = (key.public.clone(), Some(PASSWORD.to_owned()));
    Site { operator_key, password, after: "reboot", wipe: true, asks: false, user_data }
}

/// A person waits in front of the demo while an upgrade proves itself.
const SOAK: Option<u64> = Some(15);

fn recipe(version: &str) -> Recipe {
    Recipe { soak_seconds: SOAK, ..Recipe::version(version) }
}

/// Builds, installs and starts the appliance.
///
/// # Errors
/// When a step fails; the serial line's end is then shown.
pub(crate) fn demo() -> Result<()> {
    packages::for_builder()?;
    stop_if_running()?;
    build::build(false)?;
    start(&open_lab()?, &recipe("1.0.0"), None)
}

/// As [`demo`], with Kubernetes and a page that it serves.
///
/// # Errors
/// As [`demo`]; and when the Kubernetes of tests and demo cannot be made here.
pub(crate) fn cluster() -> Result<()> {
    packages::for_builder()?;
    stop_if_running()?;
    build::build(false)?;
    let component = kubernetes::prepare(kubernetes::Release::Current)?;
    let port = free_port()?;
    start(
        &open_lab()?,
        &Recipe { soak_seconds: SOAK, ..Recipe::with_cluster("1.0.0", &component.archive, CLUSTER) },
        Some(port),
    )
}

/// `page` is the port of this machine at which a browser finds what the cluster serves.
fn start(lab: &Lab, recipe: &Recipe, page: Option<u16>) -> Result<()> {
    let started = Instant::now();
    let key = Key::prepare(lab)?;
    let built =
        say_and("building the image and its ISO", || images::build(lab, "first", recipe, &site(&key), None))?;
    let accelerator = say_and("looking whether KVM works here", || Accelerator::probe(lab, &built.iso()))?;
    let disk = if page.is_some() { CLUSTER_DISK_GIB } else { DISK_GIB };
    let machine =
        Machine::new(lab, "machine", disk, Bus::Virtio)?.with_medium(Medium::Cd(built.iso())).independent();
    let machine = page.map_or(machine.clone(), |port| machine.for_cluster(port, page::PORT));
    let registry = Registry::start_independent(lab, free_port()?)?;
    let mut powered = machine.power_on(lab, accelerator)?;
    let lines = ["edge: starting the installer", "edge: installing", "is installed on", "edge: healthy"];
    for wanted in lines.into_iter().chain(page.map(|_| "edge: cluster ready")) {
        let line = powered.serial.expect(wanted, PATIENCE)?;
        let line = line.find("edge: ").map_or(line.as_str(), |at| &line[at..]);
        eprintln!("[{:>4} s] {line}", started.elapsed().as_secs());
    }
    if let Some(port) = page {
        page::wait_for(port, &powered.serial, PATIENCE)?;
        eprintln!("[{:>4} s] the page is served", started.elapsed().as_secs());
    }
    let running = Running {
        registry_port: registry.port(),
        registry: registry.detach(),
        machine: powered.detach(),
        ssh_port: machine.ssh_port(),
        kubernetes: recipe.kubernetes.clone(),
    };
    let state = serde_json::to_vec(&running).context("cannot write the demo's state")?;
    fs::write(state_file(), state).context("cannot write the demo's state")?;
    print_what_next(&machine, &built, page);
    Ok(())
}

fn print_what_next(machine: &Machine, built: &Built, page: Option<u16>) {
    println!("The appliance runs in the background, installed from {}", built.iso().display());
    println!();
    if let Some(port) = page {
        println!("  http://127.0.0.1:{port}/   a page that a pod of its cluster serves");
    }
    println!("  make demo-console   a shell on it (try: sudo edge-agent status, edge-tui)");
    println!(
        "  make demo-screen    a picture of its screen (its operator is {OPERATOR}, with the password {PASSWORD})"
    );
    println!("  make demo-upgrade   upgrade it to a second version");
    println!("  make demo-break     give it a broken version and watch it come back");
    println!("  make demo-stop      switch it off");
    println!();
    println!("  its serial line: {}", machine.folder().join("serial.log").display());
}

/// A shell on the machine; gives its status.
///
/// # Errors
/// When no demo runs.
pub(crate) fn console() -> Result<ExitCode> {
    let running = running()?;
    let lab = open_lab()?;
    let key = Key::prepare(&lab)?;
    let ended = Ssh { lab: &lab, key: &key, port: running.ssh_port }.shell()?;
    Ok(ended.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Writes a picture of the machine's screen, and says where it is.
///
/// # Errors
/// When no demo runs, or the picture cannot be written.
pub(crate) fn screen() -> Result<()> {
    running()?;
    let machine = Machine::at(&folder().join("machine"), 0);
    let picture = folder().join("screen.png");
    machine.picture(&picture)?;
    println!("{}", picture.display());
    Ok(())
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
    println!("{}", ssh.run("sudo edge-agent status", PATIENCE)?);
    Ok(())
}

/// Each demo upgrade is newer than the one before.
fn next_recipe() -> Result<Recipe> {
    let counter = folder().join("version");
    let last =
        fs::read_to_string(&counter).ok().and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or(1);
    fs::write(&counter, (last + 1).to_string()).context("cannot count demo versions")?;
    let recipe = recipe(&format!("{}.0.0", last + 1));
    Ok(Recipe { kubernetes: running()?.kubernetes, ..recipe })
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
    let outcome = say_and("upgrading the machine", || ssh.outcome(&command, PATIENCE))?;
    if outcome.status.code().is_some_and(|code| code != 0 && code != 255) {
        return Err(Error::environment(outcome.stderr));
    }
    eprintln!("waiting for the machine to judge it...");
    let line = serial.expect_despite("edge: healthy", allowed, PATIENCE)?;
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
