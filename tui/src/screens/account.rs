//! The account of the one who has logged in: password and SSH keys.

use edge_model::Error;
use edge_model::api::access::CurrentUser;

use super::{Behaviour, Wish};
use crate::action::{Answer, Request};
use crate::event::Key;
use crate::form::{Field, Form, Pressed};
use crate::known::Known;
use crate::strings::account as words;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountField {
    Old,
    New,
    Again,
    ChangePassword,
    /// One key that is there; emptied, it is taken away.
    SshKey(usize),
    NewKey,
    SaveKeys,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    /// None until the agent has answered.
    pub shown: Option<Shown>,
    pub trouble: Option<Error>,
    pub said: &'static str,
    changes_password: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub user: CurrentUser,
    pub form: Form<AccountField>,
}

fn form(user: &CurrentUser) -> Form<AccountField> {
    use AccountField as Id;
    let mut fields = Vec::new();
    if !user.disable_password_update {
        fields.extend([
            Field::secret(Id::Old, words::OLD),
            Field::secret(Id::New, words::NEW),
            Field::secret(Id::Again, words::AGAIN),
            Field::button(Id::ChangePassword, words::CHANGE_PASSWORD),
        ]);
    }
    fields.extend(user.ssh_keys.iter().enumerate().map(|(index, key)| {
        Field::text(Id::SshKey(index), words::key(index + 1), key.clone()).hint(words::KEY_HINT)
    }));
    fields.extend([
        Field::text(Id::NewKey, words::NEW_KEY, "").hint(words::NEW_KEY_HINT),
        Field::button(Id::SaveKeys, words::SAVE_KEYS),
    ]);
    Form::new(fields)
}

impl Shown {
    fn change_password(&mut self) -> Option<Request> {
        use AccountField as Id;
        self.form.forgive();
        let (old, new, again) =
            (self.form.secret(Id::Old), self.form.secret(Id::New), self.form.secret(Id::Again));
        for (id, secret) in [(Id::Old, &old), (Id::New, &new)] {
            if secret.reveal().is_empty() {
                self.form.complain(id, words::MISSING);
            }
        }
        if new != again {
            self.form.complain(Id::Again, words::DIFFERENT);
        }
        (!self.form.has_errors()).then_some(Request::ChangePassword { old, new })
    }

    fn save_keys(&mut self) -> Option<Request> {
        use AccountField as Id;
        self.form.forgive();
        let count = self.user.ssh_keys.len();
        let ids = (0..count).map(Id::SshKey).chain([Id::NewKey]);
        let given: Vec<(Id, String)> =
            ids.filter_map(|id| self.form.given(id).map(|key| (id, key))).collect();
        for (id, key) in &given {
            // A first look; the agent reads the key itself.
            if key.split_whitespace().count() < 2 {
                self.form.complain(*id, words::NO_KEY);
            }
        }
        let keys = given.into_iter().map(|(_, key)| key).collect();
        (!self.form.has_errors()).then_some(Request::ChangeKeys(keys))
    }
}

impl Behaviour for Account {
    fn load(&self) -> Vec<Request> {
        vec![Request::CurrentUser]
    }

    fn key(&mut self, key: Key, _: &Known) -> Vec<Wish> {
        let Some(shown) = &mut self.shown else { return Vec::new() };
        let request = match shown.form.key(key) {
            Pressed::Pushed(AccountField::ChangePassword) => {
                self.changes_password = true;
                shown.change_password()
            }
            Pressed::Pushed(AccountField::SaveKeys) => {
                self.changes_password = false;
                shown.save_keys()
            }
            Pressed::Pushed(_) | Pressed::Changed(_) | Pressed::Taken | Pressed::Ignored => {
                return Vec::new();
            }
        };
        self.trouble = None;
        self.said = "";
        request.map(Wish::Ask).into_iter().collect()
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        self.trouble = None;
        match (answer, &mut self.shown) {
            (Answer::User(user), shown) => {
                if shown.as_ref().is_some_and(|shown| shown.user != user) {
                    self.said = words::KEYS_SAVED;
                }
                let form = form(&user);
                self.shown = Some(Shown { user, form });
            }
            (Answer::Done, Some(shown)) => {
                for id in [AccountField::Old, AccountField::New, AccountField::Again] {
                    shown.form.forget_secret(id);
                }
                self.said = words::PASSWORD_CHANGED;
            }
            _ => {}
        }
        Vec::new()
    }

    fn trouble(&mut self, error: Error) {
        // A refused password is about the passwords; the message stands at the first of them.
        match &mut self.shown {
            Some(shown) if self.changes_password => {
                let help = error.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
                shown.form.complain(AccountField::Old, format!("{error}{help}"));
            }
            _ => self.trouble = Some(error),
        }
    }

    fn help(&self) -> Option<String> {
        self.shown.as_ref().and_then(|shown| shown.form.help())
    }

    fn takes_letters(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.form.takes_letters())
    }

    fn takes_secret(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.form.takes_secret())
    }
}
