//! `forge.yaml`: what a project builds.

mod base;
mod contents;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use base::{Base, Registry, Source};
pub use contents::{
    Component, Envelope, FileEntry, ImageUser, Kubernetes, PackageChanges, Packages, Run, RunDetails,
    SizeBudgets,
};

use crate::document::{self, Problem};
use crate::error::{Error, Result};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Forge {
    /// Name of the image: lower-case letters, digits and hyphens.
    pub name: String,
    pub version: String,
    /// Where the root comes from: `debian:trixie`, or a map with `from`.
    #[serde(default)]
    pub base: BaseKey,
    /// Registries that need more than their name.
    #[serde(default)]
    pub registries: Vec<Registry>,
    /// Packages of the distribution: a list of those to add, or a map with `add` and `remove`.
    #[serde(default)]
    pub packages: Packages,
    /// The package of the kernel, in place of the distribution's usual one.
    #[serde(default)]
    pub kernel: Option<String>,
    /// Words added to the kernel command line of all three UKIs.
    #[serde(default)]
    pub kernel_arguments: Vec<String>,
    /// Kernel modules loaded at every boot.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Files added to the root, after `overlay/files`.
    #[serde(default)]
    pub files: Vec<FileEntry>,
    /// Accounts in the image.
    #[serde(default)]
    pub users: Vec<ImageUser>,
    /// Commands that run in the root before files and users are added.
    #[serde(default)]
    pub run: Vec<Run>,
    /// Settings of the kernel, SSH, sudo and password files that the CIS benchmark asks for.
    #[serde(default, alias = "cis_hardening")]
    #[schemars(extend("x-other-names" = ["cis_hardening"]))]
    pub cis_hardening: bool,
    #[serde(default)]
    pub kubernetes: Option<Kubernetes>,
    /// Folder of the key pair that signs the manifest, relative to the project.
    #[serde(default)]
    pub keys: Option<String>,
    /// What is written beside the installer ISO and the OCI layout.
    #[serde(default = "default_envelopes")]
    pub envelopes: Vec<Envelope>,
    /// Content bundles for the medium; those above 3 GB are split.
    #[serde(default)]
    pub content: Vec<String>,
    /// A cluster definition for the medium.
    #[serde(default)]
    pub cluster_definition: Option<String>,
    /// The build fails when a part is larger.
    #[serde(default)]
    pub size_budgets: SizeBudgets,
    /// Checks of `edgeforge lint` that do not apply to this project.
    #[serde(default)]
    pub lint_ignore: Vec<String>,
}

crate::document!(Forge);

fn default_envelopes() -> Vec<Envelope> {
    vec![Envelope::Raw]
}

/// The base as people write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BaseKey {
    Short(#[schemars(with = "String", extend("format" = "image-source"))] Source),
    Whole(Base),
}

impl Default for BaseKey {
    fn default() -> Self {
        Self::Whole(Base::default())
    }
}

impl Forge {
    /// # Errors
    /// [`crate::Class::InvalidInput`] with the place or the value that is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        Self::parse_with_warnings(name, text).map(|(forge, _)| forge)
    }

    /// The document, and what is doubtful in it.
    ///
    /// # Errors
    /// As [`Forge::parse`].
    pub fn parse_with_warnings(name: &str, text: &str) -> Result<(Self, Vec<Problem>)> {
        let (node, problems) = document::read::<Self>(name, text);
        if let Some(error) = document::problem::as_error(name, &problems) {
            return Err(error);
        }
        let forge: Self = document::typed(&node)?;
        forge.check(name)?;
        Ok((forge, problems))
    }

    fn check(&self, name: &str) -> Result<()> {
        check_word(name, "name", &self.name, "-")?;
        if self.name.chars().any(|character| character.is_ascii_uppercase()) {
            return Err(Error::invalid(format!("{name}: name: {:?} has upper-case letters", self.name)));
        }
        check_word(name, "version", &self.version, "-.+~")?;
        let packages = self.packages.added().iter().chain(self.packages.removed()).chain(&self.kernel);
        for package in packages {
            check_word(name, "packages", package, "-.+:")?;
        }
        for module in &self.modules {
            check_word(name, "modules", module, "-_")?;
        }
        for argument in &self.kernel_arguments {
            if argument.is_empty()
                || argument.chars().any(|character| character.is_whitespace() || character.is_control())
            {
                return Err(Error::invalid(format!(
                    "{name}: kernel-arguments: {argument:?} is not one word"
                )));
            }
        }
        self.files.iter().try_for_each(|file| check_file(name, file))?;
        for user in &self.users {
            check_word(name, "users", &user.name, "-_")?;
        }
        self.kubernetes.iter().try_for_each(|kubernetes| check_kubernetes(name, kubernetes))
    }

    /// Replaces the base.
    pub fn set_base(&mut self, base: Base) {
        self.base = BaseKey::Whole(base);
    }

    /// Lets a registry be spoken to without TLS.
    pub fn speak_plain_http(&mut self, host: String) {
        match self.registries.iter_mut().find(|registry| registry.host == host) {
            Some(registry) => registry.plain_http = true,
            None => self.registries.push(Registry { host, plain_http: true, ..Registry::default() }),
        }
    }

    pub fn base(&self) -> Base {
        match &self.base {
            BaseKey::Short(from) => Base { from: from.clone(), ..Base::default() },
            BaseKey::Whole(base) => base.clone(),
        }
    }

    /// First part of the names of all outputs.
    pub fn artifact_name(&self) -> String {
        format!("{}-{}-amd64", self.name, self.version)
    }
}

