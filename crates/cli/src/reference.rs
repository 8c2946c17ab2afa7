//! The page of all verbs, made from the arguments themselves.

use std::path::Path;

use clap::{Arg, Command};
use edge_model::{Context, Error, Result};

use crate::mentions::wrong_mentions;

/// What a test of each program asks: that all verbs are described and on the page `docs/reference/PROGRAM.md` below `root`,
/// and that texts name no others. With `UPDATE_GOLDEN` the page is written.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] with what is wrong.
pub fn check(program: Command, root: &Path) -> Result<()> {
    let bare = undescribed(&program);
    if !bare.is_empty() {
        return Err(Error::invalid(format!("nobody has described {}", bare.join(", "))));
    }
    let wrong = wrong_mentions(&program, root)?;
    if !wrong.is_empty() {
        return Err(Error::invalid(format!("there are no such commands:\n{}", wrong.join("\n"))));
    }
    let path = root.join(format!("docs/reference/{}.md", program.get_name()));
    let page = page(program);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let kept = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if kept == page {
        return Ok(());
    }
    Err(Error::invalid(format!("{} is stale", path.display())).help("UPDATE_GOLDEN=1 cargo test page"))
}

/// A reference page: every verb with what it does and what it takes.
fn page(program: Command) -> String {
    let name = program.get_name().to_owned();
    let mut text = format!(
        "# {name}: all verbs\n\n<!-- Generated from the arguments by a test of each program: `UPDATE_GOLDEN=1 cargo test page` -->\n\n\
         `--json` makes every verb answer with one JSON value, also when it fails: `{{\"error\": {{\"class\", \"message\", \"causes\", \
         \"help\"}}}}`. Exit codes: 0 done, 1 checked and not right, 2 wrong input, 3 the machine or the network, 4 refused, 5 \
         bytes are not what they should be, 70 a defect.\n"
    );
    describe(&program, &name, &mut text);
    text
}

fn describe(command: &Command, path: &str, text: &mut String) {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        let path = format!("{path} {}", verb.get_name());
        if verb.has_subcommands() {
            describe(verb, &path, text);
            continue;
        }
        let arguments: Vec<&Arg> = verb.get_arguments().filter(|argument| !argument.is_hide_set()).collect();
        let places =
            arguments.iter().filter(|argument| argument.is_positional()).map(|argument| form(argument));
        let line = std::iter::once(path.clone()).chain(places).collect::<Vec<_>>().join(" ");
        text.push_str(&format!("\n## `{line}`\n\n{}.\n", said(verb.get_about())));
        if !arguments.is_empty() {
            text.push_str("\n| takes | which is |\n|---|---|\n");
        }
        for argument in arguments {
            text.push_str(&format!(
                "| `{}` | {} |\n",
                form(argument).replace('|', "\\|"),
                said(argument.get_help())
            ));
        }
    }
}

fn said(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().replace('|', "\\|")
}

/// As it is typed: `--name VALUE`, `<PLACE>`.
fn form(argument: &Arg) -> String {
    let values = argument.get_value_names().unwrap_or_default();
    let value = values.first().map_or_else(|| argument.get_id().to_string(), ToString::to_string);
    let takes_value = argument.get_action().takes_values();
    match (argument.get_long(), argument.get_short()) {
        (Some(long), _) if takes_value => format!("--{long} {value}"),
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) if argument.is_required_set() => format!("<{value}>"),
        (None, None) => format!("[{value}]"),
    }
}

/// Verbs and arguments that nobody has described.
fn undescribed(command: &Command) -> Vec<String> {
    let name = command.get_name();
    let mut found = Vec::new();
    if command.get_about().is_none() {
        found.push(name.to_owned());
    }
    let arguments =
        command.get_arguments().filter(|argument| !argument.is_hide_set() && argument.get_help().is_none());
    found.extend(arguments.map(|argument| format!("{name} {}", argument.get_id())));
    found.extend(command.get_subcommands().filter(|verb| !verb.is_hide_set()).flat_map(undescribed));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_what_is_typed_and_what_is_missing_is_found() {
        let verb = Command::new("make").about("Make it").arg(Arg::new("what").required(true).help("A | B"));
        let command = Command::new("tool").about("A tool").subcommand(verb.clone());
        let text = page(command.clone());
        assert!(text.contains("## `tool make <what>`\n\nMake it.\n") && text.contains("A \\| B"), "{text}");
        assert!(undescribed(&command).is_empty());
        let command = command.subcommand(Command::new("bare").arg(Arg::new("x").long("x")));
        assert_eq!(undescribed(&command), ["bare", "bare x"]);
    }
}
