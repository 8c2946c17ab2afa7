//! Between the forms and the document: filling in what is known, and writing down what was answered.

use edge_model::api::installer::{Answers, DiskContent, InstallDisk};
use edge_model::document;
use edge_model::unattended::{DiskChoice, InstallAnswers, Operator, Unattended, WipePolicy};
use edge_model::user_data::edge::ManagementMode;
use edge_model::user_data::interface::{Addressing, Interface, Interfaces};
use serde_json::Value;

use super::forms::{self, AccountField, IdentityField, ManagementField, SummaryField};
use super::{InterfaceForm, Step, Wizard};
use crate::findings::{self, Finding};
use crate::network_form;
use crate::strings::installer as words;
use crate::units::size;

impl Wizard {
    /// Takes over what the medium says. A form that somebody has begun is left alone.
    pub(super) fn fill_in(&mut self, answers: Answers) {
        let (node, _) = document::read::<Unattended>("answers", &answers.text);
        // What cannot be read is reported by the agent, with its place.
        let before: Unattended = document::typed(&node).unwrap_or_default();
        let is_hidden = |secret: &str| answers.hidden.iter().any(|hidden| hidden.starts_with(secret));
        if !self.identity.any_touched() {
            self.identity = forms::identity(&before);
        }
        if !self.account.any_touched() {
            self.account = forms::account(&before, is_hidden("operator.password"));
        }
        if !self.management.any_touched() {
            self.management = forms::management(&before, is_hidden("management.registrationToken"));
        }
        if !self.summary.any_touched() {
            self.summary = forms::summary(&before);
        }
        let editing = self.editing.clone();
        self.networks.retain(|name, form| form.form.any_touched() || Some(name) == editing.as_ref());
        self.before = before;
        self.answers = Some(answers);
        let offers = self.offers_management();
        self.summary.show(SummaryField::Management, offers);
    }

    /// Everything that was answered, with the secrets that were typed. Without `operator` when nobody touched it: the
    /// medium may know a password that is not shown here.
    pub(super) fn document(&self) -> Value {
        let given = |id| self.identity.given(id);
        let answers = Unattended {
            install: Some(self.install_answers()),
            host_name: given(IdentityField::HostName),
            device_id: given(IdentityField::DeviceId),
            time_zone: given(IdentityField::TimeZone),
            ntp_servers: self.identity.words(IdentityField::TimeServers),
            proxy: edge_model::unattended::Proxy {
                http: given(IdentityField::HttpProxy),
                https: given(IdentityField::HttpsProxy),
                no_proxy: given(IdentityField::NoProxy),
            },
            network: self.interfaces_answered(),
            operator: self.operator(),
            management: edge_model::unattended::Management {
                mode: self.management_mode(),
                endpoint: self.management.given(ManagementField::Endpoint).filter(|_| self.is_central()),
                registration_token: None,
            },
            ..Unattended::default()
        };
        let mut document = findings::without_nothing(serde_json::to_value(answers).unwrap_or_default());
        // Secrets hide themselves when they are written; here they are meant.
        let secrets = [
            ("operator", "password", self.account.secret(AccountField::Password), self.account.any_touched()),
            (
                "management",
                "registrationToken",
                self.management.secret(ManagementField::Token),
                self.is_central(),
            ),
        ];
        for (section, key, secret, is_meant) in secrets {
            if is_meant && !secret.reveal().is_empty() {
                document[section][key] = Value::String(secret.reveal().to_owned());
            }
        }
        document
    }

    fn install_answers(&self) -> InstallAnswers {
        let before = self.before.install.clone().unwrap_or_default();
        let after = forms::AFTER.get(self.summary.chosen(SummaryField::After)).copied();
        match &self.disk {
            Some(disk) => InstallAnswers {
                disk: DiskChoice { path: Some(disk.path.clone()), ..DiskChoice::default() },
                wipe: wipe_for(disk),
                after,
                ..before
            },
            None => InstallAnswers { after, ..before },
        }
    }

    fn interfaces_answered(&self) -> Interfaces {
        let mut interfaces = self.before.network.clone();
        for (plug, InterfaceForm { form, before, name }) in &self.networks {
            // Read from a copy: complaints belong to the moment when the form is left.
            let Some(filled) = network_form::read(&mut form.clone(), name, before) else { continue };
            if filled.name != *name {
                interfaces.remove(name);
            }
            if filled.interface.vlan.is_some() {
                let cable = Interface { kind: Some(Addressing::None), ..Interface::default() };
                interfaces.insert(plug.clone(), cable);
            }
            interfaces.insert(filled.name, filled.interface);
        }
        interfaces
    }

