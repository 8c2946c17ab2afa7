//! Who asks for something.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Through what somebody reaches a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Surface {
    /// The console in front of the host.
    Console,
    /// The web page.
    Web,
    /// `edge-agent` in a shell, or a script.
    CommandLine,
    /// A service of the host.
    Service,
    /// The host by itself: a medium that installs without being asked.
    Host,
    /// From an older agent, which did not say, or from a newer one.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Somebody who asks: where, as whom, and in which order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// Account, or `root`, or what acts by itself.
    #[serde(rename = "started_by")]
    pub subject: String,
    #[serde(default)]
    pub surface: Surface,
    /// What the asker calls this order: the idempotency key of the call, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

impl Actor {
    pub fn new(surface: Surface, subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), surface, order: None }
    }

    /// The host by itself, because of something.
    pub fn host(because_of: &str) -> Self {
        Self::new(Surface::Host, because_of)
    }
}

/// As people call it.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_and_newer_agents_wrote_is_read() {
        let old: Actor = serde_json::from_str(r#"{"started_by": "site"}"#).unwrap();
        assert_eq!(old, Actor::new(Surface::Unknown, "site"));
        let new: Actor = serde_json::from_str(r#"{"started_by": "x", "surface": "hologram"}"#).unwrap();
        assert_eq!(new.surface, Surface::Unknown);
    }
}
