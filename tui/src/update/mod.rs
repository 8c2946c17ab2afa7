//! What an event does to the state, and which actions follow. Pure: no clock, no terminal, no agent.

mod session;

use edge_model::Error;
use edge_model::api::routes::Access;
use edge_model::api::{EventKind, HostStatus, OperationStatus};
use edge_model::cmdline::Mode;

use crate::action::{Action, Answer, Request, Ticket, access_of};
use crate::confirm::{Answered, Confirmation, Confirmed, Destructive};
use crate::event::{Event, Key, StartedBy, Trouble};
use crate::known::Agent;
use crate::screens::{Place, Screen, Wish};
use crate::state::{
    Asked, Asker, Base, Dialog, METRICS_EVERY, Message, Opened, Said, ScreenId, State, TRUSTED_SCREEN,
};
use crate::strings;

/// Seconds that a boot may take until the agent answers.
const PATIENCE: u64 = 60;

/// Takes an event in and says what is to be done.
pub fn update(state: &mut State, event: Event) -> Vec<Action> {
    let mut actions = Vec::new();
    match event {
        Event::Started(started) => state.known.started = started,
        Event::Resized(size) => {
            state.known.started.size = size;
            actions.push(Action::Repaint);
        }
        Event::Focused => actions.push(Action::Repaint),
        Event::Clock(now) => clock(state, now, &mut actions),
        Event::Status(status) => take_status(state, status, &mut actions),
        Event::News(news) => take_news(state, *news, &mut actions),
        Event::StatusRefused(_) => {
            state.known.agent = Agent::Closed;
            state.known.status = None;
            state.known.session = None;
        }
        // Early in a boot the agent is not there yet, which is no failure.
        Event::AgentLost if state.known.agent == Agent::Connecting && state.known.now < PATIENCE => {}
        Event::AgentLost => state.known.agent = Agent::Lost,
        Event::Key(key) => press(state, key, &mut actions),
        Event::Answered { ticket, answer } => take_answer(state, ticket, answer, &mut actions),
    }
    session::guard(state);
    actions
}

fn clock(state: &mut State, now: u64, actions: &mut Vec<Action>) {
    state.known.now = now;
    if state.lock_at().is_some_and(|at| now >= at) {
        session::lock(state, actions);
    }
    let is_due = state.metrics_at.is_none_or(|last| now >= last + METRICS_EVERY);
    if is_due && state.shows_metrics() && state.known.agent == Agent::Here {
        ask_metrics(state, actions);
    }
}

fn ask_metrics(state: &mut State, actions: &mut Vec<Action>) {
    state.metrics_at = Some(state.known.now);
    ask(state, Asker::Console, Request::Metrics, actions);
}

fn take_status(state: &mut State, status: Box<HostStatus>, actions: &mut Vec<Action>) {
    let is_new = state.known.status.is_none();
    let fits = matches!(
        (&state.base, status.mode),
        (Base::Installer(_), Mode::Live) | (Base::Host(_), Mode::Main | Mode::Recovery)
    );
    let mode = status.mode;
    let operation = status.operation.clone();
    state.known.agent = Agent::Here;
    state.known.status_at = state.known.now;
    state.known.status = Some(status);
    if !fits {
        state.screens.clear();
        state.base = match mode {
            Mode::Live => Base::Installer(Box::default()),
            Mode::Main | Mode::Recovery => Base::Host(crate::screens::home::Home::default()),
        };
    }
    if is_new || !fits {
        refresh(state, actions);
    }
    match operation {
        Some(operation) => take_operation(state, &operation, actions),
        None => look_after_work(state, None, actions),
    }
}

fn take_news(state: &mut State, news: EventKind, actions: &mut Vec<Action>) {
    match news {
        EventKind::Status { status } => take_status(state, status, actions),
        EventKind::Operation(operation) => {
            if let Some(status) = &mut state.known.status {
                status.operation = Some(operation.clone());
            }
            take_operation(state, &operation, actions);
        }
        EventKind::Health { health } => {
            if let Some(status) = &mut state.known.status {
                status.health = health;
            }
        }
        // The runner reads the status again when news were missed, and when it has come back to an agent.
        EventKind::Started { .. } | EventKind::Missed | EventKind::Unknown => {}
    }
}

fn take_operation(state: &mut State, operation: &OperationStatus, actions: &mut Vec<Action>) {
    if let Base::Installer(wizard) = &mut state.base {
        wizard.take_operation(operation, state.known.now);
    }
    for opened in &mut state.screens {
        if let Screen::Progress(progress) = &mut opened.screen {
            progress.update(operation, state.known.now);
        }
    }
    look_after_work(state, Some(operation.id), actions);
}

