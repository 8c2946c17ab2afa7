//! Manifests of Kubernetes as text: read into objects, and refused when they cannot be objects.

use edge_model::document::check::untyped;
use edge_model::document::tree::{self, Node, Value as Written};
use serde_json::{Map, Value};

/// Most objects of one workload.
const MOST_OBJECTS: usize = 500;

/// The objects of a text, in its order. Lists are taken apart.
///
/// # Errors
/// What is wrong, for a person, with the number of the document in the text.
pub(super) fn parse(text: &str) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    for (number, document) in split(text).into_iter().enumerate() {
        let number = number + 1;
        let mut node =
            tree::read(&format!("document {number}"), &document).map_err(|problem| problem.to_string())?;
        if node.is_null() || node.entries().is_empty() && matches!(node.value, Written::Map(_)) {
            continue;
        }
        read_octal(&mut node);
        let object = untyped(&node);
        match object.get("items").and_then(Value::as_array) {
            Some(items) if object["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => {
                for item in items {
                    objects.push(checked(item.clone(), number)?);
                }
            }
            _ => objects.push(checked(object, number)?),
        }
        if objects.len() > MOST_OBJECTS {
            return Err(format!("more than {MOST_OBJECTS} objects"));
        }
    }
    if objects.is_empty() { Err("there is no object in it".into()) } else { Ok(objects) }
}

/// At the marks between documents, which stand at the beginning of a line even inside a block of text.
fn split(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        let is_mark = line == "---" || line.starts_with("--- ") || line == "...";
        match (is_mark, documents.last_mut()) {
            (false, Some(document)) => {
                document.push_str(line);
                document.push('\n');
            }
            _ => documents.push(String::new()),
        }
    }
    documents
        .retain(|document| document.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#')));
    documents
}

fn checked(object: Value, number: usize) -> Result<Value, String> {
    let missing = |what: &str| format!("document {number} has no {what}");
    for key in ["apiVersion", "kind"] {
        if object.get(key).and_then(Value::as_str).unwrap_or_default().is_empty() {
            return Err(missing(key));
        }
    }
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        let generated = object.pointer("/metadata/generateName").is_some();
        let why = if generated {
            "metadata.name: a generated one would be another at each boot"
        } else {
            "metadata.name"
        };
        return Err(missing(why));
    }
    Ok(without_status(object))
}

/// The status is the cluster's, and not ours to say.
fn without_status(mut object: Value) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.remove("status");
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            drop_own(metadata);
        }
    }
    object
}

/// What an object that was read from a cluster has, and one that is applied must not have.
fn drop_own(metadata: &mut Map<String, Value>) {
    for key in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"] {
        metadata.remove(key);
    }
}

/// `0644` is 420, as Kubernetes' own readers have it.
fn read_octal(node: &mut Node) {
    match &mut node.value {
        Written::Map(entries) => entries.iter_mut().for_each(|entry| read_octal(&mut entry.value)),
        Written::List(items) => items.iter_mut().for_each(read_octal),
        Written::Scalar { text, plain: true } => {
            let digits = text.strip_prefix('0').filter(|rest| !rest.is_empty());
            let octal = digits.filter(|rest| rest.chars().all(|digit| ('0'..='7').contains(&digit)));
            if let Some(number) = octal.and_then(|rest| u64::from_str_radix(rest, 8).ok()) {
                *text = number.to_string();
            }
        }
        Written::Scalar { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_of_several_documents_become_objects() {
        let text = "# of the shop\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, resourceVersion: '7'}\ndata:\n  x: |\n    one\n    --- two\n---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: b}}\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: c}\n  spec: {volumes: [{name: v, secret: {defaultMode: 0440}}]}\n  status: {phase: Running}\n";
        let objects = parse(text).unwrap();
        let names: Vec<_> =
            objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(objects[0]["data"]["x"], "one\n--- two\n");
        assert_eq!(objects[0]["metadata"], serde_json::json!({ "name": "a" }));
        assert_eq!(objects[2].pointer("/spec/volumes/0/secret/defaultMode"), Some(&288.into()));
        assert!(objects[2].get("status").is_none());
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_place() {
        for (text, reason) in [
            ("", "no object"),
            ("# nothing\n---\n", "no object"),
            ("kind: Pod\nmetadata: {name: a}\n", "document 1 has no apiVersion"),
            ("apiVersion: v1\nkind: Pod\n", "document 1 has no metadata.name"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n", "another at each boot"),
            ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\na: [b\n", "document 2:"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n]{0,300}") {
            let _ = parse(&text);
        }
    }
}
