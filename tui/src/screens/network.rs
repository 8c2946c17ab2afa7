//! All interfaces, and what to do with a network that is on trial.

use edge_model::Error;
use edge_model::api::network::InterfaceView;
use edge_model::api::{NetworkState, Possibility};

use super::{Behaviour, Place, Wish, follow};
use crate::action::{Answer, Request};
use crate::event::Key;
use crate::known::Known;
use crate::scroll::{Cursor, Moved};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Network {
    pub interfaces: Option<Vec<InterfaceView>>,
    pub cursor: Cursor,
    pub trouble: Option<Error>,
    /// What the agent said last.
    pub said: String,
}

/// A line that can be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Row<'a> {
    Interface(&'a InterfaceView),
    Keep,
    GoBack,
}

impl Network {
    pub fn rows(&self, known: &Known) -> Vec<Row<'_>> {
        let mut rows: Vec<Row<'_>> = self.interfaces.iter().flatten().map(Row::Interface).collect();
        let on_trial =
            known.status.as_ref().is_some_and(|status| matches!(status.network, NetworkState::Trial { .. }));
        if on_trial {
            rows.push(Row::Keep);
        }
        if known.can(Possibility::RestoreNetwork) {
            rows.push(Row::GoBack);
        }
        rows
    }
}

impl Behaviour for Network {
    fn load(&self) -> Vec<Request> {
        vec![Request::Interfaces]
    }

    fn key(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        let rows = self.rows(known);
        let mut cursor = self.cursor;
        let wish = match cursor.key(key, rows.len()) {
            Moved::Chosen(at) => rows.get(at).map(|row| match row {
                Row::Interface(view) => Wish::Open(Place::Interface(Box::new((*view).clone()))),
                Row::Keep => Wish::Ask(Request::ConfirmNetwork),
                Row::GoBack => Wish::Ask(Request::RestoreNetwork),
            }),
            Moved::Taken | Moved::Ignored => None,
        };
        self.cursor = cursor;
        wish.into_iter().collect()
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        self.trouble = None;
        match answer {
            Answer::Interfaces(interfaces) => {
                self.interfaces = Some(interfaces);
                Vec::new()
            }
            Answer::Message(message) => {
                self.said = message.message;
                vec![Wish::Ask(Request::Interfaces)]
            }
            other => follow(other),
        }
    }

    fn trouble(&mut self, error: Error) {
        self.trouble = Some(error);
    }
}
