//! What is known of the host, and who is in front of it.

use edge_model::api::access::Role;
use edge_model::api::diagnostics::Metrics;
use edge_model::api::routes::Access;
use edge_model::api::{ConsoleRules, HostStatus, NetworkState, Possibility};
use edge_model::calendar::day_and_time;
use edge_model::cmdline::Mode;

use crate::confirm::Destructive;
use crate::event::{Started, StartedBy};

/// Lines around the text of a screen: title, frame, footer.
const LINES_AROUND: u16 = 4;
/// Columns around it: the frame, and a space on both sides.
const COLUMNS_AROUND: usize = 4;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    pub started: Started,
    /// Seconds since the program began.
    pub now: u64,
    pub agent: Agent,
    pub status: Option<Box<HostStatus>>,
    /// When the status came; its countdowns go on from there.
    pub status_at: u64,
    pub metrics: Option<Metrics>,
    pub session: Option<Session>,
}

/// Whether the agent can be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Agent {
    #[default]
    Connecting,
    Here,
    /// It shows nothing without a login.
    Closed,
    Lost,
}

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub name: String,
    pub role: Role,
}

impl Known {
    pub fn mode(&self) -> Option<Mode> {
        self.status.as_ref().map(|status| status.mode)
    }

    pub fn rules(&self) -> ConsoleRules {
        self.status.as_ref().map(|status| status.console.clone()).unwrap_or_default()
    }

    /// The account that can be given its first password here: on the host's own console, and nowhere else.
    pub fn first_password(&self) -> Option<String> {
        self.rules().first_password.filter(|_| self.started.by != StartedBy::Person)
    }

    /// Whether the agent offers it now.
    pub fn can(&self, possibility: Possibility) -> bool {
        self.status.as_ref().is_some_and(|status| status.possible.contains(&possibility))
    }

    /// Going back to the previous version, with what that means here.
    pub fn rollback(&self) -> Destructive {
        let cluster = self.status.as_ref().and_then(|status| status.cluster.as_ref());
        let kept = cluster.and_then(|cluster| cluster.kept.as_ref());
        Destructive::Rollback { loses: kept.map(|kept| day_and_time(kept.made)) }
    }

    pub fn host_name(&self) -> &str {
        match &self.status {
            Some(status) => &status.host_name,
            None => &self.started.host_name,
        }
    }

    /// Seconds until a network on trial is given up.
    pub fn network_seconds_left(&self) -> Option<u64> {
        match self.status.as_ref()?.network {
            NetworkState::Trial { seconds_left } => Some(self.count_down(seconds_left)),
            NetworkState::Kept | NetworkState::Returned => None,
        }
    }

    /// Seconds until an image on trial is given up.
    pub fn image_seconds_left(&self) -> Option<u64> {
        self.status.as_ref()?.trial_seconds_left.map(|seconds| self.count_down(seconds))
    }

    fn count_down(&self, seconds: u64) -> u64 {
        seconds.saturating_sub(self.now.saturating_sub(self.status_at))
    }

    /// Whether a call can be tried without asking for a login first. The agent decides in any case.
    pub fn may(&self, access: Access) -> bool {
        // The installer's console may do everything, and in a shell the agent knows who calls.
        if self.mode() == Some(Mode::Live) || self.started.by == StartedBy::Person {
            return true;
        }
        match (access, &self.session) {
            (Access::Anybody, _) => true,
            // Where nobody can log in, the agent trusts the console as far as it must.
            (Access::AtLeast(role), None) if self.is_without_accounts() => role <= Role::Operator,
            (Access::AtLeast(role), None) => role == Role::Viewer && self.may_look(),
            (Access::AtLeast(role), Some(session)) => session.role >= role,
            (Access::Console, _) => true,
            (Access::Session, session) => session.is_some(),
        }
    }

    /// Recovery of a host that has lost its accounts.
    fn is_without_accounts(&self) -> bool {
        self.mode() == Some(Mode::Recovery) && !self.rules().somebody_can_log_in
    }

    /// Whether the status may be shown to whoever stands in front of the host.
    pub fn may_look(&self) -> bool {
        // Somebody in a shell sees what the agent shows them.
        let is_person = self.started.by == StartedBy::Person;
        let is_open = self.agent != Agent::Closed && (is_person || self.rules().view_without_login);
        is_open || self.session.is_some() || self.mode() == Some(Mode::Live)
    }

    /// Columns inside the frame of a screen.
    pub fn width(&self) -> usize {
        usize::from(self.started.size.width).saturating_sub(COLUMNS_AROUND)
    }

    /// Lines of a text that a screen has room for.
    pub fn room(&self) -> usize {
        usize::from(self.started.size.height.saturating_sub(LINES_AROUND))
    }
}
