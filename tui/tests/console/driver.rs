//! A person at the console, and an agent behind it.

use std::collections::VecDeque;

use edge_model::Error;
use edge_model::api::diagnostics::Metrics;
use edge_model::api::installer::{Answers, InstallDisk};
use edge_model::api::{EventKind, HostStatus, OperationStatus};
use edge_model::cmdline::Mode;
use edge_tui::action::{Action, Answer, Request, Ticket};
use edge_tui::event::{Event, Key, Size, Started, Trouble};
use edge_tui::record;
use edge_tui::state::State;
use edge_tui::update::update;
use edge_tui::view::look::Look;
use edge_tui::view::{as_text, render};

use crate::agent;

pub(crate) const SMALL: Size = Size { width: 80, height: 24 };
pub(crate) const LARGE: Size = Size { width: 120, height: 40 };

#[derive(Debug, Default)]
pub(crate) struct Console {
    pub(crate) state: State,
    /// Everything that was asked, in order.
    pub(crate) asked: Vec<Request>,
    /// What the agent says instead of the usual, in order, to requests that change something.
    scripted: VecDeque<Result<Answer, Trouble>>,
    unanswered: Vec<(Ticket, Request)>,
    /// What the medium says, instead of the usual.
    pub(crate) medium: Option<Answers>,
    /// What the host measures, instead of the usual.
    metrics: Option<Metrics>,
    /// The disks of the machine, instead of the usual.
    disks: Option<Vec<InstallDisk>>,
    /// The agent takes its time.
    pub(crate) holds_back: bool,
    pub(crate) recording: Vec<String>,
}

impl Console {
    /// Before the agent answers.
    pub(crate) fn starting() -> Self {
        let mut console = Self::default();
        let started = Started { size: SMALL, host_name: "shop-17".into(), ..Started::default() };
        console.event(Event::Started(started));
        console
    }

    pub(crate) fn of(mode: Mode) -> Self {
        Self::with(agent::status(mode))
    }

    pub(crate) fn with(status: HostStatus) -> Self {
        let mut console = Self::starting();
        console.event(Event::Status(Box::new(status)));
        console
    }

    /// As a host of the scenarios was: `cargo xtask record` asks it anew.
    pub(crate) fn recorded() -> Self {
        let mut console = Self::starting();
        console.metrics = Some(serde_json::from_str(include_str!("records/metrics.json")).unwrap());
        let status = serde_json::from_str(include_str!("records/status.json")).unwrap();
        console.event(Event::Status(Box::new(status)));
        console
    }

    /// As a medium of the scenarios was, in its machine with a stick.
    pub(crate) fn recorded_medium() -> Self {
        let mut console = Self::starting();
        console.disks = Some(serde_json::from_str(include_str!("records/disks.json")).unwrap());
        let status = serde_json::from_str(include_str!("records/status-of-a-medium.json")).unwrap();
        console.event(Event::Status(Box::new(status)));
        console
    }

    pub(crate) fn logged_in() -> Self {
        Self::of(Mode::Main).log_in()
    }

    pub(crate) fn log_in(mut self) -> Self {
        self.keys("<up><enter>site<tab>secret<enter>");
        assert!(self.state.known.session.is_some(), "{}", self.frame(SMALL));
        self.keys("<home>");
        self
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.recording.push(record::line(&self.state, &event).unwrap());
        for action in update(&mut self.state, event) {
            if let Action::Ask { ticket, request } = action {
                self.asked.push(request.clone());
                self.unanswered.push((ticket, request));
            }
        }
        if !self.holds_back {
            self.settle();
        }
    }

