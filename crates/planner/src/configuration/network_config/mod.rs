//! NoCloud's `network-config`, version 1 and netplan's version 2, in the spelling of user data.

mod document;
mod findings;
mod interfaces;

use edge_model::document::tree::{Entry, Node};
use edge_model::document::{self as documents, Document, Problem};
use serde_json::Value as Json;

use self::document::NetworkConfig;
use self::interfaces::interfaces;

pub(super) fn network_config(name: &str, text: &str) -> (Node, Vec<Problem>) {
    let mut node = match documents::tree::read(name, text) {
        Ok(node) => node,
        Err(problem) => return (Node::empty(problem.place.clone()), vec![problem]),
    };
    if let Some(inner) = node.take("network") {
        node = inner.value;
    }
    let mut problems = Vec::new();
    documents::check::check(&mut node, NetworkConfig::schema().root(), &mut problems);
    let place = node.place.clone();
    let mut user_data = Node::empty(place.clone());
    match documents::typed::<NetworkConfig>(&node) {
        Ok(config) => {
            let interfaces = interfaces(&config);
            problems.extend(findings::of(&config, &interfaces, &place));
            let value = without_nothing(&serde_json::to_value(&interfaces).unwrap_or_default());
            let value = Node::from_json(&place, &value);
            let entry = Entry { key: String::new(), key_place: place, value };
            user_data.put(&["edge", "site", "network", "interfaces"], entry);
        }
        Err(error) => problems.push(Problem::error(place, "", error.to_string())),
    }
    (user_data, problems)
}

/// Without nulls and empty lists: what was not said must not overrule anything. A bond or a bridge may have no members.
fn without_nothing(json: &Json) -> Json {
    match json {
        Json::Object(entries) => Json::Object(
            entries
                .iter()
                .filter(|(key, value)| {
                    let is_empty = value.as_array().is_some_and(Vec::is_empty) && *key != "members";
                    !value.is_null() && !is_empty
                })
                .map(|(key, value)| (key.clone(), without_nothing(value)))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.iter().map(without_nothing).collect()),
        other => other.clone(),
    }
}
