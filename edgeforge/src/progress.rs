//! Telling the person at the terminal what is going on; nothing of it goes to standard output.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use edge_model::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cache::Cached;

#[derive(Debug, Clone)]
pub(crate) struct Progress {
    terminal: bool,
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// What a step took.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Taken {
    pub(crate) step: String,
    /// It was done now, not found in the cache.
    pub(crate) fresh: bool,
    pub(crate) seconds: f64,
    /// Of this program and of the tools that it ran.
    pub(crate) processor_seconds: f64,
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
        Self { terminal: std::io::stderr().is_terminal(), taken: Arc::default() }
    }

    /// The steps so far, in their order.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs one step of the build under a title.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn step<T: Freshness>(&self, title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (started, processor) = (Instant::now(), processor_seconds());
        let spinner = self.terminal.then(|| spinner(title));
        let result = work();
        if let Some(spinner) = spinner {
            spinner.finish_and_clear();
        }
        if let Ok(done) = &result {
            let seconds = started.elapsed().as_secs_f32();
            let how = if done.is_fresh() { format!("{seconds:.1} s") } else { "from cache".into() };
            self.say(&format!("{title:<24} {how}"));
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(Taken {
                step: title.to_owned(),
                fresh: done.is_fresh(),
                seconds: started.elapsed().as_secs_f64(),
                processor_seconds: processor_seconds() - processor,
            });
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

/// Processor time of this process and of its children that have ended; 0 where the kernel does not tell.
///
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
fn processor_seconds() -> f64 {
    /// `USER_HZ` on every machine that this runs on.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program may hold anything, also brackets.
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    let ticks: f64 =
        fields.get(11..15).unwrap_or_default().iter().filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// Bytes of memory that this process had at most, without the tools that it ran; 0 where the kernel does not tell.
pub(crate) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kibibytes.unwrap_or(0) * 1024
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
