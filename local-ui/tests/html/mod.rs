//! Reads our own HTML closely enough to find what keeps people from using it.

use std::collections::{BTreeMap, BTreeSet};

/// An element's name and attributes.
#[derive(Debug)]
struct Tag {
    name: String,
    attributes: BTreeMap<String, String>,
}

impl Tag {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// Beginnings of elements, in their order.
fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if rest.starts_with(['/', '!']) {
            continue;
        }
        let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        rest = &rest[name.len()..];
        let mut attributes = BTreeMap::new();
        loop {
            rest = rest.trim_start();
            if rest.starts_with('>') || rest.is_empty() {
                break;
            }
            let key: String = rest.chars().take_while(|sign| !"=> ".contains(*sign)).collect();
            rest = &rest[key.len().max(1)..];
            let value = match rest.strip_prefix("=\"") {
                Some(quoted) => {
                    let end = quoted.find('"').unwrap_or(quoted.len());
                    rest = &quoted[(end + 1).min(quoted.len())..];
                    quoted[..end].to_owned()
                }
                None => String::new(),
            };
            attributes.insert(key, value);
        }
        tags.push(Tag { name, attributes });
    }
    tags
}

/// What is wrong with a page.
pub(crate) fn findings(page: &str) -> Vec<String> {
    let tags = tags(page);
    let mut wrong = Vec::new();
    let mut ids = BTreeSet::new();
    for id in tags.iter().filter_map(|tag| tag.get("id")) {
        if !ids.insert(id.to_owned()) {
            wrong.push(format!("the id {id} stands twice"));
        }
    }
    let labelled: BTreeSet<&str> =
        tags.iter().filter(|tag| tag.name == "label").filter_map(|tag| tag.get("for")).collect();
    for tag in &tags {
        controls(tag, &labelled, &mut wrong);
        references(tag, &ids, &mut wrong);
        foreign(tag, &mut wrong);
    }
    headings(&tags, &mut wrong);
    if !tags.iter().any(|tag| tag.name == "html" && tag.get("lang").is_some()) {
        wrong.push("no language is said".into());
    }
    if tags.iter().filter(|tag| tag.name == "main").count() != 1 {
        wrong.push("not one main part".into());
    }
    wrong
}

fn controls(tag: &Tag, labelled: &BTreeSet<&str>, wrong: &mut Vec<String>) {
    let is_control =
        matches!(tag.name.as_str(), "input" | "select" | "textarea") && tag.get("type") != Some("hidden");
    let has_label = tag.get("id").is_some_and(|id| labelled.contains(id));
    if is_control && !has_label {
        wrong.push(format!("a control without a label: {tag:?}"));
    }
    if tag.name == "progress" && tag.get("aria-label").is_none() {
        wrong.push("progress without a name".into());
    }
    if tag.get("type") == Some("password")
        && !tag.get("autocomplete").is_some_and(|kind| kind.contains("password"))
    {
        wrong.push("a password that no manager of passwords recognises".into());
    }
}

fn references(tag: &Tag, ids: &BTreeSet<String>, wrong: &mut Vec<String>) {
    for name in ["for", "aria-describedby"] {
        for id in tag.get(name).unwrap_or_default().split_whitespace() {
            if !ids.contains(id) {
                wrong.push(format!("{name}={id} leads nowhere"));
            }
        }
    }
    if let Some(part) = tag.get("href").and_then(|to| to.strip_prefix('#'))
        && !ids.contains(part)
    {
        wrong.push(format!("#{part} leads nowhere"));
    }
}

/// Nothing runs that is not a file of ours, and nothing is fetched from elsewhere: the site may have no way out.
fn foreign(tag: &Tag, wrong: &mut Vec<String>) {
    for (key, value) in &tag.attributes {
        if key == "style" || key.starts_with("on") {
            wrong.push(format!("{key} in <{}>", tag.name));
        }
        let is_address = ["href", "src", "action"].contains(&key.as_str());
        let is_ours = (value.starts_with('/') && !value.starts_with("//"))
            || value.starts_with('#')
            || value == "data:,";
        if is_address && !is_ours {
            wrong.push(format!("{key}={value} in <{}>", tag.name));
        }
    }
    if tag.name == "script" && tag.get("src").is_none() {
        wrong.push("a script inside the page".into());
    }
    if tag.name == "form" && tag.get("method") == Some("post") && tag.get("action").is_none() {
        wrong.push("a form that goes nowhere".into());
    }
}

fn headings(tags: &[Tag], wrong: &mut Vec<String>) {
    let levels: Vec<u32> = tags
        .iter()
        .filter(|tag| tag.name.len() == 2 && tag.name.starts_with('h'))
        .filter_map(|tag| tag.name[1..].parse().ok())
        .collect();
    if levels.iter().filter(|level| **level == 1).count() != 1 {
        wrong.push(format!("headings of the first level: {levels:?}"));
    }
    if levels.windows(2).any(|pair| pair[1] > pair[0] + 1) {
        wrong.push(format!("a level of headings is left out: {levels:?}"));
    }
}
