//! What keys do in each step of the installation.

use edge_model::Error;
use edge_model::api::installer::{DiskContent, InstallDisk};
use edge_model::api::{OperationState, Possibility};
use edge_model::secret::Secret;
use edge_model::user_data::interface::Interface;

use super::answers::step_of;
use super::forms::{self, AccountField, IdentityField, ManagementField, SummaryField};
use super::{Check, InterfaceForm, Step, WhenAccepted, Wizard};
use crate::action::Request;
use crate::confirm::Destructive;
use crate::event::Key;
use crate::form::Pressed;
use crate::known::Known;
use crate::network_form::{self, NetworkField};
use crate::screens::{Place, Wish};
use crate::scroll::{Cursor, Moved};
use crate::strings::installer as words;

pub(super) fn installation_on(disk: &InstallDisk) -> Destructive {
    Destructive::Install { disk: disk.path.clone(), erases: disk.holds != DiskContent::Nothing }
}

/// What the first screen offers.
pub fn welcome_entries(known: &Known) -> Vec<(&'static str, Option<Place>)> {
    let mut entries = vec![
        (words::BEGIN, None),
        (crate::strings::home::KEYBOARD, Some(Place::Keyboard)),
        (words::DIAGNOSIS, Some(Place::Diagnosis)),
        (crate::strings::home::CLOCK, Some(Place::Clock)),
        (words::LOGS, Some(Place::Logs)),
        (words::CODES, Some(Place::Codes)),
    ];
    if !crate::screens::power::offers(known).is_empty() {
        entries.push((words::POWER, Some(Place::Power)));
    }
    entries
}

/// What can be done while an installation runs, and when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    GoOn,
    Stop,
    Restart,
    PowerOff,
    Export,
    /// To the answers, after a failure.
    Answers,
}

impl Choice {
    pub fn label(self) -> &'static str {
        match self {
            Choice::GoOn => words::GO_ON,
            Choice::Stop => words::STOP,
            Choice::Restart => words::RESTART,
            Choice::PowerOff => words::POWER_OFF,
            Choice::Export => words::EXPORT,
            Choice::Answers => words::TO_ANSWERS,
        }
    }
}

impl Wizard {
    pub fn choices(&self, known: &Known) -> Vec<Choice> {
        let Some(progress) = &self.progress else { return Vec::new() };
        let mut choices = match &progress.operation.state {
            OperationState::Running if progress.is_cancelled => vec![Choice::GoOn],
            OperationState::Running => return vec![Choice::GoOn, Choice::Stop],
            OperationState::Done { .. } => vec![Choice::Restart, Choice::PowerOff, Choice::Export],
            OperationState::Failed { .. } => vec![Choice::Answers, Choice::Restart, Choice::PowerOff],
        };
        choices.retain(|choice| match choice {
            Choice::Restart => known.can(Possibility::Reboot),
            Choice::PowerOff => known.can(Possibility::PowerOff),
            _ => true,
        });
        choices
    }

    pub fn key(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        if key == Key::Escape {
            return self.back();
        }
        match self.step {
            Step::Welcome => self.press_in_welcome(key, known),
            Step::Disks => self.press_in_disks(key),
            Step::Network => self.press_in_network(key),
            Step::Interface => self.press_in_interface(key),
            Step::Identity => self.press_in_identity(key),
            Step::Account => self.press_in_account(key),
            Step::Management => self.press_in_management(key),
            Step::Summary => self.press_in_summary(key),
            Step::Installation => self.press_in_installation(key, known),
        }
    }

    fn back(&mut self) -> Vec<Wish> {
        self.trouble = None;
        self.go(match self.step {
            Step::Welcome | Step::Disks => Step::Welcome,
            Step::Network => Step::Disks,
            Step::Interface => Step::Network,
            Step::Identity => Step::Network,
            Step::Account => Step::Identity,
            Step::Management => Step::Account,
            Step::Summary if self.offers_management() => Step::Management,
            Step::Summary => Step::Account,
            Step::Installation => Step::Installation,
        });
        Vec::new()
    }

    /// Goes to a step, to the top of its form.
    fn go(&mut self, step: Step) {
        self.step = step;
        // Whoever goes elsewhere meanwhile does not mean it any more.
        self.when_accepted = WhenAccepted::Stay;
        match step {
            Step::Identity => self.identity.begin(),
            Step::Account => self.account.begin(),
            Step::Management => self.management.begin(),
            Step::Interface => {
                if let Some(edited) = self.editing.as_ref().and_then(|name| self.networks.get_mut(name)) {
                    edited.form.begin();
                }
            }
            Step::Welcome | Step::Disks | Step::Network | Step::Summary | Step::Installation => {}
        }
    }

