//! What a project adds to its base.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Packages of the base's distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Packages {
    /// Packages to add.
    Added(Vec<String>),
    Changed(PackageChanges),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PackageChanges {
    pub add: Vec<String>,
    /// Packages of the base, or that others recommend, that must not be in the image.
    pub remove: Vec<String>,
}

impl Default for Packages {
    fn default() -> Self {
        Self::Added(Vec::new())
    }
}

impl Packages {
    pub fn added(&self) -> &[String] {
        match self {
            Self::Added(added) => added,
            Self::Changed(changes) => &changes.add,
        }
    }

    pub fn removed(&self) -> &[String] {
        match self {
            Self::Added(_) => &[],
            Self::Changed(changes) => &changes.remove,
        }
    }
}

/// One file of the image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct FileEntry {
    #[schemars(extend("format" = "absolute-path"))]
    pub path: String,
    /// The file's text.
    pub content: Option<String>,
    /// A file of the project whose content is taken.
    pub source: Option<String>,
    #[schemars(extend("format" = "file-mode"))]
    pub permissions: Option<String>,
    /// `UID:GID` as numbers, or names of accounts in the image.
    pub owner: Option<String>,
}

/// An account in the image. It has no password: that is what the operator's answers on each site are for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ImageUser {
    pub name: String,
    /// The first number that is free from 1000 on (from 900 on with `system`), unless it is given.
    pub uid: Option<u32>,
    /// Further groups, which must be there.
    pub groups: Vec<String>,
    pub home: Option<String>,
    pub shell: Option<String>,
    pub system: bool,
    /// Public keys that may log in over SSH.
    pub ssh_keys: Vec<String>,
}

/// A command that runs as root in the image's root while it is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Run {
    /// Without a network.
    Shell(String),
    Detailed(RunDetails),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunDetails {
    pub command: String,
    /// The command may use the network. Then nobody can say whether the same inputs give the same image:
    /// `forge.lock` says so.
    pub network: bool,
}

impl Run {
    pub fn command(&self) -> &str {
        match self {
            Self::Shell(command) => command,
            Self::Detailed(details) => &details.command,
        }
    }

    pub fn network(&self) -> bool {
        matches!(self, Self::Detailed(details) if details.network)
    }
}

/// The distribution of Kubernetes in the image; one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Kubernetes {
    pub k3s: Option<Component>,
    pub kubeadm: Option<Component>,
}

/// A component with its source: one of `file`, `url` and `oci`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Component {
    pub version: String,
    /// A program, or a tar archive (also gzip or zstd) of a root file system's part, relative to the project.
    pub file: Option<String>,
    #[schemars(extend("format" = "url"))]
    pub url: Option<String>,
    /// An image whose files are added to the root.
    pub oci: Option<String>,
    /// What the file must be. Needed with `url`, recorded in `forge.lock` otherwise.
    pub sha256: Option<String>,
}

/// Forms in which an image leaves the builder, beside the installer ISO and the OCI layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Envelope {
    /// A disk as an installation leaves it, with holes.
    Raw,
    /// The same, compressed.
    RawZst,
    Qcow2,
    Vmdk,
    /// The root as an ordinary container image, for scanners and `FROM`.
    Container,
}

/// Most bytes that parts of the image may have: `800M`, `2G`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SizeBudgets {
    #[schemars(extend("format" = "size"))]
    pub root: Option<String>,
    #[schemars(extend("format" = "size"))]
    pub uki: Option<String>,
    #[schemars(extend("format" = "size"))]
    pub initrd: Option<String>,
    #[schemars(extend("format" = "size"))]
    pub iso: Option<String>,
}
