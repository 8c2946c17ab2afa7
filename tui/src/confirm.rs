//! The question before something that cannot be taken back. Only an answered question makes a [`Confirmed`], and only
//! a [`Confirmed`] is performed.

use edge_model::api::routes::RouteId;
pub use edge_words::destructive::Destructive;
use serde::Serialize;

use crate::event::Key;

/// Where it goes.
pub(crate) fn route_of(asks: &Destructive) -> RouteId {
    match asks {
        Destructive::Install { .. } => RouteId::StartInstallation,
        _ => RouteId::StartOperation,
    }
}

/// Something that a person has agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Confirmed<T>(T);

impl<T> Confirmed<T> {
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// A question that is being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    asks: Destructive,
    proof: Proof,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Begins with no: a key too many does nothing.
    Choice {
        yes: bool,
    },
    Word {
        wanted: &'static str,
        typed: String,
        wrong: bool,
    },
}

/// What a key did to a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Answered {
    NotYet,
    No,
    Yes(Confirmed<Destructive>),
}

impl Confirmation {
    pub fn new(asks: Destructive) -> Self {
        let proof = match asks.word() {
            Some(wanted) => Proof::Word { wanted, typed: String::new(), wrong: false },
            None => Proof::Choice { yes: false },
        };
        Self { asks, proof }
    }

    pub fn asks(&self) -> &Destructive {
        &self.asks
    }

    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    pub fn key(&mut self, key: Key) -> Answered {
        if key == Key::Escape {
            return Answered::No;
        }
        let agreed = match &mut self.proof {
            Proof::Choice { yes } => match key {
                Key::Left | Key::Right | Key::Up | Key::Down | Key::Tab | Key::BackTab => {
                    *yes = !*yes;
                    return Answered::NotYet;
                }
                Key::Enter if !*yes => return Answered::No,
                Key::Enter => true,
                _ => false,
            },
            Proof::Word { wanted, typed, wrong } => type_word(key, wanted, typed, wrong),
        };
        if agreed { Answered::Yes(Confirmed(self.asks.clone())) } else { Answered::NotYet }
    }
}

/// Tells whether the whole word stands there and was entered.
fn type_word(key: Key, wanted: &str, typed: &mut String, wrong: &mut bool) -> bool {
    match key {
        Key::Enter => {
            *wrong = typed != wanted;
            return !*wrong;
        }
        Key::Backspace => {
            typed.pop();
        }
        // Capitals are what is shown, not what is tested: the word is a pause for thought.
        Key::Letter(letter) if typed.len() < wanted.len() && letter.is_ascii() => {
            typed.push(letter.to_ascii_uppercase());
        }
        _ => return false,
    }
    *wrong = false;
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_confirmed_by_enter_alone() {
        let mut restart = Confirmation::new(Destructive::Restart);
        assert_eq!(restart.key(Key::Enter), Answered::No);
        let mut off = Confirmation::new(Destructive::PowerOff);
        assert_eq!(off.key(Key::Enter), Answered::NotYet);
        for letter in "of".chars() {
            assert_eq!(off.key(Key::Letter(letter)), Answered::NotYet);
        }
        assert_eq!(off.key(Key::Enter), Answered::NotYet);
        assert_eq!(off.key(Key::Letter('f')), Answered::NotYet);
        assert_eq!(off.key(Key::Enter), Answered::Yes(Confirmed(Destructive::PowerOff)));
    }

    #[test]
    fn a_choice_must_be_moved_to_yes() {
        let mut restart = Confirmation::new(Destructive::Restart);
        assert_eq!(restart.key(Key::Left), Answered::NotYet);
        assert_eq!(restart.key(Key::Enter), Answered::Yes(Confirmed(Destructive::Restart)));
    }
}