    fn press_in_welcome(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        let entries = welcome_entries(known);
        let Moved::Chosen(at) = self.welcome.key(key, entries.len()) else { return Vec::new() };
        match entries.into_iter().nth(at) {
            Some((_, Some(place))) => vec![Wish::Open(place)],
            Some((_, None)) => {
                self.go(Step::Disks);
                self.load().into_iter().map(Wish::Ask).collect()
            }
            None => Vec::new(),
        }
    }

    fn press_in_disks(&mut self, key: Key) -> Vec<Wish> {
        let disks = self.disks.as_deref().unwrap_or_default();
        let Moved::Chosen(at) = self.disk_cursor.key(key, disks.len()) else { return Vec::new() };
        let Some(disk) = disks.get(at).cloned() else { return Vec::new() };
        self.trouble = None;
        if let Some(reason) = &disk.unsuitable {
            self.trouble = Some(Error::rejected(words::unsuitable(&disk.path, reason)));
            return Vec::new();
        }
        let wanted = installation_on(&disk);
        let is_agreed = self.erasure.as_ref().is_some_and(|erasure| *erasure.get() == wanted);
        let erases = disk.holds != DiskContent::Nothing;
        if !is_agreed {
            self.erasure = None;
        }
        self.disk = Some(disk);
        if erases && !is_agreed {
            return vec![Wish::Confirm(wanted)];
        }
        self.go(Step::Network);
        Vec::new()
    }

    fn press_in_network(&mut self, key: Key) -> Vec<Wish> {
        let names: Vec<String> = self.plugs().iter().map(|plug| plug.name.clone()).collect();
        // Behind the interfaces comes the way on.
        let Moved::Chosen(at) = self.network_cursor.key(key, names.len() + 1) else { return Vec::new() };
        match names.into_iter().nth(at) {
            Some(name) => {
                let filled = self.interface_as_known(&name);
                self.networks.entry(name.clone()).or_insert(filled);
                self.editing = Some(name);
                self.go(Step::Interface);
            }
            None => self.go(Step::Identity),
        }
        Vec::new()
    }

    /// The form of an interface that was not looked at yet.
    fn interface_as_known(&self, name: &str) -> InterfaceForm {
        let is_on_it =
            |interface: &Interface| interface.vlan.as_ref().is_some_and(|vlan| vlan.parent == name);
        // A VLAN says more than the plug that it is on.
        let vlan = self.before.network.iter().find(|(_, interface)| is_on_it(interface));
        let (name, before) = match vlan.or_else(|| self.before.network.get_key_value(name)) {
            Some((known, interface)) => (known.clone(), interface.clone()),
            None => (name.to_owned(), Default::default()),
        };
        InterfaceForm { form: network_form::form(&before, words::ACCEPT), before, name }
    }

    fn press_in_interface(&mut self, key: Key) -> Vec<Wish> {
        let Some(edited) = self.editing.as_ref().and_then(|name| self.networks.get_mut(name)) else {
            self.go(Step::Network);
            return Vec::new();
        };
        match edited.form.key(key) {
            Pressed::Changed(NetworkField::Addressing) => {
                network_form::fit(&mut edited.form);
                let plug =
                    self.interfaces.iter().flatten().find(|view| Some(&view.name) == self.editing.as_ref());
                if let Some(plug) = plug {
                    network_form::take_lease(&mut edited.form, plug);
                }
            }
            Pressed::Pushed(_) => {
                let is_read = network_form::read(&mut edited.form, &edited.name, &edited.before).is_some();
                if is_read && self.step_is_right(Step::Interface) {
                    self.go(Step::Network);
                }
            }
            Pressed::Changed(_) | Pressed::Taken | Pressed::Ignored => {}
        }
        Vec::new()
    }

    fn press_in_identity(&mut self, key: Key) -> Vec<Wish> {
        if self.identity.key(key) == Pressed::Pushed(IdentityField::Continue) {
            self.identity.forgive();
            if self.step_is_right(Step::Identity) {
                self.go(Step::Account);
            }
        }
        Vec::new()
    }

    fn press_in_account(&mut self, key: Key) -> Vec<Wish> {
        use AccountField as Id;
        if self.account.key(key) != Pressed::Pushed(Id::Continue) {
            return Vec::new();
        }
        self.account.forgive();
        if self.account.secret(Id::Password) != self.account.secret(Id::Again) {
            self.account.complain(Id::Again, words::DIFFERENT);
        }
        let says_more = self.account.given(Id::SshKey).is_some()
            || !self.account.secret(Id::Password).reveal().is_empty();
        if says_more && self.account.text(Id::Name).is_empty() {
            self.account.complain(Id::Name, words::ACCOUNT_NAME_MISSING);
        }
        if !self.account.has_errors() && self.step_is_right(Step::Account) {
            if !self.offers_management() {
                return self.summarize();
            }
            self.go(Step::Management);
        }
        Vec::new()
    }

