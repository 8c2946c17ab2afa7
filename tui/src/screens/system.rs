//! Images and what they stand on: upgrade, keep, go back, check, mend, start anew.

use edge_model::Error;
use edge_model::api::Possibility;

use super::{Behaviour, Wish, follow};
use crate::action::{Answer, Request, UpgradeSource, Work};
use crate::confirm::Destructive;
use crate::event::Key;
use crate::form::{Field, Form, Pressed};
use crate::known::Known;
use crate::strings::system as words;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemField {
    From,
    Reference,
    PlainHttp,
    AllowDowngrade,
    RetryFailed,
    Restart,
    Upgrade,
    Keep,
    GoBack,
    Verify,
    Repair,
    Refresh,
    LastGood,
    WithoutSite,
    Forget,
    Reset,
}

/// Where an image comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Registry,
    File,
    Stick,
}

const SOURCES: [From; 3] = [From::Registry, From::File, From::Stick];

#[derive(Debug, Clone, PartialEq)]
pub struct System {
    pub form: Form<SystemField>,
    pub trouble: Option<Error>,
}

impl System {
    pub fn new(known: &Known) -> Self {
        use SystemField as Id;
        let mut form = Form::new(vec![
            Field::choice(Id::From, words::FROM, &words::SOURCES, 0).hint(words::FROM_HINT),
            Field::text(Id::Reference, words::REFERENCE, "").hint(words::REGISTRY_HINT),
            Field::switch(Id::PlainHttp, words::PLAIN_HTTP, false).hint(words::PLAIN_HTTP_HINT),
            Field::switch(Id::AllowDowngrade, words::ALLOW_DOWNGRADE, false),
            Field::switch(Id::RetryFailed, words::RETRY_FAILED, false).hint(words::RETRY_FAILED_HINT),
            Field::switch(Id::Restart, words::RESTART, false).hint(words::RESTART_HINT),
            Field::button(Id::Upgrade, words::UPGRADE),
            Field::button(Id::Keep, words::KEEP).hint(words::KEEP_HINT),
            Field::button(Id::GoBack, words::GO_BACK).hint(words::GO_BACK_HINT),
            Field::button(Id::Verify, words::VERIFY).hint(words::VERIFY_HINT),
            Field::button(Id::Repair, words::REPAIR).hint(words::REPAIR_HINT),
            Field::button(Id::Refresh, words::REFRESH).hint(words::REFRESH_HINT),
            Field::button(Id::LastGood, words::LAST_GOOD).hint(words::LAST_GOOD_HINT),
            Field::button(Id::WithoutSite, words::WITHOUT_SITE).hint(words::WITHOUT_SITE_HINT),
            Field::switch(Id::Forget, words::FORGET, false).hint(words::FORGET_HINT),
            Field::button(Id::Reset, words::RESET).hint(words::RESET_HINT),
        ]);
        fit(&mut form, known);
        Self { form, trouble: None }
    }

    fn upgrade(&mut self) -> Option<Wish> {
        use SystemField as Id;
        self.form.forgive();
        let reference = self.form.text(Id::Reference);
        let source = match from(&self.form) {
            From::Stick => "stick:".to_owned(),
            _ if reference.is_empty() => {
                self.form.complain(Id::Reference, words::REFERENCE_MISSING);
                return None;
            }
            From::Registry if reference.starts_with("oci:") => reference.to_owned(),
            From::Registry => format!("oci:{reference}"),
            From::File if reference.starts_with("file:") || reference.starts_with("oci-layout:") => {
                reference.to_owned()
            }
            From::File => format!("file:{reference}"),
        };
        let upgrade = UpgradeSource {
            source,
            allow_downgrade: self.form.is_on(Id::AllowDowngrade),
            retry_failed: self.form.is_on(Id::RetryFailed),
            plain_http: self.form.is_on(Id::PlainHttp) && from(&self.form) == From::Registry,
        };
        Some(match self.form.is_on(Id::Restart) {
            true => Wish::Confirm(Destructive::UpgradeAndRestart(upgrade)),
            false => Wish::Ask(Request::Start(Work::Upgrade(upgrade))),
        })
    }
}

fn from(form: &Form<SystemField>) -> From {
    SOURCES[form.chosen(SystemField::From).min(SOURCES.len() - 1)]
}

/// Shows what the agent offers now and the source needs.
fn fit(form: &mut Form<SystemField>, known: &Known) {
    use SystemField as Id;
    let can_upgrade = known.can(Possibility::Upgrade);
    for id in [Id::From, Id::AllowDowngrade, Id::RetryFailed, Id::Restart, Id::Upgrade] {
        form.show(id, can_upgrade);
    }
    let from = from(form);
    form.show(Id::Reference, can_upgrade && from != From::Stick);
    form.show(Id::PlainHttp, can_upgrade && from == From::Registry);
    form.set_hint(
        Id::Reference,
        if from == From::Registry { words::REGISTRY_HINT } else { words::FILE_HINT },
    );
    form.show(Id::Keep, known.can(Possibility::Commit));
    form.show(Id::GoBack, known.can(Possibility::Rollback));
    form.show(Id::Verify, known.can(Possibility::Verify));
    form.show(Id::Repair, known.can(Possibility::Fsck));
    form.show(Id::Refresh, known.can(Possibility::RefreshRecovery));
    for id in [Id::LastGood, Id::WithoutSite] {
        form.show(id, known.can(Possibility::RestoreConfiguration));
    }
    for id in [Id::Forget, Id::Reset] {
        form.show(id, known.can(Possibility::Reset));
    }
}

impl Behaviour for System {
    fn key(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        // What is possible may have changed since the last key.
        fit(&mut self.form, known);
        let pressed = self.form.key(key);
        if let Pressed::Pushed(_) = pressed {
            self.trouble = None;
        }
        let wish = match pressed {
            Pressed::Pushed(SystemField::Upgrade) => self.upgrade(),
            Pressed::Pushed(SystemField::Keep) => Some(Wish::Ask(Request::Start(Work::Commit))),
            Pressed::Pushed(SystemField::GoBack) => Some(Wish::Confirm(known.rollback())),
            Pressed::Pushed(SystemField::Verify) => Some(Wish::Ask(Request::Start(Work::Verify))),
            Pressed::Pushed(SystemField::Repair) => Some(Wish::Ask(Request::Start(Work::Repair))),
            Pressed::Pushed(SystemField::Refresh) => Some(Wish::Ask(Request::Start(Work::RefreshRecovery))),
            Pressed::Pushed(SystemField::LastGood) => {
                Some(Wish::Confirm(Destructive::RestoreConfiguration { without_site: false }))
            }
            Pressed::Pushed(SystemField::WithoutSite) => {
                Some(Wish::Confirm(Destructive::RestoreConfiguration { without_site: true }))
            }
            Pressed::Pushed(SystemField::Reset) => {
                Some(Wish::Confirm(Destructive::Reset { oem: self.form.is_on(SystemField::Forget) }))
            }
            Pressed::Pushed(_) | Pressed::Changed(_) | Pressed::Taken | Pressed::Ignored => None,
        };
        fit(&mut self.form, known);
        wish.into_iter().collect()
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        follow(answer)
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
