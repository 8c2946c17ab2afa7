//! How the last boots ended.

use edge_model::Error;
use edge_model::api::black_box::{BlackBox, Boot, Ending};
use edge_model::calendar::day_and_time;

use super::{Behaviour, Wish};
use crate::action::{Answer, Request};
use crate::event::Key;
use crate::known::Known;
use crate::scroll::Scroll;
use crate::strings::black_box as words;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Boots {
    /// None until the agent has answered.
    pub known: Option<BlackBox>,
    pub scroll: Scroll,
    pub trouble: Option<Error>,
}

/// A line, and whether it tells of something bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub is_bad: bool,
}

impl Boots {
    /// The newest boot first.
    pub fn lines(&self) -> Vec<Line> {
        self.known.iter().flat_map(|known| known.boots.iter().rev()).flat_map(describe).collect()
    }
}

fn describe(boot: &Boot) -> Vec<Line> {
    let began = boot.began.map_or_else(
        || words::UNKNOWN_TIME.to_owned(),
        |time| {
            let text = day_and_time(time.at);
            if time.proven { text } else { words::about(&text) }
        },
    );
    let slot = boot.slot.map_or_else(|| boot.mode.to_string(), |slot| words::slot(&slot.to_string()));
    let version = if boot.version.is_empty() { "-" } else { &boot.version };
    let is_bad = matches!(boot.ending, Ending::Crashed { .. } | Ending::LostPowerOrReset);
    let mut lines =
        vec![Line { text: format!("{began:<22} {version:<10} {slot:<9} {}", ending(&boot.ending)), is_bad }];
    let more = boot.doubts.iter().chain(&boot.console).map(|text| format!("    {text}"));
    lines.extend(more.map(|text| Line { text, is_bad: false }));
    lines
}

fn ending(ending: &Ending) -> String {
    match ending {
        Ending::StillRunning => words::RUNNING.to_owned(),
        Ending::Restarted { reason } => words::with_reason(words::RESTARTED, reason),
        Ending::SwitchedOff { reason } => words::with_reason(words::SWITCHED_OFF, reason),
        Ending::Crashed { reason } => words::with_reason(words::CRASHED, reason),
        Ending::Unknown => words::ENDED_STRANGELY.to_owned(),
        Ending::LostPowerOrReset => words::LOST_POWER.to_owned(),
    }
}

impl Behaviour for Boots {
    fn load(&self) -> Vec<Request> {
        vec![Request::BlackBox]
    }

    fn key(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        self.scroll.key(key, self.lines().len(), known.room().saturating_sub(1));
        Vec::new()
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        if let Answer::BlackBox(known) = answer {
            self.known = Some(known);
            self.trouble = None;
        }
        Vec::new()
    }

    fn trouble(&mut self, error: Error) {
        self.trouble = Some(error);
    }
}