/// Work that is followed and that the status does not tell of any more has ended meanwhile.
fn look_after_work(state: &mut State, told: Option<u64>, actions: &mut Vec<Action>) {
    let is_lost = |opened: &&Opened| {
        matches!(&opened.screen, Screen::Progress(progress)
            if progress.operation.is_running() && Some(progress.operation.id) != told)
    };
    let lost: Vec<(ScreenId, Vec<Request>)> = state
        .screens
        .iter()
        .filter(is_lost)
        .map(|opened| (opened.id, opened.screen.behaviour().load()))
        .collect();
    for (id, requests) in lost {
        for request in requests {
            ask(state, Asker::Screen(id), request, actions);
        }
    }
}

fn press(state: &mut State, key: Key, actions: &mut Vec<Action>) {
    let idle = state.known.now.saturating_sub(state.last_key);
    state.last_key = state.known.now;
    if idle >= TRUSTED_SCREEN {
        actions.push(Action::Repaint);
    }
    let is_command = !state.takes_letters();
    match key {
        Key::Control('l') => actions.push(Action::Repaint),
        Key::Function(1) | Key::Control('g') => help(state),
        Key::Letter('?') if is_command => help(state),
        Key::Function(5) | Key::Control('r') => refresh(state, actions),
        Key::Function(10) | Key::Control('x' | 'c') => leave(state, actions),
        Key::Letter('q') if is_command => leave(state, actions),
        key if state.dialog.is_some() => press_in_dialog(state, key, actions),
        Key::Escape if !state.screens.is_empty() => close(state, actions),
        key => {
            let (by, wishes) = press_in_screen(state, key);
            perform(state, by, wishes, actions);
        }
    }
}

fn help(state: &mut State) {
    // A question stays until it is answered.
    if state.dialog.is_none() {
        state.dialog = Some(Dialog::Help);
    }
}

fn leave(state: &mut State, actions: &mut Vec<Action>) {
    let had_session = state.known.session.is_some();
    session::lock(state, actions);
    if state.known.started.by == StartedBy::Person && !had_session {
        actions.push(Action::Leave);
    }
}

/// Asks again for everything that is shown.
fn refresh(state: &mut State, actions: &mut Vec<Action>) {
    let (by, requests) = match (state.screens.last(), &state.base) {
        (Some(opened), _) => (Asker::Screen(opened.id), opened.screen.behaviour().load()),
        (None, Base::Installer(wizard)) => (Asker::Base, wizard.load()),
        (None, Base::Host(_)) if state.known.may_look() => return ask_metrics(state, actions),
        (None, Base::Host(_) | Base::Waiting) => return,
    };
    for request in requests {
        ask(state, by, request, actions);
    }
}

fn press_in_screen(state: &mut State, key: Key) -> (Asker, Vec<Wish>) {
    match (state.screens.last_mut(), &mut state.base) {
        (Some(opened), _) => (Asker::Screen(opened.id), opened.screen.behaviour_mut().key(key, &state.known)),
        (None, Base::Host(home)) => (Asker::Base, home.key(key, &state.known)),
        (None, Base::Installer(wizard)) => (Asker::Base, wizard.key(key, &state.known)),
        (None, Base::Waiting) => (Asker::Base, Vec::new()),
    }
}

fn press_in_dialog(state: &mut State, key: Key, actions: &mut Vec<Action>) {
    match &mut state.dialog {
        Some(Dialog::Help | Dialog::Message(_)) => {
            if matches!(key, Key::Enter | Key::Escape) {
                state.dialog = None;
            }
        }
        Some(Dialog::Confirm { confirmation, by }) => {
            let by = *by;
            match confirmation.key(key) {
                Answered::NotYet => {}
                Answered::No => state.dialog = None,
                Answered::Yes(confirmed) => {
                    state.dialog = None;
                    agreed(state, by, confirmed, actions);
                }
            }
        }
        Some(Dialog::Login(_)) => session::press(state, key, actions),
        None => {}
    }
}

fn agreed(state: &mut State, by: Asker, confirmed: Confirmed<Destructive>, actions: &mut Vec<Action>) {
    let wishes = match (&mut state.base, by) {
        (Base::Installer(wizard), Asker::Base) => wizard.agreed(confirmed),
        _ => vec![Wish::Ask(Request::Destroy(confirmed))],
    };
    perform(state, by, wishes, actions);
}

/// Does what a screen wants, or asks for a login first.
fn perform(state: &mut State, by: Asker, wishes: Vec<Wish>, actions: &mut Vec<Action>) {
    for wish in wishes {
        let needs = match &wish {
            Wish::Ask(request) => request.access(),
            Wish::Confirm(destructive) => access_of(crate::confirm::route_of(destructive)),
            Wish::Open(place) => place.access(),
            Wish::LogIn | Wish::LogOut | Wish::Close => Access::Anybody,
        };
        if !state.known.may(needs) {
            return session::ask_to_log_in(state, Some((by, wish)), Some(needs), None);
        }
        match wish {
            Wish::Ask(request) => ask(state, by, request, actions),
            Wish::Confirm(destructive) => {
                state.dialog = Some(Dialog::Confirm { confirmation: Confirmation::new(destructive), by });
            }
            Wish::Open(place) => open(state, place, actions),
            Wish::LogIn => session::ask_to_log_in(state, None, None, None),
            Wish::LogOut => session::lock(state, actions),
            Wish::Close => close(state, actions),
        }
    }
}

