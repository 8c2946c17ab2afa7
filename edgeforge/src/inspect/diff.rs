//! `edgeforge diff`: what differs between two images.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use edge_cli::Reader;
use edge_model::Result;
use serde::Serialize;

use super::{Sizes, Subject, identity, kernel, megabytes, resolve};
use crate::packages;
use crate::tree::{Content, Device, Node, Tree};

/// A value that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Changed<T> {
    pub(crate) before: T,
    pub(crate) after: T,
}

/// What is only in one of them, and what differs, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Changes<T> {
    pub(crate) added: BTreeMap<String, T>,
    pub(crate) removed: BTreeMap<String, T>,
    pub(crate) changed: BTreeMap<String, Changed<T>>,
}

/// Everything that may differ about one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub(crate) kind: &'static str,
    /// Four octal digits.
    pub(crate) mode: String,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// Of the content; only for files that are in both images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// What a link leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    /// Names and values of extended attributes, in hexadecimal.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Difference {
    pub(crate) image: Changed<String>,
    pub(crate) root_hash: Changed<String>,
    /// Versions by name and architecture; `None` when the packages of one of them are not known.
    pub(crate) packages: Option<Changes<String>>,
    pub(crate) files: Changes<Entry>,
    /// Settings by name; empty when one of them does not tell.
    pub(crate) kernel_configuration: Changes<String>,
    /// Whether both images tell how their kernel was configured.
    pub(crate) kernel_configuration_known: bool,
    pub(crate) kernels: Changed<Vec<String>>,
    pub(crate) command_line: Option<Changed<String>>,
    pub(crate) sizes: Changed<Sizes>,
}

/// Compares two images and prints what differs.
///
/// # Errors
/// When one of them cannot be read.
pub(crate) fn run(before: &str, after: &str, plain_http: bool, reader: Reader) -> Result<()> {
    let difference = difference(&resolve(before, plain_http)?, &resolve(after, plain_http)?)?;
    reader.tell(&difference, |difference| print!("{}", render(difference)))
}

fn difference(before: &Subject, after: &Subject) -> Result<Difference> {
    let title = |subject: &Subject| {
        let identity = identity(subject);
        let word = |word: Option<String>| word.unwrap_or_else(|| "?".to_owned());
        format!("{} {}", word(identity.name), word(identity.version))
    };
    let releases = |subject: &Subject| {
        kernel::kernels(&subject.tree).into_iter().map(|kernel| kernel.release).collect::<Vec<_>>()
    };
    let versions = (versions(&before.tree)?, versions(&after.tree)?);
    let configurations = (kernel::configuration(&before.tree), kernel::configuration(&after.tree));
    let known = !configurations.0.is_empty() && !configurations.1.is_empty();
    let lines = |subject: &Subject| subject.uki.as_ref().map(|uki| uki.command_line.clone());
    let command_line = match (lines(before), lines(after)) {
        (Some(before), Some(after)) => Some(Changed { before, after }),
        _ => None,
    };
    Ok(Difference {
        image: Changed { before: title(before), after: title(after) },
        root_hash: Changed { before: hash(before), after: hash(after) },
        packages: match versions {
            (Some(before), Some(after)) => Some(changes(before, after)),
            _ => None,
        },
        files: files(&before.tree, &after.tree)?,
        kernel_configuration: if known {
            changes(configurations.0, configurations.1)
        } else {
            changes(BTreeMap::new(), BTreeMap::new())
        },
        kernel_configuration_known: known,
        kernels: Changed { before: releases(before), after: releases(after) },
        command_line,
        sizes: Changed { before: before.sizes, after: after.sizes },
    })
}

fn hash(subject: &Subject) -> String {
    subject.root_hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string())
}

/// `None` when there is no package database that can be read.
fn versions(tree: &Tree) -> Result<Option<BTreeMap<String, String>>> {
    let Some(database) = packages::database(tree).ok().flatten() else { return Ok(None) };
    let named = database
        .packages(tree)?
        .into_iter()
        .map(|package| (format!("{}:{}", package.name, package.architecture), package.version));
    Ok(Some(named.collect()))
}

