//! The form of `.arg`: one `KEY=value` a line, as a shell and the dotenv readers of build tools understand it.
//!
//! Both read the file in CanvOS, so what they understand differently is refused here instead of guessed.

use std::collections::BTreeMap;

use crate::document::{Place, Problem};

/// Values may repeat earlier ones, which must not make them grow without end.
const MOST_BYTES_OF_VALUE: usize = 4096;

/// One line that sets a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) place: Place,
}

/// What is wrong with a value, and what to do.
struct Wrong {
    message: String,
    help: &'static str,
}

fn wrong(message: impl Into<String>, help: &'static str) -> Wrong {
    Wrong { message: message.into(), help }
}

/// Reads all lines. Lines that are wrong are left out and named.
pub(super) fn read(name: &str, text: &str) -> (Vec<Assignment>, Vec<Problem>) {
    let (mut assignments, mut problems) = (Vec::new(), Vec::new());
    let mut earlier: BTreeMap<String, String> = BTreeMap::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source: std::sync::Arc<str> = name.into();
    let mut start = 0;
    for (number, line) in (1..).zip(text.split('\n')) {
        let end = start + line.len();
        let content = line.strip_suffix('\r').unwrap_or(line);
        let indent = content.len() - content.trim_start().len();
        let place = Place {
            source: source.clone(),
            line: number,
            column: offset(content[..indent].chars().count() + 1),
            start: offset(start + indent),
            end: offset(start + content.len()),
        };
        match assignment(content.trim(), &earlier) {
            Ok(None) => {}
            Ok(Some((key, value))) => {
                earlier.insert(key.clone(), value.clone());
                assignments.push(Assignment { key, value, place });
            }
            Err((key, wrong)) => problems.push(Problem::error(place, &key, wrong.message).help(wrong.help)),
        }
        start = end + 1;
    }
    (assignments, problems)
}

fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

type Read = Result<Option<(String, String)>, (String, Wrong)>;

fn assignment(line: &str, earlier: &BTreeMap<String, String>) -> Read {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let exported = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    let line = exported.unwrap_or(line).trim_start();
    let Some((key, rest)) = line.split_once('=') else {
        return Err((
            String::new(),
            wrong("this line sets nothing", "write KEY=value, or # before a comment"),
        ));
    };
    let key = key.trim_end();
    if !is_key(key) {
        let message = format!("{:?} is not a key", shortened(key));
        return Err((
            String::new(),
            wrong(message, "a key has letters, digits and _, and begins with no digit"),
        ));
    }
    match value(rest.trim(), earlier) {
        Ok(value) => Ok(Some((key.to_owned(), value))),
        Err(wrong) => Err((key.to_owned(), wrong)),
    }
}

pub(super) fn is_key(key: &str) -> bool {
    key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && key.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
        && key.len() <= 100
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

fn value(text: &str, earlier: &BTreeMap<String, String>) -> Result<String, Wrong> {
    let value = match text.chars().next() {
        Some('\'') => {
            let (inner, rest) = text[1..].split_once('\'').ok_or_else(no_end)?;
            nothing_more(rest)?;
            inner.to_owned()
        }
        Some('"') => {
            let (inner, rest) = double_quoted(&text[1..], earlier)?;
            nothing_more(rest)?;
            inner
        }
        _ => plain(text, earlier)?,
    };
    if value.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\r' | '\t')) {
        return Err(wrong("the value has control characters", "remove them"));
    }
    check_length(&value)?;
    Ok(value)
}

fn check_length(value: &str) -> Result<(), Wrong> {
    if value.len() > MOST_BYTES_OF_VALUE {
        return Err(wrong("the value is longer than 4096 bytes", "make it shorter"));
    }
    Ok(())
}

fn no_end() -> Wrong {
    wrong("the quotes are not closed on this line", "close them; a value has one line")
}

fn nothing_more(rest: &str) -> Result<(), Wrong> {
    let more = rest.trim_start();
    if more.is_empty() || (more.starts_with('#') && more.len() < rest.len()) {
        return Ok(());
    }
    Err(wrong(
        "something follows the closing quotes",
        "put quotes around the whole value, and a space before a comment",
    ))
}

/// What stands between double quotes, and what follows them.
fn double_quoted<'t>(text: &'t str, earlier: &BTreeMap<String, String>) -> Result<(String, &'t str), Wrong> {
    let mut value = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        check_length(&value)?;
        let after = &rest[first.len_utf8()..];
        match first {
            '"' => return Ok((value, after)),
            '\\' => {
                let escaped = after.chars().next().ok_or_else(no_end)?;
                value.push(match escaped {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    '"' | '\\' | '$' | '`' => escaped,
                    _ => return Err(no_escape()),
                });
                rest = &after[escaped.len_utf8()..];
                continue;
            }
            '$' => {
                let (expanded, after) = variable(after, earlier)?;
                value.push_str(expanded);
                rest = after;
                continue;
            }
            '`' => return Err(no_commands()),
            _ => value.push(first),
        }
        rest = after;
    }
    Err(no_end())
}

fn plain(text: &str, earlier: &BTreeMap<String, String>) -> Result<String, Wrong> {
    let mut value = String::new();
    let mut rest = text;
    let mut after_space = true;
    while let Some(first) = rest.chars().next() {
        check_length(&value)?;
        let after = &rest[first.len_utf8()..];
        match first {
            '#' if after_space => break,
            '"' | '\'' => {
                return Err(wrong("there are quotes within the value", "put quotes around the whole value"));
            }
            '\\' => return Err(no_escape()),
            '`' => return Err(no_commands()),
            '$' => {
                let (expanded, after) = variable(after, earlier)?;
                value.push_str(expanded);
                (rest, after_space) = (after, false);
                continue;
            }
            _ => value.push(first),
        }
        after_space = first.is_whitespace();
        rest = after;
    }
    Ok(value.trim_end().to_owned())
}

