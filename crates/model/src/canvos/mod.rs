//! `.arg` of a CanvOS checkout: every key that CanvOS documents, what becomes of it, and what the file asks for.

mod dotenv;
mod keys;

use std::collections::BTreeMap;

pub use keys::{CUSTOM_FATE, CUSTOM_PREFIX, DISTRIBUTIONS, Fate, KEYS, Key, Values};

use crate::document::check::nearest;
use crate::document::problem::as_error;
use crate::document::{Place, Problem};
use crate::error::{Error, Result};
use crate::forge::Source;

/// The usual name of the file.
pub const FILE: &str = ".arg";

/// What a `.arg` says, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    name: String,
    /// In the order of the file.
    settings: Vec<Setting>,
    /// Keys that stand there twice, in words.
    repeated: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    key: String,
    value: String,
    place: Place,
}

type IsOfKind = fn(Fate) -> bool;

/// What becomes of keys that nothing acts on, in the order in which a person should read it.
const FATES: [(&str, IsOfKind); 3] = [
    ("not supported yet", |fate| matches!(fate, Fate::NotYet(_) | Fate::Demand(_))),
    ("without a counterpart", |fate| matches!(fate, Fate::Meaningless(_))),
    ("not needed", |fate| matches!(fate, Fate::Understood(_))),
];

/// Distributions of Kubernetes that can be built into an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    K3s,
    Kubeadm,
}

impl Distribution {
    pub fn name(self) -> &'static str {
        match self {
            Self::K3s => "k3s",
            Self::Kubeadm => "kubeadm",
        }
    }
}

