//! A session as a file: every event as one line of JSON, without passwords. Played back, it shows what was seen.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use edge_model::{Context, Result};

use crate::event::{Event, Key, Size};
use crate::state::State;
use crate::update::update;
use crate::view::look::Look;
use crate::view::{as_text, render};

#[derive(Debug)]
pub struct Recorder {
    file: File,
}

impl Recorder {
    /// Begins a recording. Only its owner can read it.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        Ok(Self { file: file.with_context(|| format!("cannot write {}", path.display()))? })
    }

    /// Writes an event down before it is taken in: `state` says whether its letter is part of a secret.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&mut self, state: &State, event: &Event) -> Result<()> {
        let mut line = line(state, event)?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).context("cannot write the recording")
    }
}

/// One line of a recording, without its end.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when the event cannot be written as JSON.
pub fn line(state: &State, event: &Event) -> Result<String> {
    let hidden = Event::Key(Key::Hidden);
    let event = match event {
        Event::Key(Key::Letter(_)) if state.takes_secret() => &hidden,
        other => other,
    };
    serde_json::to_string(event).context("cannot write an event")
}

/// One frame of a session that is played back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Number of the event that made it, from 1.
    pub number: usize,
    pub text: String,
}

/// The frames that differ from the one before.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] with the number of a line that is no event.
pub fn replay(recording: &str, size: Option<Size>, look: Look) -> Result<Vec<Frame>> {
    let mut state = State::default();
    let mut frames: Vec<Frame> = Vec::new();
    for (index, line) in recording.lines().enumerate() {
        let number = index + 1;
        let mut event: Event =
            serde_json::from_str(line).with_context(|| format!("line {number} is no event"))?;
        match (&mut event, size) {
            (Event::Started(started), Some(size)) => started.size = size,
            (Event::Resized(seen), Some(size)) => *seen = size,
            _ => {}
        }
        update(&mut state, event);
        let text = as_text(&render(&state, look, state.known.started.size));
        if frames.last().is_none_or(|frame| frame.text != text) {
            frames.push(Frame { number, text });
        }
    }
    Ok(frames)
}
