//! Changing single values of a document, and writing answers down as a document.

use edge_model::document::tree::{self, Entry, Value};
use edge_model::document::{Node, Place, print};
use edge_model::secret::HIDDEN;
use edge_model::unattended::PLACES;
use edge_model::{Error, Result};
use serde_json::Value as Json;

/// A value at a path of user data; none takes away what is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub path: Vec<String>,
    pub value: Option<Json>,
}

impl Change {
    pub fn set(path: &[&str], value: impl Into<Json>) -> Self {
        Self { path: path.iter().map(|key| (*key).to_owned()).collect(), value: Some(value.into()) }
    }

    pub fn remove(path: &[&str]) -> Self {
        Self { path: path.iter().map(|key| (*key).to_owned()).collect(), value: None }
    }
}

/// User data with changes. What is not changed keeps its value; comments are not kept.
///
/// # Errors
/// When the text is not a document.
pub fn change(name: &str, text: &str, changes: &[Change]) -> Result<String> {
    let place = Place::whole(name);
    let mut document = if text.trim().is_empty() {
        Node::empty(place.clone())
    } else {
        tree::read(name, text).map_err(|problem| Error::invalid(problem.to_string()))?
    };
    if document.is_null() {
        document = Node::empty(place.clone());
    }
    // One document has one spelling.
    if let Some(section) = document.take("stylus") {
        document.put(&["edge"], section);
    }
    for change in changes {
        let path: Vec<&str> = change.path.iter().map(String::as_str).collect();
        remove(&mut document, &path);
        if let (Some(value), Some(key)) = (&change.value, path.last()) {
            let value = Node::from_json(&place, value);
            document.put(&path, Entry { key: (*key).to_owned(), key_place: place.clone(), value });
        }
    }
    Ok(format!("#cloud-config\n{}", print::to_yaml(&document)))
}

fn remove(node: &mut Node, path: &[&str]) {
    match path {
        [] => {}
        [key] => drop(node.take(key)),
        [key, rest @ ..] => {
            if let Some(mut entry) = node.take(key) {
                remove(&mut entry.value, rest);
                if !entry.value.entries().is_empty() || !entry.value.items().is_empty() {
                    node.put(&[key], entry);
                }
            }
        }
    }
}

/// Puts the secrets of the old document where the new one only says that they were hidden.
///
/// # Errors
/// When a document cannot be read, or a hidden value has no old one.
pub fn fill_hidden(name: &str, new: &str, old: &str) -> Result<String> {
    if !new.contains(HIDDEN) {
        return Ok(new.to_owned());
    }
    let read = |name: &str, text: &str| {
        tree::read(name, text).map_err(|problem| Error::invalid(problem.to_string()))
    };
    let mut document = read(name, new)?;
    fill(&mut document, &read("local.yaml", old)?)?;
    Ok(format!("#cloud-config\n{}", print::to_yaml(&document)))
}

fn fill(new: &mut Node, old: &Node) -> Result<()> {
    let nothing = Node::empty(Place::whole(""));
    match &mut new.value {
        Value::Map(entries) => entries
            .iter_mut()
            .try_for_each(|entry| fill(&mut entry.value, old.get(&entry.key).unwrap_or(&nothing))),
        Value::List(items) => items.iter_mut().enumerate().try_for_each(|(at, item)| {
            let same = old.items().iter().find(|old| is_same(item, old));
            fill(item, same.or(old.items().get(at).filter(|_| name_of(item).is_none())).unwrap_or(&nothing))
        }),
        Value::Scalar { text, .. } if text == HIDDEN => match old.scalar() {
            Some(secret) => {
                *text = secret.to_owned();
                Ok(())
            }
            None => Err(Error::invalid(format!("{}: a hidden value that was not there before", new.place))
                .help("write the secret itself, or leave its key out")),
        },
        Value::Scalar { .. } => Ok(()),
    }
}

/// What tells one item of a list from the others.
fn name_of(node: &Node) -> Option<(&'static str, &str)> {
    let keys = ["name", "path", "domain", "url"];
    keys.into_iter().find_map(|key| Some((key, node.get(key)?.scalar()?)))
}

