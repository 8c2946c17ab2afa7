//! Fields that a person fills in with the keyboard alone: text, secrets, choices, switches and buttons.

use std::fmt;

use edge_model::secret::{HIDDEN, Secret};

use crate::event::Key;

/// Longest text of a field. An SSH key of 16384 bits has 2.8 kB.
const LONGEST: usize = 4096;

/// Fields, of which one has the focus. `F` names them.
#[derive(Debug, Clone, PartialEq)]
pub struct Form<F> {
    fields: Vec<Field<F>>,
    focus: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Field<F> {
    pub id: F,
    pub label: String,
    pub input: Input,
    /// Shown while the field has the focus.
    pub hint: &'static str,
    /// Why the agent or the console does not accept it.
    pub error: Option<String>,
    /// Keys of documents that the field fills in, by which findings come back to it.
    pub document_keys: &'static [&'static str],
    /// Texts of which one is usually meant; others can be written too.
    pub usual: &'static [String],
    pub shown: bool,
    pub touched: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Text(Text),
    Secret(SecretText),
    Choice {
        options: Vec<String>,
        chosen: usize,
    },
    Switch(bool),
    Button,
    /// A button with what was chosen behind it.
    Link(String),
}

/// Text with a place to write at, counted in characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    pub value: String,
    pub cursor: usize,
}

/// Text that no debug print shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretText(Text);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl SecretText {
    /// Letters in it, which is all that is shown.
    pub fn length(&self) -> usize {
        self.0.value.chars().count()
    }

    pub fn cursor(&self) -> usize {
        self.0.cursor
    }
}

impl Text {
    pub fn new(value: impl Into<String>) -> Self {
        let value = value.into();
        Self { cursor: value.chars().count(), value }
    }

    fn offset(&self, characters: usize) -> usize {
        self.value.char_indices().nth(characters).map_or(self.value.len(), |(offset, _)| offset)
    }

    /// Tells whether the key was one of writing.
    fn key(&mut self, key: Key) -> bool {
        let length = self.value.chars().count();
        match key {
            Key::Letter(letter) if !letter.is_control() && self.value.len() < LONGEST => {
                self.value.insert(self.offset(self.cursor), letter);
                self.cursor += 1;
            }
            Key::Hidden => return self.key(Key::Letter('*')),
            Key::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.value.remove(self.offset(self.cursor));
            }
            Key::Delete if self.cursor < length => {
                self.value.remove(self.offset(self.cursor));
            }
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = (self.cursor + 1).min(length),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = length,
            // As shells have it.
            Key::Control('u') => *self = Self::default(),
            _ => return false,
        }
        true
    }
}

/// What a key did to a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressed<F> {
    Ignored,
    Taken,
    Changed(F),
    Pushed(F),
}

impl<F> Field<F> {
    fn new(id: F, label: impl Into<String>, input: Input) -> Self {
        let label = label.into();
        Self {
            id,
            label,
            input,
            hint: "",
            error: None,
            document_keys: &[],
            usual: &[],
            shown: true,
            touched: false,
        }
    }

    pub fn text(id: F, label: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(id, label, Input::Text(Text::new(value)))
    }

    pub fn secret(id: F, label: impl Into<String>) -> Self {
        Self::new(id, label, Input::Secret(SecretText::default()))
    }

    pub fn choice<O: ToString>(id: F, label: impl Into<String>, options: &[O], chosen: usize) -> Self {
        let options = options.iter().map(ToString::to_string).collect();
        Self::new(id, label, Input::Choice { options, chosen })
    }

    pub fn switch(id: F, label: impl Into<String>, on: bool) -> Self {
        Self::new(id, label, Input::Switch(on))
    }

    pub fn button(id: F, label: impl Into<String>) -> Self {
        Self::new(id, label, Input::Button)
    }

    pub fn link(id: F, label: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(id, label, Input::Link(value.into()))
    }

