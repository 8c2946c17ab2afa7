//! `forge.yaml`: what a project builds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document;
use crate::error::{Error, Result};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Forge {
    /// Name of the image: lower-case letters, digits and hyphens.
    pub name: String,
    pub version: String,
    #[serde(default)]
    pub base: Base,
    /// Debian packages added to the recipe.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Words added to the kernel command line of all three UKIs.
    #[serde(default)]
    pub kernel_arguments: Vec<String>,
    /// Folder of the key pair that signs the manifest, relative to the project.
    #[serde(default)]
    pub keys: Option<String>,
}

crate::document!(Forge);

/// Where the root comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Base {
    pub recipe: String,
    /// Overrides the mirror of the machine's own apt configuration.
    pub mirror: Option<String>,
    pub security_mirror: Option<String>,
}

impl Default for Base {
    fn default() -> Self {
        Self { recipe: "debian-13".into(), mirror: None, security_mirror: None }
    }
}

impl Forge {
    /// # Errors
    /// [`crate::Class::InvalidInput`] with the place or the value that is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let forge: Self = document::parse(name, text)?;
        check_word(name, "name", &forge.name, "-")?;
        if forge.name.chars().any(|character| character.is_ascii_uppercase()) {
            return Err(Error::invalid(format!("{name}: name: {:?} has upper-case letters", forge.name)));
        }
        check_word(name, "version", &forge.version, "-.+~")?;
        for package in &forge.packages {
            check_word(name, "packages", package, "-.+:")?;
        }
        for argument in &forge.kernel_arguments {
            if argument.is_empty()
                || argument.chars().any(|character| character.is_whitespace() || character.is_control())
            {
                return Err(Error::invalid(format!(
                    "{name}: kernel-arguments: {argument:?} is not one word"
                )));
            }
        }
        Ok(forge)
    }

    /// First part of the names of all outputs.
    pub fn artifact_name(&self) -> String {
        format!("{}-{}-amd64", self.name, self.version)
    }
}

fn check_word(file: &str, key: &str, value: &str, others: &str) -> Result<()> {
    let valid = value.chars().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && value.chars().all(|character| character.is_ascii_alphanumeric() || others.contains(character))
        && value.len() <= 100;
    if valid {
        return Ok(());
    }
    Err(Error::invalid(format!("{file}: {key}: {value:?} cannot be used"))
        .help(format!("use letters, digits and any of {others:?}, at most 100 characters")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n]{0,300}") {
            let _ = Forge::parse("forge.yaml", &text);
        }
    }

    #[test]
    fn values_that_would_leave_the_folder_are_refused() {
        assert!(Forge::parse("forge.yaml", "name: shop\nversion: 1.0.0\n").is_ok());
        for wrong in [
            "name: Shop\nversion: '1'",
            "name: ../x\nversion: '1'",
            "name: a\nversion: ''",
            "name: a\nversion: '1'\nkernel-arguments: [a b]",
        ] {
            assert!(Forge::parse("forge.yaml", wrong).is_err(), "{wrong}");
        }
        let error = Forge::parse("forge.yaml", "name: a\nversion: '1'\nversoin: '2'\n").unwrap_err();
        assert!(error.to_string().contains("versoin"), "{error}");
    }
}
