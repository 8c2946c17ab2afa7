//! Answers that were given at the installer's console: a source like every other, and the last word.

use std::path::Path;

use edge_model::Result;
use edge_planner::configuration::{Form, Kind, Source};

use super::{site, sources};

/// How the source is called.
pub(crate) const LABEL: &str = "console";

/// Puts an unattended file beside what the installer has fetched, in place of the one before.
///
/// # Errors
/// When `/run` cannot be written.
pub(crate) fn store(text: &str) -> Result<()> {
    store_as(LABEL, text)
}

/// The keyboard, which is chosen before everything else, and stays whatever is answered later.
///
/// # Errors
/// When `/run` cannot be written.
pub(crate) fn store_keyboard(layout: &str) -> Result<()> {
    store_as(&format!("{LABEL}-keyboard"), &format!("keyboard: {layout}\n"))
}

fn store_as(label: &str, text: &str) -> Result<()> {
    let source = Source {
        kind: Kind::Unattended,
        form: Form::Unattended,
        name: format!("{label}:unattended.yaml"),
        text: text.to_owned(),
    };
    site::store(&[source], Path::new(sources::FETCHED))
}
