//! Restart, recovery, power off.

use edge_model::Error;
use edge_model::api::Possibility;

use super::{Behaviour, Wish, follow};
use crate::action::Answer;
use crate::confirm::Destructive;
use crate::event::Key;
use crate::known::Known;
use crate::scroll::{Cursor, Moved};
use crate::strings::power as words;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Power {
    pub cursor: Cursor,
    pub trouble: Option<Error>,
}

/// What the agent offers now.
pub fn offers(known: &Known) -> Vec<(&'static str, Destructive)> {
    let offers = [
        (Possibility::Reboot, words::RESTART, Destructive::Restart),
        (Possibility::RebootIntoRecovery, words::RECOVERY, Destructive::RestartIntoRecovery),
        (Possibility::PowerOff, words::POWER_OFF, Destructive::PowerOff),
    ];
    let possible = offers.into_iter().filter(|(possibility, _, _)| known.can(*possibility));
    possible.map(|(_, label, destructive)| (label, destructive)).collect()
}

impl Behaviour for Power {
    fn key(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        let offers = offers(known);
        match self.cursor.key(key, offers.len()) {
            Moved::Chosen(at) => {
                let chosen = offers.into_iter().nth(at);
                chosen.map(|(_, destructive)| Wish::Confirm(destructive)).into_iter().collect()
            }
            Moved::Taken | Moved::Ignored => Vec::new(),
        }
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        self.trouble = None;
        follow(answer)
    }

    fn trouble(&mut self, error: Error) {
        self.trouble = Some(error);
    }
}
