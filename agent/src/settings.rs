//! The host's configuration as far as it is acted on: image defaults, then `/oem`.

use std::fs;
use std::path::{Path, PathBuf};

use edge_host::files;
use edge_model::paths;
use edge_model::user_data::{EdgeSection, UserData};

/// Settings, and what was wrong with the files they come from. A wrong file never stops a host; it is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) edge: EdgeSection,
    pub(crate) problems: Vec<String>,
}

impl Settings {
    pub(crate) fn load() -> Self {
        let mut merged = UserData::default();
        let mut problems = Vec::new();
        for path in [paths::IMAGE_OEM, paths::OEM].iter().flat_map(|folder| documents(Path::new(folder))) {
            let parsed =
                files::read_text(&path).and_then(|text| UserData::parse(&path.display().to_string(), &text));
            match parsed {
                Ok(document) => merged = merged.merge(document),
                Err(error) => problems.push(error.to_string()),
            }
        }
        Self { edge: merged.edge, problems }
    }
}

/// The YAML files directly in a folder, by name.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_yaml = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") && path.is_file()
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_yaml).collect();
    found.sort();
    found
}