/// Secrets go back to the item that they were taken from, wherever it stands now.
fn is_same(new: &Node, old: &Node) -> bool {
    name_of(new).is_some() && name_of(new) == name_of(old)
}

/// The unattended file that gives the answers of a merged configuration.
pub fn answers(merged: &Node) -> Node {
    let place = Place::whole("answers");
    let mut answers = Node::empty(place.clone());
    for (name, path) in PLACES {
        if let Some(value) = merged.find(&path.join(".")) {
            let keys: Vec<&str> = name.split('.').collect();
            let key = keys.last().copied().unwrap_or(name).to_owned();
            answers.put(&keys, Entry { key, key_place: place.clone(), value: value.clone() });
        }
    }
    answers
}

/// Answers without what only one machine can have: name, identifier, fixed addresses. An interface that had one asks for an
/// address, on the VLAN that it was on.
pub fn template(answers: &Node) -> Node {
    const OF_ONE_MACHINE: [&str; 2] = ["hostName", "deviceId"];
    const OF_AN_ADDRESS: [&str; 5] = ["type", "addresses", "ipAddress", "mask", "gateway"];
    /// What was agreed to in front of one disk is not agreed to for another.
    const OF_A_DISK: [&str; 2] = ["disk", "wipe"];
    let mut template = answers.clone();
    for key in OF_ONE_MACHINE {
        template.take(key);
    }
    if let Some(mut install) = template.take("install") {
        OF_A_DISK.iter().for_each(|key| drop(install.value.take(key)));
        template.put(&["install"], install);
    }
    let Some(mut network) = template.take("network") else { return template };
    if let Value::Map(interfaces) = &mut network.value.value {
        for interface in interfaces.iter_mut() {
            interface.value.take("mac");
            let is_fixed = ["addresses", "ipAddress"].iter().any(|key| interface.value.get(key).is_some());
            for key in OF_AN_ADDRESS.iter().filter(|_| is_fixed) {
                interface.value.take(key);
            }
        }
        // Without a word about it an interface asks for an address.
        interfaces.retain(|interface| !interface.value.entries().is_empty());
        if !interfaces.is_empty() {
            template.put(&["network"], network);
        }
    }
    template
}

/// Answers with the secrets that are known and were not given again: whoever fills in a form is not shown them.
///
/// # Errors
/// When the text is not a document.
pub fn keep_secrets(name: &str, text: &str, known: &Node) -> Result<String> {
    let mut answers = tree::read(name, text).map_err(|problem| Error::invalid(problem.to_string()))?;
    let sections: [(&str, &[&str]); 2] =
        [("operator", &["password", "passwordHash"]), ("management", &["registrationToken"])];
    for (section, keys) in sections {
        let Some(given) = answers.get(section) else { continue };
        if keys.iter().any(|key| given.get(key).is_some()) {
            continue;
        }
        for key in keys {
            if let Some(secret) = known.get(section).and_then(|known| known.get(key)) {
                let entry =
                    Entry { key: (*key).to_owned(), key_place: secret.place.clone(), value: secret.clone() };
                answers.put(&[section, key], entry);
            }
        }
    }
    Ok(print::to_yaml(&answers))
}

