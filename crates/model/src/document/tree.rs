//! A YAML document as a tree in which every key and value knows where it stands.
//!
//! Scalars keep their text: what `0644` or `5.10` is, the place where it stands decides, not its looks.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use super::problem::Problem;

/// Largest document that is read, in bytes.
pub const SIZE_LIMIT: usize = 1 << 20;
const DEPTH_LIMIT: usize = 48;
/// Aliases may repeat parts of a document; these bound what comes of it: values, and bytes of keys and texts.
const NODE_LIMIT: usize = 200_000;
const TEXT_LIMIT: usize = 4 << 20;
/// The longest key, in bytes: every finding below it repeats it.
const KEY_LIMIT: usize = 512;
/// The most keys of one map: some of what is done with them takes the square of their number.
const MAP_LIMIT: usize = 5000;

/// Where something stands. Lines and columns count from 1, `start` and `end` are bytes of the document.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    pub source: Arc<str>,
    pub line: u32,
    pub column: u32,
    pub start: u32,
    pub end: u32,
}

impl Place {
    /// A place in something that has no lines.
    pub fn whole(source: &str) -> Self {
        Self { source: source.into(), line: 0, column: 0, start: 0, end: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.source),
            line => write!(f, "{}:{line}:{}", self.source, self.column),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, and whether it was written plain: only a plain `true` can be a truth value.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub key_place: Place,
    pub value: Node,
}

impl Node {
    pub fn empty(place: Place) -> Self {
        Self { place, value: Value::Map(Vec::new()) }
    }

    pub fn text(place: Place, text: impl Into<String>) -> Self {
        Self { place, value: Value::Scalar { text: text.into(), plain: false } }
    }

    /// A scalar whose looks count: a number or a truth value.
    pub fn plain(place: Place, text: impl Into<String>) -> Self {
        Self { place, value: Value::Scalar { text: text.into(), plain: true } }
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The value at a dotted path; list items by number. Keys that hold dots are found too.
    pub fn find(&self, path: &str) -> Option<&Node> {
        if path.is_empty() {
            return Some(self);
        }
        if let Value::List(items) = &self.value {
            let (index, rest) = path.split_once('.').unwrap_or((path, ""));
            return items.get(index.parse::<usize>().ok()?)?.find(rest);
        }
        self.entries().iter().find_map(|entry| {
            let rest = path.strip_prefix(entry.key.as_str())?;
            if rest.is_empty() { Some(&entry.value) } else { entry.value.find(rest.strip_prefix('.')?) }
        })
    }

    /// Removes and returns the value of a key of a map.
    pub fn take(&mut self, key: &str) -> Option<Entry> {
        let Value::Map(entries) = &mut self.value else { return None };
        let at = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(at))
    }