fn number(state: &mut State) -> u64 {
    state.next_number += 1;
    state.next_number
}

fn ask(state: &mut State, by: Asker, request: Request, actions: &mut Vec<Action>) {
    let asked = Asked { by, request };
    // A key that is pressed twice is one question.
    if state.asked.values().any(|other| *other == asked) {
        return;
    }
    // Somebody who asks something else does not wait for the older answer any more.
    if asked.request.is_a_question_of_the_moment() {
        let kind = std::mem::discriminant(&asked.request);
        state.asked.retain(|_, other| other.by != by || std::mem::discriminant(&other.request) != kind);
    }
    let ticket = Ticket(number(state));
    actions.push(Action::Ask { ticket, request: asked.request.clone() });
    state.asked.insert(ticket, asked);
}

fn open(state: &mut State, place: Place, actions: &mut Vec<Action>) {
    let screen = place.screen(&state.known);
    let id = ScreenId(number(state));
    // Work that has just begun tells of itself.
    let requests = match &screen {
        Screen::Progress(_) => Vec::new(),
        other => other.behaviour().load(),
    };
    state.screens.push(Opened { id, screen });
    for request in requests {
        ask(state, Asker::Screen(id), request, actions);
    }
}

/// Back to the screen before, which is read again.
fn close(state: &mut State, actions: &mut Vec<Action>) {
    if let Some(closed) = state.screens.pop() {
        state.asked.retain(|_, asked| asked.by != Asker::Screen(closed.id));
    }
    if !state.screens.is_empty() {
        refresh(state, actions);
    }
}

fn take_answer(
    state: &mut State,
    ticket: Ticket,
    answer: Result<Box<Answer>, Trouble>,
    actions: &mut Vec<Action>,
) {
    let Some(Asked { by, request }) = state.asked.remove(&ticket) else {
        // Whoever asked has gone. A login that nobody waits for any more must not stay open.
        if matches!(answer.as_deref(), Ok(Answer::LoggedIn { .. })) && state.known.session.is_none() {
            ask(state, Asker::Console, Request::LogOut, actions);
        }
        return;
    };
    match answer {
        Ok(answer) => deliver(state, by, &request, *answer, actions),
        Err(Trouble::NoSession(error)) if !matches!(by, Asker::Login | Asker::Console) => {
            state.known.session = None;
            let needs = Some(request.access());
            session::ask_to_log_in(state, Some((by, Wish::Ask(request))), needs, Some(error));
        }
        Err(trouble) => complain(state, by, trouble.error()),
    }
}

fn deliver(state: &mut State, by: Asker, request: &Request, answer: Answer, actions: &mut Vec<Action>) {
    let wishes = match (by, &mut state.base) {
        (Asker::Console, _) => {
            if let Answer::Metrics(metrics) = answer {
                state.known.metrics = Some(metrics);
            }
            return;
        }
        (Asker::Login, _) => return session::logged_in(state, answer, actions),
        (Asker::Screen(id), _) => {
            let known = &state.known;
            let opened = state.screens.iter_mut().find(|opened| opened.id == id);
            opened.map(|opened| opened.screen.behaviour_mut().answer(answer, known)).unwrap_or_default()
        }
        (Asker::Base, Base::Installer(wizard)) => wizard.answer(request, answer, state.known.now),
        (Asker::Base, _) => match answer {
            Answer::Operation(operation) => vec![Wish::Open(Place::Progress(Box::new(operation)))],
            Answer::Message(message) => {
                let text = Said::Text(std::iter::once(message.message).chain(message.findings).collect());
                state.dialog = Some(Dialog::Message(Message { title: strings::DONE, text }));
                Vec::new()
            }
            _ => Vec::new(),
        },
    };
    perform(state, by, wishes, actions);
}

/// Shows an error where it belongs.
fn complain(state: &mut State, by: Asker, error: Error) {
    match (by, &mut state.base) {
        // Numbers that are missing are seen to be missing.
        (Asker::Console, _) => {}
        (Asker::Login, _) => session::refused(state, error),
        (Asker::Screen(id), _) => {
            if let Some(opened) = state.screens.iter_mut().find(|opened| opened.id == id) {
                opened.screen.behaviour_mut().trouble(error);
            }
        }
        (Asker::Base, Base::Installer(wizard)) => wizard.trouble(error),
        (Asker::Base, _) => {
            let text = Said::Error(error);
            state.dialog = Some(Dialog::Message(Message { title: strings::REFUSED, text }));
        }
    }
}
