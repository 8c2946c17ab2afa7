//! Shell commands of steps: with a deadline, their output kept, and in early boot nothing left running.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use edge_host::child::Child;
use edge_host::patience::Patience;
use edge_model::{Context, Error, Result};

/// How much of the end of a command's output is kept.
const TAIL: usize = 2000;
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Runs a command; returns the end of its output. Output goes to a file, so that what a command leaves running in
/// the background cannot hold the stage.
pub(super) fn run(
    command: &str,
    environment: &[(String, String)],
    patience: &mut Patience,
    end_all: bool,
) -> Result<String> {
    let log = output_file()?;
    let mut child = Child::new("/bin/sh").args(["-c", command]).independent();
    for (key, value) in environment {
        child = child.env(key, value);
    }
    let mut running = child.spawn(&log)?;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = running.ended()? {
            break status;
        }
        if patience.is_over(running.id()) {
            running.kill();
            let said = tail(&log);
            let limit = patience.limit().as_secs();
            return Err(Error::environment(format!("it took longer than {limit} s and was stopped: {said}")));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    if end_all {
        running.kill();
    } else {
        running.detach();
    }
    let said = tail(&log);
    match status.code() {
        Some(0) => Ok(said),
        Some(code) => Err(Error::environment(format!("exit status {code}: {said}"))),
        None => Err(Error::environment(format!("ended by a signal: {said}"))),
    }
}

fn output_file() -> Result<PathBuf> {
    let folder = Path::new("/run/edge/stage-output");
    std::fs::create_dir_all(folder).context("cannot keep the output of a step")?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Ok(folder.join(format!("{}-{number}", std::process::id())))
}

fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let _ = std::fs::remove_file(log);
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL)..]).into_owned();
    text.trim().to_owned()
}
