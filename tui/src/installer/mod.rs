//! The installer's screens: one question after the other, all of them filled in with what is known already. Going
//! back loses nothing, and nothing is written before the last one.

pub mod answers;
pub mod forms;
pub mod steps;

use std::collections::BTreeMap;

use edge_model::api::installer::{Answers, InstallDisk};
use edge_model::api::network::InterfaceView;
use edge_model::api::{OperationKind, OperationState, OperationStatus};
use edge_model::unattended::Unattended;
use edge_model::user_data::edge::ManagementMode;
use edge_model::user_data::interface::Interface;
use edge_model::{Class, Error};

use crate::action::{Answer, Request};
use crate::confirm::{Confirmed, Destructive};
use crate::findings;
use crate::form::Form;
use crate::network_form::NetworkField;
use crate::screens::progress::Progress;
use crate::screens::{Place, Wish};
use crate::scroll::Cursor;
use crate::strings::installer as words;
use forms::{AccountField, IdentityField, ManagementField, SummaryField};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Step {
    #[default]
    Welcome,
    Disks,
    Network,
    /// The form of the interface in `Wizard::editing`.
    Interface,
    Identity,
    Account,
    Management,
    Summary,
    /// Until it is over, and what became of it.
    Installation,
}

/// What the agent thinks of the answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Check {
    #[default]
    Unknown,
    /// Accepted, with warnings and notes.
    Good(Vec<String>),
    /// Fields say what is wrong with them.
    Marked,
    Wrong(Error),
}

/// Why the agent was asked to check the answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum WhenAccepted {
    /// To show whether they are good.
    #[default]
    Stay,
    Install,
    Export,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Wizard {
    pub step: Step,
    pub welcome: Cursor,
    /// None until the agent has answered.
    pub disks: Option<Vec<InstallDisk>>,
    pub disk_cursor: Cursor,
    pub disk: Option<InstallDisk>,
    /// The word was typed for this disk.
    erasure: Option<Confirmed<Destructive>>,
    /// None until the agent has answered.
    pub interfaces: Option<Vec<InterfaceView>>,
    pub network_cursor: Cursor,
    pub networks: BTreeMap<String, InterfaceForm>,
    pub editing: Option<String>,
    pub identity: Form<IdentityField>,
    pub account: Form<AccountField>,
    pub management: Form<ManagementField>,
    pub summary: Form<SummaryField>,
    /// What the medium says.
    pub answers: Option<Answers>,
    pub(crate) before: Unattended,
    pub check: Check,
    /// The document that the agent has accepted, by which a later change is seen.
    accepted: Option<edge_model::secret::Secret>,
    /// What follows when the agent has accepted the answers.
    when_accepted: WhenAccepted,
    pub progress: Option<Progress>,
    pub result: Cursor,
    pub trouble: Option<Error>,
}

/// What is filled in about one interface.
#[derive(Debug, Clone, PartialEq)]
pub struct InterfaceForm {
    pub form: Form<NetworkField>,
    pub(crate) before: Interface,
    /// What the document calls it; a VLAN on the interface has a name of its own.
    pub(crate) name: String,
}

impl Wizard {
    pub fn new() -> Self {
        let before = Unattended::default();
        Self {
            step: Step::default(),
            welcome: Cursor::default(),
            disks: None,
            disk_cursor: Cursor::default(),
            disk: None,
            erasure: None,
            interfaces: None,
            network_cursor: Cursor::default(),
            networks: BTreeMap::new(),
            editing: None,
            identity: forms::identity(&before),
            account: forms::account(&before, false),
            management: forms::management(&before, false),
            summary: forms::summary(&before),
            answers: None,
            before,
            check: Check::default(),
            accepted: None,
            when_accepted: WhenAccepted::Stay,
            progress: None,
            result: Cursor::default(),
            trouble: None,
        }
    }

    pub fn load(&self) -> Vec<Request> {
        match self.step {
            Step::Installation => {
                let operation = self.progress.as_ref().map(|progress| progress.operation.id);
                operation.map(Request::Operation).into_iter().collect()
            }
            _ => vec![Request::InstallAnswers, Request::InstallDisks, Request::Interfaces],
        }
    }

    pub fn takes_letters(&self) -> bool {
        match self.step {
            Step::Interface => self.interface_form().is_some_and(|form| form.form.takes_letters()),
            Step::Identity => self.identity.takes_letters(),
            Step::Account => self.account.takes_letters(),
            Step::Management => self.management.takes_letters(),
            Step::Welcome | Step::Disks | Step::Network | Step::Summary | Step::Installation => false,
        }
    }

    pub fn takes_secret(&self) -> bool {
        match self.step {
            Step::Account => self.account.takes_secret(),
            Step::Management => self.management.takes_secret(),
            _ => false,
        }
    }

    pub fn interface_form(&self) -> Option<&InterfaceForm> {
        self.editing.as_ref().and_then(|name| self.networks.get(name))
    }

