//! What holds for every document: nothing panics, what is printed reads back, secrets stay secret.

#![allow(clippy::unwrap_used)] // a test; helpers outside of #[test] count as code for the lint

use edge_model::cluster::ClusterDefinition;
use edge_model::document::schema::Part;
use edge_model::document::tree::{Entry, Node, Place, Value};
use edge_model::document::{self, Document, format, print};
use edge_model::forge::Forge;
use edge_model::secret::HIDDEN;
use edge_model::unattended::Unattended;
use edge_model::user_data::UserData;
use edge_planner::configuration::{self, Form, Kind, Source, Trust, combine, convert, origin};
use proptest::prelude::*;

const FORMS: [Form; 6] =
    [Form::UserData, Form::Unattended, Form::MetaData, Form::NetworkConfig, Form::KernelWords, Form::Forge];

/// Text that is often YAML, with keys that mean something.
fn yaml() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("edge"),
        Just("stylus"),
        Just("site"),
        Just("network"),
        Just("interfaces"),
        Just("stages"),
        Just("boot"),
        Just("install"),
        Just("users"),
        Just("name"),
        Just("eth0"),
        Just("addresses"),
        Just("gateway"),
        Just("files"),
        Just("10.0.0.5/24"),
        Just("true"),
        Just("0644"),
        Just("null"),
        Just("&a"),
        Just("*a"),
        Just("<<"),
        Just("{{"),
    ];
    let mark = prop_oneof![
        Just(": "),
        Just("\n"),
        Just("\n  "),
        Just("\n    "),
        Just("- "),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(", "),
        Just("\""),
        Just("|\n"),
        Just("#"),
        Just(" "),
    ];
    prop::collection::vec((word, mark), 0..40)
        .prop_map(|parts| parts.into_iter().map(|(word, mark)| format!("{word}{mark}")).collect())
}

fn node() -> impl Strategy<Value = Node> {
    let place = Place::whole("made");
    let at = place.clone();
    let leaf = prop_oneof![
        "\\PC{0,12}".prop_map(|text| Value::Scalar { text, plain: false }),
        "[\\n\\t\"'\\\\#:\\[\\]{}a-z ]{0,12}".prop_map(|text| Value::Scalar { text, plain: false }),
        any::<i64>().prop_map(|number| Value::Scalar { text: number.to_string(), plain: true }),
        any::<bool>().prop_map(|flag| Value::Scalar { text: flag.to_string(), plain: true }),
    ]
    .prop_map(move |value| Node { place: at.clone(), value });
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let (one, other) = (place.clone(), place.clone());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(move |items| Node { place: one.clone(), value: Value::List(items) }),
            prop::collection::btree_map("[a-zA-Z0-9 .:#-]{1,8}", inner, 0..5).prop_map(move |map| {
                let entry = |(key, value)| Entry { key, key_place: other.clone(), value };
                Node { place: other.clone(), value: Value::Map(map.into_iter().map(entry).collect()) }
            }),
        ]
    })
}

/// Whether a plain scalar means something else than its text.
fn is_typed(text: &str) -> bool {
    text.parse::<f64>().is_ok() || matches!(text, "true" | "false" | "null" | "~" | "")
}

/// The same tree without its places.
fn bare(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, plain } => format!("{}{text:?}", *plain && is_typed(text)),
        Value::List(items) => format!("{:?}", items.iter().map(bare).collect::<Vec<_>>()),
        Value::Map(entries) => {
            format!(
                "{:?}",
                entries.iter().map(|entry| (entry.key.clone(), bare(&entry.value))).collect::<Vec<_>>()
            )
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_time: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in prop_oneof![yaml(), "[ -~\n]{0,300}".boxed(), "\\PC{0,100}".boxed()]) {
        for form in FORMS {
            configuration::examine(form, "f", &text, Some(1));
            let source = Source { kind: Kind::Site, form, name: "f".into(), text: text.clone() };
            let merged = combine(&[source.clone(), source], Trust { secure_boot: true, now: None });
            prop_assert!(merged.settings().is_ok(), "schema and types disagree");
            origin::list(&merged.tree, "");
        }
        let _ = convert::convert("f", &text, convert::Spelling::Palette);
        let _ = configuration::for_the_host(Form::UserData, "f", &text, &mut |_| Ok("$6$a$b".into()));
    }

    #[test]
    fn what_is_printed_reads_back(node in node()) {
        let root = Node { place: node.place.clone(), value: Value::Map(vec![
            Entry { key: "root".into(), key_place: node.place.clone(), value: node },
        ]) };
        let text = print::to_yaml(&root);
        let back = document::tree::read("printed", &text).map_err(|problem| TestCaseError::fail(format!("{problem}\n{text}")))?;
        prop_assert_eq!(bare(&back), bare(&root), "{}", text);
    }

    #[test]
    fn converting_there_and_back_changes_nothing(name in "[a-z]{1,8}") {
        let text = format!("#cloud-config\n# comment {name}\nstylus: # here\n  site: {{name: {name}}}\n");
        let (ours, _) = convert::convert("f", &text, convert::Spelling::Edge).unwrap();
        prop_assert!(ours.contains("\nedge: # here\n") && ours.contains("# comment"));
        let (theirs, _) = convert::convert("f", &ours, convert::Spelling::Palette).unwrap();
        prop_assert_eq!(theirs, text);
    }
}