fn no_escape() -> Wrong {
    wrong("shells and build tools read this backslash differently", "put the value in single quotes")
}

fn no_commands() -> Wrong {
    wrong("commands are not run", "write what the command would print")
}

/// The value of a variable whose name begins `text`, and what follows it.
fn variable<'e, 't>(
    text: &'t str,
    earlier: &'e BTreeMap<String, String>,
) -> Result<(&'e str, &'t str), Wrong> {
    let (name, rest) = match text.strip_prefix('{') {
        Some(inner) => inner.split_once('}').ok_or_else(no_end)?,
        None => {
            let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
            text.split_at(end.unwrap_or(text.len()))
        }
    };
    if !is_key(name) {
        return Err(wrong(
            "this $ begins no variable",
            "only $KEY and ${KEY} are known; for a plain $ use single quotes",
        ));
    }
    match earlier.get(name) {
        Some(value) => Ok((value, rest)),
        None => Err(wrong(format!("${name} is not set above this line"), "set it first, or write its value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let (assignments, problems) = read(".arg", text);
        assert!(problems.is_empty(), "{problems:?}");
        assignments.into_iter().map(|assignment| (assignment.key, assignment.value)).collect()
    }

    fn one(text: &str) -> String {
        pairs(text).remove(0).1
    }

    #[test]
    fn values_are_read_as_a_shell_reads_them() {
        for (text, value) in [
            ("A=b", "b"),
            ("A=", ""),
            ("  A = b  ", "b"),
            ("export A=b", "b"),
            ("export\tA=b # why", "b"),
            ("A=# nothing", ""),
            ("A=b#c", "b#c"),
            ("A=b # c", "b"),
            ("A=\"b # c\" # d", "b # c"),
            ("A='$b'", "$b"),
            (r#"A="x \"y\" \$z \\""#, r#"x "y" $z \"#),
            ("A=two words", "two words"),
            ("A=b\r\n", "b"),
            ("\u{feff}A=b", "b"),
            ("A=k=v", "k=v"),
        ] {
            assert_eq!(one(text), value, "{text:?}");
        }
        assert_eq!(pairs("# c\n\n \nexported=1\n"), [("exported".into(), "1".into())]);
        let values = pairs("OS=ubuntu\nREPO=$OS\nTAG=\"${OS}-${REPO}\"\nRAW='${OS}'");
        assert_eq!(values[1].1, "ubuntu");
        assert_eq!(values[2].1, "ubuntu-ubuntu");
        assert_eq!(values[3].1, "${OS}");
    }

    #[test]
    fn what_two_readers_read_differently_is_refused_with_its_place() {
        for (text, message) in [
            ("A", "sets nothing"),
            ("A: b", "sets nothing"),
            ("1A=b", "not a key"),
            ("A B=c", "not a key"),
            ("A='b", "not closed"),
            ("A=\"b\\", "not closed"),
            ("A=\"b", "not closed"),
            ("A='b'c", "follows the closing"),
            ("A='b'#c", "follows the closing"),
            ("A=b'c'", "within the value"),
            ("A=b\\c", "backslash"),
            ("A=\"\\x\"", "backslash"),
            ("A=$(date)", "begins no variable"),
            ("A=${B:-c}", "begins no variable"),
            ("A=\"`date`\"", "not run"),
            ("A=$B", "$B is not set"),
            ("A=\u{1b}[0m", "control"),
        ] {
            let (assignments, problems) = read(".arg", &format!("#\n  {text}"));
            assert!(assignments.is_empty(), "{text:?}");
            let shown = problems[0].to_string();
            assert!(shown.starts_with(".arg:2:3: error: ") && shown.contains(message), "{text:?}: {shown}");
        }
    }

    #[test]
    fn variables_cannot_make_a_value_grow_without_end() {
        let mut text = String::from("A0=xxxxxxxxxx\n");
        for step in 1..40 {
            text += &format!("A{step}=$A{0}$A{0}$A{0}$A{0}\n", step - 1);
        }
        let (assignments, problems) = read(".arg", &text);
        assert!(assignments.iter().all(|assignment| assignment.value.len() <= MOST_BYTES_OF_VALUE));
        assert!(problems[0].message.contains("4096"), "{problems:?}");
    }

    fn quoted(value: &str) -> String {
        let mut text = String::from("\"");
        for character in value.chars() {
            if matches!(character, '"' | '\\' | '$' | '`') {
                text.push('\\');
            }
            text.push(character);
        }
        text + "\""
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}", lines in proptest::collection::vec("[A-Z]{1,3}[= ]{1,2}[$\"'{}A-Z#\\\\` ]{0,12}\r?", 0..12)) {
            read(".arg", &text);
            let (assignments, problems) = read(".arg", &lines.join("\n"));
            prop_assert!(assignments.len() + problems.len() <= lines.len().max(1));
        }

        #[test]
        fn what_is_written_is_read(values in proptest::collection::vec(("[A-Z_][A-Z0-9_]{0,20}", "[^\\pC]{0,60}"), 0..12)) {
            let text: String = values.iter().map(|(key, value)| format!("{key}={}\n", quoted(value))).collect();
            let (assignments, problems) = read(".arg", &text);
            prop_assert!(problems.is_empty(), "{:?}", problems);
            let read: Vec<_> = assignments.into_iter().map(|one| (one.key, one.value)).collect();
            prop_assert_eq!(read, values);
        }
    }
}
