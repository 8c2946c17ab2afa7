//! Restarting and switching off.

use std::convert::Infallible;

use edge_model::{Context, Error, Result};
use nix::sys::reboot::{RebootMode, reboot};

use crate::machine::Machine;

/// Restarts at once, without asking anybody. For early boot, where there is no service manager.
///
/// # Errors
/// Only when the kernel refuses.
pub fn restart_now() -> Result<Infallible> {
    rustix::fs::sync();
    reboot(RebootMode::RB_AUTOBOOT).map_err(|error| Error::environment(format!("cannot restart: {error}")))
}

/// Asks the service manager for an orderly restart.
///
/// # Errors
/// When it cannot be reached.
pub fn restart(machine: &Machine) -> Result<()> {
    let ask = machine.program("systemctl").args(["--no-block", "reboot"]);
    ask.run().map(drop).context("cannot restart the host")
}

/// Asks the service manager to restart at once: it ends all programs and unmounts everything, and stops no unit for itself. For a
/// system that keeps nothing, as the installer's.
///
/// # Errors
/// When it cannot be reached.
pub fn restart_without_stopping_units(machine: &Machine) -> Result<()> {
    let ask = machine.program("systemctl").args(["--no-block", "--force", "reboot"]);
    ask.run().map(drop).context("cannot restart the machine")
}

/// Asks the service manager to switch the machine off.
///
/// # Errors
/// When it cannot be reached.
pub fn switch_off(machine: &Machine) -> Result<()> {
    let ask = machine.program("systemctl").args(["--no-block", "poweroff"]);
    ask.run().map(drop).context("cannot switch the host off")
}
