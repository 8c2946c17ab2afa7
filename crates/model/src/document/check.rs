//! Checking a tree against the schema of its type: every finding at once, and a tree without what is wrong.

use serde_json::Value as Json;

use super::format;
use super::problem::{MOST_PROBLEMS, Problem, Severity};
use super::schema::Part;
use super::tree::{Entry, Node, Place, Value};

/// Checks `node` and takes everything out of it that is wrong, so that the rest can be used.
pub fn check(node: &mut Node, part: Part<'_>, problems: &mut Vec<Problem>) {
    let lenient = part.is_lenient().unwrap_or(false);
    let mut checker = Checker { problems, errors: 0, lenient, of_others: Vec::new() };
    checker.node(node, part, "");
}

struct Checker<'a> {
    problems: &'a mut Vec<Problem>,
    /// Also those beyond the number that is told.
    errors: usize,
    /// Keys that nobody knows are passed over here.
    lenient: bool,
    /// Where sections stand under the names that other systems have for them.
    of_others: Vec<Place>,
}

/// What a value is, for a person.
fn describe(node: &Node) -> String {
    match &node.value {
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a map".into(),
        Value::Scalar { text, .. } if text.chars().count() > 40 => "a text".into(),
        Value::Scalar { text, plain: false } => format!("the text {text:?}"),
        Value::Scalar { text, plain: true } => format!("`{text}`"),
    }
}