    /// Lets the agent answer everything.
    pub(crate) fn settle(&mut self) {
        while !self.unanswered.is_empty() {
            let (ticket, request) = self.unanswered.remove(0);
            let reads = matches!(
                request,
                Request::Metrics
                    | Request::Interfaces
                    | Request::SiteSettings
                    | Request::InstallDisks
                    | Request::InstallAnswers
            );
            let answer = match self.scripted.pop_front() {
                Some(answer) if !reads => answer,
                other => {
                    other.into_iter().for_each(|answer| self.scripted.push_front(answer));
                    match (&request, &self.medium) {
                        (Request::Metrics, _) if self.metrics.is_some() => {
                            Ok(Answer::Metrics(self.metrics.clone().unwrap()))
                        }
                        (Request::InstallDisks, _) if self.disks.is_some() => {
                            Ok(Answer::InstallDisks(self.disks.clone().unwrap()))
                        }
                        (Request::InstallAnswers, Some(answers)) => {
                            Ok(Answer::InstallAnswers(answers.clone()))
                        }
                        _ => agent::answer(&request),
                    }
                }
            };
            self.event(Event::Answered { ticket, answer: answer.map(Box::new) });
        }
    }

    pub(crate) fn will_say(&mut self, answer: Answer) {
        self.scripted.push_back(Ok(answer));
    }

    pub(crate) fn will_refuse(&mut self, error: Error) {
        self.scripted.push_back(Err(Trouble::Refused(error)));
    }

    pub(crate) fn will_have_forgotten_the_login(&mut self) {
        self.scripted.push_back(Err(Trouble::NoSession(Error::rejected("the session has ended"))));
    }

    /// Types: letters, and keys between `<` and `>`.
    pub(crate) fn keys(&mut self, keys: &str) {
        let mut rest = keys;
        while let Some(letter) = rest.chars().next() {
            let (key, length) = match rest.strip_prefix('<').and_then(|inside| inside.split_once('>')) {
                Some((name, _)) => (named(name), name.len() + 2),
                None => (Key::Letter(letter), letter.len_utf8()),
            };
            self.event(Event::Key(key));
            rest = &rest[length..];
        }
    }

    pub(crate) fn status(&mut self, change: impl FnOnce(&mut HostStatus)) {
        let mut status = self.state.known.status.clone().unwrap();
        change(&mut status);
        self.event(Event::Status(status));
    }

    pub(crate) fn news(&mut self, operation: OperationStatus) {
        self.event(Event::News(Box::new(EventKind::Operation(operation))));
    }

    pub(crate) fn clock(&mut self, now: u64) {
        self.event(Event::Clock(now));
    }

    pub(crate) fn frame(&self, size: Size) -> String {
        let mut state = self.state.clone();
        state.known.started.size = size;
        as_text(&render(&state, Look::FULL, size))
    }

    #[track_caller]
    pub(crate) fn sees(&self, text: &str) {
        let frame = self.frame(SMALL);
        assert!(frame.contains(text), "{text:?} is not on the screen:\n{frame}");
    }

    #[track_caller]
    pub(crate) fn sees_not(&self, text: &str) {
        let frame = self.frame(SMALL);
        assert!(!frame.contains(text), "{text:?} is on the screen:\n{frame}");
    }

    /// What was asked that could end or erase something.
    pub(crate) fn destroyed(&self) -> usize {
        self.asked.iter().filter(|request| matches!(request, Request::Destroy(_))).count()
    }
}

fn named(name: &str) -> Key {
    match name {
        "enter" => Key::Enter,
        "escape" => Key::Escape,
        "tab" => Key::Tab,
        "back-tab" => Key::BackTab,
        "up" => Key::Up,
        "down" => Key::Down,
        "left" => Key::Left,
        "right" => Key::Right,
        "home" => Key::Home,
        "end" => Key::End,
        "page-up" => Key::PageUp,
        "page-down" => Key::PageDown,
        "backspace" => Key::Backspace,
        "delete" => Key::Delete,
        other => {
            match (other.strip_prefix('f').and_then(|number| number.parse().ok()), other.strip_prefix('^')) {
                (Some(number), _) => Key::Function(number),
                (None, Some(letter)) => Key::Control(letter.chars().next().unwrap()),
                (None, None) => panic!("no key is called {other}"),
            }
        }
    }
}
