//! Documents are read by a child before anything that must not die reads them: in early boot that is PID 1. What kills the child,
//! or takes more than a document may, is not used; the boot says so.
//!
//! The limits of the readers themselves (bytes, values, blocks) are the first line, and this is the second.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use edge_host::child::{Child, Limits};
use edge_host::machine::Machine;
use edge_host::{console, files};
use edge_model::document::{self, Place, Problem};
use edge_model::user_data::UserData;
use edge_model::{Context, Error, Result, paths};
use edge_planner::configuration::{Form, Kind, Source};
use edge_planner::host_kind::HostKind;

use super::{Settings, sources};
use crate::stages;

/// More than any honest document takes: bytes of memory, and seconds of a processor.
const LIMITS: Limits = Limits { memory: 512 << 20, processor_seconds: 30 };
const DEADLINE: Duration = Duration::from_secs(300);
/// Where the texts of volumes wait that nobody has read yet.
const WAITING: &str = "/run/edge/tried";

/// What is not used in this boot, by path and digest: a document that was corrected is another one.
fn refused() -> BTreeSet<String> {
    let text = files::read_text_if_there(Path::new(paths::DOCUMENTS_REFUSED)).ok().flatten();
    text.unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Nothing in it can grow or go deep: no template, no anchor, nothing escaped that could become one, and not much of it. Most
/// documents are so, and a child costs a boot what reading them costs.
fn is_plain(text: &str) -> bool {
    const SHORT: usize = 64 << 10;
    text.len() <= SHORT && !["{{", "&", "\\", "cloud-init-paths"].iter().any(|word| text.contains(word))
}

fn line_of(path: &Path, text: &str) -> String {
    format!("{} {}", edge_slot_image::sha256(text.as_bytes()), path.display())
}

/// The finding for a document that is not used in this boot, if it is one.
pub(crate) fn refusal(path: &Path, text: &str) -> Option<Problem> {
    let refused = refused();
    (!refused.is_empty() && refused.contains(&line_of(path, text)))
        .then(|| Problem::error(Place::whole(&path.display().to_string()), "", WHY))
}

/// Reads everything that is not of the verified image, as this boot will, and remembers what it must not read. To be done again
/// when more has come into sight; what was tried already is not tried twice.
pub(crate) fn before_boot(kind: HostKind, tried: &mut Tried, reasons: &mut Vec<String>) {
    let mut found = sources::paths_of(kind);
    found.extend(stages::paths_of(&Machine::real(), kind));
    found.retain(|path| !path.starts_with(paths::IMAGE_OEM));
    found.sort();
    found.dedup();
    let text = |path: &PathBuf| files::read_text_if_there(path).ok().flatten();
    let lines: BTreeMap<String, PathBuf> = found
        .into_iter()
        .filter_map(|path| Some((text(&path).filter(|text| !is_plain(text))?, path)))
        .map(|(text, path)| (line_of(&path, &text), path))
        .collect();
    let new: BTreeMap<&String, &PathBuf> =
        lines.iter().filter(|(line, _)| !tried.seen.contains(*line)).collect();
    let paths: Vec<PathBuf> = new.values().map(|path| (*path).clone()).collect();
    let bad = bad_among(&paths);
    for (line, path) in new {
        tried.seen.insert(line.clone());
        if bad.contains(path) {
            tried.refused.insert(line.clone());
            reasons.push(format!("{}: {WHY}", path.display()));
        }
    }
    let list: String = tried.refused.iter().map(|line| format!("{line}\n")).collect();
    if let Err(error) = files::write_durably(Path::new(paths::DOCUMENTS_REFUSED), list.as_bytes(), 0o644) {
        reasons.push(error.to_string());
    }
}

/// What was tried in this boot.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    seen: BTreeSet<String>,
    refused: BTreeSet<String>,
}

const WHY: &str = "reading it takes more than a document may: it is not used";

