//! What is wrong, or worth knowing, about a document.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::tree::Place;
use crate::error::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Accepted, and nothing happens yet.
    Note,
    Warning,
    Error,
}

/// One finding, with the place and the path of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub place: Place,
    pub path: String,
    pub message: String,
    pub help: Option<String>,
}

/// How many findings a document can have; whoever has mended those learns of the others.
pub const MOST_PROBLEMS: usize = 500;
/// The longest path and message, in characters: both repeat what the document says.
const LONGEST: usize = 600;

fn shortened(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain("…".chars()).collect()
}

impl Problem {
    fn new(severity: Severity, place: Place, path: &str, message: impl Into<String>) -> Self {
        Self { severity, place, path: shortened(path), message: shortened(&message.into()), help: None }
    }

    pub fn error(place: Place, path: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, place, path, message)
    }

    pub fn warning(place: Place, path: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, place, path, message)
    }

    pub fn note(place: Place, path: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, place, path, message)
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{}: {severity}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " (help: {help})"))
    }
}

/// As an editor takes it: one flat object.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Problem", 7)?;
        object.serialize_field("severity", &self.severity)?;
        object.serialize_field("file", self.place.source.as_ref())?;
        object.serialize_field("line", &self.place.line)?;
        object.serialize_field("column", &self.place.column)?;
        object.serialize_field("path", &self.path)?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("help", &self.help)?;
        object.end()
    }
}

/// All errors among `problems` as one; `None` when there is none.
pub fn as_error(name: &str, problems: &[Problem]) -> Option<Error> {
    let errors: Vec<String> = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(ToString::to_string)
        .collect();
    match errors.as_slice() {
        [] => None,
        [one] => Some(Error::invalid(one.clone())),
        several => {
            let mut error = Error::invalid(format!("{name} has {} errors", several.len()));
            error.causes = errors;
            Some(error)
        }
    }
}
