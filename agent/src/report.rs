//! How an operation tells what it does: steps with progress, and a place to stop.

use edge_model::{Error, Result};

/// Where news of an operation goes: the daemon's event stream, or a terminal.
pub(crate) trait Report {
    /// A new step begins, with `total` bytes to do; zero when that means nothing.
    fn step(&mut self, title: &str, total: u64);

    /// So much of the step is done.
    ///
    /// # Errors
    /// [`edge_model::Class::Rejected`] when the operation was cancelled.
    fn progress(&mut self, done: u64) -> Result<()>;
}

pub(crate) fn cancelled() -> Error {
    Error::rejected("the operation was stopped").help("run it again: it goes on where it stopped")
}
