//! The care for the web page: a certificate that fits, and the service that uses it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edge_host::child::Child;
use edge_model::api::WebUi;
use edge_model::{Result, paths};

use super::{is_wanted, prepare};
use crate::daemon::Shared;
use crate::daemon::care::{Caretaker, Then};
use crate::daemon::notices::Said;

/// A host name changes with the configuration, a certificate ends within weeks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(30);
const UNIT: &str = "edge-local-ui.service";

/// Keeps the page running, with the certificate that is right now.
#[derive(Debug, Default)]
pub(crate) struct WebCaretaker {
    served: Option<WebUi>,
}

/// What the service needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Start,
    /// It reads its files when it starts.
    Restart,
    Stop,
    Leave,
}

impl Caretaker for WebCaretaker {
    /// What is to be served; none: no page is wanted.
    type Facts = Result<Option<WebUi>>;
    type Step = Result<(Turn, Option<WebUi>)>;

    fn look(&mut self, shared: &Arc<Shared>) -> Self::Facts {
        let settings = shared.settings();
        if !is_wanted(shared.host.kind, &settings) {
            return Ok(None);
        }
        prepare(&shared.host, &settings).map(Some)
    }

    fn decide(&mut self, wanted: Self::Facts) -> Self::Step {
        let wanted = wanted?;
        let turn = match (&self.served, &wanted) {
            (None, Some(_)) => Turn::Start,
            (Some(before), Some(now)) if before != now => Turn::Restart,
            (Some(_), None) => Turn::Stop,
            _ => Turn::Leave,
        };
        Ok((turn, wanted))
    }

    fn act(&mut self, shared: &Arc<Shared>, step: Self::Step) -> Then {
        let acted = step.and_then(|(turn, wanted)| {
            let verb = match turn {
                Turn::Start => "start",
                Turn::Restart => "restart",
                Turn::Stop => "stop",
                Turn::Leave => return Ok(()),
            };
            // Its unit starts only where this exists.
            let enabled = Path::new(paths::WEB_ENABLED);
            match &wanted {
                Some(_) => std::fs::write(enabled, "")?,
                None => drop(std::fs::remove_file(enabled)),
            }
            Child::new("systemctl").args([verb, "--no-block", UNIT]).run()?;
            if turn == Turn::Restart {
                let text = "the certificate of the web page is another one: its digits are on the console";
                shared.notice(Said::info(text));
            }
            shared.show_web(wanted.clone());
            self.served = wanted;
            Ok(())
        });
        shared.notice_while(
            "the web page",
            acted.err().map(|error| Said::failed("the web page is not served", &error)).into_iter().collect(),
        );
        Then::LookAgain(BETWEEN_LOOKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_restarted_only_for_something_new() {
        let page = |fingerprint: &str| {
            Some(WebUi { url: String::new(), port: 5080, fingerprint: fingerprint.into(), own: true })
        };
        let mut care = WebCaretaker::default();
        let mut turn = |wanted: Option<WebUi>| {
            let (turn, wanted) = care.decide(Ok(wanted)).unwrap();
            care.served = wanted;
            turn
        };
        assert_eq!(turn(None), Turn::Leave);
        assert_eq!(turn(page("a")), Turn::Start);
        assert_eq!(turn(page("a")), Turn::Leave);
        assert_eq!(turn(page("b")), Turn::Restart);
        assert_eq!(turn(None), Turn::Stop);
    }
}
