//! Documents that people write: read with the place of everything, checked against the schema of their type,
//! all findings at once.
//!
//! [`tree`] reads YAML, [`schema`] is generated from the Rust types, [`check`] compares the two and [`format`]
//! knows what single values mean.

pub mod check;
pub mod format;
pub mod print;
pub mod problem;
pub mod schema;
pub mod tree;

pub use problem::{Problem, Severity};
pub use schema::{Document, Part, Schema, generate};
pub use tree::{Node, Place};

use crate::error::{Error, Result};

/// Reads and checks a document; the second part says what was found.
pub fn read<T: Document>(name: &str, text: &str) -> (Node, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut node = match tree::read(name, text) {
        Ok(node) => node,
        Err(problem) => return (Node::empty(problem.place.clone()), vec![problem]),
    };
    check::check(&mut node, T::schema().root(), &mut problems);
    problems.sort_by_key(|problem| problem.place.start);
    (node, problems)
}

/// A checked tree as its type.
///
/// # Errors
/// [`crate::Class::Internal`] when schema and type disagree.
pub fn typed<T: Document>(node: &Node) -> Result<T> {
    serde_json::from_value(check::to_json(node, T::schema().root()))
        .map_err(|error| Error::internal(format!("schema and type disagree: {error}")))
}

/// Reads a document that must be right as a whole.
///
/// # Errors
/// [`crate::Class::InvalidInput`] with every error in it.
pub fn parse<T: Document>(name: &str, text: &str) -> Result<T> {
    let (node, problems) = read::<T>(name, text);
    match problem::as_error(name, &problems) {
        Some(error) => Err(error),
        None => typed(&node),
    }
}
