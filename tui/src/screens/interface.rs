//! One interface of a host: what it is configured as.

use edge_model::Error;
use edge_model::api::Possibility;
use edge_model::api::network::InterfaceView;
use edge_model::user_data::interface::Interface;
use serde_json::json;

use super::{Behaviour, Wish, follow};
use crate::action::{Answer, Request};
use crate::event::Key;
use crate::findings;
use crate::form::{Form, Pressed};
use crate::known::Known;
use crate::network_form::{self, Filled, NetworkField};
use crate::strings::network as words;

#[derive(Debug, Clone, PartialEq)]
pub struct InterfaceEditor {
    pub view: InterfaceView,
    pub form: Form<NetworkField>,
    before: Interface,
    pub trouble: Option<Error>,
}

impl InterfaceEditor {
    pub fn new(view: &InterfaceView) -> Self {
        let before = view.configured.clone().unwrap_or_default();
        Self { view: view.clone(), form: network_form::form(&before, words::APPLY), before, trouble: None }
    }

    /// Parts of the configuration that this screen keeps and does not show.
    pub fn kept(&self) -> Vec<String> {
        let mut kept = Vec::new();
        if let Some(bond) = &self.before.bond {
            kept.push(words::bond_of(&bond.members.join(", ")));
        }
        if let Some(bridge) = &self.before.bridge {
            kept.push(words::bridge_of(&bridge.members.join(", ")));
        }
        if !self.before.routes.is_empty() {
            kept.push(words::routes(self.before.routes.len()));
        }
        kept
    }

    fn apply(&mut self) -> Vec<Wish> {
        self.trouble = None;
        let Some(Filled { name, interface }) =
            network_form::read(&mut self.form, &self.view.name, &self.before)
        else {
            return Vec::new();
        };
        let Ok(written) = serde_json::to_value(&interface) else { return Vec::new() };
        let document = json!({ "network": { name.as_str(): findings::without_nothing(written) } });
        self.blame(findings::check(&document));
        if self.form.has_errors() || self.trouble.is_some() {
            return Vec::new();
        }
        vec![Wish::Ask(Request::ChangeInterface { name, interface: Box::new(interface) })]
    }

    fn blame(&mut self, findings: Vec<findings::Finding>) {
        for finding in findings {
            if !self.form.blame(finding.key(), &finding.message) {
                self.trouble = Some(Error::invalid(finding.message));
            }
        }
    }
}

impl Behaviour for InterfaceEditor {
    fn key(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        match self.form.key(key) {
            Pressed::Changed(NetworkField::Addressing) => {
                network_form::fit(&mut self.form);
                network_form::take_lease(&mut self.form, &self.view);
            }
            Pressed::Pushed(NetworkField::Apply) if known.can(Possibility::Configure) => return self.apply(),
            Pressed::Pushed(NetworkField::Apply) => {
                self.trouble = Some(Error::rejected(words::NOT_NOW));
            }
            Pressed::Changed(_) | Pressed::Pushed(_) | Pressed::Taken | Pressed::Ignored => {}
        }
        Vec::new()
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        let mut wishes = follow(answer);
        if !wishes.is_empty() {
            // What was applied is seen in the list, not in this form.
            wishes.insert(0, Wish::Close);
        }
        wishes
    }

    fn trouble(&mut self, error: Error) {
        let findings = findings::of_error(&error);
        self.trouble = None;
        if findings.is_empty() {
            self.trouble = Some(error);
        } else {
            self.blame(findings);
        }
    }

    fn help(&self) -> Option<String> {
        self.form.help()
    }

    fn takes_letters(&self) -> bool {
        self.form.takes_letters()
    }
}
