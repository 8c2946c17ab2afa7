//! Logging in, and being logged out: by hand, for want of keys, and by the agent.

use edge_model::Error;
use edge_model::api::routes::Access;

use super::{ask, perform, refresh};
use crate::action::{Action, Answer, Request};
use crate::event::Key;
use crate::known::{Agent, Session};
use crate::login::Login;
use crate::screens::Wish;
use crate::state::{Asker, Base, Dialog, LoginDialog, State};

/// What a stranger must not see is behind a login, whatever happened.
pub(super) fn guard(state: &mut State) {
    let is_closed = state.known.agent == Agent::Closed || state.known.status.is_some();
    if is_closed && !state.known.may_look() && !matches!(state.dialog, Some(Dialog::Login(_))) {
        state.screens.clear();
        forget_questions(state);
        ask_to_log_in(state, None, None, None);
    }
}

pub(super) fn ask_to_log_in(
    state: &mut State,
    then: Option<(Asker, Wish)>,
    needs: Option<Access>,
    why: Option<Error>,
) {
    let kind = state.known.first_password().map_or_else(Login::new, Login::first);
    let login = Login { trouble: why, ..kind };
    state.dialog = Some(Dialog::Login(Box::new(LoginDialog { login, then, needs })));
}

/// Answers to what a person asked who has gone are for nobody.
fn forget_questions(state: &mut State) {
    state.asked.retain(|_, asked| asked.by == Asker::Console);
}

/// Ends the login and closes everything that came after it.
pub(super) fn lock(state: &mut State, actions: &mut Vec<Action>) {
    if matches!(state.base, Base::Installer(_)) {
        // Nobody has logged in, and half an installation is not thrown away by one key.
        state.dialog = None;
        return;
    }
    state.screens.clear();
    state.dialog = None;
    forget_questions(state);
    if state.known.session.take().is_some() {
        ask(state, Asker::Console, Request::LogOut, actions);
    }
}

pub(super) fn press(state: &mut State, key: Key, actions: &mut Vec<Action>) {
    let Some(Dialog::Login(dialog)) = &mut state.dialog else { return };
    if key == Key::Escape {
        state.asked.retain(|_, asked| asked.by != Asker::Login);
        state.dialog = None;
        return;
    }
    if let Some(request) = dialog.login.key(key) {
        // One try at a time: the agent counts them.
        if !state.is_waiting(Asker::Login) {
            ask(state, Asker::Login, request, actions);
        }
    }
}

pub(super) fn refused(state: &mut State, error: Error) {
    if let Some(Dialog::Login(dialog)) = &mut state.dialog {
        dialog.login.refused(error);
    }
}

/// Goes on with what the login was for.
pub(super) fn logged_in(state: &mut State, answer: Answer, actions: &mut Vec<Action>) {
    let Answer::LoggedIn { name, role } = answer else { return };
    state.known.session = Some(Session { name, role });
    state.last_key = state.known.now;
    let then = match state.dialog.take() {
        Some(Dialog::Login(dialog)) => dialog.then,
        other => {
            state.dialog = other;
            None
        }
    };
    match then {
        Some((by, wish)) => perform(state, by, vec![wish], actions),
        None => refresh(state, actions),
    }
}
