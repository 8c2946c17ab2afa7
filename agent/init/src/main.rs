//! PID 1 of the initrd: arms the watchdog, loads the few modules, finds the partition whose hash tree hashes to
//! the root hash, opens it through dm-verity and hands over to `edge-agent early`.
//!
//! It ends in one of two ways only: the next program, or a restart. There is no shell.

mod attempts;
mod handover;
mod hardware;
mod kernel_file_systems;
mod root;

use std::convert::Infallible;
use std::time::Duration;

use edge_host::{console, power};
use edge_model::cmdline::{CommandLine, Fault, Mode};
use edge_model::{Context, Result, error};

use crate::attempts::Attempts;
use crate::hardware::Hardware;

/// How long a person can read the last words before the machine restarts.
const READING_TIME: Duration = Duration::from_secs(10);

fn main() {
    let Err(error) = start();
    console::say(&format!(
        "edge: this system cannot start.\r\n{}",
        error::render(&error).replace('\n', "\r\n")
    ));
    console::say("edge: restarting in 10 seconds.");
    std::thread::sleep(READING_TIME);
    let Err(error) = power::restart_now();
    console::say(&format!("edge: {error}. Please switch the machine off and on again."));
}

fn start() -> Result<Infallible> {
    kernel_file_systems::mount_all()?;
    let text = std::fs::read_to_string("/proc/cmdline").context("cannot read the kernel command line")?;
    let command_line = CommandLine::parse(&text)?;
    kernel_file_systems::mount_firmware_variables();
    let mut attempts = Attempts::begin(&command_line);
    go_on(&command_line, &mut attempts).inspect_err(|error| attempts.cannot_go_on(error))
}

fn go_on(command_line: &CommandLine, attempts: &mut Attempts) -> Result<Infallible> {
    let mut hardware = Hardware::load()?;
    let watchdog = hardware.arm_watchdog();
    attempts.act();
    show(command_line.fault);
    let root = root::find(command_line, &mut hardware)?;
    drop(watchdog); // keeps ticking
    if command_line.mode == Mode::Live {
        console::say("edge: starting the installer.");
    }
    handover::to_agent(command_line, &root, attempts.is_fallback())
}

/// Images that were built to fail do so here, after the watchdog was armed as on every boot.
fn show(fault: Option<Fault>) {
    match fault {
        None => {}
        Some(Fault::HangInInit) => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        Some(Fault::PanicInInit) => std::process::exit(1),
    }
}