/// Takes secrets out of answers; returns the paths of those that were there.
pub fn hide_secrets(answers: &mut Node) -> Vec<String> {
    let secrets =
        [("operator", "password"), ("operator", "passwordHash"), ("management", "registrationToken")];
    let mut hidden = Vec::new();
    for (section, key) in secrets {
        if let Some(mut entry) = answers.take(section) {
            if entry.value.take(key).is_some_and(|found| found.value.scalar() != Some(HIDDEN)) {
                hidden.push(format!("{section}.{key}"));
            }
            answers.put(&[section], entry);
        }
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_fits_other_machines() {
        let text = "hostName: till-4\nkeyboard: de\ninstall: {wipe: everything, disk: {serial: S1}, after: reboot}\nnetwork:\n  enp1s0: {type: static, addresses: [192.0.2.17/24], gateway: 192.0.2.1}\n  \
                    shop: {vlan: {id: 42, parent: enp2s0}, addresses: [192.0.2.18/24]}\n";
        let kept = edge_model::document::print::to_yaml(&template(&tree::read("a", text).unwrap()));
        for of_one in ["till-4", "192.0.2", "everything", "S1"] {
            assert!(!kept.contains(of_one), "{of_one}: {kept}");
        }
        assert!(kept.contains("after: reboot"), "{kept}");
        assert!(kept.contains("keyboard: de") && kept.contains("42") && !kept.contains("enp1s0"), "{kept}");
    }
    use serde_json::json;

    #[test]
    fn single_values_change_and_the_rest_stays() {
        let text = "#cloud-config\nhostname: a\nedge:\n  site:\n    timeZone: UTC\n    network: {httpProxy: 'http://p:1'}\n";
        let new = change(
            "local",
            text,
            &[
                Change::set(&["edge", "site", "timeZone"], "Europe/Zurich"),
                Change::set(&["edge", "site", "ntpServers"], json!(["10.0.0.1"])),
                Change::remove(&["edge", "site", "network", "httpProxy"]),
            ],
        )
        .unwrap();
        assert!(new.starts_with("#cloud-config\n"));
        let tree = tree::read("new", &new).unwrap();
        let at = |path: &str| tree.find(path).and_then(Node::scalar).map(str::to_owned);
        assert_eq!(at("hostname").as_deref(), Some("a"));
        assert_eq!(at("edge.site.timeZone").as_deref(), Some("Europe/Zurich"));
        assert_eq!(tree.find("edge.site.ntpServers").unwrap().items().len(), 1);
        assert!(tree.find("edge.site.network").is_none(), "{new}");
        assert_eq!(change("local", "", &[]).unwrap().lines().next(), Some("#cloud-config"));
    }

    #[test]
    fn a_form_that_leaves_a_secret_out_keeps_it() {
        let known = tree::read("known", "operator: {name: site, passwordHash: $6$a$b}").unwrap();
        let kept = keep_secrets("new", "operator: {name: clerk}", &known).unwrap();
        assert!(kept.contains("clerk") && kept.contains("$6$a$b"), "{kept}");
        let other = keep_secrets("new", "operator: {name: clerk, password: x}", &known).unwrap();
        assert!(!other.contains("$6$"), "{other}");
        assert!(!keep_secrets("new", "hostName: a", &known).unwrap().contains("operator"));
    }

    #[test]
    fn hidden_secrets_are_the_old_ones() {
        let old = "edge: {operator: {name: site, passwordHash: $6$a$b}}";
        let new = "edge: {operator: {name: other, passwordHash: (hidden)}}";
        let filled = fill_hidden("new", new, old).unwrap();
        assert!(filled.contains("$6$a$b") && filled.contains("other"), "{filled}");
        assert!(fill_hidden("new", new, "edge: {}").is_err());
        let old = "users: [{name: ann, passwd: A}, {name: bob, passwd: B}]";
        let filled = fill_hidden("new", "users: [{name: bob, passwd: (hidden)}]", old).unwrap();
        assert!(filled.contains('B') && !filled.contains("A"), "{filled}");
        assert!(fill_hidden("new", "users: [{name: eve, passwd: (hidden)}]", old).is_err());
        assert_eq!(fill_hidden("new", "a: 1", old).unwrap(), "a: 1");
    }

    #[test]
    fn answers_come_back_from_where_they_went() {
        let text = "hostName: till\noperator: {name: site, password: secret}\nproxy: {http: 'http://p:1'}\nnetwork:\n  eth0: {type: dhcp}\n";
        let user_data = super::super::answers::into_user_data(tree::read("answers", text).unwrap());
        let mut back = answers(&user_data);
        assert_eq!(back.find("proxy.http").and_then(Node::scalar), Some("http://p:1"));
        assert_eq!(back.find("hostName").and_then(Node::scalar), Some("till"));
        assert!(back.find("network.eth0").is_some());
        assert_eq!(hide_secrets(&mut back), ["operator.password"]);
        assert!(!print::to_yaml(&back).contains("secret"));
    }
}
