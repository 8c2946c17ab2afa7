//! Caretakers: each looks after one thing, for as long as it takes.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use super::Shared;

/// When a caretaker looks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    LookAgain(Duration),
    /// When somebody tells it news.
    AwaitNews,
    /// There is nothing left to look after.
    End,
}

/// Facts in, next step out. What follows from the facts is decided by a function of [`edge_planner`], so that it can be tried
/// without a host; only `look` and `act` meet one.
pub(crate) trait Caretaker: Send + 'static {
    /// What was seen.
    type Facts;
    /// What follows from it.
    type Step;

    fn look(&mut self, shared: &Arc<Shared>) -> Self::Facts;

    fn decide(&mut self, facts: Self::Facts) -> Self::Step;

    /// Takes the step. What fails is told, and decided about at the next look.
    fn act(&mut self, shared: &Arc<Shared>, step: Self::Step) -> Then;

    /// Waits until it is time; at the latest for `longest`.
    fn wait(&self, _: &Shared, longest: Option<Duration>) {
        sleep(longest.unwrap_or(FOR_EVER));
    }
}

/// Of a caretaker to whom nobody tells news.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// One round.
pub(crate) fn attend(caretaker: &mut impl Caretaker, shared: &Arc<Shared>) -> Then {
    let facts = caretaker.look(shared);
    let step = caretaker.decide(facts);
    caretaker.act(shared, step)
}

/// Works until there is nothing left to look after.
pub(super) fn run(shared: &Arc<Shared>, mut caretaker: impl Caretaker) {
    loop {
        match attend(&mut caretaker, shared) {
            Then::LookAgain(rest) => caretaker.wait(shared, Some(rest)),
            Then::AwaitNews => caretaker.wait(shared, None),
            Then::End => return,
        }
    }
}

/// Sets a caretaker to work in a thread of its own.
pub(super) fn begin(shared: &Arc<Shared>, caretaker: impl Caretaker) {
    let shared = shared.clone();
    std::thread::spawn(move || run(&shared, caretaker));
}
