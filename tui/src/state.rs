//! All that the console remembers. Plain data: `update` changes it, `view` shows it.

use std::collections::BTreeMap;

use edge_model::Error;
use edge_model::api::routes::Access;

use crate::action::{Request, Ticket};
use crate::confirm::Confirmation;
use crate::installer::Wizard;
use crate::known::Known;
use crate::login::Login;
use crate::screens::home::Home;
use crate::screens::{Screen, Wish};

/// Seconds between two looks at memory, disks and load.
pub(crate) const METRICS_EVERY: u64 = 30;
/// Seconds without a key after which the kernel may have written on the screen.
pub(crate) const TRUSTED_SCREEN: u64 = 30;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    pub known: Known,
    pub base: Base,
    /// Opened on top of each other; the last one is seen.
    pub screens: Vec<Opened>,
    pub dialog: Option<Dialog>,
    /// What has no answer yet.
    pub asked: BTreeMap<Ticket, Asked>,
    pub(crate) next_number: u64,
    pub(crate) last_key: u64,
    /// When memory, disks and load were asked for last.
    pub(crate) metrics_at: Option<u64>,
}

/// What is below all screens.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Base {
    /// Nothing is known of the host yet.
    #[default]
    Waiting,
    /// Normal system and recovery.
    Host(Home),
    Installer(Box<Wizard>),
}

/// One opening of a screen; an answer to an earlier opening is not for this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScreenId(pub u64);

#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    pub id: ScreenId,
    pub screen: Screen,
}

/// Who gets an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    Console,
    Login,
    Base,
    Screen(ScreenId),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub by: Asker,
    pub request: Request,
}

/// In front of everything.
#[derive(Debug, Clone, PartialEq)]
pub enum Dialog {
    Help,
    Message(Message),
    Confirm { confirmation: Confirmation, by: Asker },
    Login(Box<LoginDialog>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub title: &'static str,
    pub text: Said,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Text(Vec<String>),
    Error(Error),
}

#[derive(Debug, Clone, PartialEq)]
pub struct LoginDialog {
    pub login: Login,
    /// What is done after the login.
    pub then: Option<(Asker, Wish)>,
    /// What that needs.
    pub needs: Option<Access>,
}

impl State {
    /// The screen that is seen, unless it is the lowest one.
    pub fn top(&self) -> Option<&Opened> {
        self.screens.last()
    }

    /// What the field is for that somebody stands in.
    pub fn help(&self) -> Option<String> {
        match (self.screens.last(), &self.base) {
            (Some(opened), _) => opened.screen.behaviour().help(),
            (None, Base::Installer(wizard)) => wizard.help(),
            (None, Base::Host(_) | Base::Waiting) => None,
        }
    }

    /// Whether a letter is text now and no command.
    pub fn takes_letters(&self) -> bool {
        match (&self.dialog, self.screens.last(), &self.base) {
            (Some(Dialog::Login(dialog)), _, _) => dialog.login.form.takes_letters(),
            (Some(Dialog::Confirm { .. }), _, _) => true,
            (Some(Dialog::Help | Dialog::Message(_)), _, _) => false,
            (None, Some(opened), _) => opened.screen.behaviour().takes_letters(),
            (None, None, Base::Installer(wizard)) => wizard.takes_letters(),
            (None, None, _) => false,
        }
    }

    /// Whether a letter is part of a secret now, and is not recorded.
    pub fn takes_secret(&self) -> bool {
        match (&self.dialog, self.screens.last(), &self.base) {
            (Some(Dialog::Login(dialog)), _, _) => dialog.login.form.takes_secret(),
            (Some(_), _, _) => false,
            (None, Some(opened), _) => opened.screen.behaviour().takes_secret(),
            (None, None, Base::Installer(wizard)) => wizard.takes_secret(),
            (None, None, _) => false,
        }
    }

    /// Whether something that `by` asked has no answer yet.
    pub fn is_waiting(&self, by: Asker) -> bool {
        self.asked.values().any(|asked| asked.by == by)
    }

    /// Seconds until time alone changes something; none when only an event can.
    pub fn next_wake(&self) -> Option<u64> {
        let known = &self.known;
        // A countdown is seen, unless it has come to its end.
        let counts = [known.network_seconds_left(), known.image_seconds_left()];
        let countdown = counts.iter().flatten().any(|left| *left > 0).then_some(1);
        let at = |deadline: u64| deadline.saturating_sub(known.now).max(1);
        let lock = self.lock_at().map(at);
        let metrics = self.metrics_at.filter(|_| self.shows_metrics()).map(|last| at(last + METRICS_EVERY));
        [countdown, lock, metrics].into_iter().flatten().min()
    }

    /// When a login, or the question for one, ends for want of keys.
    pub(crate) fn lock_at(&self) -> Option<u64> {
        let has_something = self.known.session.is_some() || matches!(self.dialog, Some(Dialog::Login(_)));
        let after = self.known.rules().lock_after_seconds;
        (has_something && after > 0).then_some(self.last_key + after)
    }

    pub(crate) fn shows_metrics(&self) -> bool {
        matches!(self.base, Base::Host(_)) && self.screens.is_empty() && self.known.may_look()
    }
}
