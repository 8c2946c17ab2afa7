//! Rewriting a user-data file: between the two spellings of its section, and for the host.

use edge_model::Result;
use edge_model::document::tree::{self, Entry, Node, Place, Value};
use edge_model::document::{Document, Problem};
use edge_model::unattended::Operator;
use edge_model::user_data::UserData;
use edge_model::user_data::stages::SKIP_COPY;

/// Whose names a file is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    Edge,
    Palette,
}

/// Fields of the section that only this system has.
const ONLY_OURS: [&str; 6] = ["install", "interactive", "operator", "upgrade", "health", "clusterDefinition"];

/// Rewrites the text; comments and layout stay. What the other system does not know is said.
///
/// # Errors
/// When the text is not YAML.
pub fn convert(name: &str, text: &str, to: Spelling) -> Result<(String, Vec<Problem>), Problem> {
    let node = tree::read(name, text)?;
    let (wanted, other) = match to {
        Spelling::Edge => ("edge", "stylus"),
        Spelling::Palette => ("stylus", "edge"),
    };
    let mut edits: Vec<(Place, String)> = Vec::new();
    let mut problems = Vec::new();
    for entry in node.entries().iter().filter(|entry| entry.key == "edge" || entry.key == "stylus") {
        if entry.key == other {
            edits.push((entry.key_place.clone(), wanted.to_owned()));
        }
        modernise(entry, &mut edits);
        if to == Spelling::Palette {
            for inner in entry.value.entries().iter().filter(|inner| ONLY_OURS.contains(&inner.key.as_str()))
            {
                let path = format!("{wanted}.{}", inner.key);
                let message = "Palette does not know this key";
                problems.push(Problem::warning(inner.key_place.clone(), &path, message));
            }
        }
    }
    edits.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    let mut converted = text.to_owned();
    for (place, new) in edits {
        let range = place.start as usize..place.end as usize;
        if converted.get(range.clone()).is_some() {
            converted.replace_range(range, &new);
        }
    }
    Ok((converted, problems))
}

/// Old spellings within the section, and old keys whose value has another form now.
fn modernise(section: &Entry, edits: &mut Vec<(Place, String)>) {
    let Some(part) = UserData::schema().root().property("edge") else { return };
    rename_old(&section.value, part, edits);
    for entry in section.value.entries() {
        let new = match (entry.key.as_str(), entry.value.scalar()) {
            ("installationMode", Some("airgap")) => ("managementMode", "local"),
            ("installationMode", Some("connected")) => ("managementMode", "central"),
            ("includeTui", Some("true")) => ("disableTui", "false"),
            ("includeTui", Some("false")) => ("disableTui", "true"),
            _ => continue,
        };
        edits.push((entry.key_place.clone(), new.0.into()));
        edits.push((entry.value.place.clone(), new.1.into()));
    }
}

fn rename_old(node: &Node, part: edge_model::document::schema::Part<'_>, edits: &mut Vec<(Place, String)>) {
    for entry in node.entries() {
        let renamed =
            part.properties().find(|(_, property)| property.old_names().contains(&entry.key.as_str()));
        if let Some((name, _)) = renamed {
            edits.push((entry.key_place.clone(), name.to_owned()));
        }
        let inner = renamed.map(|(_, property)| property).or_else(|| part.property(&entry.key));
        if let Some(inner) = inner {
            rename_old(&entry.value, inner, edits);
        }
    }
}

/// Names under which accounts have a password.
const PASSWORDS: [&str; 2] = ["passwd", "password_hash"];

/// Removes the steps that run from the medium only.
pub(super) fn drop_steps_not_copied(node: &mut Node) {
    let Value::Map(sections) = &mut node.value else { return };
    let Some(stages) = sections.iter_mut().find(|entry| entry.key == "stages") else { return };
    let Value::Map(stages) = &mut stages.value.value else { return };
    for stage in stages {
        if let Value::List(steps) = &mut stage.value.value {
            steps.retain(|step| {
                let name = step.get("name").and_then(Node::scalar).unwrap_or_default();
                !name.starts_with(SKIP_COPY)
            });
        }
    }
}