    /// Puts a value at a path of keys, making the maps on the way.
    pub fn put(&mut self, path: &[&str], entry: Entry) {
        let Value::Map(entries) = &mut self.value else { return };
        match path {
            [] => {}
            [last] => {
                entries.retain(|present| present.key != *last);
                entries.push(Entry { key: (*last).to_owned(), ..entry });
            }
            [first, rest @ ..] => {
                if !entries.iter().any(|present| present.key == *first) {
                    let value = Node::empty(entry.value.place.clone());
                    entries.push(Entry {
                        key: (*first).to_owned(),
                        key_place: entry.key_place.clone(),
                        value,
                    });
                }
                if let Some(next) = entries.iter_mut().find(|present| present.key == *first) {
                    next.value.put(rest, entry);
                }
            }
        }
    }
}

/// Reads one YAML document. A document without content is an empty map.
///
/// # Errors
/// The first thing that is not YAML, a repeated key, or a limit that is exceeded.
pub fn read(source: &str, text: &str) -> Result<Node, Problem> {
    let source: Arc<str> = source.into();
    let start = Place { source: source.clone(), line: 1, column: 1, start: 0, end: 0 };
    if text.len() > SIZE_LIMIT {
        return Err(Problem::error(start, "", format!("the document is larger than {SIZE_LIMIT} bytes")));
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { source, parser, anchors: HashMap::new(), nodes: 0, bytes: 0, depth: 0 };
    reader.document(start)
}

/// Documents are limited: their lines and bytes fit.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

struct Reader<'a> {
    source: Arc<str>,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self, start: Place) -> Result<Node, Problem> {
        let mut root = None;
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root.unwrap_or_else(|| Node::empty(start))),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    return Err(Problem::error(place, "", "a second document begins here")
                        .help("put each document into a file of its own"));
                }
                event => {
                    let node = self.node(event, place)?;
                    root = Some(if node.is_null() { Node::empty(node.place) } else { node });
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Place), Problem> {
        match self.parser.next() {
            Some(Ok((event, span))) => {
                let place = self.place(&span);
                Ok((event, place))
            }
            Some(Err(error)) => {
                let marker = error.marker();
                let at = small(marker.byte_offset().unwrap_or(0));
                let place = Place {
                    source: self.source.clone(),
                    line: small(marker.line().max(1)),
                    column: small(marker.col() + 1),
                    start: at,
                    end: at,
                };
                Err(Problem::error(place, "", format!("this is not YAML: {}", error.kind())))
            }
            None => Err(Problem::error(Place::whole(&self.source), "", "the document ends too early")),
        }
    }

    fn place(&self, span: &Span) -> Place {
        Place {
            source: self.source.clone(),
            line: small(span.start.line().max(1)),
            column: small(span.start.col() + 1),
            start: small(span.start.byte_offset().unwrap_or(0)),
            end: small(span.end.byte_offset().unwrap_or(0)),
        }
    }

    fn node(&mut self, event: Event<'a>, place: Place) -> Result<Node, Problem> {
        self.count(Size { nodes: 1, bytes: 0 }, &place)?;
        if self.depth >= DEPTH_LIMIT {
            return Err(Problem::error(place, "", format!("nested more than {DEPTH_LIMIT} levels deep")));
        }
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, _) => {
                self.count(Size { nodes: 0, bytes: text.len() }, &place)?;
                (anchor, Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain })
            }
            Event::SequenceStart(_, anchor, _) => (anchor, self.list()?),
            Event::MappingStart(_, anchor, _) => (anchor, self.map()?),
            Event::Alias(anchor) => {
                let Some(size) = self.anchors.get(&anchor).map(size) else {
                    return Err(Problem::error(place, "", "an alias of something that contains it"));
                };
                // Before it is copied.
                self.count(size, &place)?;
                let node = self.anchors.get(&anchor).cloned().unwrap_or_else(|| Node::empty(place.clone()));
                return Ok(Node { place, ..node });
            }
            _ => return Err(Problem::error(place, "", "a value is missing")),
        };
        let node = Node { place, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, more: Size, place: &Place) -> Result<(), Problem> {
        self.nodes += more.nodes;
        self.bytes += more.bytes;
        if self.nodes > NODE_LIMIT {
            let message = format!("the document has more than {NODE_LIMIT} values");
            return Err(Problem::error(place.clone(), "", message));
        }
        if self.bytes > TEXT_LIMIT {
            let message =
                format!("the document has more than {TEXT_LIMIT} bytes once its aliases are written out");
            return Err(Problem::error(place.clone(), "", message));
        }
        Ok(())
    }

    fn list(&mut self) -> Result<Value, Problem> {
        self.depth += 1;
        let mut items = Vec::new();
        loop {
            let (event, place) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                self.depth -= 1;
                return Ok(Value::List(items));
            }
            items.push(self.node(event, place)?);
        }
    }

    fn map(&mut self) -> Result<Value, Problem> {
        self.depth += 1;
        let mut entries: Vec<Entry> = Vec::new();
        let mut defaults: Vec<Entry> = Vec::new();
        let mut first_places: HashMap<String, u32> = HashMap::new();
        loop {
            let (event, key_place) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                self.depth -= 1;
                defaults.retain(|entry| !first_places.contains_key(&entry.key));
                entries.extend(defaults);
                return Ok(Value::Map(entries));
            }
            let key = self.node(event, key_place.clone())?;
            let Value::Scalar { text: key, plain } = key.value else {
                return Err(Problem::error(key_place, "", "a key must be a word, not a list or a map"));
            };
            if key.len() > KEY_LIMIT {
                return Err(Problem::error(key_place, "", format!("a key is longer than {KEY_LIMIT} bytes")));
            }
            let (event, place) = self.next()?;
            let value = self.node(event, place)?;
            if entries.len() + defaults.len() > MAP_LIMIT {
                let message = format!("a map has more than {MAP_LIMIT} keys");
                return Err(Problem::error(key_place, "", message));
            }
            if plain && key == "<<" {
                merge_keys(&mut defaults, value)?;
                continue;
            }
            if let Some(line) = first_places.insert(key.clone(), key_place.line) {
                let message = format!("the key `{key}` stands here a second time");
                return Err(Problem::error(key_place, &key, message)
                    .help(format!("the first one is in line {line}: keep one of them")));
            }
            entries.push(Entry { key, key_place, value });
        }
    }
}