impl Arguments {
    /// # Errors
    /// [`crate::Class::InvalidInput`] with every error and its place.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let (assignments, mut problems) = dotenv::read(name, text);
        let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
        let (mut settings, mut repeated): (Vec<Setting>, Vec<String>) = Default::default();
        for dotenv::Assignment { key, value, place } in &assignments {
            problems.extend(check(key, value, place));
            if let Some(line) = seen.insert(key, place.line) {
                // As a shell that reads the file: the last one holds.
                repeated.push(format!("{key} (line {}) replaces what line {line} says", place.line));
                settings.retain(|setting| setting.key != *key);
            }
            settings.push(Setting { key: key.clone(), value: value.clone(), place: place.clone() });
        }
        let arguments = Self { name: name.to_owned(), settings, repeated };
        problems.extend(arguments.contradictions());
        problems.sort_by_key(|problem| problem.place.start);
        as_error(name, &problems).map_or(Ok(arguments), Err)
    }

    fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == name && !setting.value.is_empty())
    }

    /// The value that was set, if it is not empty.
    fn text(&self, name: &str) -> Option<&str> {
        self.setting(name).map(|setting| setting.value.as_str())
    }

    /// The value that holds: what was set, or the default.
    fn effective(&self, name: &str) -> &str {
        self.text(name).unwrap_or_else(|| Key::find(name).map_or("", |key| key.default))
    }

    fn flag(&self, name: &str) -> bool {
        self.effective(name) == "true"
    }

    fn contradictions(&self) -> Vec<Problem> {
        let pairs = [
            ("FIPS_ENABLED", "UPDATE_KERNEL", "a kernel with FIPS validation cannot be updated"),
            ("INSTALL_NVIDIA_GPU_DRIVERS", "INSTALL_AMD_GPU_DRIVERS", "an image has drivers of one vendor"),
        ];
        let both = |(one, other, why): (&str, &str, &str)| {
            let (_, second) = (self.setting(one)?, self.setting(other)?);
            (self.flag(one) && self.flag(other)).then(|| {
                let message = format!("it cannot be true together with {one}: {why}");
                Problem::error(second.place.clone(), other, message).help("set one of them to false")
            })
        };
        let mut problems: Vec<Problem> = pairs.into_iter().filter_map(both).collect();
        if self.text("K8S_DISTRIBUTION").is_none() {
            let message = "K8S_DISTRIBUTION is not set";
            problems
                .push(Problem::error(Place::whole(&self.name), "", message).help("set it to k3s or kubeadm"));
        }
        problems
    }

    /// Every key that is set to something and not acted on, by what becomes of it; and what is set twice.
    pub fn warning(&self) -> Option<String> {
        let mut parts = self.repeated.clone();
        for (title, has_fate) in FATES {
            let of_fate = self.said().filter(|(_, fate)| has_fate(*fate));
            let keys: Vec<String> = of_fate
                .map(|(setting, fate)| {
                    format!("{} (line {}): {}", setting.key, setting.place.line, fate.words())
                })
                .collect();
            if !keys.is_empty() {
                parts.push(format!("{title}: {}", keys.join("; ")));
            }
        }
        (!parts.is_empty()).then(|| parts.join("\n  "))
    }

    /// Keys that ask for something beside their default, with what becomes of them.
    fn said(&self) -> impl Iterator<Item = (&Setting, Fate)> {
        self.settings.iter().filter_map(|setting| {
            let (fate, default) = match Key::find(&setting.key) {
                Some(key) => (key.fate, key.default),
                None => (CUSTOM_FATE, ""),
            };
            (!setting.value.is_empty() && setting.value != default).then_some((setting, fate))
        })
    }

    /// Refuses a folder that asks for security which its image would not have, unless every such key is waived by name.
    ///
    /// # Errors
    /// [`crate::Class::Rejected`] with all of them.
    pub fn check_demands(&self, waived: &[String]) -> Result<()> {
        let unmet: Vec<(&Setting, Fate)> = self
            .said()
            .filter(|(setting, fate)| matches!(fate, Fate::Demand(_)) && !waived.contains(&setting.key))
            .collect();
        if unmet.is_empty() {
            return Ok(());
        }
        let words: Vec<String> = unmet
            .iter()
            .map(|(setting, fate)| {
                format!("{}: {}={}: {}", setting.place, setting.key, setting.value, fate.words())
            })
            .collect();
        let waive: Vec<String> =
            unmet.iter().map(|(setting, _)| format!("--waive {}", setting.key)).collect();
        Err(Error::rejected(format!("the image would lack what this folder asks for: {}", words.join("; ")))
            .help(format!("build it without: {}", waive.join(" "))))
    }

    /// Where the root comes from.
    ///
    /// # Errors
    /// [`crate::Class::InvalidInput`] when the distribution has no packages that images are made from.
    pub fn base(&self) -> Result<Source> {
        if let Some(image) = self.text("BASE_IMAGE") {
            return Ok(Source::Registry(image.to_owned()));
        }
        let (system, version) = (self.effective("OS_DISTRIBUTION"), self.effective("OS_VERSION"));
        let suite = match (system, version) {
            ("ubuntu", "20" | "20.04") => "focal",
            ("ubuntu", "22" | "22.04") => "jammy",
            ("ubuntu", "24" | "24.04") => "noble",
            ("ubuntu", other) => {
                let message = format!("OS_VERSION: Ubuntu {other} is not known");
                return Err(self
                    .error("OS_VERSION", message)
                    .help("use 20.04, 22.04 or 24.04, or set BASE_IMAGE"));
            }
            (other, _) => {
                let message = format!("OS_DISTRIBUTION: {other} has no packages that images are made from");
                return Err(self
                    .error("OS_DISTRIBUTION", message)
                    .help("set BASE_IMAGE to an image of it that follows the Kairos contract"));
            }
        };
        Ok(Source::Ubuntu(suite.to_owned()))
    }

    /// # Errors
    /// [`crate::Class::InvalidInput`] for a distribution that cannot be built into images.
    pub fn distribution(&self) -> Result<Distribution> {
        match self.effective("K8S_DISTRIBUTION") {
            "k3s" => Ok(Distribution::K3s),
            "kubeadm" => Ok(Distribution::Kubeadm),
            other => {
                let message = format!("K8S_DISTRIBUTION: {other} is not built into images yet");
                Err(self.error("K8S_DISTRIBUTION", message).help("use k3s or kubeadm"))
            }
        }
    }

    fn error(&self, key: &str, message: String) -> Error {
        let place = self.setting(key).map_or_else(|| self.name.clone(), |setting| setting.place.to_string());
        Error::invalid(format!("{place}: {message}"))
    }

    /// The version of Kubernetes; `None` for every version of the checkout's list.
    pub fn kubernetes_version(&self) -> Option<&str> {
        self.text("K8S_VERSION")
    }

    /// `1.31.1` as the distribution itself calls it: `1.31.1+k3s1`.
    pub fn component_version(&self, distribution: Distribution, version: &str) -> String {
        match distribution {
            Distribution::K3s if !version.contains('+') => {
                format!("{version}+{}", self.effective("K3S_FLAVOR_TAG"))
            }
            _ => version.to_owned(),
        }
    }

    pub fn iso_name(&self) -> &str {
        self.effective("ISO_NAME")
    }

    pub fn cluster_definition(&self) -> &str {
        self.effective("CLUSTERCONFIG")
    }

    pub fn edge_custom_config(&self) -> &str {
        self.effective("EDGE_CUSTOM_CONFIG")
    }

    /// Whether a file was named that CanvOS does not look for by itself.
    pub fn names_its_own(&self, key: &str) -> bool {
        self.text(key).is_some_and(|value| Key::find(key).is_none_or(|key| key.default != value))
    }

    pub fn cis_hardening(&self) -> bool {
        self.flag("CIS_HARDENING")
    }

    pub fn interactive(&self) -> bool {
        self.flag("FORCE_INTERACTIVE_INSTALL")
    }

    /// The version of Palette's agent, when the file sets it.
    pub fn agent_version(&self) -> Option<&str> {
        self.text("PE_VERSION")
    }

    /// Words for the kernel command line.
    pub fn kernel_arguments(&self) -> Vec<String> {
        let words = self.effective("CMDLINE").split_whitespace();
        words.filter(|word| *word != "stylus.registration").map(str::to_owned).collect()
    }

    /// The end of the tag that has nothing to do with Kubernetes: `PE_VERSION[-CUSTOM_TAG]`. Empty when neither is known.
    pub fn image_tag(&self, agent_version: Option<&str>) -> String {
        let parts: Vec<&str> = agent_version.into_iter().chain(self.text("CUSTOM_TAG")).collect();
        parts.join("-")
    }

    /// The tag that CanvOS gives a provider image: `K8S_DISTRIBUTION-K8S_VERSION-PE_VERSION[-CUSTOM_TAG]`.
    pub fn tag(&self, distribution: Distribution, version: &str, agent_version: Option<&str>) -> String {
        let end = self.image_tag(agent_version);
        let start = format!("{}-{version}", distribution.name());
        if end.is_empty() { start } else { format!("{start}-{end}") }
    }

    /// Where CanvOS pushes a provider image: `IMAGE_REGISTRY/IMAGE_REPO:TAG`.
    ///
    /// # Errors
    /// [`crate::Class::InvalidInput`] when a part is missing, or cannot be part of a reference.
    pub fn reference(
        &self,
        distribution: Distribution,
        version: &str,
        agent_version: Option<&str>,
    ) -> Result<String> {
        let registry = self.text("IMAGE_REGISTRY").ok_or_else(|| {
            self.error("IMAGE_REGISTRY", "IMAGE_REGISTRY is not set".into())
                .help("set it, or give the whole reference: --push REFERENCE")
        })?;
        if agent_version.is_none() {
            return Err(self
                .error("PE_VERSION", "PE_VERSION is part of the tag and is not known".into())
                .help("set it, or give the whole reference: --push REFERENCE"));
        }
        let repository = self.text("IMAGE_REPO").unwrap_or_else(|| self.effective("OS_DISTRIBUTION"));
        let tag = self.tag(distribution, version, agent_version);
        let fits = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
        if tag.len() > 128 || !tag.chars().all(fits) {
            return Err(Error::invalid(format!("{}: {tag:?} cannot be the tag of an image", self.name))
                .help("tags have letters, digits and any of _.-, at most 128 characters"));
        }
        Ok(format!("{}/{repository}:{tag}", registry.trim_end_matches('/')))
    }
}

