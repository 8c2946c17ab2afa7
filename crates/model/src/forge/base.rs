//! Where the root file system of an image comes from.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The base, and where its packages come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Base {
    /// `debian:SUITE`, `ubuntu:SUITE`, `oci:REFERENCE`, `oci-layout:FOLDER`, `docker-archive:FILE` or `dir:FOLDER`.
    /// Paths are relative to the project.
    #[schemars(with = "String", extend("format" = "image-source"))]
    pub from: Source,
    /// Overrides the mirror of the machine's own apt configuration.
    pub mirror: Option<String>,
    pub security_mirror: Option<String>,
    /// The Debian mirror of the builder's own tools, for a base that is not Debian.
    pub tools_mirror: Option<String>,
}

/// What a base is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// Packages of a Debian suite.
    Debian(String),
    /// Packages of an Ubuntu suite.
    Ubuntu(String),
    /// An image in a registry.
    Registry(String),
    /// An image in a folder with an OCI layout, `FOLDER` or `FOLDER:TAG`.
    Layout(String),
    /// A file that `docker save` or `podman save` wrote, also one with an OCI layout in it.
    DockerArchive(String),
    /// A root file system in a folder. What belongs to the calling user belongs to root in the image.
    Directory(String),
}

impl Default for Base {
    fn default() -> Self {
        Self {
            from: Source::Debian("trixie".into()),
            mirror: None,
            security_mirror: None,
            tools_mirror: None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, rest) = match self {
            Self::Debian(suite) => ("debian", suite),
            Self::Ubuntu(suite) => ("ubuntu", suite),
            Self::Registry(reference) => ("oci", reference),
            Self::Layout(folder) => ("oci-layout", folder),
            Self::DockerArchive(file) => ("docker-archive", file),
            Self::Directory(folder) => ("dir", folder),
        };
        write!(formatter, "{kind}:{rest}")
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(format!("{text:?} is no base"))
                .help("use debian:SUITE, ubuntu:SUITE, oci:REFERENCE, oci-layout:FOLDER, docker-archive:FILE or dir:FOLDER")
        };
        let (kind, rest) = text.split_once(':').filter(|(_, rest)| !rest.is_empty()).ok_or_else(wrong)?;
        let word = |character: char| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
        };
        if matches!(kind, "debian" | "ubuntu") && !rest.chars().all(word) {
            return Err(wrong());
        }
        let rest = rest.to_owned();
        Ok(match kind {
            "debian" => Self::Debian(rest),
            "ubuntu" => Self::Ubuntu(rest),
            "oci" => Self::Registry(rest.trim_start_matches("//").to_owned()),
            "oci-layout" => Self::Layout(rest),
            "docker-archive" => Self::DockerArchive(rest),
            "dir" => Self::Directory(rest),
            _ => return Err(wrong()),
        })
    }
}

impl TryFrom<String> for Source {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

/// How to talk to a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Registry {
    /// Name and port, as in references.
    pub host: String,
    /// Tried before the registry itself, in this order; what they give is checked by its digest like everything else.
    pub mirrors: Vec<String>,
    /// Talk without TLS to the registry and its mirrors.
    pub plain_http: bool,
    /// A file with certificates in PEM form that the registry may prove itself with, relative to the project.
    pub ca: Option<String>,
}
