//! The support bundle: onto a stick, or kept for a download.

use edge_model::Error;
use edge_model::api::installer::Volume;

use super::{Behaviour, Wish, follow};
use crate::action::{Answer, Request, Work};
use crate::event::Key;
use crate::known::Known;
use crate::scroll::{Cursor, Moved};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bundle {
    /// None until the agent has answered.
    pub volumes: Option<Vec<Volume>>,
    pub cursor: Cursor,
    pub trouble: Option<Error>,
}

/// To a stick first: a console has no other way out.
pub const TARGETS: [bool; 2] = [true, false];

impl Behaviour for Bundle {
    fn load(&self) -> Vec<Request> {
        vec![Request::Volumes]
    }

    fn key(&mut self, key: Key, _: &Known) -> Vec<Wish> {
        match self.cursor.key(key, TARGETS.len()) {
            Moved::Chosen(at) => {
                self.trouble = None;
                let stick = TARGETS.get(at).copied().unwrap_or_default();
                vec![Wish::Ask(Request::Start(Work::SupportBundle { stick }))]
            }
            Moved::Taken | Moved::Ignored => Vec::new(),
        }
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        match answer {
            Answer::Volumes(volumes) => {
                self.volumes = Some(volumes);
                Vec::new()
            }
            other => follow(other),
        }
    }

    fn trouble(&mut self, error: Error) {
        self.trouble = Some(error);
    }
}
