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
    let reading = Reading { part: Some(UserData::schema().root()), ..Reading::default() };
    walk(tree, reading, "", &mut found);
    let is_below = |key: &str| {
        below.is_empty()
            || key.strip_prefix(below).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    found.retain(|origin| is_below(&origin.key));
    found
}

/// Replaces every secret of a tree, for who may read the rest.
pub fn redact(node: &mut Node) {
    hide(node, Reading { part: Some(UserData::schema().root()), ..Reading::default() });
}

/// Replaces every secret of a tree, everything that no schema knows, and text that runs by its length and digest: what leaves the host
/// is read by strangers, and passwords stand in commands too.
pub fn redact_for_others(node: &mut Node) {
    hide(node, Reading { part: Some(UserData::schema().root()), for_others: true, ..Reading::default() });
}

/// What must not be found in anything that leaves the host: every secret of a tree, and text that runs, if it is long enough not
/// to be a word of everybody's.
pub fn secrets(node: &Node) -> Vec<String> {
    let mut found = Vec::new();
    collect(node, Reading { part: Some(UserData::schema().root()), ..Reading::default() }, &mut found);
    found
}

/// Shorter commands are found everywhere, and say nothing.
const SHORTEST_CODE: usize = 16;

/// What is known about the part of a tree that is read.
#[derive(Debug, Clone, Copy, Default)]
struct Reading<'s> {
    /// None below a key that no schema knows.
    part: Option<Part<'s>>,
    /// It stands below what runs.
    is_code: bool,
    for_others: bool,
}

impl<'s> Reading<'s> {
    fn inner(self, key: &str) -> Self {
        let part =
            self.part.and_then(|part| part.property_by_any_name(key).or_else(|| part.other_properties()));
        self.with(part)
    }

    fn item(self) -> Self {
        self.with(self.part.and_then(|part| part.items()))
    }

    fn with(self, part: Option<Part<'s>>) -> Self {
        Self { part, is_code: self.is_code || part.is_some_and(|part| part.is_code()), ..self }
    }

    fn is_secret(self) -> bool {
        self.part.is_some_and(|part| part.is_secret())
    }
}

fn collect(node: &Node, reading: Reading<'_>, found: &mut Vec<String>) {
    match &node.value {
        Value::Map(entries) => {
            entries.iter().for_each(|entry| collect(&entry.value, reading.inner(&entry.key), found));
        }
        Value::List(items) => items.iter().for_each(|item| collect(item, reading.item(), found)),
        Value::Scalar { text, .. } => {
            if (reading.is_secret() && !text.is_empty()) || (reading.is_code && text.len() >= SHORTEST_CODE) {
                found.push(text.clone());
            }
        }
    }
}

fn hide(node: &mut Node, reading: Reading<'_>) {
    match &mut node.value {
        Value::Map(entries) => {
            entries.iter_mut().for_each(|entry| hide(&mut entry.value, reading.inner(&entry.key)));
        }
        Value::List(items) => items.iter_mut().for_each(|item| hide(item, reading.item())),
        Value::Scalar { text, .. } if reading.is_secret() => *text = HIDDEN.to_owned(),
        Value::Scalar { text, .. } if reading.for_others && reading.is_code => *text = stand_in(text),
        Value::Scalar { text, .. } if reading.for_others && reading.part.is_none() => {
            *text = HIDDEN.to_owned();
        }
        Value::Scalar { .. } => {}
    }
}

/// Enough to see whether two hosts run the same.
fn stand_in(text: &str) -> String {
    let digest = edge_slot_image::sha256(text.as_bytes()).to_string();
    format!("({} bytes, sha256 {})", text.len(), digest.get(..12).unwrap_or(&digest))
}

fn walk(node: &Node, reading: Reading<'_>, path: &str, found: &mut Vec<Origin>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                walk(&entry.value, reading.inner(&entry.key), &below(&entry.key), found);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, reading.item(), &below(&index.to_string()), found);
            }
        }
        Value::Scalar { text, .. } => {
            let value = if reading.is_secret() { HIDDEN.to_owned() } else { text.clone() };
            found.push(Origin { key: path.to_owned(), value, origin: node.place.to_string() });
        }
    }
}

#[cfg(test)]
mod tests {
    use edge_model::document::{print, tree};

    use super::*;

    /// Ways in which people give a secret to a host: under another name of a key, in what runs, and in what no schema knows.
    const DOCUMENT: &str = "\
hostname: till
users: [{name: a, password_hash: s3cret-one}]
stylus: {registryCredentials: {domain: a.example, username: robot, password: s3cret-two}}
metallb: {auth: s3cret-three}
env: [TOKEN=s3cret-four]
cluster: {config: 'token: s3cret-five', env: {PW: s3cret-six}}
stages:
  boot:
    - {if: 'test s3cret-seven', environment: {PW: s3cret-eight}, commands: ['mysql -ps3cret-nine', 'true']}
    - {files: [{path: /etc/x, content: s3cret-ten}], systemctl: {overrides: [{service: a, content: s3cret-eleven}]}}
";

    #[test]
    fn nothing_secret_leaves_the_host() {
        let mut shown = tree::read("a.yaml", DOCUMENT).unwrap();
        let known = secrets(&shown);
        redact_for_others(&mut shown);
        let text = print::to_yaml(&shown);
        assert!(!text.contains("s3cret"), "{text}");
        assert!(
            text.contains("till") && text.contains("/etc/x") && text.contains("(19 bytes, sha256 "),
            "{text}"
        );
        let has = |secret: &str| known.iter().any(|known| known.contains(secret));
        for named in ["one", "two", "nine", "ten"] {
            assert!(has(&format!("s3cret-{named}")), "s3cret-{named} is not looked for elsewhere: {known:?}");
        }
        assert!(!known.iter().any(|known| known == "true"), "every `true` of a bundle would be hidden");
    }

    #[test]
    fn who_may_read_a_host_sees_what_runs() {
        let mut shown = tree::read("a.yaml", DOCUMENT).unwrap();
        redact(&mut shown);
        let text = print::to_yaml(&shown);
        assert!(text.contains("mysql") && text.contains("metallb"), "{text}");
        assert!(!text.contains("s3cret-one") && !text.contains("s3cret-two"), "{text}");
    }
}