/// Every property below a part, once.
fn walk<'s>(part: Part<'s>, path: &str, depth: usize, seen: &mut dyn FnMut(&str, Part<'s>)) {
    if depth > 8 {
        return;
    }
    for (name, property) in part.properties() {
        let path = format!("{path}.{name}");
        seen(&path, property);
        walk(property, &path, depth + 1, seen);
        if let Some(items) = property.items() {
            walk(items, &path, depth + 1, seen);
        }
        if let Some(values) = property.other_properties() {
            walk(values, &path, depth + 1, seen);
            if let Some(items) = values.items() {
                walk(items, &path, depth + 1, seen);
            }
        }
    }
}

#[test]
fn every_password_and_token_is_a_secret() {
    const NOT_SECRET: [&str; 6] = [
        "disablePasswordUpdate",
        "encodedPassword",
        "lock_passwd",
        "public_key",
        "cosign-key",
        "passwordExpiry",
    ];
    let mut found = 0;
    for schema in [UserData::schema(), Unattended::schema(), Forge::schema(), ClusterDefinition::schema()] {
        walk(schema.root(), "", 0, &mut |path, part| {
            let name = path.rsplit('.').next().unwrap_or_default();
            let lower = name.to_lowercase();
            let sounds_secret =
                ["passw", "token", "secret", "private_key"].iter().any(|word| lower.contains(word));
            if sounds_secret && !NOT_SECRET.contains(&name) && part.types() == ["string"] {
                assert!(part.is_secret(), "{path} is not marked as a secret");
                found += 1;
            }
        });
    }
    assert!(found >= 10, "only {found} secrets were found");
}

#[test]
fn secrets_are_hidden_wherever_they_are_shown() {
    let text = "#cloud-config\nedge: {operator: {name: a, password: hunter2}, site: {edgeHostToken: hunter2}, \
                registryCredentials: {password: hunter2}}\nusers: [{name: a, passwd: hunter2}]\n\
                stages: {boot: [{users: {a: {passwd: hunter2}}, files: [{path: /a, content: hunter2}]}]}\n\
                cluster: {cluster_token: hunter2}\nk3s: {env: {K3S_TOKEN: hunter2}}\n";
    let source = Source { kind: Kind::UserData, form: Form::UserData, name: "f".into(), text: text.into() };
    let merged = combine(&[source], Trust::default());
    assert!(!merged.has_errors(), "{:?}", merged.problems);
    let mut tree = merged.tree.clone();
    origin::redact(&mut tree);
    let settings = merged.settings().unwrap();
    let shown = [
        format!("{settings:?}"),
        serde_json::to_string(&settings).unwrap(),
        print::to_yaml(&tree),
        format!("{:?}", origin::list(&merged.tree, "")),
    ];
    for text in shown {
        assert!(!text.contains("hunter2") && text.contains(HIDDEN), "{text}");
    }
}

/// The checker knows the keywords that our types produce; a new one must not be passed over in silence.
#[test]
fn schemas_use_only_keywords_that_are_checked() {
    const KNOWN: [&str; 35] = [
        "$defs",
        "$ref",
        "$schema",
        "additionalProperties",
        "anyOf",
        "const",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maximum",
        "minimum",
        "oneOf",
        "properties",
        "required",
        "title",
        "type",
        "writeOnly",
        "x-code",
        "x-deprecated",
        "x-from-site",
        "x-item-format",
        "x-merge",
        "x-guarded",
        "x-guards",
        "x-ignored",
        "x-lenient",
        "x-not-yet",
        "x-open",
        "x-template",
        "x-words",
        "x-old-names",
        "x-other-names",
        "x-",
    ];
    fn look(json: &serde_json::Value, is_schema: bool, unknown: &mut Vec<String>) {
        let serde_json::Value::Object(object) = json else { return };
        for (key, value) in object {
            if is_schema && !KNOWN.contains(&key.as_str()) {
                unknown.push(key.clone());
            }
            // A name that is misspelt in a type would leave what it is about unchecked.
            if let ("format" | "x-item-format", Some(name)) = (key.as_str(), value.as_str())
                && format::check(name, "").is_err_and(|why| why.starts_with(format::NOT_KNOWN))
            {
                unknown.push(format!("{key}: {name}"));
            }
            let of_names = is_schema && matches!(key.as_str(), "properties" | "$defs");
            if matches!(key.as_str(), "default" | "enum" | "x-ignored") && is_schema {
                continue;
            }
            match value {
                serde_json::Value::Array(items) => items.iter().for_each(|item| look(item, true, unknown)),
                other => look(other, !of_names, unknown),
            }
        }
    }
    for schema in [UserData::schema(), Unattended::schema()] {
        let mut unknown = Vec::new();
        look(schema.json(), true, &mut unknown);
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
