//! What happens to the console: keys, time, news of the agent, and answers to what was asked.
//!
//! Everything that the console knows came in as one of these, so a recording of them is the whole session.

use edge_model::Error;
use edge_model::api::{EventKind, HostStatus};
use serde::{Deserialize, Serialize};

use crate::action::{Answer, Ticket};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event", content = "with")]
pub enum Event {
    /// Always the first.
    Started(Started),
    Key(Key),
    Resized(Size),
    /// The terminal is looked at again; somebody else may have written on it.
    Focused,
    /// Seconds since the program began. Comes before any other event of that second.
    Clock(u64),
    /// The agent answers.
    Status(Box<HostStatus>),
    News(Box<EventKind>),
    /// The agent answers, and shows nothing to strangers.
    StatusRefused(Error),
    AgentLost,
    Answered {
        ticket: Ticket,
        answer: Result<Box<Answer>, Trouble>,
    },
}

/// How the program was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub size: Size,
    /// By the kernel, for the time before the agent answers.
    pub host_name: String,
    pub by: StartedBy,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartedBy {
    /// It is the console, and is never left.
    #[default]
    ServiceManager,
    /// In a shell. The agent knows this person by the socket.
    Person,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

impl Default for Size {
    /// What every terminal has had since 1978; also taken for serial lines, which know no size.
    fn default() -> Self {
        Self { width: 80, height: 24 }
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// The login has ended, or there was none.
    NoSession(Error),
    Refused(Error),
}

impl Trouble {
    pub fn error(self) -> Error {
        match self {
            Trouble::NoSession(error) | Trouble::Refused(error) => error,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    Letter(char),
    /// A letter of a password, in a recording.
    Hidden,
    Control(char),
    Function(u8),
    Enter,
    Escape,
    Tab,
    BackTab,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    Backspace,
    Delete,
}