fn changes<T: PartialEq>(mut before: BTreeMap<String, T>, after: BTreeMap<String, T>) -> Changes<T> {
    let mut found = Changes { added: BTreeMap::new(), removed: BTreeMap::new(), changed: BTreeMap::new() };
    for (name, after) in after {
        match before.remove(&name) {
            None => drop(found.added.insert(name, after)),
            Some(before) if before != after => {
                drop(found.changed.insert(name, Changed { before, after }));
            }
            Some(_) => {}
        }
    }
    found.removed = before;
    found
}

fn files(before: &Tree, after: &Tree) -> Result<Changes<Entry>> {
    let all: BTreeSet<&str> = before.iter().chain(after.iter()).map(|(path, _)| path).collect();
    let mut found = Changes { added: BTreeMap::new(), removed: BTreeMap::new(), changed: BTreeMap::new() };
    for path in all {
        match (before.get(path), after.get(path)) {
            (Some(one), Some(other)) => {
                let (mut one, mut other) = (entry(before, path, one), entry(after, path, other));
                // Contents of different lengths differ without being read.
                if one == other && one.kind == "file" {
                    one.sha256 = Some(edge_model::ids::to_hex(&before.digest(path)?.0));
                    other.sha256 = Some(edge_model::ids::to_hex(&after.digest(path)?.0));
                }
                if one != other {
                    found.changed.insert(path.to_owned(), Changed { before: one, after: other });
                }
            }
            (Some(node), None) => drop(found.removed.insert(path.to_owned(), entry(before, path, node))),
            (None, Some(node)) => drop(found.added.insert(path.to_owned(), entry(after, path, node))),
            (None, None) => {}
        }
    }
    Ok(found)
}

/// Whether a file is a hard link to another one is no difference: what counts is its content.
fn entry(tree: &Tree, path: &str, node: &Node) -> Entry {
    let (kind, target) = match &node.content {
        Content::Symlink(target) => ("link", Some(target.display().to_string())),
        Content::Device { kind: Device::Block, major, minor } => {
            ("block device", Some(format!("{major}:{minor}")))
        }
        Content::Device { major, minor, .. } => ("character device", Some(format!("{major}:{minor}"))),
        Content::Fifo => ("pipe", None),
        _ if node.is_directory() => ("folder", None),
        _ => ("file", None),
    };
    let attributes = node.attributes().iter();
    Entry {
        kind,
        mode: format!("{:04o}", node.mode & 0o7777),
        uid: node.uid,
        gid: node.gid,
        size: (kind == "file").then(|| tree.size(path)),
        sha256: None,
        target,
        attributes: attributes
            .map(|(key, value)| {
                (key.trim_start_matches("SCHILY.xattr.").to_owned(), edge_model::ids::to_hex(value))
            })
            .collect(),
    }
}

fn render(difference: &Difference) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let mut line = |text: String| {
        let _ = writeln!(page, "{text}");
    };
    let arrow = |change: &Changed<String>| {
        if change.before == change.after {
            format!("{} (the same)", change.before)
        } else {
            format!("{} → {}", change.before, change.after)
        }
    };
    line(format!("image       {}", arrow(&difference.image)));
    line(format!("root hash   {}", arrow(&difference.root_hash)));
    let kernels = &difference.kernels;
    let kernels = Changed { before: kernels.before.join(" "), after: kernels.after.join(" ") };
    line(format!("kernel      {}", arrow(&kernels)));
    if let Some(command_line) =
        difference.command_line.as_ref().filter(|change| change.before != change.after)
    {
        line(format!("command line\n  - {}\n  + {}", command_line.before, command_line.after));
    }
    sizes(&difference.sizes, &mut line);
    match &difference.packages {
        None => line("packages    not known in both images".to_owned()),
        Some(changes) => section("packages", changes, |version| version.clone(), &mut line),
    }
    if difference.kernel_configuration_known {
        section("kernel configuration", &difference.kernel_configuration, |value| value.clone(), &mut line);
    } else {
        line("kernel configuration: not kept in both images".to_owned());
    }
    section("files", &difference.files, describe, &mut line);
    page
}

