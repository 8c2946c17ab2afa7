//! Looks at a host whose cluster does not answer, for [`trouble::why_no_api`].

use std::time::{Duration, Instant};

use edge_host::child::Child;
use edge_planner::cluster::trouble::{self, ContainerSight, Sight, UnitSight};

use super::ground::crictl;

/// Looking takes time from a machine that is busy already.
const BETWEEN: Duration = Duration::from_secs(20);
const LINES: &str = "60";

/// The last reason that was found, and when.
#[derive(Debug, Default)]
pub(super) struct LastSight(Option<(Instant, Option<String>)>);

impl LastSight {
    /// Why there is no API, if that can be seen.
    pub(super) fn reason(&mut self) -> Option<String> {
        if let Some((when, reason)) = &self.0
            && when.elapsed() < BETWEEN
        {
            return reason.clone();
        }
        let reason = trouble::why_no_api(&look());
        self.0 = Some((Instant::now(), reason.clone()));
        reason
    }
}

fn look() -> Sight {
    Sight { runtime: unit("containerd.service"), kubelet: unit("kubelet.service"), containers: containers() }
}

fn unit(name: &str) -> UnitSight {
    let properties = ["show", "--property=ActiveState,NRestarts", name];
    let shown = said(Child::new("systemctl").args(properties).run().ok());
    let value = |key: &str| shown.iter().find_map(|line| line.strip_prefix(key));
    let journal = ["--unit", name, "--boot", "--lines", LINES, "--output=cat", "--no-pager"];
    UnitSight {
        is_active: value("ActiveState=") == Some("active"),
        restarts: value("NRestarts=").and_then(|number| number.parse().ok()).unwrap_or(0),
        lines: said(Child::new("journalctl").args(journal).run().ok()),
    }
}

fn containers() -> Vec<ContainerSight> {
    let answer = crictl(&["ps", "--all", "--output=json"]).ok();
    let answer = answer.and_then(|answer| serde_json::from_slice(&answer).ok()).unwrap_or_default();
    let mut found = trouble::containers(&answer);
    for container in &mut found {
        let matters = trouble::NEEDED.iter().any(|(name, _)| *name == container.name);
        if matters && !container.is_running {
            container.lines = log(&container.id);
        }
    }
    found
}

/// crictl gives what a program has written where the program wrote it: mostly to standard error.
fn log(container: &str) -> Vec<String> {
    let arguments = ["--timeout=20s", "logs", "--tail", LINES, container];
    let Ok(outcome) = Child::new("crictl").args(arguments).outcome() else { return Vec::new() };
    let mut lines = said(Some(outcome.stdout));
    lines.extend(outcome.stderr.lines().map(str::to_owned));
    lines
}

fn said(output: Option<Vec<u8>>) -> Vec<String> {
    String::from_utf8_lossy(&output.unwrap_or_default()).lines().map(str::to_owned).collect()
}
