//! Work of the agent, followed to its end. It goes on when nobody looks.

use edge_model::Error;
use edge_model::api::{OperationKind, OperationStatus};

use super::{Behaviour, Wish};
use crate::action::{Answer, Request};
use crate::event::Key;
use crate::known::Known;
use crate::scroll::{Cursor, Moved};
use crate::strings::{network, progress as words};

#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub operation: OperationStatus,
    pub cursor: Cursor,
    pub trouble: Option<Error>,
    /// Somebody wants it to stop; it does at its next safe point.
    pub is_cancelled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The network on trial works.
    Keep,
    /// It does not.
    Return,
    Back,
    Stop,
}

impl Choice {
    pub fn label(self, is_running: bool) -> &'static str {
        match self {
            Choice::Back if is_running => words::LEAVE,
            Choice::Back => words::BACK,
            Choice::Stop => words::STOP,
            Choice::Keep => network::KEEP,
            Choice::Return => network::GO_BACK,
        }
    }
}

impl Progress {
    pub fn new(operation: OperationStatus) -> Self {
        Self { operation, cursor: Cursor::default(), trouble: None, is_cancelled: false }
    }

    /// Takes news of the same work; tells whether they were.
    pub fn update(&mut self, operation: &OperationStatus) -> bool {
        let is_same = operation.id == self.operation.id;
        if is_same {
            self.operation = operation.clone();
        }
        is_same
    }

    /// Whether this work waits for a network to prove itself.
    pub fn is_network_trial(&self, known: &Known) -> bool {
        self.operation.is_running()
            && self.operation.operation == OperationKind::Configure
            && known.network_seconds_left().is_some()
    }

    pub fn choices(&self, known: &Known) -> Vec<Choice> {
        if self.is_network_trial(known) {
            return vec![Choice::Keep, Choice::Return, Choice::Back];
        }
        // A restart that has begun is not taken back.
        let can_stop = self.operation.is_running()
            && !self.is_cancelled
            && !matches!(self.operation.operation, OperationKind::Reboot | OperationKind::PowerOff);
        if can_stop { vec![Choice::Back, Choice::Stop] } else { vec![Choice::Back] }
    }
}

impl Behaviour for Progress {
    fn load(&self) -> Vec<Request> {
        vec![Request::Operation(self.operation.id)]
    }

    fn key(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        let choices = self.choices(known);
        let Moved::Chosen(at) = self.cursor.key(key, choices.len()) else { return Vec::new() };
        match choices.get(at) {
            Some(Choice::Stop) => {
                self.trouble = None;
                self.is_cancelled = true;
                vec![Wish::Ask(Request::Cancel(self.operation.id))]
            }
            Some(Choice::Back) => vec![Wish::Close],
            Some(Choice::Keep) => vec![Wish::Ask(Request::ConfirmNetwork)],
            Some(Choice::Return) => vec![Wish::Ask(Request::RestoreNetwork)],
            None => Vec::new(),
        }
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        if let Answer::Operation(operation) = answer {
            self.update(&operation);
        }
        Vec::new()
    }

    fn trouble(&mut self, error: Error) {
        self.is_cancelled = false;
        self.trouble = Some(error);
    }
}
