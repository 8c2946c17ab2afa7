//! The question who somebody is; on a host that has just been installed and has no password, the first password.

use edge_model::Error;
use edge_model::secret::Secret;

use crate::action::Request;
use crate::event::Key;
use crate::form::{Field, Form, Pressed};
use crate::strings::login as words;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginField {
    Name,
    Password,
    Again,
    Send,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    pub form: Form<LoginField>,
    pub trouble: Option<Error>,
    /// The account that gets its first password; none when somebody logs in.
    pub first: Option<String>,
}

impl Login {
    pub fn new() -> Self {
        let form = Form::new(vec![
            Field::text(LoginField::Name, words::NAME, ""),
            Field::secret(LoginField::Password, words::PASSWORD),
            Field::button(LoginField::Send, words::LOG_IN),
        ]);
        Self { form, trouble: None, first: None }
    }

    /// Asks for the first password of an account.
    pub fn first(account: String) -> Self {
        let form = Form::new(vec![
            Field::secret(LoginField::Password, words::NEW_PASSWORD),
            Field::secret(LoginField::Again, words::AGAIN),
            Field::button(LoginField::Send, words::SET_PASSWORD),
        ]);
        Self { form, trouble: None, first: Some(account) }
    }

    /// The request, when the form was sent.
    pub fn key(&mut self, key: Key) -> Option<Request> {
        // ENTER in the last password is what everybody expects to send it.
        let last = if self.first.is_some() { LoginField::Again } else { LoginField::Password };
        let sends = key == Key::Enter && self.form.focused().is_some_and(|field| field.id == last);
        if !sends && !matches!(self.form.key(key), Pressed::Pushed(_)) {
            return None;
        }
        self.form.forgive();
        let request = match self.first.clone() {
            Some(name) => self.first_password(name),
            None => self.log_in(),
        };
        if self.form.has_errors() {
            return None;
        }
        self.trouble = None;
        Some(request)
    }

    fn log_in(&mut self) -> Request {
        let name = self.form.text(LoginField::Name).to_owned();
        if name.is_empty() {
            self.form.complain(LoginField::Name, words::NAME_MISSING);
        }
        Request::LogIn { name, password: self.password() }
    }

    fn first_password(&mut self, name: String) -> Request {
        let password = self.password();
        if self.form.secret(LoginField::Again) != password {
            self.form.complain(LoginField::Again, words::DIFFERENT);
        }
        Request::SetFirstPassword { name, password }
    }

    fn password(&mut self) -> Secret {
        let password = self.form.secret(LoginField::Password);
        if password.reveal().is_empty() {
            self.form.complain(LoginField::Password, words::PASSWORD_MISSING);
        }
        password
    }

    /// The agent said no: the password is asked for again, the name stays.
    pub fn refused(&mut self, error: Error) {
        self.form.forget_secret(LoginField::Password);
        if self.first.is_some() {
            self.form.forget_secret(LoginField::Again);
        }
        self.form.focus(LoginField::Password);
        self.trouble = Some(error);
    }
}

impl Default for Login {
    fn default() -> Self {
        Self::new()
    }
}
