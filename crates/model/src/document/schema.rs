//! Reading JSON Schema as `schemars` writes it for our types.
//!
//! Besides the standard keywords these are used, each as an extension of a property:
//! `x-not-yet` (accepted, nothing acts on it), `x-old-names` (deprecated spellings of the key), `x-other-names`
//! (equal spellings), `x-deprecated` (what to write instead), `x-item-format`, `x-merge: replace` (a later source replaces the
//! whole value), `writeOnly` (a secret), `x-code` (free text that runs or that programs are given, in which secrets stand), `x-from-site` (an unsigned source outside the verified image may bring it, also with
//! Secure Boot; without it, it may not), `x-template` (rendered on the host before its format counts), `x-guards` (what it stands in is not used when it is wrong: a condition), and of a whole
//! map: `x-lenient` (keys below that nobody knows are warned of, as Kairos passes them over), `x-open` (keys that nobody knows are kept, and warned of), `x-guarded` (a key that nobody knows may be a misspelt condition),
//! `x-ignored` (keys of other systems that nothing acts on, each with what does instead).

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value as Json};

/// The schema of a document, as one self-contained JSON value.
#[derive(Debug)]
pub struct Schema(Json);

/// A document type with its schema, generated once.
pub trait Document: serde::de::DeserializeOwned + JsonSchema {
    fn schema() -> &'static Schema;
}

/// Generates the schema of a type.
pub fn generate<T: JsonSchema>() -> Schema {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = false;
    Schema(SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value())
}

/// Declares [`Document`] for a type.
#[macro_export]
macro_rules! document {
    ($type:ty) => {
        impl $crate::document::Document for $type {
            fn schema() -> &'static $crate::document::Schema {
                static SCHEMA: std::sync::LazyLock<$crate::document::Schema> =
                    std::sync::LazyLock::new($crate::document::generate::<$type>);
                &SCHEMA
            }
        }
    };
}

/// One part of a schema: the type, and what the property that leads to it adds.
#[derive(Debug, Clone, Copy)]
pub struct Part<'s> {
    root: &'s Schema,
    /// The property's own schema, with its annotations.
    outer: &'s Json,
    /// What it refers to.
    inner: &'s Json,
}

static NOTHING: LazyLock<Map<String, Json>> = LazyLock::new(Map::new);

impl Schema {
    pub fn root(&self) -> Part<'_> {
        self.part(&self.0)
    }

    /// The JSON that editors read.
    pub fn json(&self) -> &Json {
        &self.0
    }

    fn part<'s>(&'s self, outer: &'s Json) -> Part<'s> {
        let mut inner = outer;
        for _ in 0..8 {
            // `Option<T>` is `anyOf: [T, null]`; a reference stands beside its annotations.
            if let Some(name) = inner.get("$ref").and_then(Json::as_str) {
                let name = name.trim_start_matches("#/$defs/");
                inner = self.0.get("$defs").and_then(|defs| defs.get(name)).unwrap_or(&Json::Null);
            } else if let Some([one, other]) = inner.get("anyOf").and_then(Json::as_array).map(Vec::as_slice)
                && other.get("type").and_then(Json::as_str) == Some("null")
            {
                inner = one;
            } else {
                break;
            }
        }
        Part { root: self, outer, inner }
    }
}

