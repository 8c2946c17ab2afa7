//! What both command lines have in common: how they answer, how wrong arguments are told, completions, manual pages, and
//! the page of all verbs.

mod answer;
mod mentions;
mod reference;

use std::path::Path;

use clap::Parser;
use edge_model::{Context, Result};
use serde_json::json;

pub use answer::Reader;
pub use reference::check;

/// The arguments of this program; wrong ones are told as every error is.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] for a program that reads along; a person has been told, and this ends.
pub fn parse<T: Parser>() -> Result<T> {
    T::try_parse().map_err(|wrong| {
        let said = wrong.render().to_string();
        Reader::of_arguments().usage(&said, wrong.use_stderr()).unwrap_or_else(|| wrong.exit())
    })
}

/// Prints a completion script for a shell.
///
/// # Errors
/// When it cannot be printed as JSON.
pub fn completions<T: Parser>(name: &str, shell: clap_complete::Shell, reader: Reader) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut T::command(), name, &mut script);
    let script = String::from_utf8_lossy(&script);
    reader.tell(&json!({ "script": script }), |_| print!("{script}"))
}

/// Writes manual pages, one for each verb.
///
/// # Errors
/// When they cannot be written.
pub fn manual<T: Parser>(folder: &Path, reader: Reader) -> Result<()> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(T::command(), folder))
        .with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
    reader.tell(&json!({ "folder": folder }), |_| {})
}