fn describe_types(types: &[&str]) -> String {
    let name = |name: &&str| match *name {
        "object" => "a map",
        "array" => "a list",
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        _ => "nothing",
    };
    types.iter().map(name).collect::<Vec<_>>().join(" or ")
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl Checker<'_> {
    fn found(&mut self, problem: Problem) {
        self.errors += usize::from(problem.severity == Severity::Error);
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
        }
    }

    fn error(&mut self, place: &Place, path: &str, message: impl Into<String>) {
        self.found(Problem::error(place.clone(), path, message));
    }

    /// Tells whether the value can be used.
    fn node(&mut self, node: &mut Node, part: Part<'_>, path: &str) -> bool {
        let alternatives = part.alternatives();
        if !alternatives.is_empty() {
            return self.one_of(node, &alternatives, path);
        }
        if part.is_anything() {
            return true;
        }
        if let Value::Scalar { text, .. } = &node.value
            && part.takes_words()
        {
            let words = text.split([',', ' ']).filter(|word| !word.is_empty());
            let items = words.map(|word| Node::text(node.place.clone(), word.to_owned())).collect();
            node.value = Value::List(items);
        }
        match &mut node.value {
            Value::Map(_) if part.types().contains(&"object") => self.map(node, part, path),
            Value::List(items) if part.types().contains(&"array") => {
                let mut index = 0;
                items.retain_mut(|item| {
                    let at = join(path, &index.to_string());
                    index += 1;
                    self.may_be_item(item, part, &at)
                        && part.items().is_none_or(|items| self.node(item, items, &at))
                        && self.format_holds(item, part.item_format(), &at)
                });
                true
            }
            Value::Scalar { .. } => self.scalar(node, part, path),
            _ => self.wrong_type(node, &part.types(), path),
        }
    }

    /// `default` among the accounts of cloud-init, and `...` of documentation, where the document is not ours.
    fn may_be_item(&mut self, item: &Node, part: Part<'_>, path: &str) -> bool {
        let wants_map = part.items().is_some_and(|items| items.types() == ["object"]);
        let Some(text) = item.scalar().filter(|_| self.lenient && wants_map) else { return true };
        let message = format!("nothing acts on `{text}` here");
        self.found(Problem::warning(item.place.clone(), path, message));
        false
    }

    fn wrong_type(&mut self, node: &Node, types: &[&str], path: &str) -> bool {
        self.error(
            &node.place,
            path,
            format!("expected {}, found {}", describe_types(types), describe(node)),
        );
        false
    }

    /// The alternatives of a union differ in their JSON type, so the shape of the value chooses.
    fn one_of(&mut self, node: &mut Node, alternatives: &[Part<'_>], path: &str) -> bool {
        let fits = |part: &&Part<'_>| {
            let types = part.types();
            match &node.value {
                Value::Map(_) => types.contains(&"object"),
                Value::List(_) => types.contains(&"array"),
                Value::Scalar { .. } => types.iter().any(|name| scalar_as(node, name).is_some()),
            }
        };
        match alternatives.iter().find(fits) {
            Some(part) => self.node(node, *part, path),
            None => {
                let types: Vec<&str> = alternatives.iter().flat_map(Part::types).collect();
                self.wrong_type(node, &types, path)
            }
        }
    }

    fn map(&mut self, node: &mut Node, part: Part<'_>, path: &str) -> bool {
        let place = node.place.clone();
        let Value::Map(entries) = &mut node.value else { return false };
        self.rename(entries, part, path);
        unfold(entries, part);
        let given: Vec<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        let mut complete = true;
        entries.retain_mut(|entry| {
            let errors = self.errors;
            let kept = self.entry(entry, part, path);
            // Whatever is wrong about a condition: without it, more would happen than somebody meant.
            let guards = part.property(&entry.key).map_or(part.is_guarded(), |property| property.guards());
            if guards && self.errors > errors {
                complete = false;
                self.say_left_out();
            }
            kept
        });
        for name in part.required() {
            if !entries.iter().any(|entry| entry.key == name) {
                // One that is there and wrong has been reported.
                if !given.iter().any(|key| key == name) {
                    self.error(&place, path, format!("the key `{name}` is missing"));
                }
                complete = false;
            }
        }
        complete
    }

    /// Old and equal spellings become the one that the model uses.
    fn rename(&mut self, entries: &mut Vec<Entry>, part: Part<'_>, path: &str) {
        for (name, property) in part.properties() {
            let spellings = [property.old_names(), property.other_names()].concat();
            let mut present = entries.iter().any(|entry| entry.key == name);
            entries.retain_mut(|entry| {
                if !spellings.contains(&entry.key.as_str()) {
                    return true;
                }
                let at = join(path, &entry.key);
                if present {
                    let message = format!("`{}` and `{name}` are the same: write one of them", entry.key);
                    self.error(&entry.key_place, &at, message);
                    return false;
                }
                if property.old_names().contains(&entry.key.as_str()) {
                    let message = format!("this is an old spelling of `{name}`");
                    self.found(Problem::warning(entry.key_place.clone(), &at, message));
                }
                if property.other_names().contains(&entry.key.as_str()) {
                    self.of_others.push(entry.key_place.clone());
                }
                present = true;
                entry.key = name.to_owned();
                true
            });
        }
    }

    fn entry(&mut self, entry: &mut Entry, part: Part<'_>, path: &str) -> bool {
        let at = join(path, &entry.key);
        let Some(property) = part.property(&entry.key) else {
            return match part.other_properties() {
                // As below: `boot:` with all of its steps commented out.
                Some(others)
                    if entry.value.is_null()
                        && others.types().iter().any(|name| ["array", "object"].contains(name)) =>
                {
                    false
                }
                Some(others) => self.node(&mut entry.value, others, &at),
                None => self.unknown_key(entry, part, &at),
            };
        };
        if entry.value.is_null() && !property.is_anything() {
            // As if the key were not there: `install:` with everything below it commented out.
            return false;
        }
        if entry.value.scalar() == Some("") && !property.choices().is_empty() {
            // `encoding: ""` of documents that name every key.
            return false;
        }
        if property.is_not_yet() {
            let message = "accepted, not yet acted on";
            self.found(Problem::note(entry.key_place.clone(), &at, message));
        }
        if let Some(instead) = property.deprecated() {
            let message = format!("this key is old: write {instead}");
            self.found(Problem::warning(entry.key_place.clone(), &at, message));
        }
        let around = self.lenient;
        let of_others = self.of_others.contains(&entry.key_place);
        self.lenient = if of_others { true } else { property.is_lenient().unwrap_or(around) };
        let is_usable = self.node(&mut entry.value, property, &at);
        self.lenient = around;
        is_usable
    }

    /// The last finding costs what it stands in.
    fn say_left_out(&mut self) {
        let Some(last) = self.problems.last_mut().filter(|last| last.severity == Severity::Error) else {
            return;
        };
        last.message.push_str("; all of this step is left out");
    }

    /// Tells whether the key stays.
    fn unknown_key(&mut self, entry: &Entry, part: Part<'_>, at: &str) -> bool {
        let known: Vec<&str> = part.properties().map(|(name, _)| name).collect();
        if let Some(instead) = part.ignored(&entry.key) {
            let problem = Problem::warning(entry.key_place.clone(), at, "nothing acts on this key");
            self.found(if instead.is_empty() { problem } else { problem.help(instead) });
            return false;
        }
        if (part.is_open() || self.lenient) && slip_of(&entry.key, known.iter().copied()).is_none() {
            let message = match part.is_open() {
                true => "no part of this system knows this section: plug-ins are given it",
                false => "nothing acts on this key",
            };
            self.found(Problem::warning(entry.key_place.clone(), at, message));
            return part.is_open();
        }
        let mut problem = Problem::error(entry.key_place.clone(), at, "no such key");
        if let Some(near) = nearest(&entry.key, known.iter().copied()) {
            problem = problem.help(format!("did you mean `{near}`?"));
        } else if !known.is_empty() && known.len() <= 12 {
            problem = problem.help(format!("the keys here are {}", known.join(", ")));
        }
        self.found(problem);
        false
    }

    fn scalar(&mut self, node: &mut Node, part: Part<'_>, path: &str) -> bool {
        let types = part.types();
        let Some(text) = node.scalar().map(str::to_owned) else { return false };
        if types == ["boolean"] && matches!(text.as_str(), "yes" | "no" | "on" | "off" | "True" | "False") {
            let meant = matches!(text.as_str(), "yes" | "on" | "True");
            let message = format!("`{text}` is read as {meant}: write {meant}");
            self.found(Problem::warning(node.place.clone(), path, message));
            *node = Node::plain(node.place.clone(), meant.to_string());
        }
        if !types.iter().any(|name| scalar_as(node, name).is_some()) {
            return self.wrong_type(node, &types, path);
        }
        let choices = part.choices();
        if !choices.is_empty() && !choices.contains(&text.as_str()) {
            let message = format!("`{text}` is not one of {}", choices.join(", "));
            let mut problem = Problem::error(node.place.clone(), path, message);
            if let Some(near) = nearest(&text, choices.iter().copied()) {
                problem = problem.help(format!("did you mean `{near}`?"));
            }
            self.found(problem);
            return false;
        }
        // What a template comes to is looked at when it is rendered.
        let is_template = part.may_be_template() && text.contains("{{");
        self.number_is_allowed(node, part, path)
            && (is_template || self.format_holds(node, part.format(), path))
    }

    fn number_is_allowed(&mut self, node: &Node, part: Part<'_>, path: &str) -> bool {
        let Some(number) = scalar_as(node, "number").and_then(|number| number.as_f64()) else { return true };
        let low = part.number("minimum").filter(|low| number < *low);
        let widest = match part.format() {
            Some("uint8") => Some(f64::from(u8::MAX)),
            Some("uint16") => Some(f64::from(u16::MAX)),
            Some("uint32") => Some(f64::from(u32::MAX)),
            // Beyond this a number is not exact any more.
            Some("uint64") => Some((1_u64 << 53) as f64),
            _ => None,
        };
        let high = part.number("maximum").or(widest).filter(|high| number > *high);
        let message = match (low, high) {
            (Some(low), _) => format!("{number} is less than {low}, the least that is allowed"),
            (_, Some(high)) => format!("{number} is more than {high}, the most that is allowed"),
            (None, None) => return true,
        };
        self.error(&node.place, path, message);
        false
    }

    fn format_holds(&mut self, node: &Node, format: Option<&str>, path: &str) -> bool {
        let (Some(format), Some(text)) = (format, node.scalar()) else { return true };
        match format::check(format, text) {
            Ok(None) => true,
            Ok(Some(warning)) => {
                self.found(Problem::warning(node.place.clone(), path, warning));
                true
            }
            Err(message) => {
                self.error(&node.place, path, message);
                false
            }
        }
    }
}

