//! One error type for the whole project: a class, what happened, and what to do next.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of failure this is. Decides the exit code, the HTTP status and the colour on a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A document, argument or request is wrong; nothing was changed.
    InvalidInput,
    /// The machine, network or a missing tool prevents the work; trying again later may help.
    Environment,
    /// The request is understood and refused by policy or state.
    Rejected,
    /// Nobody has logged in, or the session has ended.
    Unauthenticated,
    /// The role of the caller does not allow it.
    Forbidden,
    /// What the request names is not there.
    NotFound,
    /// Too many requests; trying again later helps.
    TooMany,
    /// Bytes do not match their signature, digest or hash tree.
    Integrity,
    /// A defect in this program.
    Internal,
}

impl Class {
    /// Process exit code of a command that failed with this class.
    pub fn exit_code(self) -> u8 {
        match self {
            Class::InvalidInput => 2,
            Class::Environment => 3,
            Class::Rejected
            | Class::Unauthenticated
            | Class::Forbidden
            | Class::NotFound
            | Class::TooMany => 4,
            Class::Integrity => 5,
            Class::Internal => 70,
        }
    }

    /// HTTP status of an API answer that failed with this class.
    pub fn http_status(self) -> u16 {
        match self {
            Class::InvalidInput => 400,
            Class::Rejected => 409,
            Class::Unauthenticated => 401,
            Class::Forbidden => 403,
            Class::NotFound => 404,
            Class::TooMany => 429,
            Class::Integrity => 422,
            Class::Environment => 503,
            Class::Internal => 500,
        }
    }
}

/// An error as a person will read it. `causes` are ordered from near to far.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Error {
    pub class: Class,
    pub message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), causes: Vec::new(), help: None }
    }
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Class::InvalidInput, message)
    }
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(Class::Environment, message)
    }
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(Class::Rejected, message)
    }
    pub fn integrity(message: impl Into<String>) -> Self {
        Self::new(Class::Integrity, message)
    }
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Class::Internal, message)
    }

    /// What the reader should do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Puts a wider description in front; the present message becomes the first cause.
    #[must_use]
    pub fn context(mut self, message: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.message, message.into());
        self.causes.insert(0, inner);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {self}", self.class)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " (help: {help})"))
    }
}

impl std::error::Error for Error {}

/// Attaches what was being done to any error.
pub trait Context<T> {
    /// Wraps a foreign error as [`Class::Environment`]; keeps the class of our own.
    fn context(self, message: impl Into<String>) -> Result<T>;
    /// Like [`Context::context`], with a message built only on failure.
    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: IntoError> Context<T> for std::result::Result<T, E> {
    fn context(self, message: impl Into<String>) -> Result<T> {
        self.map_err(|error| error.into_error().context(message))
    }
    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| error.into_error().context(message()))
    }
}

/// Conversion of the foreign errors that this project meets.
pub trait IntoError {
    fn into_error(self) -> Error;
}

impl IntoError for Error {
    fn into_error(self) -> Error {
        self
    }
}

impl IntoError for std::io::Error {
    fn into_error(self) -> Error {
        Error::environment(self.to_string())
    }
}

impl IntoError for serde_json::Error {
    fn into_error(self) -> Error {
        Error::invalid(self.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        error.into_error()
    }
}

/// An error of a library with its causes, which most do not print themselves.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // Some repeat their cause in their own words.
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// Prints an error for a person, once, on standard error.
pub fn render(error: &Error) -> String {
    let mut text = format!("error: {}", error.message);
    for cause in &error.causes {
        text.push_str(&format!("\n  because: {cause}"));
    }
    if let Some(help) = &error.help {
        text.push_str(&format!("\n  help: {help}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_keeps_class_and_orders_causes() {
        let error = Error::integrity("block 7 differs").context("cannot scrub slot b").help("run it again");
        assert_eq!(error.class, Class::Integrity);
        assert_eq!(error.to_string(), "cannot scrub slot b: block 7 differs");
        assert_eq!(
            render(&error),
            "error: cannot scrub slot b\n  because: block 7 differs\n  help: run it again"
        );
    }
}
