//! The unattended file in the spelling of user data. Values keep their places.

use edge_model::document::Node;
use edge_model::document::tree::Entry;
use edge_model::unattended::PLACES;

pub(super) fn into_user_data(mut answers: Node) -> Node {
    let mut user_data = Node::empty(answers.place.clone());
    for (name, place) in PLACES {
        if let Some(entry) = take(&mut answers, name) {
            user_data.put(place, entry);
        }
    }
    user_data
}

fn take(node: &mut Node, path: &str) -> Option<Entry> {
    let Some((section, key)) = path.split_once('.') else { return node.take(path) };
    let mut entry = node.take(section)?;
    let found = entry.value.take(key);
    let edge_model::document::tree::Value::Map(entries) = &mut node.value else { return found };
    entries.push(entry);
    found
}

/// The path in the unattended file of a path in user data.
pub(super) fn path_in_answers(path: &str) -> String {
    let found = PLACES.iter().find_map(|(name, place)| {
        let rest = path.strip_prefix(&place.join("."))?;
        (rest.is_empty() || rest.starts_with('.')).then(|| format!("{name}{rest}"))
    });
    found.unwrap_or_else(|| path.to_owned())
}
