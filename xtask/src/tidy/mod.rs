//! Structure that the compiler does not check: sizes of files, inherited lints, who may depend on whom.

mod source;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use edge_model::{Context, Error, Result};

use crate::root;

const MOST_LINES: usize = 600;

/// Package folder and the packages of ours that it may depend on. An empty list means none.
const MAY_DEPEND_ON: [(&str, &[&str]); 13] = [
    ("crates/model", &[]),
    ("crates/slot-image", &["edge-model"]),
    ("crates/planner", &["edge-model", "edge-slot-image"]),
    ("crates/host", &["edge-model", "edge-slot-image"]),
    ("crates/cli", &["edge-model"]),
    ("crates/client", &["edge-model"]),
    ("crates/registry", &["edge-model", "edge-slot-image"]),
    ("crates/testkit", &["edge-model", "edge-slot-image", "edge-host"]),
    ("crates/words", &["edge-model"]),
    ("tui", &["edge-client", "edge-model", "edge-words"]),
    ("local-ui", &["edge-client", "edge-model", "edge-words"]),
    (
        "edgeforge",
        &["edge-cli", "edge-host", "edge-model", "edge-planner", "edge-registry", "edge-slot-image"],
    ),
    ("qemu-tests", &["edge-host", "edge-model", "edge-planner", "edge-slot-image"]),
];

/// Checks all rules and reports every violation.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] with the list.
pub(crate) fn tidy() -> Result<()> {
    let mut violations = Vec::new();
    for manifest in manifests()? {
        check_manifest(&manifest, &mut violations)?;
    }
    let mut agreed: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for source in sources()? {
        for path in check_source(&source, &mut violations)? {
            agreed.entry(path).or_default().insert(source.clone());
        }
    }
    violations.extend(twice(&agreed));
    let texts = sources()?.into_iter().map(|path| Ok((path.clone(), read(&path)?)));
    violations.extend(words::unsaid(&texts.collect::<Result<Vec<_>>>()?));
    if violations.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!("the structure of the project is violated:\n{}", violations.join("\n"))))
}

fn listed(pattern: &str) -> Result<Vec<PathBuf>> {
    let list = edge_host::child::Child::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", pattern])
        .directory(&root())
        .run()?;
    let text = String::from_utf8_lossy(&list).into_owned();
    Ok(text.lines().map(PathBuf::from).filter(|path| root().join(path).exists()).collect())
}

fn manifests() -> Result<Vec<PathBuf>> {
    // The fuzz targets are outside the workspace: no other part may need their compiler.
    Ok(listed("*/Cargo.toml")?.into_iter().filter(|path| !path.starts_with("fuzz")).collect())
}

fn sources() -> Result<Vec<PathBuf>> {
    listed("*.rs")
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {}", path.display()))
}

fn check_manifest(path: &Path, violations: &mut Vec<String>) -> Result<()> {
    let text = read(path)?;
    if !text.contains("[lints]\nworkspace = true") {
        violations.push(format!("{}: the workspace's lints are not inherited", path.display()));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(name, _)| Path::new(name) == folder) else {
        return Ok(());
    };
    let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    for line in dependencies.lines().filter(|line| line.starts_with("edge-")) {
        let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if !allowed.contains(&name) {
            violations.push(format!("{}: must not depend on {name}", path.display()));
        }
    }
    Ok(())
}

/// Paths that several files write out: one of them will be changed without the others.
fn twice(agreed: &BTreeMap<String, BTreeSet<PathBuf>>) -> Vec<String> {
    let several = agreed.iter().filter(|(_, files)| files.len() > 1);
    let names = |files: &BTreeSet<PathBuf>| {
        files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
    };
    several
        .map(|(path, files)| format!("{path:?} stands in {}; its place is edge_model::paths", names(files)))
        .collect()
}

/// Returns the agreed paths that the file writes out.
fn check_source(path: &Path, violations: &mut Vec<String>) -> Result<Vec<String>> {
    let text = read(path)?;
    let lines = text.lines().count();
    if lines > MOST_LINES {
        violations.push(format!("{}: {lines} lines, at most {MOST_LINES}", path.display()));
    }
    let looked = source::look(path, &text);
    violations.extend(looked.violations);
    Ok(looked.agreed)
}