    #[must_use]
    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    #[must_use]
    pub fn fills(mut self, document_keys: &'static [&'static str]) -> Self {
        self.document_keys = document_keys;
        self
    }

    #[must_use]
    pub fn among(mut self, usual: &'static [String]) -> Self {
        self.usual = usual;
        self
    }

    /// The usual texts that go on from what is written or have it in them, the best first. None when it is one of them.
    pub fn suggestions(&self) -> Vec<&'static str> {
        let Input::Text(text) = &self.input else { return Vec::new() };
        let plain = |text: &str| text.trim().to_lowercase().replace(' ', "_");
        let written = plain(&text.value);
        if written.is_empty() || self.usual.contains(&text.value) {
            return Vec::new();
        }
        let rank = |usual: &str| {
            let usual = plain(usual);
            // Of Europe/Zurich people write the city.
            let begins = usual.rsplit('/').next().is_some_and(|last| last.starts_with(&written));
            usual.contains(&written).then_some(u8::from(!begins))
        };
        let mut found: Vec<_> =
            self.usual.iter().filter_map(|usual| Some((rank(usual)?, usual.as_str()))).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, usual)| usual).collect()
    }

    /// Takes the best suggestion when somebody goes on to the right of the text.
    fn complete(&mut self, key: Key) {
        let best = self.suggestions().first().copied();
        match (&mut self.input, best) {
            (Input::Text(text), Some(best))
                if key == Key::Right && text.cursor == text.value.chars().count() =>
            {
                *text = Text::new(best);
            }
            _ => {}
        }
    }

    fn key(&mut self, key: Key) -> bool {
        self.complete(key);
        match &mut self.input {
            Input::Text(text) | Input::Secret(SecretText(text)) => text.key(key),
            Input::Choice { options, chosen } => match key {
                Key::Right | Key::Letter(' ') => {
                    *chosen = (*chosen + 1) % options.len().max(1);
                    true
                }
                Key::Left => {
                    *chosen = (*chosen + options.len().max(1) - 1) % options.len().max(1);
                    true
                }
                _ => false,
            },
            Input::Switch(on) if matches!(key, Key::Letter(' ') | Key::Left | Key::Right) => {
                *on = !*on;
                true
            }
            Input::Switch(_) | Input::Button | Input::Link(_) => false,
        }
    }
}

impl<F: Copy + PartialEq> Form<F> {
    pub fn new(fields: Vec<Field<F>>) -> Self {
        Self { fields, focus: 0 }
    }

