//! Provider plug-ins: `PLUGIN EVENT`, one JSON document in, one out.
//!
//! <https://github.com/mudler/go-pluggable>

use edge_model::paths;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_model::document::print;
use edge_model::{Context, Error, Result};
use serde::{Deserialize, Serialize};

use crate::configuration::Settings;

const FOLDERS: [&str; 3] = [paths::IMAGE_PROVIDERS, "/usr/local/system/providers", "/usr/bin"];
const PREFIX: &str = "agent-provider-";
const DEADLINE: Duration = Duration::from_secs(60);
/// Longer data goes through a file.
const INLINE: usize = 8192;
const DATA_FILE: &str = "/run/edge/plug-in-data.json";

#[derive(Serialize)]
struct Event<'a> {
    name: &'a str,
    data: &'a str,
    file: &'a str,
}

/// What a plug-in answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) state: String,
    pub(crate) data: String,
    pub(crate) error: String,
}

/// All plug-ins of this host, by name; one in an earlier folder hides others of its name.
fn installed(settings: &Settings) -> Vec<PathBuf> {
    let more = settings.data.providers.iter().flat_map(|providers| &providers.paths).map(String::as_str);
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in FOLDERS.into_iter().chain(more) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let executable =
                entry.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
            if name.starts_with(PREFIX) && executable {
                found.entry(name).or_insert_with(|| entry.path());
            }
        }
    }
    found.into_values().collect()
}

/// Tells all plug-ins of an event, with the merged configuration. Returns what went wrong.
pub(crate) fn notify(event: &str, settings: &Settings) -> Vec<String> {
    let plug_ins = installed(settings);
    if plug_ins.is_empty() {
        return Vec::new();
    }
    let config = format!("#cloud-config\n{}", print::to_yaml(&settings.configuration.tree));
    let payload = serde_json::json!({ "config": config }).to_string();
    let tell = |plug_in: &PathBuf| {
        let answer = call(plug_in, event, &payload);
        let wrong = match answer {
            Ok(answer) if answer.error.is_empty() => return None,
            Ok(answer) => answer.error,
            Err(error) => error.to_string(),
        };
        Some(format!("plug-in {} at {event}: {wrong}", plug_in.display()))
    };
    plug_ins.iter().filter_map(tell).collect()
}

fn call(plug_in: &Path, event: &str, payload: &str) -> Result<Answer> {
    let in_file = payload.len() > INLINE;
    if in_file {
        edge_host::files::write_durably(Path::new(DATA_FILE), payload.as_bytes(), 0o600)?;
    }
    let (data, file) = if in_file { ("", DATA_FILE) } else { (payload, "") };
    let request = serde_json::to_vec(&Event { name: event, data, file }).context("cannot write an event")?;
    let outcome = Child::new(plug_in).arg(event).input(request).deadline(DEADLINE).outcome();
    if in_file {
        // It holds secrets of the configuration.
        let _ = fs::remove_file(DATA_FILE);
    }
    let outcome = outcome?;
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    if text.trim().is_empty() && outcome.status.success() {
        return Ok(Answer::default());
    }
    serde_json::from_str(text.trim()).map_err(|error| {
        Error::environment(format!(
            "its answer is not of the protocol ({error}); it said {:?}",
            outcome.stderr.trim()
        ))
    })
}
