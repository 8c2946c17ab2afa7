//! The screens of a host: what each one holds, and what a key or an answer does to it. How they look is in `view`.

pub mod account;
pub mod black_box;
pub mod bundle;
pub mod clock;
pub mod cluster;
pub mod codes;
pub mod diagnosis;
pub mod export;
pub mod home;
pub mod interface;
pub mod keyboard;
pub mod logs;
pub mod network;
pub mod power;
pub mod progress;
pub mod site;
pub mod system;

use edge_model::Error;
use edge_model::api::OperationStatus;
use edge_model::api::network::InterfaceView;
use edge_model::api::routes::{Access, RouteId};

use crate::action::{Answer, Request, access_of};
use crate::confirm::Destructive;
use crate::event::Key;
use crate::known::Known;

/// A screen that can be opened.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    Network,
    Interface(Box<InterfaceView>),
    Names,
    Proxy,
    Account,
    System,
    Cluster,
    Diagnosis,
    Logs,
    Bundle,
    BlackBox,
    Codes,
    Power,
    Clock,
    Keyboard,
    Export,
    Progress(Box<OperationStatus>),
}

/// What a screen wants to happen outside of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    Ask(Request),
    Confirm(Destructive),
    Open(Place),
    LogIn,
    LogOut,
    /// Back to the screen before.
    Close,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Screen {
    Network(network::Network),
    Interface(Box<interface::InterfaceEditor>),
    Names(site::Site),
    Proxy(site::Site),
    Account(account::Account),
    System(system::System),
    Cluster(cluster::Cluster),
    Diagnosis(diagnosis::Diagnosis),
    Logs(logs::Logs),
    Bundle(bundle::Bundle),
    BlackBox(black_box::Boots),
    Codes(codes::Codes),
    Power(power::Power),
    Clock(clock::Clock),
    Keyboard(keyboard::Keyboard),
    Export(export::Export),
    Progress(progress::Progress),
}

/// What all screens have in common.
pub trait Behaviour {
    /// What the screen asks when it is opened, and when it is to be read again.
    fn load(&self) -> Vec<Request> {
        Vec::new()
    }
    fn key(&mut self, key: Key, known: &Known) -> Vec<Wish>;
    /// The answer to something that this screen asked.
    fn answer(&mut self, answer: Answer, known: &Known) -> Vec<Wish>;
    /// Something that this screen asked was refused.
    fn trouble(&mut self, error: Error);
    /// The hint of the field that somebody stands in.
    fn help(&self) -> Option<String> {
        None
    }
    /// Letters are text now, not commands.
    fn takes_letters(&self) -> bool {
        false
    }
    fn takes_secret(&self) -> bool {
        false
    }
}

impl Place {
    /// What somebody must be to see it.
    pub fn access(&self) -> Access {
        access_of(match self {
            Place::Account => RouteId::CurrentUser,
            Place::Logs => RouteId::Logs,
            Place::Diagnosis => RouteId::PingEndpoint,
            Place::Export => RouteId::ExportAnswers,
            _ => RouteId::Status,
        })
    }

    pub fn screen(self, known: &Known) -> Screen {
        match self {
            Place::Network => Screen::Network(network::Network::default()),
            Place::Interface(view) => Screen::Interface(Box::new(interface::InterfaceEditor::new(&view))),
            Place::Names => Screen::Names(site::Site::names()),
            Place::Proxy => Screen::Proxy(site::Site::proxy()),
            Place::Account => Screen::Account(account::Account::default()),
            Place::System => Screen::System(system::System::new(known)),
            Place::Cluster => Screen::Cluster(cluster::Cluster),
            Place::Diagnosis => Screen::Diagnosis(diagnosis::Diagnosis::new()),
            Place::Logs => Screen::Logs(logs::Logs::new()),
            Place::Bundle => Screen::Bundle(bundle::Bundle::default()),
            Place::BlackBox => Screen::BlackBox(black_box::Boots::default()),
            Place::Codes => Screen::Codes(codes::Codes::default()),
            Place::Power => Screen::Power(power::Power::default()),
            Place::Clock => Screen::Clock(clock::Clock::new(known)),
            Place::Keyboard => Screen::Keyboard(keyboard::Keyboard::default()),
            Place::Export => Screen::Export(export::Export::default()),
            Place::Progress(operation) => Screen::Progress(progress::Progress::new(*operation)),
        }
    }
}

impl Screen {
    pub fn behaviour(&self) -> &dyn Behaviour {
        match self {
            Screen::Network(screen) => screen,
            Screen::Interface(screen) => screen.as_ref(),
            Screen::Names(screen) | Screen::Proxy(screen) => screen,
            Screen::Account(screen) => screen,
            Screen::System(screen) => screen,
            Screen::Cluster(screen) => screen,
            Screen::Diagnosis(screen) => screen,
            Screen::Logs(screen) => screen,
            Screen::Bundle(screen) => screen,
            Screen::BlackBox(screen) => screen,
            Screen::Codes(screen) => screen,
            Screen::Power(screen) => screen,
            Screen::Clock(screen) => screen,
            Screen::Keyboard(screen) => screen,
            Screen::Export(screen) => screen,
            Screen::Progress(screen) => screen,
        }
    }

    pub fn behaviour_mut(&mut self) -> &mut dyn Behaviour {
        match self {
            Screen::Network(screen) => screen,
            Screen::Interface(screen) => screen.as_mut(),
            Screen::Names(screen) | Screen::Proxy(screen) => screen,
            Screen::Account(screen) => screen,
            Screen::System(screen) => screen,
            Screen::Cluster(screen) => screen,
            Screen::Diagnosis(screen) => screen,
            Screen::Logs(screen) => screen,
            Screen::Bundle(screen) => screen,
            Screen::BlackBox(screen) => screen,
            Screen::Codes(screen) => screen,
            Screen::Power(screen) => screen,
            Screen::Clock(screen) => screen,
            Screen::Keyboard(screen) => screen,
            Screen::Export(screen) => screen,
            Screen::Progress(screen) => screen,
        }
    }
}

/// The end of every `answer`: work that the agent has begun is followed, other answers are not for this screen.
pub(crate) fn follow(answer: Answer) -> Vec<Wish> {
    match answer {
        Answer::Operation(operation) => vec![Wish::Open(Place::Progress(Box::new(operation)))],
        _ => Vec::new(),
    }
}
