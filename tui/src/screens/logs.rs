//! Lines of the journal, with what they are filtered by.

use edge_model::Error;

use super::{Behaviour, Wish};
use crate::action::{Answer, LogRequest, Request};
use crate::event::Key;
use crate::form::{Field, Form, Pressed};
use crate::known::Known;
use crate::scroll::{Scroll, folded};
use crate::strings::logs as words;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogField {
    Show,
    Filter,
    Unit,
    Boot,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Logs {
    pub form: Form<LogField>,
    /// None until the agent has answered.
    pub lines: Option<Vec<String>>,
    pub scroll: Scroll,
    pub trouble: Option<Error>,
}

/// Lines above the text: the form and a rule.
pub const FORM_LINES: usize = 5;

impl Logs {
    pub fn new() -> Self {
        use LogField as Id;
        Self {
            form: Form::new(vec![
                Field::button(Id::Show, words::SHOW).hint(words::SHOW_HINT),
                Field::text(Id::Filter, words::FILTER, "").hint(words::FILTER_HINT),
                Field::text(Id::Unit, words::UNIT, "").hint(words::UNIT_HINT),
                Field::choice(Id::Boot, words::BOOT, &words::BOOTS, 0).hint(words::BOOT_HINT),
            ]),
            lines: None,
            scroll: Scroll::default(),
            trouble: None,
        }
    }

    /// The lines as they are shown.
    pub fn rows(&self, width: usize) -> Vec<String> {
        folded(self.lines.iter().flatten().map(String::as_str), width)
    }

    fn request(&self) -> Request {
        let boot = i32::try_from(self.form.chosen(LogField::Boot)).unwrap_or_default();
        Request::Logs(LogRequest {
            unit: self.form.given(LogField::Unit),
            filter: self.form.given(LogField::Filter),
            boot: -boot,
        })
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self::new()
    }
}

impl Behaviour for Logs {
    fn load(&self) -> Vec<Request> {
        vec![self.request()]
    }

    fn key(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        let count = self.rows(known.width()).len();
        let room = known.room().saturating_sub(FORM_LINES);
        let reads = self.form.focused().is_some_and(|field| field.id == LogField::Show);
        let pages = matches!(key, Key::PageUp | Key::PageDown);
        if (reads || pages) && self.scroll.key(key, count, room) {
            return Vec::new();
        }
        match self.form.key(key) {
            Pressed::Pushed(_) => vec![Wish::Ask(self.request())],
            // Going from field to field fetches nothing, a new boot does.
            Pressed::Changed(LogField::Boot) => vec![Wish::Ask(self.request())],
            Pressed::Changed(_) | Pressed::Taken | Pressed::Ignored => Vec::new(),
        }
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        if let Answer::Logs(logs) = answer {
            self.lines = Some(logs.lines);
            self.trouble = None;
            // The newest lines are the last ones.
            self.scroll.to_end();
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
