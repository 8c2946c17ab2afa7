//! Reading a CanvOS checkout: what of it counts, as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use edge_host::files;
use edge_model::canvos::{self, Arguments};
use edge_model::{Context, Error, Result};

use super::dockerfile::Dockerfile;
use super::local_ui;
use crate::project::files_below;

/// Kubernetes' programs may lie in the folder itself or here.
pub(super) const KUBERNETES_FOLDER: &str = "kubernetes";
const MOST_VERSIONS: usize = 1000;

/// What a checkout holds.
#[derive(Debug, Default)]
pub(crate) struct CanvosFolder {
    pub(crate) directory: PathBuf,
    pub(crate) arguments: Arguments,
    pub(crate) user_data: Option<String>,
    /// Somebody has answered the installer's questions already.
    pub(crate) has_answers: bool,
    /// Files and links that may count, relative to the folder.
    pub(crate) files: BTreeSet<String>,
    /// Files of `local-ui.tar`.
    pub(crate) local_ui: Vec<String>,
    /// Versions of each distribution of Kubernetes, from `k8s_version.json`.
    pub(crate) versions: BTreeMap<String, Vec<String>>,
    pub(crate) dockerfile: Dockerfile,
    /// The version of Palette's agent that the checkout's Earthfile names.
    pub(crate) earthfile_agent_version: Option<String>,
}

/// Whether a folder is a CanvOS checkout and no project yet.
pub(crate) fn is_canvos(directory: &Path) -> bool {
    directory.join(canvos::FILE).is_file() && !directory.join("forge.yaml").exists()
}

impl CanvosFolder {
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] naming the file and the place.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let directory =
            directory.canonicalize().with_context(|| format!("cannot open {}", directory.display()))?;
        let arguments = read_arguments(&directory)?;
        let local_ui = match directory.join(local_ui::FILE) {
            path if path.is_file() => local_ui::list(&path)?,
            _ => Vec::new(),
        };
        let text = |name: &str| files::read_text_if_there(&directory.join(name));
        let earthfile = text("Earthfile")?.unwrap_or_default();
        Ok(Self {
            files: files_that_count(&directory, &arguments)?,
            user_data: text("user-data")?,
            has_answers: directory.join("unattended.yaml").exists(),
            local_ui,
            versions: versions(&text("k8s_version.json")?.unwrap_or_else(|| "{}".into()))?,
            dockerfile: Dockerfile::read(&text("Dockerfile")?.unwrap_or_default()),
            earthfile_agent_version: earthfile_agent_version(&earthfile),
            arguments,
            directory,
        })
    }

    /// The version of Palette's agent: what `.arg` says, otherwise what the Earthfile says.
    pub(crate) fn agent_version(&self) -> Option<&str> {
        self.arguments.agent_version().or(self.earthfile_agent_version.as_deref())
    }

    /// Files below one of its folders, without the folder's name.
    pub(crate) fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.files.iter().filter_map(move |path| path.strip_prefix(folder)?.strip_prefix('/'))
    }
}

fn read_arguments(directory: &Path) -> Result<Arguments> {
    let path = directory.join(canvos::FILE);
    let text = files::read_text_if_there(&path)?.ok_or_else(|| {
        let error = Error::invalid(format!("{} is no CanvOS folder: it has no .arg", directory.display()));
        error.help("give the checkout's folder; a new .arg is a copy of .arg.template")
    })?;
    Arguments::parse(canvos::FILE, &text)
}

fn files_that_count(directory: &Path, arguments: &Arguments) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for folder in ["overlay/files", "overlay/files-iso", "certs", "keys", KUBERNETES_FOLDER] {
        let inner = files_below(&directory.join(folder))?;
        found.extend(inner.into_iter().map(|(path, _)| format!("{folder}/{path}")));
    }
    for (name, path) in entries(directory)? {
        if path.is_dir() && name.starts_with("content-") {
            let bundles =
                entries(&path)?.into_iter().filter(|(name, path)| name.ends_with(".zst") && path.is_file());
            found.extend(bundles.map(|(inner, _)| format!("{name}/{inner}")));
        } else if path.is_file() {
            found.insert(name);
        }
    }
    let named = [
        ("CLUSTERCONFIG", arguments.cluster_definition()),
        ("EDGE_CUSTOM_CONFIG", arguments.edge_custom_config()),
    ];
    for (key, name) in named {
        if is_inside(name) && directory.join(name).is_file() {
            found.insert(name.to_owned());
        } else if arguments.names_its_own(key) {
            return Err(Error::invalid(format!(
                "{}: {key}: {name:?} is no file of this folder",
                canvos::FILE
            ))
            .help("give a path relative to the folder"));
        }
    }
    Ok(found)
}

fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Names and paths in a folder. Names that are not UTF-8 are none that anybody looks for here.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let context = || format!("cannot list {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

/// Reads `k8s_version.json`: a list of versions for each distribution.
fn versions(text: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let name = "k8s_version.json";
    let lists: BTreeMap<String, Vec<String>> =
        serde_json::from_str(text).with_context(|| format!("{name} is not a map of lists of versions"))?;
    let fits = |character: char| character.is_ascii_alphanumeric() || "-.+".contains(character);
    for version in lists.values().flatten() {
        if version.is_empty() || version.len() > 60 || !version.chars().all(fits) {
            return Err(Error::invalid(format!("{name}: {version:?} is not a version")));
        }
    }
    match lists.values().find(|list| list.len() > MOST_VERSIONS) {
        Some(list) => Err(Error::invalid(format!("{name}: {} versions are too many", list.len()))),
        None => Ok(lists),
    }
}

/// The default of PE_VERSION, which each release of CanvOS sets.
fn earthfile_agent_version(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix("ARG PE_VERSION="))?;
    let value = value.split('#').next().unwrap_or_default().trim().trim_matches('"');
    let fits = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
    (!value.is_empty() && value.len() <= 60 && value.chars().all(fits)).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_earthfile_tells_the_agent_version() {
        let version = |text| earthfile_agent_version(text);
        assert_eq!(version("VERSION 0.8\nARG PE_VERSION=v4.10.0-rc.2\n"), Some("v4.10.0-rc.2".into()));
        assert_eq!(version("ARG PE_VERSION=\"v4.5.7\" # x"), Some("v4.5.7".into()));
        assert_eq!(version("ARG PE_VERSION=$OTHER"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn lists_of_versions_are_checked() {
        assert_eq!(versions(r#"{"k3s": ["1.31.1"]}"#).unwrap()["k3s"], ["1.31.1"]);
        for wrong in ["[]", "{\"k3s\": \"1\"}", "{\"k3s\": [\"../x\"]}", "{\"k3s\": [\"\"]}"] {
            assert!(versions(wrong).unwrap_err().to_string().contains("k8s_version.json"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[A-Z_=v0-9.\"\\[\\]{}:, \n-]{0,120}") {
            let _ = (versions(&text), earthfile_agent_version(&text));
        }
    }
}
