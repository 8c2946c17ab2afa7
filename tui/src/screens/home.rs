//! The menu beside the status. It offers what the agent says is possible, and nothing else.

use edge_model::api::Possibility;
use edge_model::api::access::Role;
use edge_model::cmdline::Mode;

use super::{Place, Wish};
use crate::action::{Request, Work};
use crate::confirm::Destructive;
use crate::event::Key;
use crate::known::Known;
use crate::scroll::{Cursor, Moved};
use crate::strings::home as words;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Home {
    pub cursor: Cursor,
}

/// A line of the menu.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub label: &'static str,
    pub wish: Wish,
}

fn entry(label: &'static str, wish: Wish) -> Entry {
    Entry { label, wish }
}

pub fn entries(known: &Known) -> Vec<Entry> {
    let mut entries = match known.mode() {
        Some(Mode::Recovery) => of_recovery(known),
        Some(Mode::Main | Mode::Live) => of_host(known),
        None => Vec::new(),
    };
    let has_notices = known.status.as_ref().is_some_and(|status| !status.notices.is_empty());
    if has_notices && known.mode() == Some(Mode::Main) {
        entries.push(entry(words::NOTICES_READ, Wish::Ask(Request::PutNoticesAway)));
    }
    if known.status.is_some() && known.mode() != Some(Mode::Live) {
        entries.push(match known.session {
            Some(_) => entry(words::LOG_OUT, Wish::LogOut),
            None if known.first_password().is_some() => entry(words::FIRST_PASSWORD, Wish::LogIn),
            None => entry(words::LOG_IN, Wish::LogIn),
        });
    }
    // At the end: the other lines stay where a finger is about to choose them.
    let work = known.status.as_ref().and_then(|status| status.operation.as_ref());
    if let Some(operation) = work.filter(|operation| operation.is_running()) {
        entries.push(entry(words::WORK, Wish::Open(Place::Progress(Box::new(operation.clone())))));
    }
    entries
}

fn of_host(known: &Known) -> Vec<Entry> {
    let mut entries = vec![
        entry(words::NETWORK, Wish::Open(Place::Network)),
        entry(words::NAMES, Wish::Open(Place::Names)),
        entry(words::PROXY, Wish::Open(Place::Proxy)),
        entry(words::CLOCK, Wish::Open(Place::Clock)),
        entry(words::KEYBOARD, Wish::Open(Place::Keyboard)),
        entry(words::ACCOUNT, Wish::Open(Place::Account)),
        entry(words::SYSTEM, Wish::Open(Place::System)),
        entry(words::CLUSTER, Wish::Open(Place::Cluster)),
        entry(words::DIAGNOSIS, Wish::Open(Place::Diagnosis)),
        entry(words::LOGS, Wish::Open(Place::Logs)),
    ];
    if known.can(Possibility::SupportBundle) {
        entries.push(entry(words::BUNDLE, Wish::Open(Place::Bundle)));
    }
    entries.push(entry(words::BLACK_BOX, Wish::Open(Place::BlackBox)));
    entries.push(entry(words::CODES, Wish::Open(Place::Codes)));
    if [Possibility::Reboot, Possibility::RebootIntoRecovery, Possibility::PowerOff]
        .iter()
        .any(|possibility| known.can(*possibility))
    {
        entries.push(entry(words::POWER, Wish::Open(Place::Power)));
    }
    let is_admin = known.session.as_ref().is_some_and(|session| session.role == Role::Admin);
    if is_admin && known.rules().shell {
        entries.push(entry(words::SHELL, Wish::Ask(Request::OpenShell)));
    }
    entries
}

fn of_recovery(known: &Known) -> Vec<Entry> {
    let offers = [
        (Possibility::Reboot, words::START_MAIN, Wish::Confirm(Destructive::Restart)),
        (Possibility::Rollback, words::ROLLBACK, Wish::Confirm(known.rollback())),
        (Possibility::RestoreNetwork, words::RESTORE_NETWORK, Wish::Ask(Request::RestoreNetwork)),
        (Possibility::Fsck, words::REPAIR, Wish::Ask(Request::Start(Work::Repair))),
        (Possibility::Reset, words::RESET, Wish::Confirm(Destructive::Reset { oem: false })),
        (Possibility::Reset, words::RESET_ALL, Wish::Confirm(Destructive::Reset { oem: true })),
        (Possibility::SupportBundle, words::BUNDLE, Wish::Open(Place::Bundle)),
        (Possibility::PowerOff, words::POWER_OFF, Wish::Confirm(Destructive::PowerOff)),
    ];
    let mut entries: Vec<Entry> = offers
        .into_iter()
        .filter(|(possibility, _, _)| known.can(*possibility))
        .map(|(_, label, wish)| entry(label, wish))
        .collect();
    // These only look.
    entries.push(entry(words::BLACK_BOX, Wish::Open(Place::BlackBox)));
    entries.push(entry(words::LOGS, Wish::Open(Place::Logs)));
    entries.push(entry(words::CODES, Wish::Open(Place::Codes)));
    entries
}

impl Home {
    pub fn key(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        let entries = entries(known);
        match self.cursor.key(key, entries.len()) {
            Moved::Chosen(at) => entries.into_iter().nth(at).map(|entry| entry.wish).into_iter().collect(),
            Moved::Taken | Moved::Ignored => Vec::new(),
        }
    }
}
