//! The question who somebody is.

use edge_model::Error;

use crate::action::Request;
use crate::event::Key;
use crate::form::{Field, Form, Pressed};
use crate::strings::login as words;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginField {
    Name,
    Password,
    LogIn,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    pub form: Form<LoginField>,
    pub trouble: Option<Error>,
}

impl Login {
    pub fn new() -> Self {
        Self {
            form: Form::new(vec![
                Field::text(LoginField::Name, words::NAME, ""),
                Field::secret(LoginField::Password, words::PASSWORD),
                Field::button(LoginField::LogIn, words::LOG_IN),
            ]),
            trouble: None,
        }
    }

    /// The request to log in, when the form was sent.
    pub fn key(&mut self, key: Key) -> Option<Request> {
        // ENTER in the password is what everybody expects to send it.
        let sends = key == Key::Enter && self.form.takes_secret();
        if !sends && !matches!(self.form.key(key), Pressed::Pushed(_)) {
            return None;
        }
        self.form.forgive();
        let name = self.form.text(LoginField::Name).to_owned();
        let password = self.form.secret(LoginField::Password);
        if name.is_empty() {
            self.form.complain(LoginField::Name, words::NAME_MISSING);
        }
        if password.reveal().is_empty() {
            self.form.complain(LoginField::Password, words::PASSWORD_MISSING);
        }
        if self.form.has_errors() {
            return None;
        }
        self.trouble = None;
        Some(Request::LogIn { name, password })
    }

    /// The agent said no: the password is asked for again, the name stays.
    pub fn refused(&mut self, error: Error) {
        self.form.forget_secret(LoginField::Password);
        self.form.focus(LoginField::Password);
        self.trouble = Some(error);
    }
}

impl Default for Login {
    fn default() -> Self {
        Self::new()
    }
}
