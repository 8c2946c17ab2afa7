//! Commands of ours that texts name: help of errors, lines that say what is next, documents. Each must exist.

use std::path::{Path, PathBuf};

use clap::Command;
use edge_model::{Context, Result};

const KINDS: [&str; 5] = ["rs", "md", "yaml", "service", "sh"];
const PASSED_OVER: [&str; 4] = ["target", ".git", "build", "dist"];

/// What texts below a folder tell people to type and this program does not know, as `FILE: COMMAND`.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn wrong_mentions(program: &Command, root: &Path) -> Result<Vec<String>> {
    let mut program = program.clone();
    program.build();
    let mut found = Vec::new();
    for path in texts(root)? {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let shown = path.strip_prefix(root).unwrap_or(&path).display();
        found.extend(wrong_in(&program, &text).into_iter().map(|command| format!("{shown}: {command}")));
    }
    Ok(found)
}

fn texts(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !PASSED_OVER.contains(&name) {
            found.extend(texts(&path)?);
        } else if path.extension().is_some_and(|kind| KINDS.iter().any(|known| kind == *known)) {
            found.push(path);
        }
    }
    Ok(found)
}

fn wrong_in(program: &Command, text: &str) -> Vec<String> {
    let name = program.get_name();
    let beginning = format!("{name} ");
    let starts = text.match_indices(&beginning).map(|(at, _)| at);
    let is_whole = |at: &usize| {
        !text[..*at].ends_with(|before: char| before.is_alphanumeric() || "-_/.".contains(before))
    };
    let follows = |at: usize, words: &[&str]| words.iter().any(|before| text[..at].ends_with(before));
    // Comments speak of the program more than they tell what to type.
    let is_comment = |at: usize| {
        let line = text[..at].rsplit('\n').next().unwrap_or_default();
        line.trim_start().starts_with("//")
    };
    let is_typed = |at: usize| {
        follows(at, &["`", "sudo ", "$ "]) || !is_comment(at) && follows(at, &["\"", ": ", "with ", "run "])
    };
    let look = |at: usize| wrong(program, &text[at + name.len()..], is_typed(at));
    starts.filter(is_whole).filter_map(look).collect()
}

/// The first word or option of a command that nobody knows. A sentence may go on after the program's name, where it is not
/// clear that somebody types this; after a verb that has verbs of its own, another one follows.
fn wrong(program: &Command, rest: &str, is_typed: bool) -> Option<String> {
    // A command ends with its line, its quotes or its sentence.
    let line = rest.split(['\n', '"', '`', '\'', '|', ';', '&', ')', '>', ',', '…', '\\']).next()?;
    let is_short = line.split_whitespace().count() <= 3;
    let mut verb = program;
    let mut path = program.get_name().to_owned();
    for word in line.split_whitespace() {
        let bare = word.trim_end_matches(['.', ':', '?']);
        if let Some(next) = verb.find_subcommand(bare) {
            verb = next;
            path = format!("{path} {bare}");
        } else if let Some(option) = bare.strip_prefix("--") {
            let option = option.split('=').next().unwrap_or_default();
            let knows = |command: &Command| {
                command.get_arguments().any(|argument| argument.get_long() == Some(option))
            };
            if !option.is_empty() && !["help", "version"].contains(&option) && !knows(verb) && !knows(program)
            {
                return Some(format!("{path} --{option}"));
            }
        } else if verb.has_subcommands() && (is_typed || is_short && path != program.get_name()) {
            return Some(format!("{path} {bare}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn what_nobody_knows_is_found_and_prose_is_not() {
        let on = Command::new("on").arg(Arg::new("now").long("now"));
        let lamp = Command::new("lamp").subcommand(on.clone()).subcommand(Command::new("off"));
        let program = Command::new("tool").subcommand(lamp).subcommand(Command::new("show"));
        let found = |text: &str| wrong_in(&program, text);
        assert!(found("type `tool lamp on --now`, or tool show. A tool is a thing; tool lamp.").is_empty());
        assert!(found("the tool of a person who knows").is_empty());
        assert_eq!(found("type `tool lamp out`"), ["tool lamp out"]);
        assert_eq!(found("help: tool lamp on --soon"), ["tool lamp on --soon"]);
        assert_eq!(found("$ tool shine"), ["tool shine"]);
        assert_eq!(found(".help(\"tool histroy shows what was\")"), ["tool histroy"]);
        assert_eq!(found("keep it with tool lmap on"), ["tool lmap"]);
        assert!(found("//! What follows: tool writes this").is_empty());
        assert_eq!(found("tool show --all"), ["tool show --all"]);
        assert!(found("other-tool show --all and path/tool show --all").is_empty());
    }
}
