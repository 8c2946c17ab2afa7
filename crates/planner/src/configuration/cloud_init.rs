//! NoCloud's `meta-data`, and words of the kernel command line, in the spelling of user data.

use edge_model::document::tree::{Entry, Node, Place, Value};
use edge_model::document::{self, Document, Problem};
use edge_model::user_data::UserData;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
struct MetaData {
    #[serde(rename = "local-hostname")]
    #[schemars(extend("format" = "host-name-of-kernel"))]
    local_hostname: Option<String>,
    /// A list of keys, or keys by their names, as `public-keys` of clouds has them.
    #[serde(rename = "public-keys")]
    #[schemars(extend("x-other-names" = ["public_keys", "public-ssh-keys"]))]
    public_keys: Option<Json>,
}

edge_model::document!(MetaData);

pub(super) fn meta_data(name: &str, text: &str) -> (Node, Vec<Problem>) {
    let (mut node, problems) = document::read::<MetaData>(name, text);
    let mut user_data = Node::empty(node.place.clone());
    if let Some(entry) = node.take("local-hostname") {
        user_data.put(&["edge", "site", "hostName"], entry);
    }
    for key in KEYS {
        node.take(key);
    }
    (user_data, problems)
}

const KEYS: [&str; 3] = ["public-keys", "public_keys", "public-ssh-keys"];

/// The public keys that a `meta-data` brings, and where they stand: they are added to the operator's, whoever names that one.
pub(super) fn public_keys(name: &str, text: &str) -> Option<(Place, Vec<Node>)> {
    let (mut node, _) = document::read::<MetaData>(name, text);
    let entry = KEYS.into_iter().find_map(|key| node.take(key))?;
    let place = entry.value.place.clone();
    let keys = keys_in(&entry.value).into_iter().map(|key| Node::text(place.clone(), key)).collect();
    Some((place, keys))
}

/// A key, a list of keys, keys by name, or `{0: {openssh-key: KEY}}`.
fn keys_in(node: &Node) -> Vec<String> {
    match &node.value {
        Value::Scalar { text, .. } if node.is_null() || text.is_empty() => Vec::new(),
        Value::Scalar { text, .. } => vec![text.trim().to_owned()],
        Value::List(items) => items.iter().flat_map(keys_in).collect(),
        Value::Map(entries) => entries.iter().flat_map(|entry| keys_in(&entry.value)).collect(),
    }
}

/// Words like `install.auto=true`, of the sections that user data has.
pub(super) fn kernel_words(name: &str, text: &str) -> (Node, Vec<Problem>) {
    let place = Place::whole(name);
    let mut node = Node::empty(place.clone());
    for word in text.split_whitespace() {
        let Some((path, value)) = word.split_once('=') else { continue };
        let keys: Vec<&str> = path.split('.').collect();
        let known = UserData::schema().root().property(keys[0]).is_some() || keys[0] == "stylus";
        if keys.len() > 1 && known && !edge_model::cmdline::OWN_KEYS.contains(&path) {
            let value = Node::plain(place.clone(), value.trim_matches('"'));
            node.put(&keys, Entry { key: String::new(), key_place: place.clone(), value });
        }
    }
    let mut problems = Vec::new();
    document::check::check(&mut node, UserData::schema().root(), &mut problems);
    (node, problems)
}