fn check_file(name: &str, file: &FileEntry) -> Result<()> {
    if !file.path.starts_with('/') {
        return Err(Error::invalid(format!("{name}: files: {:?} does not begin with /", file.path)));
    }
    if file.content.is_some() == file.source.is_some() {
        return Err(Error::invalid(format!("{name}: files: {}: give either content or source", file.path)));
    }
    Ok(())
}

fn check_kubernetes(name: &str, kubernetes: &Kubernetes) -> Result<()> {
    let components: Vec<(&str, &Component)> = [("k3s", &kubernetes.k3s), ("kubeadm", &kubernetes.kubeadm)]
        .into_iter()
        .filter_map(|(kind, component)| Some((kind, component.as_ref()?)))
        .collect();
    let [(kind, component)] = components[..] else {
        return Err(Error::invalid(format!("{name}: kubernetes: give either k3s or kubeadm")));
    };
    check_word(name, &format!("kubernetes.{kind}.version"), &component.version, "-.+")?;
    let sources = [&component.file, &component.url, &component.oci];
    if sources.into_iter().flatten().count() != 1 {
        return Err(Error::invalid(format!("{name}: kubernetes.{kind}: give one of file, url and oci")));
    }
    let is_digest = |text: &String| text.len() == 64 && text.chars().all(|digit| digit.is_ascii_hexdigit());
    match &component.sha256 {
        Some(digest) if !is_digest(digest) => {
            Err(Error::invalid(format!("{name}: kubernetes.{kind}.sha256: this is not a SHA-256 digest")))
        }
        Some(_) if component.oci.is_some() => Err(Error::invalid(format!(
            "{name}: kubernetes.{kind}: an image has a digest of its own: sha256 is for files"
        ))
        .help("name the image by its digest, or rely on forge.lock")),
        None if component.url.is_some() => {
            Err(Error::invalid(format!("{name}: kubernetes.{kind}: a url needs sha256"))
                .help("take the digest from the publisher's list, not from the file that was fetched"))
        }
        _ => Ok(()),
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
            "name: a\nversion: '1'\nbase: floppy:x",
            "name: a\nversion: '1'\nkubernetes: {k3s: {version: 1, url: 'https://x.example/k3s'}}",
            "name: a\nversion: '1'\nkubernetes: {k3s: {version: 1}}",
            "name: a\nversion: '1'\nfiles: [{path: etc/x, content: y}]",
        ] {
            assert!(Forge::parse("forge.yaml", wrong).is_err(), "{wrong}");
        }
        let error = Forge::parse("forge.yaml", "name: a\nversion: '1'\nversoin: '2'\n").unwrap_err();
        assert!(error.to_string().contains("versoin"), "{error}");
    }

    #[test]
    fn a_base_has_a_short_and_a_long_form() {
        let base = |text: &str| {
            Forge::parse("forge.yaml", &format!("name: a\nversion: '1'\n{text}")).unwrap().base()
        };
        assert_eq!(base("").from, Source::Debian("trixie".into()));
        assert_eq!(base("base: ubuntu:noble").from, Source::Ubuntu("noble".into()));
        let long = base("base: {from: 'oci:registry.example/kairos:1', mirror: 'https://m.example'}");
        assert_eq!(long.from, Source::Registry("registry.example/kairos:1".into()));
        assert_eq!(long.mirror.as_deref(), Some("https://m.example"));
        for text in ["debian:trixie", "oci-layout:x:1", "docker-archive:a.tar", "dir:/srv/root"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        assert!("debian:../x".parse::<Source>().is_err());
    }
}
