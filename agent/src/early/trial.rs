//! A boot on trial gets its deadline before the service manager starts: no failure of the new image can keep the
//! old one from coming back.

use edge_model::paths;
use std::fs;
use std::path::Path;

use edge_model::api::BootState;
use edge_model::{Context, Result};

use crate::configuration::Settings;
use crate::facts::Host;

const UNITS: &str = paths::RUN_UNITS;
const TIMER: &str = "edge-trial-deadline.timer";
/// The agent returns by itself at the deadline, with its reason recorded; the timer is for when it cannot.
const AFTER_THE_AGENT: u64 = 60;

/// Arms the deadline when this boot is a trial.
pub(super) fn arm_deadline(settings: &Settings) -> Result<()> {
    // Where this cannot be told, the agent asks until it can: a host that is not on trial must not be restarted.
    if Host::observe()?.booted()?.state() != BootState::Trial {
        return Ok(());
    }
    let seconds = settings.edge().health.deadline_seconds.saturating_add(AFTER_THE_AGENT);
    let folder = Path::new(UNITS).join(format!("{TIMER}.d"));
    let wants = Path::new(UNITS).join("sysinit.target.wants");
    for folder in [&folder, &wants] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(folder.join("deadline.conf"), format!("[Timer]\nOnBootSec=\nOnBootSec={seconds}\n"))
        .context("cannot set the deadline of the trial")?;
    std::os::unix::fs::symlink(format!("/usr/lib/systemd/system/{TIMER}"), wants.join(TIMER))
        .context("cannot arm the deadline of the trial")
}
