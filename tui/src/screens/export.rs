//! The answers of an installation, written to a stick as an unattended file.

use edge_model::Error;
use edge_model::api::installer::{Message, Volume};

use super::{Behaviour, Wish};
use crate::action::{Answer, Request};
use crate::event::Key;
use crate::known::Known;
use crate::scroll::{Cursor, Moved};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Export {
    /// None until the agent has answered.
    pub volumes: Option<Vec<Volume>>,
    pub cursor: Cursor,
    pub trouble: Option<Error>,
    pub said: Option<Message>,
    /// Also what only this machine has: its name and its addresses.
    pub this_machine: bool,
}

impl Behaviour for Export {
    fn load(&self) -> Vec<Request> {
        vec![Request::Volumes]
    }

    fn key(&mut self, key: Key, _: &Known) -> Vec<Wish> {
        if matches!(key, Key::Letter(' ') | Key::Left | Key::Right) {
            self.this_machine = !self.this_machine;
            return Vec::new();
        }
        let volumes = self.volumes.as_deref().unwrap_or_default();
        let Moved::Chosen(at) = self.cursor.key(key, volumes.len()) else { return Vec::new() };
        let device = volumes.get(at).map(|volume| volume.device.clone());
        self.trouble = None;
        self.said = None;
        let this_machine = self.this_machine;
        device.map(|device| Wish::Ask(Request::ExportAnswers { device, this_machine })).into_iter().collect()
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        match answer {
            Answer::Volumes(volumes) => self.volumes = Some(volumes),
            Answer::Message(message) => self.said = Some(message),
            _ => {}
        }
        Vec::new()
    }

    fn trouble(&mut self, error: Error) {
        self.trouble = Some(error);
    }
}
