//! Showing the configuration: every value with its origin, and without secrets.

use edge_model::document::Document;
use edge_model::document::schema::Part;
use edge_model::document::tree::{Node, Value};
use edge_model::secret::HIDDEN;
use edge_model::user_data::UserData;
use serde::Serialize;

/// One value of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    pub key: String,
    pub value: String,
    /// File, line and column, or what else the source is called.
    pub origin: String,
}

/// All values below a path, in the order of the tree.
pub fn list(tree: &Node, below: &str) -> Vec<Origin> {
    let mut found = Vec::new();
    walk(tree, Some(UserData::schema().root()), "", &mut found);
    let is_below = |key: &str| {
        below.is_empty()
            || key.strip_prefix(below).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    found.retain(|origin| is_below(&origin.key));
    found
}

/// Replaces every secret of a tree.
pub fn redact(node: &mut Node) {
    redact_part(node, Some(UserData::schema().root()));
}

/// Every secret of a tree.
pub fn secrets(node: &Node) -> Vec<String> {
    let mut found = Vec::new();
    collect(node, Some(UserData::schema().root()), &mut found);
    found
}

fn collect(node: &Node, part: Option<Part<'_>>, found: &mut Vec<String>) {
    match &node.value {
        Value::Map(entries) => {
            entries.iter().for_each(|entry| collect(&entry.value, inner(part, &entry.key), found));
        }
        Value::List(items) => {
            let of_item = part.and_then(|part| part.items());
            items.iter().for_each(|item| collect(item, of_item, found));
        }
        Value::Scalar { text, .. } => {
            if part.is_some_and(|part| part.is_secret()) && !text.is_empty() {
                found.push(text.clone());
            }
        }
    }
}

fn inner<'s>(part: Option<Part<'s>>, key: &str) -> Option<Part<'s>> {
    part.and_then(|part| part.property(key).or_else(|| part.other_properties()))
}

fn redact_part(node: &mut Node, part: Option<Part<'_>>) {
    let is_secret = part.is_some_and(|part| part.is_secret());
    match &mut node.value {
        Value::Map(entries) => {
            entries.iter_mut().for_each(|entry| redact_part(&mut entry.value, inner(part, &entry.key)));
        }
        Value::List(items) => {
            let of_item = part.and_then(|part| part.items());
            items.iter_mut().for_each(|item| redact_part(item, of_item));
        }
        Value::Scalar { text, .. } if is_secret => *text = HIDDEN.to_owned(),
        Value::Scalar { .. } => {}
    }
}

fn walk(node: &Node, part: Option<Part<'_>>, path: &str, found: &mut Vec<Origin>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                walk(&entry.value, inner(part, &entry.key), &below(&entry.key), found);
            }
        }
        Value::List(items) => {
            let of_item = part.and_then(|part| part.items());
            for (index, item) in items.iter().enumerate() {
                walk(item, of_item, &below(&index.to_string()), found);
            }
        }
        Value::Scalar { text, .. } => {
            let hidden = part.is_some_and(|part| part.is_secret());
            let value = if hidden { HIDDEN.to_owned() } else { text.clone() };
            found.push(Origin { key: path.to_owned(), value, origin: node.place.to_string() });
        }
    }
}