    fn operator(&self) -> Option<Operator> {
        use AccountField as Id;
        let name = self.account.given(Id::Name).filter(|_| self.account.any_touched())?;
        let mut ssh_keys: Vec<String> = self.account.given(Id::SshKey).into_iter().collect();
        if let Some(before) = &self.before.operator {
            ssh_keys.extend(before.ssh_keys.iter().skip(1).cloned());
        }
        Some(Operator { name, password: None, password_hash: None, ssh_keys })
    }

    fn is_central(&self) -> bool {
        self.management.chosen(ManagementField::Mode) == 1
    }

    fn management_mode(&self) -> Option<ManagementMode> {
        let mode = if self.is_central() { ManagementMode::Central } else { ManagementMode::Local };
        // Nobody has said anything: the document says nothing either.
        let is_said = self.management.any_touched() || self.before.management.mode.is_some();
        is_said.then_some(mode)
    }

    /// Shows what the agent found at the fields that it is about; tells whether it found anything.
    pub(super) fn blame(&mut self, findings: &[Finding]) -> bool {
        for finding in findings {
            self.blame_finding(finding);
        }
        !findings.is_empty()
    }

    pub(super) fn blame_finding(&mut self, finding: &Finding) {
        let (key, message) = (finding.key(), finding.message.as_str());
        let link = match step_of(&finding.path) {
            Step::Interface => {
                let is_meant = |form: &&mut InterfaceForm| finding.path.contains(&format!("{}.", form.name));
                if let Some(form) = self.networks.values_mut().find(is_meant) {
                    form.form.blame(key, message);
                }
                SummaryField::Network
            }
            Step::Account => {
                if !self.account.blame(key, message) {
                    self.account.complain(AccountField::Name, message);
                }
                SummaryField::Account
            }
            Step::Management => {
                if !self.management.blame(key, message) {
                    self.management.complain(ManagementField::Mode, message);
                }
                SummaryField::Management
            }
            Step::Disks => SummaryField::Disk,
            _ => {
                self.identity.blame(key, message);
                SummaryField::Identity
            }
        };
        self.summary.complain(link, message);
    }

    pub(super) fn disk_summary(&self) -> String {
        self.disk.as_ref().map_or_else(
            || words::NOT_CHOSEN.to_owned(),
            |disk| {
                let content = words::content(disk.holds);
                words::disk_summary(&disk.path, &disk.model, &size(disk.size), content)
            },
        )
    }

    pub(super) fn network_summary(&self) -> String {
        let interfaces = self.interfaces_answered();
        if interfaces.is_empty() {
            return words::ALL_DHCP.to_owned();
        }
        let one = |(name, interface): (&String, &Interface)| {
            format!("{name}: {}", network_form::summary(interface))
        };
        interfaces.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    pub(super) fn identity_summary(&self) -> String {
        let name = self.identity.given(IdentityField::HostName);
        name.unwrap_or_else(|| words::NAME_BY_MACHINE.to_owned())
    }

    pub(super) fn account_summary(&self) -> String {
        use AccountField as Id;
        let name = self.account.text(Id::Name);
        let hidden = self.answers.iter().flat_map(|answers| &answers.hidden);
        let is_known = hidden.into_iter().any(|secret| secret.starts_with("operator.password"));
        let has_password = is_known || !self.account.secret(Id::Password).reveal().is_empty();
        let has_key = self.account.given(Id::SshKey).is_some();
        if name.is_empty() {
            return words::NO_ACCOUNT.to_owned();
        }
        words::account(name, has_password, has_key)
    }

    pub(super) fn management_summary(&self) -> String {
        if self.is_central() {
            words::central(self.management.text(ManagementField::Endpoint))
        } else {
            words::MANAGEMENTS[0].to_owned()
        }
    }
}

/// The least that lets this disk be taken.
fn wipe_for(disk: &InstallDisk) -> WipePolicy {
    match disk.holds {
        DiskContent::Nothing => WipePolicy::Never,
        DiskContent::OtherInstallation | DiskContent::UnfinishedInstallation => WipePolicy::Installations,
        DiskContent::ThisInstallation | DiskContent::Data => WipePolicy::Everything,
    }
}

/// The step in which a path of the document is answered.
pub(super) fn step_of(path: &str) -> Step {
    let has = |keys: &[&str]| path.split('.').any(|part| keys.contains(&part));
    if has(&["operator"]) {
        Step::Account
    } else if has(&["management", "managementMode", "paletteEndpoint", "edgeHostToken"]) {
        Step::Management
    } else if has(&["install"]) {
        Step::Disks
    } else if path.starts_with("network.") || has(&["interfaces"]) {
        Step::Interface
    } else {
        Step::Identity
    }
}
