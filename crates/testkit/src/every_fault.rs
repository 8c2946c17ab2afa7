//! The same work again and again, with another fault each time.

use edge_host::faults::{Fault, play};
use edge_model::Result;

const IO: i32 = 5;
const NO_SPACE: i32 = 28;

/// Does `work` once on a fresh stand to learn its effects. Then on a fresh one for each effect and each fault: `holds` must be true
/// of what is left, and the same work, done again without a fault, must come to its end. Returns the effects.
///
/// # Panics
/// When any of that is not so.
pub fn with_every_fault<S>(
    make: impl Fn() -> S,
    work: impl Fn(&S) -> Result<()>,
    holds: impl Fn(&S, &str),
    done: impl Fn(&S),
) -> Vec<String> {
    let whole = make();
    let played = play(None, || work(&whole));
    played.outcome.expect("no power goes").unwrap_or_else(|error| panic!("without a fault: {error}"));
    done(&whole);
    assert!(played.effects.len() > 1, "{:?}", played.effects);
    for (at, effect) in played.effects.iter().enumerate() {
        let may_be_full = ["create", "write", "set variable"].iter().any(|what| effect.starts_with(what));
        let full = may_be_full.then_some(Fault::Fails(NO_SPACE));
        for fault in [Fault::Fails(IO), Fault::PowerGoes].into_iter().chain(full) {
            let stand = make();
            let outcome = play(Some((at, fault)), || work(&stand)).outcome;
            let what = format!("{fault:?} at effect {at}, {effect}");
            if let Some(Err(error)) = outcome {
                assert!(!error.message.is_empty(), "{what}");
            }
            holds(&stand, &what);
            work(&stand).unwrap_or_else(|error| panic!("{what}, and again: {error}"));
            done(&stand);
        }
    }
    played.effects
}
