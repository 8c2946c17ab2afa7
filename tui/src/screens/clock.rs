//! The clock of a host that no time server sets.

use edge_model::Error;
use edge_model::api::diagnostics::ClockSetting;
use edge_model::calendar::{moment_of, plain_time};

use super::{Behaviour, Wish};
use crate::action::{Answer, Request};
use crate::event::Key;
use crate::form::{Field, Form, Pressed};
use crate::known::Known;
use crate::strings::clock as words;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockField {
    Time,
    Set,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Clock {
    pub form: Form<ClockField>,
    pub said: String,
    pub trouble: Option<Error>,
}

impl Clock {
    pub fn new(known: &Known) -> Self {
        let now = known.metrics.as_ref().and_then(|metrics| metrics.clock_seconds);
        let now = now.map(plain_time).unwrap_or_default();
        Self {
            form: Form::new(vec![
                Field::text(ClockField::Time, words::TIME, now).hint(words::TIME_HINT),
                Field::button(ClockField::Set, words::SET),
            ]),
            said: String::new(),
            trouble: None,
        }
    }
}

impl Behaviour for Clock {
    fn key(&mut self, key: Key, _: &Known) -> Vec<Wish> {
        let Pressed::Pushed(_) = self.form.key(key) else { return Vec::new() };
        self.form.forgive();
        self.said.clear();
        self.trouble = None;
        match moment_of(self.form.text(ClockField::Time)) {
            Some(seconds) => vec![Wish::Ask(Request::SetClock(ClockSetting { seconds }))],
            None => {
                self.form.complain(ClockField::Time, words::TIME_WRONG);
                Vec::new()
            }
        }
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        if let Answer::Message(message) = answer {
            self.said = message.message;
        }
        Vec::new()
    }

    fn trouble(&mut self, error: Error) {
        self.trouble = Some(error);
    }

    fn help(&self) -> Option<String> {
        self.form.help()
    }

    fn takes_letters(&self) -> bool {
        self.form.takes_letters()
    }
}
