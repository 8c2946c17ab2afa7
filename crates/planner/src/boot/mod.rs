//! How a host finds an image that runs, whatever fails on the way: what init does with boots that did not finish
//! ([`ladder`]), how an image on trial is judged ([`trial`]), what became of it ([`outcome`]), and how recovery leads back
//! ([`recovery`]). Init, early boot and agent ask here and nowhere else; [`oracle`](self) walks all of it in tests.

pub mod care;
pub mod failures;
pub mod ladder;
pub mod outcome;
pub mod recovery;
pub mod steps;
pub mod trial;

#[cfg(test)]
mod oracle;

use edge_model::api::BootState;
use edge_model::cmdline::Mode;
use edge_model::ids::{Entry, RootHash, Slot};

/// What the loader and early boot say about this boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootedImage {
    pub mode: Mode,
    pub root_hash: RootHash,
    pub slot: Option<Slot>,
    /// Init started it because the default did not come up.
    pub is_fallback: bool,
    /// The entry that is started when nothing else is said.
    pub default_entry: Option<Entry>,
    /// The entry that is started once, at the next boot.
    pub armed_entry: Option<Entry>,
}

impl BootedImage {
    /// Booted is not default: that is a trial, whatever the ledger says. Only what took the place of a default that does not
    /// come up proves nothing by running.
    pub fn state(&self) -> BootState {
        match self.mode {
            Mode::Recovery => BootState::Recovery,
            Mode::Live => BootState::Live,
            Mode::Main if !is_trial(&self.root_hash, self.default_entry.as_ref()) => BootState::Committed,
            Mode::Main if self.is_fallback => BootState::Fallback,
            Mode::Main => BootState::Trial,
        }
    }
}

/// Booted is not default: that is a trial, for init, early boot and agent alike. Without any default, the image that runs
/// is the best there is.
pub fn is_trial(booted: &RootHash, default_entry: Option<&Entry>) -> bool {
    default_entry.is_some_and(|entry| *entry != booted.entry())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booted_is_not_default_means_trial() {
        let booted = |byte: u8, default: u8| BootedImage {
            mode: Mode::Main,
            root_hash: RootHash([byte; 32]),
            slot: Some(if byte == 1 { Slot::A } else { Slot::B }),
            is_fallback: false,
            default_entry: Some(RootHash([default; 32]).entry()),
            armed_entry: None,
        };
        assert_eq!(booted(2, 1).state(), BootState::Trial);
        assert_eq!(booted(1, 1).state(), BootState::Committed);
        assert_eq!(BootedImage { default_entry: None, ..booted(1, 1) }.state(), BootState::Committed);
        assert_eq!(BootedImage { mode: Mode::Recovery, ..booted(1, 2) }.state(), BootState::Recovery);
        assert_eq!(BootedImage { is_fallback: true, ..booted(2, 1) }.state(), BootState::Fallback);
        assert_eq!(BootedImage { is_fallback: true, ..booted(1, 1) }.state(), BootState::Committed);
    }
}
