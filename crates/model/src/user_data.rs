//! User data: cloud-config as Kairos and Palette Edge write it. Only the `edge:` section is acted on so far;
//! everything else is carried to `/oem` unchanged.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::yaml;

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UserData {
    #[serde(alias = "stylus")]
    pub edge: EdgeSection,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EdgeSection {
    pub upgrade: UpgradeSettings,
    pub health: HealthSettings,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct UpgradeSettings {
    pub unsigned: Unsigned,
}

/// Whether this host accepts images without a signature that it knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unsigned {
    #[default]
    Refuse,
    Allow,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct HealthSettings {
    /// Shell commands that must succeed before an image on trial is committed.
    pub commands: Vec<String>,
    /// Seconds after power-on by which an image on trial must have proved healthy.
    pub deadline_seconds: u64,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self { commands: Vec::new(), deadline_seconds: 600 }
    }
}

impl UserData {
    /// # Errors
    /// [`crate::Class::InvalidInput`] naming `name` and the place.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let document: Option<Self> = yaml::parse(name, text)?;
        Ok(document.unwrap_or_default())
    }

    /// Later documents add commands and overrule single values that they set away from the default.
    #[must_use]
    pub fn merge(mut self, later: UserData) -> UserData {
        if later.edge.upgrade.unsigned != Unsigned::default() {
            self.edge.upgrade.unsigned = later.edge.upgrade.unsigned;
        }
        let health = &mut self.edge.health;
        health.commands.extend(later.edge.health.commands);
        if later.edge.health.deadline_seconds != HealthSettings::default().deadline_seconds {
            health.deadline_seconds = later.edge.health.deadline_seconds;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n]{0,300}") {
            let _ = UserData::parse("user-data", &text);
        }
    }

    #[test]
    fn foreign_keys_are_carried_and_stylus_is_an_alias() {
        let text = "#cloud-config\nstages:\n  boot: []\nstylus:\n  upgrade:\n    unsigned: allow\n  site: {name: x}\n";
        let document = UserData::parse("user-data", text).unwrap();
        assert_eq!(document.edge.upgrade.unsigned, Unsigned::Allow);
        let later = UserData::parse("b", "edge:\n  health:\n    commands: ['true']\n").unwrap();
        let merged = document.merge(later);
        assert_eq!(merged.edge.upgrade.unsigned, Unsigned::Allow);
        assert_eq!(merged.edge.health.commands, ["true"]);
    }
}
