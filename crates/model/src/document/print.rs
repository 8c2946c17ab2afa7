//! A tree as YAML text that reads back as the same tree.

use super::tree::{Entry, Node, Value};

/// Block style, two spaces a level.
pub fn to_yaml(node: &Node) -> String {
    let mut text = String::new();
    write(node, 0, &mut text);
    if text.starts_with('\n') {
        text.remove(0);
    }
    text
}

fn indent(level: usize, text: &mut String) {
    text.push_str(&"  ".repeat(level));
}

/// Writes a value behind `key:` or `-`.
fn write(node: &Node, level: usize, text: &mut String) {
    match &node.value {
        Value::Scalar { text: value, plain } => {
            text.push_str(&scalar(value, *plain));
            text.push('\n');
        }
        Value::List(items) if items.is_empty() => text.push_str("[]\n"),
        Value::Map(entries) if entries.is_empty() => text.push_str("{}\n"),
        Value::List(items) => {
            text.push('\n');
            for item in items {
                indent(level, text);
                text.push_str("- ");
                write_item(item, level + 1, text);
            }
        }
        Value::Map(entries) => {
            text.push('\n');
            for entry in entries {
                indent(level, text);
                write_entry(entry, level, text);
            }
        }
    }
}

fn write_entry(entry: &Entry, level: usize, text: &mut String) {
    text.push_str(&scalar(&entry.key, false));
    text.push(':');
    if !matches!(&entry.value.value, Value::List(items) if !items.is_empty())
        && !matches!(&entry.value.value, Value::Map(entries) if !entries.is_empty())
    {
        text.push(' ');
    }
    write(&entry.value, level + 1, text);
}

/// A map in a list begins on the line of its dash.
fn write_item(node: &Node, level: usize, text: &mut String) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            for (index, entry) in entries.iter().enumerate() {
                if index > 0 {
                    indent(level, text);
                }
                write_entry(entry, level, text);
            }
        }
        Value::List(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    indent(level, text);
                }
                text.push_str("- ");
                write_item(item, level + 1, text);
            }
        }
        _ => write(node, level, text),
    }
}

/// Plain where that reads back as the same text, else in double quotes.
fn scalar(value: &str, plain: bool) -> String {
    let simple = |value: &str| {
        value.starts_with(|first: char| first.is_ascii_alphanumeric() || "/_".contains(first))
            && value
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "/_.-+@".contains(character))
    };
    let looks_typed = |value: &str| {
        value.starts_with(|first: char| first.is_ascii_digit())
            || matches!(
                value.to_lowercase().as_str(),
                "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
            )
    };
    if simple(value) && (plain || !looks_typed(value)) {
        return value.to_owned();
    }
    if plain && value.parse::<f64>().is_ok_and(f64::is_finite) {
        return value.to_owned();
    }
    if plain && (value.is_empty() || value == "~") {
        return "null".into();
    }
    quoted(value)
}

fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            other
                if (other as u32) < 0x20
                    || matches!(other as u32, 0x7f..=0x9f | 0x2028 | 0x2029 | 0xfeff) =>
            {
                text.push_str(&format!("\\u{:04X}", other as u32));
            }
            other => text.push(other),
        }
    }
    text.push('"');
    text
}
