//! Merging two trees by Kairos' rules: maps key by key, lists of single values as a union, lists of maps one after
//! the other, and of two single values the later one.

use edge_model::document::Problem;
use edge_model::document::schema::Part;
use edge_model::document::tree::{Entry, Node, Value};

/// Puts `later` over `base`.
pub(super) fn merge(
    base: &mut Node,
    later: Node,
    part: Option<Part<'_>>,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    if part.is_some_and(|part| part.is_replaced_as_a_whole()) {
        *base = later;
        return;
    }
    match (&mut base.value, later.value) {
        (Value::Map(entries), Value::Map(new)) => {
            let each_is_replaced = part.is_some_and(|part| part.replaces_each());
            for entry in new {
                merge_entry(entries, entry, part, each_is_replaced, path, problems);
            }
        }
        (Value::List(items), Value::List(new)) => {
            for item in new {
                let repeated =
                    item.scalar().is_some() && items.iter().any(|present| present.scalar() == item.scalar());
                if !repeated {
                    items.push(item);
                }
            }
        }
        (Value::Scalar { .. }, value @ Value::Scalar { .. }) => {
            *base = Node { place: later.place, value };
        }
        (present, value) => {
            let message = format!(
                "this is {}, but {} has {} there: the earlier one is kept",
                shape(&value),
                base.place,
                shape(present)
            );
            problems.push(Problem::error(later.place, path, message));
        }
    }
}

fn merge_entry(
    entries: &mut Vec<Entry>,
    entry: Entry,
    part: Option<Part<'_>>,
    replace: bool,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    let Some(present) = entries.iter_mut().find(|present| present.key == entry.key) else {
        entries.push(entry);
        return;
    };
    if replace {
        *present = entry;
        return;
    }
    let inner = part.and_then(|part| part.property(&entry.key).or_else(|| part.other_properties()));
    let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
    merge(&mut present.value, entry.value, inner, &path, problems);
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Scalar { .. } => "a single value",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}