/// What is wrong with one key and its value.
fn check(name: &str, value: &str, place: &Place) -> Option<Problem> {
    let Some(key) = Key::find(name) else {
        if name.strip_prefix(CUSTOM_PREFIX).is_some_and(dotenv::is_key) {
            return None;
        }
        let problem = Problem::error(place.clone(), name, "no such key");
        let candidate = nearest(name, KEYS.iter().map(|key| key.name));
        return Some(match candidate {
            Some(candidate) => problem.help(format!("did you mean {candidate}?")),
            None => problem.help("all keys: docs/reference/canvos-arg.md"),
        });
    };
    if value.is_empty() {
        return None;
    }
    if (name, value) == ("ARCH", "arm64") {
        let problem = Problem::error(place.clone(), name, "images for arm64 are not built");
        return Some(problem.help("set it to amd64"));
    }
    let allowed: &[&str] = match key.values {
        Values::Text => return None,
        Values::Number if value.parse::<u32>().is_ok() => return None,
        Values::Number => {
            return Some(Problem::error(place.clone(), name, format!("{value:?} is not a number")));
        }
        Values::Flag => &["true", "false"],
        Values::OneOf(words) => words,
    };
    if allowed.contains(&value) {
        return None;
    }
    let problem = Problem::error(place.clone(), name, format!("{value:?} is not allowed"));
    Some(match nearest(value, allowed.iter().copied()) {
        Some(candidate) => problem.help(format!("did you mean {candidate}?")),
        None => problem.help(format!("use {}", allowed.join(" or "))),
    })
}

#[cfg(test)]
mod tests;