    pub fn fields(&self) -> impl Iterator<Item = (&Field<F>, bool)> {
        self.fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.shown)
            .map(|(index, field)| (field, index == self.focus))
    }

    pub fn focused(&self) -> Option<&Field<F>> {
        self.fields.get(self.focus)
    }

    /// What the field is for that somebody stands in.
    pub fn help(&self) -> Option<String> {
        let field = self.focused().filter(|field| !field.hint.is_empty())?;
        Some(format!("{}: {}", field.label, field.hint))
    }

    /// Letters are text now, not commands.
    pub fn takes_letters(&self) -> bool {
        self.focused().is_some_and(|field| matches!(field.input, Input::Text(_) | Input::Secret(_)))
    }

    pub fn takes_secret(&self) -> bool {
        self.focused().is_some_and(|field| matches!(field.input, Input::Secret(_)))
    }

    pub fn key(&mut self, key: Key) -> Pressed<F> {
        match key {
            Key::Tab | Key::Down => self.step(1),
            Key::BackTab | Key::Up => self.step(self.fields.len().saturating_sub(1)),
            Key::Enter => match self.focused() {
                Some(Field { input: Input::Button | Input::Link(_), id, .. }) => return Pressed::Pushed(*id),
                _ => self.step(1),
            },
            _ => {
                let Some(field) = self.fields.get_mut(self.focus) else { return Pressed::Ignored };
                if !field.key(key) {
                    return Pressed::Ignored;
                }
                field.touched = true;
                field.error = None;
                return Pressed::Changed(field.id);
            }
        }
        Pressed::Taken
    }

    /// Moves the focus to the next field that is shown.
    fn step(&mut self, by: usize) {
        let count = self.fields.len().max(1);
        for _ in 0..count {
            self.focus = (self.focus + by) % count;
            if self.focused().is_some_and(|field| field.shown) {
                return;
            }
        }
    }

    fn field(&self, id: F) -> Option<&Field<F>> {
        self.fields.iter().find(|field| field.id == id)
    }

    fn field_mut(&mut self, id: F) -> Option<&mut Field<F>> {
        self.fields.iter_mut().find(|field| field.id == id)
    }

    /// The text of a field without spaces around it; empty for a field that has none.
    pub fn text(&self, id: F) -> &str {
        match self.field(id).map(|field| &field.input) {
            Some(Input::Text(text)) => text.value.trim(),
            _ => "",
        }
    }

    /// None for an empty field.
    pub fn given(&self, id: F) -> Option<String> {
        Some(self.text(id)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// Words between commas or spaces.
    pub fn words(&self, id: F) -> Vec<String> {
        let words = self.text(id).split(|letter: char| letter == ',' || letter.is_whitespace());
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    pub fn secret(&self, id: F) -> Secret {
        match self.field(id).map(|field| &field.input) {
            Some(Input::Secret(SecretText(text))) => Secret::new(text.value.clone()),
            _ => Secret::default(),
        }
    }

    pub fn chosen(&self, id: F) -> usize {
        match self.field(id).map(|field| &field.input) {
            Some(Input::Choice { chosen, .. }) => *chosen,
            _ => 0,
        }
    }

    pub fn is_on(&self, id: F) -> bool {
        matches!(self.field(id).map(|field| &field.input), Some(Input::Switch(true)))
    }

    pub fn is_touched(&self, id: F) -> bool {
        self.field(id).is_some_and(|field| field.touched)
    }

    pub fn any_touched(&self) -> bool {
        self.fields.iter().any(|field| field.touched)
    }

    pub fn set_text(&mut self, id: F, value: impl Into<String>) {
        if let Some(Field { input: Input::Text(text), .. }) = self.field_mut(id) {
            *text = Text::new(value);
        }
    }

    pub fn set_link(&mut self, id: F, value: String) {
        if let Some(Field { input: Input::Link(text), .. }) = self.field_mut(id) {
            *text = value;
        }
    }

    pub fn set_hint(&mut self, id: F, hint: &'static str) {
        if let Some(field) = self.field_mut(id) {
            field.hint = hint;
        }
    }

    pub fn forget_secret(&mut self, id: F) {
        if let Some(Field { input: Input::Secret(text), .. }) = self.field_mut(id) {
            *text = SecretText::default();
        }
    }

    pub fn show(&mut self, id: F, shown: bool) {
        if let Some(field) = self.field_mut(id) {
            field.shown = shown;
        }
        if self.focused().is_some_and(|field| !field.shown) {
            self.step(1);
        }
    }

    /// Puts the focus where a person begins: at the first mistake, or at the top.
    pub fn begin(&mut self) {
        let wrong = self.fields.iter().position(|field| field.shown && field.error.is_some());
        let first = self.fields.iter().position(|field| field.shown);
        self.focus = wrong.or(first).unwrap_or_default();
    }

    pub fn focus(&mut self, id: F) {
        if let Some(index) = self.fields.iter().position(|field| field.id == id && field.shown) {
            self.focus = index;
        }
    }

    /// Puts a message at a field and the focus on the first field that has one.
    pub fn complain(&mut self, id: F, message: impl Into<String>) {
        let first = !self.has_errors();
        if let Some(field) = self.field_mut(id) {
            field.error.get_or_insert(message.into());
        }
        if first {
            self.focus(id);
        }
    }

    pub fn has_errors(&self) -> bool {
        self.fields.iter().any(|field| field.error.is_some())
    }

    pub fn forgive(&mut self) {
        self.fields.iter_mut().for_each(|field| field.error = None);
    }

    /// Puts a message at the field that fills in a key of a document; tells whether there is one.
    pub fn blame(&mut self, document_key: &str, message: &str) -> bool {
        let hit = self.fields.iter().find(|field| field.shown && field.document_keys.contains(&document_key));
        let Some(id) = hit.map(|field| field.id) else { return false };
        self.complain(id, message);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Id {
        Name,
        Kind,
        Extra,
        Save,
    }

    fn form() -> Form<Id> {
        Form::new(vec![
            Field::text(Id::Name, "Name", "äb"),
            Field::choice(Id::Kind, "Kind", &["one", "two"], 0),
            Field::text(Id::Extra, "Extra", "").fills(&["extra"]),
            Field::button(Id::Save, "Save"),
        ])
    }

    #[test]
    fn a_city_finds_its_zone_and_other_texts_stay_possible() {
        let zones: &'static [String] = vec!["America/New_York", "Asia/York", "Europe/Zurich", "UTC"]
            .into_iter()
            .map(String::from)
            .collect::<Vec<_>>()
            .leak();
        let mut form = Form::new(vec![Field::text(Id::Name, "Zone", "").among(zones)]);
        let suggested = |form: &Form<Id>| form.focused().unwrap().suggestions();
        assert!(suggested(&form).is_empty());
        for letter in "york".chars() {
            form.key(Key::Letter(letter));
        }
        assert_eq!(suggested(&form), ["Asia/York", "America/New_York"]);
        // Within the text it moves, at its end it takes.
        form.key(Key::Left);
        form.key(Key::Right);
        assert_eq!(form.text(Id::Name), "york");
        assert_eq!(form.key(Key::Right), Pressed::Changed(Id::Name));
        assert_eq!(form.text(Id::Name), "Asia/York");
        assert!(suggested(&form).is_empty());
        form.set_text(Id::Name, "new y");
        assert_eq!(suggested(&form), ["America/New_York"]);
        form.set_text(Id::Name, "Etc/GMT+3");
        assert!(suggested(&form).is_empty());
        form.key(Key::Right);
        assert_eq!(form.text(Id::Name), "Etc/GMT+3");
    }

    #[test]
    fn text_is_written_at_the_cursor_whatever_its_bytes() {
        let mut form = form();
        for key in [Key::Home, Key::Right, Key::Letter('ö'), Key::Delete, Key::Backspace, Key::Backspace] {
            form.key(key);
        }
        assert_eq!(form.text(Id::Name), "");
        assert_eq!(form.key(Key::Backspace), Pressed::Ignored);
    }

    #[test]
    fn the_focus_passes_over_what_is_not_shown() {
        let mut form = form();
        form.show(Id::Extra, false);
        assert_eq!(form.key(Key::Tab), Pressed::Taken);
        assert_eq!(form.key(Key::Right), Pressed::Changed(Id::Kind));
        assert_eq!(form.chosen(Id::Kind), 1);
        form.key(Key::Enter);
        assert_eq!(form.key(Key::Enter), Pressed::Pushed(Id::Save));
        assert!(!form.blame("extra", "wrong"), "a message at a hidden field would not be seen");
    }
}