/// `partitions.oem.size: 60` is `partitions: {oem: {size: 60}}`, as in Kairos.
fn unfold(entries: &mut Vec<Entry>, part: Part<'_>) {
    let is_folded = |entry: &Entry| {
        let first = entry.key.split_once('.').map(|(first, _)| first);
        part.property(&entry.key).is_none()
            && first.and_then(|first| part.property(first)).is_some_and(|one| one.types() == ["object"])
    };
    while let Some(at) = entries.iter().position(is_folded) {
        let entry = entries.remove(at);
        let keys: Vec<&str> = entry.key.split('.').collect();
        let mut whole = Node::empty(entry.key_place.clone());
        whole.value = Value::Map(std::mem::take(entries));
        whole.put(&keys, Entry { key: String::new(), ..entry.clone() });
        if let Value::Map(unfolded) = whole.value {
            *entries = unfolded;
        }
    }
}

/// A scalar as a JSON value of a type, if it can be one.
fn scalar_as(node: &Node, name: &str) -> Option<Json> {
    let Value::Scalar { text, plain } = &node.value else { return None };
    match (name, *plain) {
        ("string", _) => Some(Json::String(text.clone())),
        ("boolean", true) => text.parse().ok().map(Json::Bool),
        ("integer", true) => integer(text),
        ("number", true) => {
            integer(text).or_else(|| serde_json::Number::from_f64(text.parse().ok()?).map(Json::Number))
        }
        _ => None,
    }
}

