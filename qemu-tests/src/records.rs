//! What real hosts say, kept for the console's tests and the pictures of its guide. A scenario fails when the form of what
//! is kept is not that of what a host says today.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use edge_model::{Context, Error, Result};
use serde_json::Value as Json;

use crate::ssh::Ssh;
use crate::tunnel::Tunnel;

/// Where they are kept; `cargo xtask record` writes them anew.
const RECORDS: &str = "tui/tests/console/records";
/// Set by that command.
const RECORD: &str = "EDGE_RECORD";

/// Something that a host says, under the name of its record.
#[derive(Debug, Clone, Copy)]
pub enum Said {
    Whole(&'static str, &'static str),
    /// The last entry of a list.
    Last(&'static str, &'static str),
}

/// Compares what this host says with what is kept, or keeps it.
///
/// # Errors
/// When the host does not answer, or a record is stale.
pub fn check(root: &Path, ssh: &Ssh<'_>, within: Duration, all: &[Said]) -> Result<()> {
    let tunnel = Tunnel::open(ssh, within)?;
    for said in all {
        let (Said::Whole(name, path) | Said::Last(name, path)) = *said;
        let mut now = tunnel.call("GET", path, None, None)?.json()?;
        if let (Said::Last(..), Json::Array(list)) = (said, &mut now) {
            now = list.pop().unwrap_or_default();
        }
        check_one(&root.join(RECORDS).join(format!("{name}.json")), &now)?;
    }
    Ok(())
}

fn check_one(file: &Path, now: &Json) -> Result<()> {
    if std::env::var_os(RECORD).is_some() {
        let text = serde_json::to_string_pretty(now).context("cannot write a record")?;
        return fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()));
    }
    let recorded: Json = serde_json::from_str(&edge_host::files::read_text(file)?)
        .with_context(|| format!("{} is damaged", file.display()))?;
    let (now, recorded) = (form_of(now), form_of(&recorded));
    let different: Vec<_> = now.symmetric_difference(&recorded).collect();
    if different.is_empty() {
        return Ok(());
    }
    Err(Error::integrity(format!(
        "{} is stale (cargo xtask record writes it anew): {different:?}",
        file.display()
    )))
}

/// Paths of all values that are there.
fn form_of(value: &Json) -> BTreeSet<String> {
    fn walk(value: &Json, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Json::Object(fields) => {
                fields.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}"), found))
            }
            Json::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), found)),
            Json::Null => {}
            _ => {
                found.insert(path.to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(value, "", &mut found);
    found
}
