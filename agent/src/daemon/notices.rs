//! What an operator should know, until somebody has put it away or this boot ends. What is still true after a restart of
//! the host is said again then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use edge_host::files;
use edge_model::{Class, Context, Error, Result, paths};

const READ_LIMIT: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Notices(Mutex<Board>);

#[derive(Debug, Default)]
struct Board {
    all: Vec<String>,
    /// What is looked at again and again, by what it is about: told while it lasts.
    conditions: BTreeMap<&'static str, String>,
    /// Also for an agent that is started again in this boot.
    put_away: BTreeSet<String>,
}

impl Notices {
    pub(super) fn new(all: Vec<String>) -> Self {
        Self(Mutex::new(Board { all, put_away: load(), ..Board::default() }))
    }

    /// Whether it is news.
    pub(super) fn add(&self, text: String) -> bool {
        let mut board = self.board();
        let is_new = !board.all.contains(&text);
        if is_new {
            board.all.push(text);
        }
        is_new
    }

    /// Tells a condition as long as it lasts; whether that is news.
    pub(super) fn while_it_lasts(&self, about: &'static str, text: Option<String>) -> bool {
        let mut board = self.board();
        let before = match text.clone() {
            Some(text) => board.conditions.insert(about, text),
            None => board.conditions.remove(about),
        };
        if let Some(over) = before.as_ref().filter(|before| Some(*before) != text.as_ref()) {
            board.put_away.remove(over);
        }
        before != text
    }

    /// What is to be shown.
    pub(super) fn shown(&self) -> Vec<String> {
        let board = self.board();
        board
            .all
            .iter()
            .chain(board.conditions.values())
            .filter(|text| !board.put_away.contains(*text))
            .cloned()
            .collect()
    }

    /// Somebody has read one of them, or all.
    ///
    /// # Errors
    /// [`Class::NotFound`] when there is no such notice; when it cannot be written down.
    pub(super) fn put_away(&self, which: Option<&str>) -> Result<()> {
        let shown = self.shown();
        let chosen: Vec<String> = match which {
            None => shown,
            Some(text) => shown.into_iter().filter(|notice| notice == text).collect(),
        };
        if let (true, Some(text)) = (chosen.is_empty(), which) {
            return Err(Error::new(Class::NotFound, format!("there is no notice {text:?}")));
        }
        let mut board = self.board();
        board.put_away.extend(chosen);
        let bytes = serde_json::to_vec(&board.put_away).context("cannot write what was read")?;
        files::write_durably(Path::new(paths::NOTICES_PUT_AWAY), &bytes, 0o600)
    }

    fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load() -> BTreeSet<String> {
    let read = files::read(Path::new(paths::NOTICES_PUT_AWAY), READ_LIMIT).ok();
    read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_shown_no_more() {
        let notices = Notices(Mutex::new(Board { all: vec!["a".into(), "b".into()], ..Board::default() }));
        notices.board().put_away.insert("a".into());
        assert_eq!(notices.shown(), ["b"]);
        assert!(!notices.add("a".into()) && notices.add("c".into()));
        assert_eq!(notices.shown(), ["b", "c"]);
        assert!(notices.while_it_lasts("disk", Some("full".into())));
        assert!(!notices.while_it_lasts("disk", Some("full".into())));
        assert_eq!(notices.shown(), ["b", "c", "full"]);
        assert!(notices.while_it_lasts("disk", None));
        assert_eq!(notices.shown(), ["b", "c"]);
        assert_eq!(notices.put_away(Some("x")).unwrap_err().class, Class::NotFound);
    }
}
