//! The commands that the documentation shows: each block says in the line above it where a test runs it, or why not.
//!
//! `<!-- run: builder -->`, `<!-- run: builder, exit 1 -->`, `<!-- run: host -->`, `<!-- run: no, REASON -->`

use std::path::{Path, PathBuf};

use edge_model::{Context, Error, Result};

const MARK: &str = "<!-- run: ";
/// What begins a line that is meant to be typed.
const PROGRAMS: [&str; 9] =
    ["$ ", "dist/", "edgeforge ", "edge-agent ", "sudo ", "make ", "curl ", "ssh ", "cargo "];

/// Other names of what is a block `console` here.
const SHELLS: [&str; 4] = ["sh", "bash", "shell", "shell-session"];

/// Where a block is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a folder of projects, with the builder at hand. The last command ends with this status.
    Builder {
        exit: i32,
    },
    /// On an installed host.
    Host,
    Nowhere {
        reason: String,
    },
}

/// Commands of one fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub page: PathBuf,
    /// Of the fence, from 1 on.
    pub line: usize,
    pub place: Place,
    /// As they are typed; a block with `$` shows answers too, which are left out.
    pub commands: Vec<String>,
}

/// All blocks of the documentation in a checkout.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] for commands without a mark.
pub fn blocks(root: &Path) -> Result<Vec<Block>> {
    let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    let listed = std::fs::read_dir(root.join("docs")).context("cannot list docs")?;
    let mut docs: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    docs.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    docs.sort();
    pages.extend(docs);
    let mut found = Vec::new();
    for page in pages {
        let name = page.strip_prefix(root).unwrap_or(&page);
        found.extend(parse(name, &edge_host::files::read_text(&page)?)?);
    }
    Ok(found)
}

fn parse(page: &Path, text: &str) -> Result<Vec<Block>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(language) = lines[at].trim_start().strip_prefix("```") else {
            at += 1;
            continue;
        };
        let rest = &lines[at + 1..];
        let length = rest.iter().position(|line| line.trim() == "```").unwrap_or(rest.len());
        let content = &rest[..length];
        let is_program = |line: &&str| PROGRAMS.iter().any(|word| line.trim_start().starts_with(word));
        let is_typed =
            SHELLS.contains(&language) || language.is_empty() && content.first().is_some_and(is_program);
        let mark = at.checked_sub(1).and_then(|above| lines[above].strip_prefix(MARK)?.strip_suffix(" -->"));
        match (language, mark) {
            ("console", Some(mark)) => found.push(Block {
                page: page.to_owned(),
                line: at + 1,
                place: place(mark).ok_or_else(|| unmarked(page, at, "its mark is not understood"))?,
                commands: commands(content),
            }),
            ("console", None) => return Err(unmarked(page, at, "it has no mark")),
            _ if is_typed => return Err(unmarked(page, at, "commands belong into a block `console`")),
            _ => {}
        }
        at += length + 2;
    }
    Ok(found)
}

fn unmarked(page: &Path, at: usize, what: &str) -> Error {
    Error::invalid(format!("{}:{}: {what}", page.display(), at + 1))
        .help("<!-- run: builder -->, <!-- run: host --> or <!-- run: no, REASON --> in the line above")
}

fn place(mark: &str) -> Option<Place> {
    match mark.split_once(", ") {
        None if mark == "builder" => Some(Place::Builder { exit: 0 }),
        None if mark == "host" => Some(Place::Host),
        Some(("builder", exit)) => Some(Place::Builder { exit: exit.strip_prefix("exit ")?.parse().ok()? }),
        Some(("no", reason)) => Some(Place::Nowhere { reason: reason.to_owned() }),
        _ => None,
    }
}

fn commands(content: &[&str]) -> Vec<String> {
    let shows_answers = content.iter().any(|line| line.starts_with("$ "));
    let typed =
        content.iter().filter_map(|line| if shows_answers { line.strip_prefix("$ ") } else { Some(*line) });
    typed.filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_with_their_place() {
        let text = "<!-- run: builder, exit 1 -->\n```console\n$ edgeforge lint x\nerror\n```\n\n```yaml\na: b\n```\n";
        let found = parse(Path::new("a.md"), text).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, Place::Builder { exit: 1 });
        assert_eq!(found[0].commands, ["edgeforge lint x"]);
    }

    #[test]
    fn commands_without_a_mark_are_refused() {
        for text in [
            "```console\nx\n```\n",
            "```\nedgeforge build x\n```\n",
            "<!-- run: often -->\n```console\nx\n```\n",
        ] {
            assert!(parse(Path::new("a.md"), text).is_err(), "{text}");
        }
    }

    #[test]
    fn all_commands_of_the_documentation_are_marked() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let all = blocks(root).unwrap();
        assert!(all.iter().filter(|block| !matches!(block.place, Place::Nowhere { .. })).count() >= 8);
    }
}