/// YAML's merge key: the entries of one map, or of several of which the first wins.
fn merge_keys(defaults: &mut Vec<Entry>, value: Node) -> Result<(), Problem> {
    match value.value {
        Value::Map(entries) => {
            for entry in entries {
                if defaults.len() > MAP_LIMIT {
                    let message = format!("a map has more than {MAP_LIMIT} keys");
                    return Err(Problem::error(entry.key_place, "<<", message));
                }
                if !defaults.iter().any(|present| present.key == entry.key) {
                    defaults.push(entry);
                }
            }
            Ok(())
        }
        Value::List(items) => items.into_iter().try_for_each(|item| merge_keys(defaults, item)),
        Value::Scalar { .. } => Err(Problem::error(value.place, "<<", "`<<` takes a map")),
    }
}

/// What a part of a document comes to.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
}

impl std::ops::Add for Size {
    type Output = Size;
    fn add(self, other: Size) -> Size {
        Size { nodes: self.nodes + other.nodes, bytes: self.bytes + other.bytes }
    }
}

fn size(node: &Node) -> Size {
    let sum = |one: Size, other: Size| one + other;
    let own = Size { nodes: 1, bytes: 0 };
    match &node.value {
        Value::Scalar { text, .. } => Size { nodes: 1, bytes: text.len() },
        Value::List(items) => items.iter().map(size).fold(own, sum),
        Value::Map(entries) => {
            let entry = |entry: &Entry| Size { nodes: 0, bytes: entry.key.len() } + size(&entry.value);
            entries.iter().map(entry).fold(own, sum)
        }
    }
}

impl Node {
    /// A value that was not written as YAML, all of it at one place.
    pub fn from_json(place: &Place, json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Scalar { text: String::new(), plain: true },
            Json::Bool(value) => Value::Scalar { text: value.to_string(), plain: true },
            Json::Number(value) => Value::Scalar { text: value.to_string(), plain: true },
            Json::String(value) => Value::Scalar { text: value.clone(), plain: false },
            Json::Array(items) => {
                Value::List(items.iter().map(|item| Self::from_json(place, item)).collect())
            }
            Json::Object(entries) => {
                let entry = |(key, value): (&String, &Json)| Entry {
                    key: key.clone(),
                    key_place: place.clone(),
                    value: Self::from_json(place, value),
                };
                Value::Map(entries.iter().map(entry).collect())
            }
        };
        Self { place: place.clone(), value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_beyond_every_need_is_refused_before_it_is_made() {
        let long = "x".repeat(500_000);
        let copies = (0..50).map(|at| format!("k{at}: *a\n")).collect::<String>();
        let keys = (0..6000).map(|at| format!("k{at}: 1\n")).collect::<String>();
        for (document, why) in [
            (format!("a: &a {long}\n{copies}"), "once its aliases are written out"),
            (format!("{}: 1\n", "k".repeat(1000)), "a key is longer"),
            (keys, "more than 5000 keys"),
        ] {
            let problem = read("x", &document).unwrap_err();
            assert!(problem.message.contains(why), "{}", problem.message);
        }
    }
}