fn sizes(sizes: &Changed<Sizes>, line: &mut impl FnMut(String)) {
    let (before, after) = (&sizes.before, &sizes.after);
    let parts = [
        ("root", Some(before.root), Some(after.root)),
        ("UKI", before.uki, after.uki),
        ("initrd", before.initrd, after.initrd),
        ("ISO", before.iso, after.iso),
    ];
    for (name, before, after) in parts {
        if let (Some(before), Some(after)) = (before, after) {
            let grown = (after as f64 - before as f64) / f64::from(1 << 20);
            line(format!("{name:<11} {} → {} ({grown:+.1} MiB)", megabytes(before), megabytes(after)));
        }
    }
}

fn describe(entry: &Entry) -> String {
    let size = entry.size.map(|size| format!(" {size} bytes")).unwrap_or_default();
    let target = entry.target.as_ref().map(|target| format!(" → {target}")).unwrap_or_default();
    let digest =
        entry.sha256.as_ref().map(|digest| format!(" sha256 {}…", &digest[..12])).unwrap_or_default();
    let attributes: String = entry.attributes.iter().map(|(key, value)| format!(" {key}={value}")).collect();
    format!("{} {} {}:{}{size}{target}{digest}{attributes}", entry.kind, entry.mode, entry.uid, entry.gid)
}

fn section<T>(title: &str, changes: &Changes<T>, show: impl Fn(&T) -> String, line: &mut impl FnMut(String)) {
    let Changes { added, removed, changed } = changes;
    line(format!("{title}: {} added, {} removed, {} changed", added.len(), removed.len(), changed.len()));
    added.iter().for_each(|(name, value)| line(format!("  + {name} {}", show(value))));
    removed.iter().for_each(|(name, value)| line(format!("  - {name} {}", show(value))));
    for (name, change) in changed {
        line(format!("  ~ {name} {} → {}", show(&change.before), show(&change.after)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_differ_by_content_owner_mode_target_and_attributes() {
        let mut before = Tree::default();
        let mut after = Tree::default();
        for tree in [&mut before, &mut after] {
            tree.put_file("same", 0o644, "same");
            tree.put_file("content", 0o644, "one");
            tree.put_file("mode", 0o644, "x");
            tree.put_symlink("link", "a");
        }
        before.put("hard", 0o644, Content::HardLink("same".into()));
        after.put_file("hard", 0o644, "same");
        before.put_file("gone", 0o644, "");
        after.put_file("content", 0o644, "two");
        after.put_file("mode", 0o4755, "x");
        after.put_symlink("link", "b");
        after.put_file("new/file", 0o644, "");
        let found = files(&before, &after).unwrap();
        let names = |map: &BTreeMap<String, Entry>| map.keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(names(&found.added), "new new/file");
        assert_eq!(names(&found.removed), "gone");
        assert_eq!(found.changed.keys().cloned().collect::<Vec<_>>().join(" "), "content link mode");
        assert!(found.changed["content"].before.sha256 != found.changed["content"].after.sha256);
    }

    #[test]
    fn changes_are_shown_by_name() {
        let map = |entries: &[(&str, &str)]| {
            entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let found =
            changes(map(&[("a", "1"), ("b", "1"), ("c", "1")]), map(&[("b", "2"), ("c", "1"), ("d", "1")]));
        let mut lines = Vec::new();
        section("packages", &found, |version| version.clone(), &mut |line| lines.push(line));
        assert_eq!(lines, ["packages: 1 added, 1 removed, 1 changed", "  + d 1", "  - a 1", "  ~ b 1 → 2"]);
    }
}
