//! Telling the person at the terminal what is going on; nothing of it goes to standard output.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use edge_model::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cache::Cached;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    terminal: bool,
}

/// What a step's work returns tells whether it was done now.
pub(crate) trait Freshness {
    fn is_fresh(&self) -> bool;
}

impl Freshness for Cached {
    fn is_fresh(&self) -> bool {
        self.fresh
    }
}

impl Freshness for () {
    fn is_fresh(&self) -> bool {
        true
    }
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    /// Runs one step of the build under a title.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn step<T: Freshness>(&self, title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let spinner = self.terminal.then(|| spinner(title));
        let result = work();
        if let Some(spinner) = spinner {
            spinner.finish_and_clear();
        }
        if let Ok(done) = &result {
            let seconds = started.elapsed().as_secs_f32();
            let how = if done.is_fresh() { format!("{seconds:.1} s") } else { "from cache".into() };
            self.say(&format!("{title:<24} {how}"));
        }
        result
    }

    /// What only somebody who looks closely wants to know.
    pub(crate) fn detail(&self, message: &str) {
        self.say(&format!("  {message}"));
    }

    pub(crate) fn say(&self, message: &str) {
        eprintln!("  {message}");
    }
}

fn spinner(title: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.set_message(title.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}