fn integer(text: &str) -> Option<Json> {
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).ok().map(Json::from);
    }
    text.parse::<u64>().map(Json::from).or_else(|_| text.parse::<i64>().map(Json::from)).ok()
}

/// The tree as JSON, each scalar as the schema wants it. The tree has been checked.
pub fn to_json(node: &Node, part: Part<'_>) -> Json {
    let alternatives = part.alternatives();
    let part = alternatives
        .iter()
        .find(|part| match &node.value {
            Value::Map(_) => part.types().contains(&"object"),
            Value::List(_) => part.types().contains(&"array"),
            Value::Scalar { .. } => part.types().iter().any(|name| scalar_as(node, name).is_some()),
        })
        .copied()
        .unwrap_or(part);
    match &node.value {
        Value::Map(entries) => {
            // A section of somebody else's is no part of the type.
            let value = |entry: &Entry| {
                let inner = part.property(&entry.key).or_else(|| part.other_properties())?;
                Some((entry.key.clone(), to_json(&entry.value, inner)))
            };
            Json::Object(entries.iter().filter_map(value).collect())
        }
        Value::List(items) => {
            let value =
                |item: &Node| part.items().map_or_else(|| untyped(item), |inner| to_json(item, inner));
            Json::Array(items.iter().map(value).collect())
        }
        Value::Scalar { .. } if part.is_anything() => untyped(node),
        Value::Scalar { text, .. } => {
            // A quoted number is a text where both are allowed.
            let order = ["boolean", "integer", "number", "string"];
            let types = part.types();
            let wanted = order.iter().filter(|name| types.contains(name));
            wanted
                .filter_map(|name| scalar_as(node, name))
                .next()
                .unwrap_or_else(|| Json::String(text.clone()))
        }
    }
}

/// A value that no schema speaks about, by the rules of YAML's core schema.
pub fn untyped(node: &Node) -> Json {
    match &node.value {
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), untyped(&entry.value))).collect())
        }
        Value::List(items) => Json::Array(items.iter().map(untyped).collect()),
        Value::Scalar { .. } if node.is_null() => Json::Null,
        Value::Scalar { text, .. } => ["boolean", "integer", "number"]
            .iter()
            .find_map(|name| scalar_as(node, name))
            .unwrap_or_else(|| Json::String(text.clone())),
    }
}

/// The candidate that a person has mistyped: closer than [`nearest`], for where other words are right, too.
fn slip_of<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', '_', '.', ' '], "");
    let meant = plain(word);
    let allowed = if meant.len() < 8 { 1 } else { 2 };
    candidates
        .filter(|candidate| candidate.len() > 3)
        .find(|candidate| strsim::damerau_levenshtein(&meant, &plain(candidate)) <= allowed)
}

/// The candidate that a person most likely meant.
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', '_', '.', ' '], "");
    let meant = plain(word);
    let distance = |candidate: &str| strsim::damerau_levenshtein(&meant, &plain(candidate));
    candidates
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().min(word.len()).div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}