/// The texts without those that a host must not read; each of these is a finding. They wait in memory while the child reads them.
///
/// # Errors
/// When they cannot be handed to the child.
pub(super) fn without_bad(found: Vec<Source>, problems: &mut Vec<Problem>) -> Result<Vec<Source>> {
    if found.iter().all(|source| is_plain(&source.text)) {
        return Ok(found);
    }
    // Nobody else's texts.
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = format!("{}-{}", std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed));
    let folder = &Path::new(WAITING).join(call);
    let mut waiting = Vec::new();
    for (at, source) in found.iter().enumerate() {
        let path = folder.join(at.to_string()).join(sources::file_name(source.form));
        std::fs::create_dir_all(path.parent().unwrap_or(folder)).context("cannot create a folder in /run")?;
        files::write_durably(&path, source.text.as_bytes(), 0o600)?;
        waiting.push(path);
    }
    let bad = bad_among(&waiting);
    std::fs::remove_dir_all(folder).or_else(ignore_missing).context("cannot empty a folder in /run")?;
    // In their order: later ones overrule earlier ones.
    let (bad, good): (Vec<_>, Vec<_>) =
        waiting.into_iter().zip(found).partition(|(path, _)| bad.contains(path));
    problems.extend(bad.iter().map(|(_, source)| Problem::error(Place::whole(&source.name), "", WHY)));
    Ok(good.into_iter().map(|(_, source)| source).collect())
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// All at once first: that they are good is the rule.
fn bad_among(found: &[PathBuf]) -> Vec<PathBuf> {
    if found.is_empty() || !ends_a_child(found) {
        return Vec::new();
    }
    found.iter().filter(|path| ends_a_child(std::slice::from_ref(*path))).cloned().collect()
}

/// Whether reading ends the child: a stack that overflows, memory or time that runs out. That it cannot be started, or that a
/// document has errors, says nothing of the kind.
fn ends_a_child(found: &[PathBuf]) -> bool {
    let child = Child::ourselves().arg("try-documents").args(found).limits(LIMITS).deadline(DEADLINE);
    match child.outcome() {
        Ok(outcome) => outcome.status.signal().is_some(),
        Err(error) => {
            console::say(&format!("edge: warning: documents could not be tried: {error}"));
            false
        }
    }
}

/// The child: reads documents in every way in which a boot does.
///
/// # Errors
/// When a file cannot be read; what is wrong with its content is none.
pub(crate) fn read_all(found: &[PathBuf]) -> Result<()> {
    let mut more = Vec::new();
    let mut all = Vec::new();
    for path in found {
        // One that is no text is not read by a boot either.
        let Ok(Some(text)) = files::read_text_if_there(path) else { continue };
        let name = path.display().to_string();
        let form = sources::form_of(path);
        more.extend(try_user_data(&name, &text));
        all.push(Source { kind: Kind::Site, form, name: name.clone(), text: text.clone() });
        if form != Form::UserData {
            // Its folder decides how it is read, and not its name.
            drop(Settings::from(
                &[Source { kind: Kind::Site, form: Form::UserData, name, text }],
                Vec::new(),
            ));
        }
    }
    drop(Settings::from(&all, Vec::new()));
    for path in more {
        if let Ok(Some(text)) = files::read_text_if_there(&path) {
            drop(try_user_data(&path.display().to_string(), &text));
        }
    }
    Ok(())
}

/// Tells which other files the document leads to.
fn try_user_data(name: &str, text: &str) -> Vec<PathBuf> {
    let (node, _) = document::read::<UserData>(name, text);
    let Ok(data) = document::typed::<UserData>(&node) else { return Vec::new() };
    stages::try_steps(&data);
    data.cloud_init_paths.iter().flat_map(|folder| super::documents(Path::new(folder))).collect()
}

/// A text that somebody sends.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when reading it takes more than a document may.
pub(crate) fn must_be_readable(name: &str, form: Form, text: &str) -> Result<()> {
    let source = Source { kind: Kind::Local, form, name: name.to_owned(), text: text.to_owned() };
    let good = without_bad(vec![source], &mut Vec::new())?;
    if !good.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!("{name}: reading it takes more than a document may"))
        .help("it repeats itself, or its templates do: make it smaller"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_grow_costs_a_child() {
        assert!(is_plain("#cloud-config\nhostname: till-1\n"));
        for text in
            ["x: '{{ 1 }}'", "x: &a 1", "x: \"\\x7b\\x7b\"", "cloud-init-paths: [/x]", &"x".repeat(100_000)]
        {
            assert!(!is_plain(text), "{text:.40}");
        }
    }
}