impl<'s> Part<'s> {
    fn annotation(&self, name: &str) -> Option<&'s Json> {
        self.outer.get(name).or_else(|| self.inner.get(name))
    }

    fn texts(&self, name: &str) -> Vec<&'s str> {
        let list = self.annotation(name).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Json::as_str).collect()
    }

    fn flag(&self, name: &str) -> bool {
        self.annotation(name).and_then(Json::as_bool).unwrap_or(false)
    }

    /// Nothing acts on this yet. Said where the property is declared, not inherited from its type.
    pub fn is_not_yet(&self) -> bool {
        self.flag("x-not-yet")
    }

    /// Whoever stands in front of the host may bring this, with all that is below it: it says who and where the host is, and brings
    /// neither code nor keys. Said where the property is declared, not inherited from its type.
    pub fn may_come_from_site(&self) -> bool {
        self.outer.get("x-from-site").and_then(Json::as_bool).unwrap_or(false)
    }

    /// The value may be a template, which is rendered on the host: with the configuration (`true`), or by the step that it belongs to
    /// (`step`).
    pub fn may_be_template(&self) -> bool {
        self.annotation("x-template").is_some()
    }

    pub fn is_rendered_with_the_configuration(&self) -> bool {
        self.flag("x-template")
    }

    /// What this stands in does not count when this is wrong.
    pub fn guards(&self) -> bool {
        self.flag("x-guards")
    }

    /// A key that is not known may be one that guards.
    pub fn is_guarded(&self) -> bool {
        self.flag("x-guarded")
    }

    /// Whether keys below that nobody knows are passed over with a warning, as where this document comes from; none where the part above
    /// says it.
    pub fn is_lenient(&self) -> Option<bool> {
        self.annotation("x-lenient")?.as_bool()
    }

    /// A list that may be written as words between commas.
    pub fn takes_words(&self) -> bool {
        self.flag("x-words")
    }

    /// Keys that are not known are other people's.
    pub fn is_open(&self) -> bool {
        self.flag("x-open")
    }

    /// A key that other systems know and nothing here acts on: what does instead, or nothing.
    pub fn ignored(&self, key: &str) -> Option<&'s str> {
        self.annotation("x-ignored")?.get(key)?.as_str()
    }

    pub fn is_secret(&self) -> bool {
        self.flag("writeOnly")
    }

    /// Free text that runs, or that programs are given: people write passwords into it, whatever its key is called.
    pub fn is_code(&self) -> bool {
        self.flag("x-code")
    }

    pub fn is_replaced_as_a_whole(&self) -> bool {
        self.annotation("x-merge").and_then(Json::as_str) == Some("replace")
    }

    /// Each value of this map is replaced as a whole.
    pub fn replaces_each(&self) -> bool {
        self.annotation("x-merge").and_then(Json::as_str) == Some("replace-each")
    }

    pub fn deprecated(&self) -> Option<&'s str> {
        self.annotation("x-deprecated").and_then(Json::as_str)
    }

    pub fn old_names(&self) -> Vec<&'s str> {
        self.texts("x-old-names")
    }

    pub fn other_names(&self) -> Vec<&'s str> {
        self.texts("x-other-names")
    }

    pub fn description(&self) -> &'s str {
        self.annotation("description").and_then(Json::as_str).unwrap_or_default()
    }

    pub fn default(&self) -> Option<&'s Json> {
        self.outer.get("default")
    }

    pub fn format(&self) -> Option<&'s str> {
        self.annotation("format").and_then(Json::as_str)
    }

    /// Format of the items of a list.
    pub fn item_format(&self) -> Option<&'s str> {
        self.annotation("x-item-format").and_then(Json::as_str)
    }

    pub fn number(&self, keyword: &str) -> Option<f64> {
        self.annotation(keyword).and_then(Json::as_f64)
    }

    /// Nothing is said about the value.
    pub fn is_anything(&self) -> bool {
        match self.inner {
            Json::Bool(allowed) => *allowed,
            Json::Object(object) => !["type", "anyOf", "oneOf", "enum", "const", "properties"]
                .iter()
                .any(|keyword| object.contains_key(*keyword)),
            _ => true,
        }
    }

    /// JSON type names that a value may have, without `null`.
    pub fn types(&self) -> Vec<&'s str> {
        match self.inner.get("type") {
            Some(Json::String(one)) => vec![one.as_str()],
            Some(Json::Array(several)) => {
                several.iter().filter_map(Json::as_str).filter(|name| *name != "null").collect()
            }
            _ if !self.choices().is_empty() => vec!["string"],
            _ => Vec::new(),
        }
    }

    /// The alternatives of a value that may have one of several shapes.
    pub fn alternatives(&self) -> Vec<Part<'s>> {
        let list = self.inner.get("anyOf").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter()
            .filter(|schema| schema.get("type").and_then(Json::as_str) != Some("null"))
            .map(|schema| self.root.part(schema))
            .collect()
    }

    /// The words that are allowed, when only certain words are.
    pub fn choices(&self) -> Vec<&'s str> {
        let words = |list: &'s Json| -> Vec<&'s str> {
            list.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(Json::as_str).collect()
        };
        if let Some(list) = self.inner.get("enum") {
            return words(list);
        }
        let list = self.inner.get("oneOf").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        let of_one = |schema: &'s Json| match schema.get("const") {
            Some(Json::String(word)) => vec![word.as_str()],
            _ => schema.get("enum").map(words).unwrap_or_default(),
        };
        list.iter().flat_map(of_one).collect()
    }

    pub fn items(&self) -> Option<Part<'s>> {
        self.inner.get("items").map(|items| self.root.part(items))
    }

    fn property_map(&self) -> &'s Map<String, Json> {
        self.inner.get("properties").and_then(Json::as_object).unwrap_or(&NOTHING)
    }

    pub fn properties(&self) -> impl Iterator<Item = (&'s str, Part<'s>)> {
        let root = self.root;
        self.property_map().iter().map(move |(name, schema)| (name.as_str(), root.part(schema)))
    }

    pub fn property(&self, name: &str) -> Option<Part<'s>> {
        self.property_map().get(name).map(|schema| self.root.part(schema))
    }

    /// The property that a key means, by its name or by any other that it may be written with.
    pub fn property_by_any_name(&self, name: &str) -> Option<Part<'s>> {
        let is_called =
            |part: &Part<'s>| part.other_names().contains(&name) || part.old_names().contains(&name);
        self.property(name)
            .or_else(|| self.property_map().values().map(|schema| self.root.part(schema)).find(is_called))
    }

    /// What values of keys that are not named must be; `None` when other keys are refused.
    pub fn other_properties(&self) -> Option<Part<'s>> {
        match self.inner.get("additionalProperties") {
            Some(Json::Bool(false)) => None,
            Some(schema) => Some(self.root.part(schema)),
            None => Some(Part { root: self.root, outer: &Json::Bool(true), inner: &Json::Bool(true) }),
        }
    }

    pub fn required(&self) -> Vec<&'s str> {
        let list = self.inner.get("required").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Json::as_str).collect()
    }
}