    /// Interfaces that have a plug; what is made of others is not for an installation.
    pub fn plugs(&self) -> Vec<&InterfaceView> {
        use edge_model::api::network::InterfaceKind;
        let interfaces = self.interfaces.iter().flatten();
        interfaces.filter(|interface| interface.kind == InterfaceKind::Physical).collect()
    }

    /// Nothing acts on a management plane yet: only a medium that names one asks about it.
    pub fn offers_management(&self) -> bool {
        let management = &self.before.management;
        management.mode == Some(ManagementMode::Central) || management.endpoint.is_some()
    }

    /// The hint of the field that somebody stands in.
    pub fn help(&self) -> Option<String> {
        match self.step {
            Step::Interface => self.interface_form()?.form.help(),
            Step::Identity => self.identity.help(),
            Step::Account => self.account.help(),
            Step::Management => self.management.help(),
            Step::Summary => self.summary.help(),
            Step::Welcome | Step::Disks | Step::Network | Step::Installation => None,
        }
    }

    /// Follows an installation, also one that nobody has started here.
    pub fn take_operation(&mut self, operation: &OperationStatus, now: u64) {
        let is_followed = self.progress.as_mut().is_some_and(|progress| progress.update(operation, now));
        let is_new = operation.operation == OperationKind::Install && operation.is_running();
        if !is_followed && is_new {
            self.progress = Some(Progress::new(operation.clone()));
            self.result = Cursor::default();
            self.step = Step::Installation;
        }
    }

    /// Takes an agreement; the one to erase a disk is kept until the last question.
    pub fn agreed(&mut self, confirmed: Confirmed<Destructive>) -> Vec<Wish> {
        let erases = matches!(confirmed.get(), Destructive::Install { erases: true, .. });
        if erases && self.step == Step::Disks {
            self.erasure = Some(confirmed);
            self.step = Step::Network;
            return Vec::new();
        }
        vec![Wish::Ask(Request::Destroy(confirmed))]
    }

    pub fn answer(&mut self, request: &Request, answer: Answer, now: u64) -> Vec<Wish> {
        match answer {
            Answer::InstallDisks(disks) => self.take_disks(disks),
            Answer::Interfaces(interfaces) => self.interfaces = Some(interfaces),
            Answer::InstallAnswers(answers) => return self.take_answers(request, answers),
            Answer::Operation(operation) if operation.operation == OperationKind::Install => {
                let progress = self.progress.get_or_insert_with(|| Progress::new(operation.clone()));
                if !progress.update(&operation, now) {
                    *progress = Progress::new(operation);
                }
                self.step = Step::Installation;
            }
            other => return crate::screens::follow(other),
        }
        self.trouble = None;
        Vec::new()
    }

    fn take_disks(&mut self, disks: Vec<InstallDisk>) {
        // A disk that was pulled out, or holds something else now, is not the one that was agreed to.
        if self.disk.as_ref().is_some_and(|disk| !disks.contains(disk)) {
            self.disk = None;
            self.erasure = None;
        }
        self.disks = Some(disks);
        if self.step == Step::Summary {
            self.describe();
        }
    }

    fn take_answers(&mut self, request: &Request, answers: Answers) -> Vec<Wish> {
        match request {
            Request::GiveAnswers(document) => {
                let next = std::mem::take(&mut self.when_accepted);
                let wrong: Vec<_> =
                    answers.findings.iter().filter_map(|line| findings::of_line(line)).collect();
                if self.blame(&wrong) {
                    self.check = Check::Marked;
                    return Vec::new();
                }
                self.accepted = Some(document.clone());
                self.check = Check::Good(answers.findings);
                match next {
                    WhenAccepted::Stay => {}
                    WhenAccepted::Install => return self.start(),
                    WhenAccepted::Export => return vec![Wish::Open(Place::Export)],
                }
            }
            _ => self.fill_in(answers),
        }
        Vec::new()
    }

    pub fn trouble(&mut self, error: Error) {
        self.when_accepted = WhenAccepted::Stay;
        if self.step == Step::Summary {
            self.check =
                if self.blame(&findings::of_error(&error)) { Check::Marked } else { Check::Wrong(error) };
        } else if let (Step::Installation, Some(progress)) = (self.step, &mut self.progress) {
            progress.is_cancelled = false;
            if error.class == Class::NotFound && progress.operation.is_running() {
                // The agent that installed is gone, and its installation with it.
                progress.operation.state = OperationState::Failed { error };
            } else {
                progress.trouble = Some(error);
            }
        } else {
            self.trouble = Some(error);
        }
    }

    /// The last step: everything is answered and accepted.
    fn start(&mut self) -> Vec<Wish> {
        let Some(disk) = &self.disk else {
            self.check = Check::Wrong(Error::invalid(words::NO_DISK_CHOSEN));
            return Vec::new();
        };
        let wanted = steps::installation_on(disk);
        match self.erasure.clone().filter(|erasure| *erasure.get() == wanted) {
            Some(erasure) => vec![Wish::Ask(Request::Destroy(erasure))],
            None => vec![Wish::Confirm(wanted)],
        }
    }
}

impl Default for Wizard {
    fn default() -> Self {
        Self::new()
    }
}
