//! The layout of the keyboard. A choice holds at once, because whoever makes it types next.

use edge_model::Error;
use edge_model::keyboard::{KeyboardChoice, LAYOUTS};

use super::{Behaviour, Wish};
use crate::action::{Answer, Request};
use crate::event::Key;
use crate::known::Known;
use crate::scroll::{Cursor, Moved};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Keyboard {
    pub cursor: Cursor,
    /// What the agent said last.
    pub said: String,
    pub trouble: Option<Error>,
}

impl Behaviour for Keyboard {
    fn key(&mut self, key: Key, _: &Known) -> Vec<Wish> {
        match self.cursor.key(key, LAYOUTS.len()) {
            Moved::Chosen(at) => {
                self.said.clear();
                let layout = LAYOUTS[at.min(LAYOUTS.len() - 1)].name.to_owned();
                vec![Wish::Ask(Request::ChangeKeyboard(KeyboardChoice { layout }))]
            }
            Moved::Taken | Moved::Ignored => Vec::new(),
        }
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        self.trouble = None;
        if let Answer::Message(message) = answer {
            self.said = message.message;
        }
        Vec::new()
    }

    fn trouble(&mut self, error: Error) {
        self.trouble = Some(error);
    }
}
