//! The care for the web page: a certificate that fits, and the service that uses it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edge_host::child::Child;
use edge_host::files;
use edge_model::{Error, Result, paths};

use super::{Served, is_wanted, prepare};
use crate::daemon::Shared;
use crate::daemon::care::{Caretaker, Then};
use crate::daemon::notices::Said;

/// A host name changes with the configuration, a certificate ends within weeks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(30);
const UNIT: &str = "edge-local-ui.service";
/// Bytes of what is written down about the page that runs.
const LIMIT: u64 = 64 << 10;

/// Keeps the page running, with the certificate that is right now.
#[derive(Debug, Default)]
pub(crate) struct WebCaretaker {
    /// The look before has started it.
    was_started: bool,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What is to be served; none: no page is wanted.
    wanted: Option<Served>,
    /// What the service was started with last, also by an agent before this one. It reads its files when it starts.
    running: Option<Served>,
    is_active: bool,
}

/// What the service needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Start,
    Restart,
    Stop,
    Leave,
}

fn turn(seen: &Seen) -> Turn {
    match (&seen.running, &seen.wanted) {
        (None, Some(_)) => Turn::Start,
        (Some(before), Some(now)) if before != now => Turn::Restart,
        (Some(_), Some(_)) if !seen.is_active => Turn::Start,
        (Some(_), None) => Turn::Stop,
        _ => Turn::Leave,
    }
}

/// Whether the service is at work, or on its way. A service manager that cannot be asked is an error, and no answer.
fn is_active() -> Result<bool> {
    let said = Child::new("systemctl").args(["show", "--property=ActiveState", "--value", UNIT]).run()?;
    Ok(matches!(String::from_utf8_lossy(&said).trim(), "active" | "activating" | "reloading"))
}

impl Caretaker for WebCaretaker {
    type Facts = Result<Seen>;
    type Step = Result<(Turn, Seen)>;

    fn look(&mut self, shared: &Arc<Shared>) -> Self::Facts {
        let settings = shared.settings();
        let wanted = match is_wanted(shared.host.kind, &settings) {
            true => Some(prepare(&shared.host, &settings)?),
            false => None,
        };
        let running = files::read(Path::new(paths::WEB_ENABLED), LIMIT).ok();
        let running = running.map(|bytes| serde_json::from_slice(&bytes).ok());
        // A mark that says nothing is of a page that nobody knows: it is started anew, or stopped.
        let running = running.map(|known| known.unwrap_or_else(Served::unknown));
        let is_active = running.is_none() || is_active()?;
        Ok(Seen { wanted, running, is_active })
    }

    fn decide(&mut self, seen: Self::Facts) -> Self::Step {
        seen.map(|seen| (turn(&seen), seen))
    }

    fn act(&mut self, shared: &Arc<Shared>, step: Self::Step) -> Then {
        let acted = step.and_then(|(turn, seen)| self.take(shared, turn, seen));
        let said = acted.err().map(|error| Said::failed("the web page is not served", &error));
        shared.notice_while("the web page", said.into_iter().collect());
        Then::LookAgain(BETWEEN_LOOKS)
    }
}

impl WebCaretaker {
    fn take(&mut self, shared: &Arc<Shared>, turn: Turn, seen: Seen) -> Result<()> {
        let mark = Path::new(paths::WEB_ENABLED);
        match (turn, &seen.wanted) {
            (Turn::Start | Turn::Restart, Some(wanted)) => {
                // Its unit starts only where this exists.
                if !mark.exists() {
                    files::write_durably(mark, b"", 0o600)?;
                }
                let verb = if turn == Turn::Restart || seen.running.is_none() { "restart" } else { "start" };
                Child::new("systemctl").args([verb, "--no-block", UNIT]).run()?;
                // Not before: what is written down runs.
                let text = serde_json::to_vec(wanted).map_err(|error| Error::internal(error.to_string()))?;
                files::write_durably(mark, &text, 0o600)?;
            }
            (Turn::Stop, _) => {
                Child::new("systemctl").args(["stop", "--no-block", UNIT]).run()?;
                std::fs::remove_file(mark)?;
            }
            _ => {}
        }
        let others = |before: &Served, now: &Served| before.fingerprint != now.fingerprint;
        if let (Turn::Restart, Some(before), Some(now)) = (turn, &seen.running, &seen.wanted)
            && others(before, now)
        {
            let text = "the certificate of the web page is another one: its digits are on the console";
            shared.notice(Said::info(text));
        }
        let keeps_ending = self.was_started && turn == Turn::Start;
        self.was_started = turn == Turn::Start;
        shared.show_web(seen.wanted.map(|wanted| wanted.for_people()));
        if keeps_ending {
            return Err(
                Error::environment("its program ends again and again").help("journalctl -u edge-local-ui")
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_started_again_only_for_something_new() {
        let page = |name: &str| Some(Served::of_test(name));
        for (running, wanted, is_active, expected) in [
            (None, None, false, Turn::Leave),
            (None, page("a"), false, Turn::Start),
            (page("a"), page("a"), true, Turn::Leave),
            (page("a"), page("a"), false, Turn::Start),
            (page("a"), page("b"), true, Turn::Restart),
            (page("a"), None, true, Turn::Stop),
        ] {
            let seen = Seen { wanted, running, is_active };
            assert_eq!(turn(&seen), expected, "{seen:?}");
        }
    }
}
