//! Work of the agent, followed to its end. It goes on when nobody looks.

use edge_model::Error;
use edge_model::api::{OperationKind, OperationStatus};

use super::{Behaviour, Wish};
use crate::action::{Answer, Request};
use crate::event::Key;
use crate::known::Known;
use crate::scroll::{Cursor, Moved};
use crate::strings::{network, progress as words};

/// Seconds.
const SPEED_IS_KNOWN_AFTER: u64 = 3;

#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub operation: OperationStatus,
    pub cursor: Cursor,
    pub trouble: Option<Error>,
    /// Somebody wants it to stop; it does at its next safe point.
    pub is_cancelled: bool,
    /// When the present step was first seen, and how far it was then.
    began: Option<(u64, u64)>,
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
        Self { operation, cursor: Cursor::default(), trouble: None, is_cancelled: false, began: None }
    }

    /// Takes news of the same work; tells whether they were.
    pub fn update(&mut self, operation: &OperationStatus, now: u64) -> bool {
        let is_same = operation.id == self.operation.id;
        if is_same {
            if self.began.is_none() || operation.step != self.operation.step {
                self.began = Some((now, operation.done));
            }
            self.operation = operation.clone();
        }
        is_same
    }

    /// How long the present step still takes, by how fast it was so far.
    pub fn seconds_left(&self, now: u64) -> Option<u64> {
        let (began, at_first) = self.began?;
        let done = self.operation.done.checked_sub(at_first).filter(|done| *done > 0)?;
        let left = self.operation.total.saturating_sub(self.operation.done);
        let took = now.checked_sub(began).filter(|took| *took >= SPEED_IS_KNOWN_AFTER)?;
        u64::try_from(u128::from(took) * u128::from(left) / u128::from(done)).ok()
    }

    /// Whether this work waits for a network to prove itself.
    pub fn is_network_trial(&self, known: &Known) -> bool {
        self.operation.is_running()
            && self.operation.operation == OperationKind::Configure
            && known.network_seconds_left().is_some()
    }

    pub fn choices(&self, known: &Known) -> Vec<Choice> {
        if self.is_network_trial(known) {
            // Where a finger was about to leave or to stop, it leaves or returns.
            return vec![Choice::Back, Choice::Return, Choice::Keep];
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

    fn answer(&mut self, answer: Answer, known: &Known) -> Vec<Wish> {
        if let Answer::Operation(operation) = answer {
            self.update(&operation, known.now);
        }
        Vec::new()
    }

    fn trouble(&mut self, error: Error) {
        self.is_cancelled = false;
        self.trouble = Some(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_speed_so_far() {
        let at = |done: u64, step: &str| -> OperationStatus {
            serde_json::from_value(serde_json::json!({
                "id": 1, "operation": "install", "started_by": "a", "started_at": 0, "state": { "state": "running" },
                "step": step, "done": done, "total": 1000, "steps": [],
            }))
            .unwrap()
        };
        let mut progress = Progress::new(at(0, "write"));
        progress.update(&at(100, "write"), 10);
        assert_eq!(progress.seconds_left(11), None);
        progress.update(&at(300, "write"), 20);
        assert_eq!(progress.seconds_left(20), Some(35));
        progress.update(&at(0, "check"), 30);
        assert_eq!(progress.seconds_left(40), None, "another step has another speed");
    }
}
