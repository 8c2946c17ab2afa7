//! The serial line of a machine, as a file that grows.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use edge_host::files;
use edge_model::{Error, Result};

use crate::patience::Patience;

const POLL: Duration = Duration::from_millis(100);
/// How much of the end of the line is shown with a failure.
const TAIL: usize = 2500;

/// With less space on its disk QEMU stops a machine that writes, and the machine says nothing any more.
const LEAST_FREE: u64 = 256 << 20;

/// What never appears on the line of a machine that is well.
const FAILURES: [&str; 4] =
    ["Kernel panic", "edge: this system cannot start", "edge: the installation failed", "Press any key"];

#[derive(Debug)]
pub struct Serial {
    path: PathBuf,
    /// Bytes that earlier expectations have consumed.
    seen: usize,
}

impl Serial {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: 0 }
    }

    /// The line from now on: what it carried before is passed over.
    pub fn from_now(path: &Path) -> Self {
        let seen = fs::metadata(path).map_or(0, |metadata| metadata.len() as usize);
        Self { path: path.to_owned(), seen }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.path).unwrap_or_default()).into_owned()
    }

    /// Everything since the last expectation.
    pub fn unseen(&self) -> String {
        let text = self.text();
        text.get(self.seen..).unwrap_or_default().to_owned()
    }

    /// Waits until `wanted` appears behind what was seen before; returns the line it is on. `within` is the time in
    /// which the machine neither says anything nor writes to its disk.
    ///
    /// # Errors
    /// When a failure appears first, or nothing happens any more.
    pub fn expect(&mut self, wanted: &str, within: Duration) -> Result<String> {
        self.expect_despite(wanted, &[], within)
    }

    /// Like [`Serial::expect`], where the failures in `allowed` are part of the story.
    ///
    /// # Errors
    /// As [`Serial::expect`].
    pub fn expect_despite(&mut self, wanted: &str, allowed: &[&str], within: Duration) -> Result<String> {
        let mut patience = Patience::new(within);
        loop {
            let text = self.unseen();
            let failure = FAILURES
                .iter()
                .filter(|failure| !allowed.contains(*failure) && **failure != wanted)
                .filter_map(|failure| text.find(failure).map(|at| (at, failure)))
                .min();
            match (text.find(wanted), failure) {
                (Some(at), failure) if failure.is_none_or(|(failed_at, _)| at < failed_at) => {
                    let end = text[at..].find('\n').map(|length| at + length);
                    if let Some(end) = end {
                        let start = text[..at].rfind('\n').map_or(0, |before| before + 1);
                        self.seen += end;
                        return Ok(text[start..end].trim().to_owned());
                    }
                }
                (_, Some((_, failure))) => {
                    return Err(self.failed(&format!("{failure:?} appeared while waiting for {wanted:?}")));
                }
                _ => {}
            }
            if files::free_bytes(&self.path).is_ok_and(|free| free < LEAST_FREE) {
                return Err(self.failed(&format!("the disk is full while waiting for {wanted:?}")));
            }
            if patience.is_over(self.signs()) {
                let (waited, within) = (patience.waited().as_secs(), within.as_secs());
                return Err(self.failed(&format!(
                    "{wanted:?} did not appear in {waited} s, and nothing else has happened for {within} s"
                )));
            }
            sleep(POLL);
        }
    }

    /// How much the machine has said, and when it wrote to its disk: an installation is silent for long.
    pub fn signs(&self) -> (u64, Option<SystemTime>) {
        let said = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        let disk = fs::metadata(self.path.with_file_name(crate::machine::DISK));
        (said, disk.and_then(|disk| disk.modified()).ok())
    }

    fn failed(&self, what: &str) -> Error {
        let text = self.text();
        let start = text.len().saturating_sub(TAIL);
        let start = (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        Error::environment(format!("{what}\n--- end of {} ---\n{}", self.path.display(), &text[start..]))
    }
}