    fn press_in_management(&mut self, key: Key) -> Vec<Wish> {
        use ManagementField as Id;
        match self.management.key(key) {
            Pressed::Changed(Id::Mode) => forms::fit_management(&mut self.management),
            Pressed::Pushed(Id::Continue) => {
                self.management.forgive();
                let is_central = self.management.chosen(Id::Mode) == 1;
                if is_central && self.management.text(Id::Endpoint).is_empty() {
                    self.management.complain(Id::Endpoint, words::ENDPOINT_MISSING);
                }
                if !self.management.has_errors() && self.step_is_right(Step::Management) {
                    return self.summarize();
                }
            }
            Pressed::Pushed(Id::ShowCode) => return vec![Wish::Open(Place::Codes)],
            Pressed::Pushed(_) | Pressed::Changed(_) | Pressed::Taken | Pressed::Ignored => {}
        }
        Vec::new()
    }

    /// Tells whether the answers of this step are right; fields that are not say so.
    fn step_is_right(&mut self, step: Step) -> bool {
        let mut findings = crate::findings::check(&self.document());
        findings.retain(|finding| step_of(&finding.path) == step);
        for finding in &findings {
            self.blame_finding(finding);
        }
        findings.is_empty()
    }

    fn summarize(&mut self) -> Vec<Wish> {
        self.go(Step::Summary);
        self.describe();
        self.summary.focus(SummaryField::Install);
        vec![self.give_answers()]
    }

    fn give_answers(&mut self) -> Wish {
        self.check = Check::Unknown;
        for form in self.networks.values_mut() {
            form.form.forgive();
        }
        self.identity.forgive();
        self.account.forgive();
        self.management.forgive();
        self.summary.forgive();
        Wish::Ask(Request::GiveAnswers(self.written()))
    }

    fn written(&self) -> Secret {
        Secret::new(self.document().to_string())
    }

    fn press_in_summary(&mut self, key: Key) -> Vec<Wish> {
        use SummaryField as Id;
        let Pressed::Pushed(pushed) = self.summary.key(key) else { return Vec::new() };
        let is_accepted = self.accepted.as_ref() == Some(&self.written());
        match pushed {
            Id::Disk => self.go(Step::Disks),
            Id::Network => self.go(Step::Network),
            Id::Identity => self.go(Step::Identity),
            Id::Account => self.go(Step::Account),
            Id::Management => self.go(Step::Management),
            Id::Install if is_accepted => return self.start(),
            Id::Install => {
                self.when_accepted = WhenAccepted::Install;
                return vec![self.give_answers()];
            }
            Id::Export if is_accepted => return vec![Wish::Open(Place::Export)],
            Id::Export => {
                self.when_accepted = WhenAccepted::Export;
                return vec![self.give_answers()];
            }
            Id::After => {}
        }
        Vec::new()
    }

    fn press_in_installation(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        let choices = self.choices(known);
        let Moved::Chosen(at) = self.result.key(key, choices.len()) else { return Vec::new() };
        let Some(progress) = &mut self.progress else { return Vec::new() };
        match choices.get(at) {
            Some(Choice::Stop) => {
                progress.trouble = None;
                progress.is_cancelled = true;
                return vec![Wish::Ask(Request::Cancel(progress.operation.id))];
            }
            Some(Choice::Restart) => return vec![Wish::Confirm(Destructive::Restart)],
            Some(Choice::PowerOff) => return vec![Wish::Confirm(Destructive::PowerOff)],
            Some(Choice::Export) => return vec![Wish::Open(Place::Export)],
            Some(Choice::Answers) => {
                self.progress = None;
                self.result = Cursor::default();
                // What was erased once is asked about once more.
                self.erasure = None;
                self.go(Step::Disks);
                return self.load().into_iter().map(Wish::Ask).collect();
            }
            Some(Choice::GoOn) | None => {}
        }
        Vec::new()
    }

    /// Puts what was answered behind the links of the summary.
    pub(super) fn describe(&mut self) {
        use SummaryField as Id;
        let values = [
            (Id::Disk, self.disk_summary()),
            (Id::Network, self.network_summary()),
            (Id::Identity, self.identity_summary()),
            (Id::Account, self.account_summary()),
            (Id::Management, self.management_summary()),
        ];
        for (id, value) in values {
            self.summary.set_link(id, value);
        }
    }
}
