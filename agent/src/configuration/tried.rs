//! Documents are read by a child before anything that must not die reads them: in early boot that is PID 1. What kills the child,
//! or takes more than a document may, is not used; the boot says so.
//!
//! The limits of the readers themselves (bytes, values, blocks) are the first line, and this is the second.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::{Child, Limits};
use edge_host::files;
use edge_model::cmdline::Mode;
use edge_model::document::{self, Place, Problem};
use edge_model::user_data::UserData;
use edge_model::{Context, Error, Result, paths};
use edge_planner::configuration::{Form, Kind, Source};

use super::{Settings, sources};
use crate::stages;

/// More than any honest document takes: bytes of memory, and seconds of a processor.
const LIMITS: Limits = Limits { memory: 512 << 20, processor_seconds: 30 };
const DEADLINE: Duration = Duration::from_secs(120);
/// Where the texts of volumes wait that nobody has read yet.
const WAITING: &str = "/run/edge/tried";

/// What is not used in this boot.
fn refused() -> BTreeSet<PathBuf> {
    let text = files::read_text_if_there(Path::new(paths::DOCUMENTS_REFUSED)).ok().flatten();
    text.unwrap_or_default().lines().map(PathBuf::from).collect()
}

/// The finding for a document that is not used in this boot, if it is one.
pub(crate) fn refusal(path: &Path) -> Option<Problem> {
    refused().contains(path).then(|| {
        let name = path.display().to_string();
        Problem::error(Place::whole(&name), "", WHY)
    })
}

/// Reads everything that is not of the verified image, as this boot will, and remembers what it must not read.
pub(crate) fn before_boot(mode: Mode, reasons: &mut Vec<String>) {
    let mut found = sources::paths_of(mode);
    found.extend(stages::paths_of(mode));
    found.retain(|path| !path.starts_with(paths::IMAGE_OEM));
    found.sort();
    found.dedup();
    let bad = bad_among(&found);
    for path in &bad {
        reasons.push(format!("{}: {WHY}", path.display()));
    }
    let list: String = bad.iter().map(|path| format!("{}\n", path.display())).collect();
    if let Err(error) = files::write_durably(Path::new(paths::DOCUMENTS_REFUSED), list.as_bytes(), 0o644) {
        reasons.push(error.to_string());
    }
}

const WHY: &str = "reading it takes more than a document may: it is not used";

/// The texts without those that a host must not read; each of these is a finding. They wait in memory while the child reads them.
///
/// # Errors
/// When they cannot be handed to the child.
pub(super) fn without_bad(found: Vec<Source>, problems: &mut Vec<Problem>) -> Result<Vec<Source>> {
    let folder = Path::new(WAITING);
    let mut waiting = Vec::new();
    for (at, source) in found.into_iter().enumerate() {
        let path = folder.join(at.to_string()).join(sources::file_name(source.form));
        std::fs::create_dir_all(path.parent().unwrap_or(folder)).context("cannot create a folder in /run")?;
        files::write_durably(&path, source.text.as_bytes(), 0o600)?;
        waiting.push((path, source));
    }
    let paths: Vec<PathBuf> = waiting.iter().map(|(path, _)| path.clone()).collect();
    let bad = bad_among(&paths);
    std::fs::remove_dir_all(folder).or_else(ignore_missing).context("cannot empty a folder in /run")?;
    let (bad, good): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(path, _)| bad.contains(path));
    problems.extend(bad.iter().map(|(_, source)| Problem::error(Place::whole(&source.name), "", WHY)));
    Ok(good.into_iter().map(|(_, source)| source).collect())
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// All at once first: that they are good is the rule.
fn bad_among(found: &[PathBuf]) -> Vec<PathBuf> {
    if found.is_empty() || child_reads(found) {
        return Vec::new();
    }
    found.iter().filter(|path| !child_reads(std::slice::from_ref(*path))).cloned().collect()
}

fn child_reads(found: &[PathBuf]) -> bool {
    let outcome = Child::ourselves()
        .arg("try-documents")
        .args(found)
        .limits(LIMITS)
        .deadline_by_the_clock(DEADLINE)
        .outcome();
    // A document with errors is one that can be read.
    outcome.is_ok_and(|outcome| outcome.status.success())
}

/// The child: reads documents in every way in which a boot does.
///
/// # Errors
/// When a file cannot be read; what is wrong with its content is none.
pub(crate) fn read_all(found: &[PathBuf]) -> Result<()> {
    let mut all = Vec::new();
    for path in found {
        let Some(text) = files::read_text_if_there(path)? else { continue };
        all.push(Source {
            kind: Kind::Site,
            form: sources::form_of(path),
            name: path.display().to_string(),
            text,
        });
    }
    drop(Settings::from(&all, Vec::new()));
    for source in all.iter().filter(|source| source.form == Form::UserData) {
        let (node, _) = document::read::<UserData>(&source.name, &source.text);
        let Ok(data) = document::typed::<UserData>(&node) else { continue };
        stages::try_steps(&data);
    }
    Ok(())
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