/// Replaces a plain password of the operator at `path` by its hash.
pub(super) fn hash_password(
    node: &mut Node,
    path: &[&str],
    hash: &mut dyn FnMut(&str) -> Result<String>,
) -> Result<()> {
    let Some((first, rest)) = path.split_first() else {
        let Some(password) = node.take("password") else { return Ok(()) };
        let plain = password.value.scalar().filter(|plain| !plain.is_empty() && !password.value.is_null());
        // An empty password would open the account to everybody.
        let Some(plain) = plain else { return Ok(()) };
        let hashed = hash(plain)?;
        let place = password.value.place.clone();
        node.put(&["passwordHash"], Entry { value: Node::text(place, hashed), ..password });
        return Ok(());
    };
    let Value::Map(entries) = &mut node.value else { return Ok(()) };
    match entries.iter_mut().find(|entry| entry.key == *first) {
        Some(entry) => hash_password(&mut entry.value, rest, hash),
        None => Ok(()),
    }
}

/// Replaces plain passwords of accounts by their hashes, wherever user data makes accounts: `users` of the document and of
/// each step.
pub(super) fn hash_passwords_of_accounts(
    node: &mut Node,
    hash: &mut dyn FnMut(&str) -> Result<String>,
) -> Result<()> {
    match &mut node.value {
        Value::Map(entries) => {
            for entry in entries {
                if entry.key == "users" {
                    hash_in_users(&mut entry.value, hash)?;
                } else {
                    hash_passwords_of_accounts(&mut entry.value, hash)?;
                }
            }
            Ok(())
        }
        Value::List(items) => items.iter_mut().try_for_each(|item| hash_passwords_of_accounts(item, hash)),
        Value::Scalar { .. } => Ok(()),
    }
}

/// A list of accounts, or accounts by their names.
fn hash_in_users(users: &mut Node, hash: &mut dyn FnMut(&str) -> Result<String>) -> Result<()> {
    let accounts: Vec<&mut Node> = match &mut users.value {
        Value::List(items) => items.iter_mut().collect(),
        Value::Map(entries) => entries.iter_mut().map(|entry| &mut entry.value).collect(),
        Value::Scalar { .. } => Vec::new(),
    };
    for account in accounts {
        let Value::Map(fields) = &mut account.value else { continue };
        for field in fields.iter_mut().filter(|field| PASSWORDS.contains(&field.key.as_str())) {
            let plain = field.value.scalar().filter(|plain| is_plain(plain) && !field.value.is_null());
            if let Some(plain) = plain.map(str::to_owned) {
                field.value = Node::text(field.value.place.clone(), hash(&plain)?);
            }
        }
    }
    Ok(())
}

/// Neither a hash, nor what locks an account, nor a template that is filled in later, nor nothing at all.
fn is_plain(password: &str) -> bool {
    !password.is_empty() && !password.starts_with(['$', '!']) && password != "*" && !password.contains("{{")
}

/// The hash to write into the host's accounts.
///
/// # Errors
/// When a plain password cannot be hashed.
pub fn password_of(
    operator: &Operator,
    hash: &mut dyn FnMut(&str) -> Result<String>,
) -> Result<Option<String>> {
    match (&operator.password_hash, &operator.password) {
        (Some(hashed), _) => Ok(Some(hashed.reveal().to_owned())),
        (None, Some(plain)) if !plain.reveal().is_empty() => hash(plain.reveal()).map(Some),
        (None, Some(_) | None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use crate::configuration::{Form, for_the_host};

    #[test]
    fn no_plain_password_of_an_account_is_kept() {
        let text = "#cloud-config\nusers:\n- {name: a, passwd: one}\n- {name: b, passwd: '$6$x$y'}\n\
                    stages:\n  boot:\n  - users:\n      c: {passwd: two}\n      d: {passwd: '!'}\n      e: {passwd: '{{ .Values.x }}'}\n";
        let kept = for_the_host(Form::UserData, "f", text, &mut |plain| Ok(format!("$6$s${}", plain.len())))
            .unwrap();
        assert!(!kept.contains("one") && !kept.contains("two"), "{kept}");
        assert_eq!(kept.matches("$6$s$3").count(), 2, "{kept}");
        assert!(kept.contains("$6$x$y") && kept.contains("'!'") || kept.contains("\"!\""), "{kept}");
        assert!(kept.contains(".Values.x"), "{kept}");
    }
}
