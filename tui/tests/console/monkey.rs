//! Keys without sense, news in between: nothing panics, and nothing is destroyed that was not agreed to.

use edge_model::Error;
use edge_model::api::{BootState, NetworkState, Possibility};
use edge_model::cmdline::Mode;
use edge_tui::action::{Action, Request};
use edge_tui::confirm::{Confirmation, Destructive, Proof};
use edge_tui::event::{Event, Key, Started, StartedBy, Trouble};
use edge_tui::screens::Wish;
use edge_tui::state::{Base, Dialog, State};
use edge_tui::update::update;
use edge_tui::view::look::Look;
use edge_tui::view::render;

use crate::agent;
use crate::driver::{LARGE, SMALL};

const EVENTS_PER_SEED: usize = 12_500;
const SEEDS: u64 = 8;
/// How often it is drawn: drawing takes longer than everything else.
const DRAW_EVERY: usize = 250;

/// xorshift64*: the same keys in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap() % limit
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

fn key(random: &mut Random, state: &State) -> Key {
    const MOVES: [Key; 18] = [
        Key::Enter,
        Key::Enter,
        Key::Enter,
        Key::Enter,
        Key::Tab,
        Key::BackTab,
        Key::Up,
        Key::Down,
        Key::Left,
        Key::Right,
        Key::Home,
        Key::End,
        Key::PageUp,
        Key::PageDown,
        Key::Backspace,
        Key::Delete,
        Key::Escape,
        Key::Hidden,
    ];
    // Now and then the monkey types the word that it sees, or it would never get behind it.
    if let Some(Dialog::Confirm { confirmation, .. }) = &state.dialog
        && let Proof::Word { wanted, typed, .. } = confirmation.proof()
        && wanted.starts_with(typed.as_str())
        && random.below(4) > 0
    {
        return wanted.chars().nth(typed.len()).map_or(Key::Enter, Key::Letter);
    }
    match random.below(40) {
        0 => Key::Control(random.of(&['l', 'g', 'r', 'x', 'u', 'c', 'z'])),
        1 => Key::Function(random.of(&[1, 2, 5, 10, 12])),
        2..12 => {
            Key::Letter(random.of(&['a', '1', '.', '/', ' ', '?', 'q', 'ä', '\u{1F600}', 'E', '"', '\\']))
        }
        _ => random.of(&MOVES),
    }
}

/// What only the answer to a question allows.
fn may_destroy(dialog: Option<&Dialog>, installs: bool, event: &Event, wanted: &Destructive) -> bool {
    let is_enter = matches!(event, Event::Key(Key::Enter));
    let is_agreed = |confirmation: &Confirmation| {
        confirmation.asks() == wanted
            && match confirmation.proof() {
                Proof::Choice { yes } => *yes,
                Proof::Word { wanted, typed, .. } => wanted == typed,
            }
    };
    match dialog {
        Some(Dialog::Confirm { confirmation, .. }) => is_enter && is_agreed(confirmation),
        // What was agreed to is repeated after a login.
        Some(Dialog::Login(dialog)) => {
            matches!(&dialog.then, Some((_, Wish::Ask(Request::Destroy(agreed)))) if agreed.get() == wanted)
        }
        Some(_) => false,
        // The word for a disk is typed three screens before the installation starts.
        None => installs && matches!(wanted, Destructive::Install { erases: true, .. }),
    }
}

fn answer(random: &mut Random, request: &Request) -> Result<Box<edge_tui::action::Answer>, Trouble> {
    match random.below(12) {
        0 => Err(Trouble::Refused(Error::rejected("not now").help("later"))),
        1 => Err(Trouble::NoSession(Error::rejected("no session"))),
        2 => Err(Trouble::Refused(Error::invalid("x:1:1: error: network.enp1s0.gateway: wrong"))),
        _ => agent::answer(request).map(Box::new),
    }
}

fn status(random: &mut Random, mode: Mode) -> Event {
    let mut status = agent::status(mode);
    status.network =
        random.of(&[NetworkState::Kept, NetworkState::Returned, NetworkState::Trial { seconds_left: 9 }]);
    if random.below(4) == 0 {
        status.possible = vec![Possibility::Commit, Possibility::RestoreNetwork];
        status.boot_state = BootState::Trial;
        status.trial_seconds_left = Some(3);
    }
    status.console.view_without_login = random.below(8) > 0;
    if random.below(6) == 0 {
        status.operation = Some(agent::operation("verify", &["Read"]));
    }
    Event::Status(Box::new(status))
}

/// How many destructive actions there were.
fn play(seed: u64, mode: Mode) -> usize {
    let mut random = Random(seed);
    let mut state = State::default();
    let by = random.of(&[StartedBy::ServiceManager, StartedBy::Person]);
    update(&mut state, Event::Started(Started { size: SMALL, host_name: "shop".into(), by }));
    update(&mut state, status(&mut random, mode));
    let (mut destroyed, mut now) = (0, 0);
    let mut asked = Vec::new();
    for number in 0..EVENTS_PER_SEED {
        let event = match random.below(40) {
            0 => status(&mut random, mode),
            1 => Event::AgentLost,
            2 => Event::Resized(random.of(&[SMALL, LARGE])),
            3 => {
                now += random.below(120) as u64;
                Event::Clock(now)
            }
            4 => Event::News(Box::new(edge_model::api::EventKind::Operation(agent::done(
                "upgrade",
                &["Read"],
                "ok",
            )))),
            _ if !asked.is_empty() && random.below(2) == 0 => {
                let (ticket, request) = asked.remove(random.below(asked.len()));
                Event::Answered { ticket, answer: answer(&mut random, &request) }
            }
            _ => Event::Key(key(&mut random, &state)),
        };
        let (dialog, installs) = (state.dialog.clone(), matches!(state.base, Base::Installer(_)));
        for action in update(&mut state, event.clone()) {
            let Action::Ask { ticket, request } = action else { continue };
            if let Request::Destroy(confirmed) = &request {
                assert!(
                    may_destroy(dialog.as_ref(), installs, &event, confirmed.get()),
                    "{seed}/{number}: {event:?} {confirmed:?}"
                );
                destroyed += 1;
            }
            asked.push((ticket, request));
        }
        if number % DRAW_EVERY == 0 {
            render(&state, Look::FULL, SMALL);
            render(&state, Look::PLAIN, LARGE);
        }
    }
    destroyed
}

#[test]
fn a_hundred_thousand_events_destroy_nothing_by_accident() {
    let mut destroyed = 0;
    for seed in 1..=SEEDS {
        let mode = [Mode::Main, Mode::Live, Mode::Recovery, Mode::Live][usize::try_from(seed % 4).unwrap()];
        destroyed += play(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), mode);
    }
    // Otherwise the monkey has proved nothing.
    assert!(destroyed > 0);
}
