//! What an operator should know. Each notice has an end: a condition goes with its cause, an event when somebody has read it.
//! What is still true after a restart of the host is said again then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use edge_host::files;
use edge_model::api::{Notice, NoticeEnd, NoticeSeverity};
use edge_model::ids::to_hex;
use edge_model::{Class, Context, Error, Result, paths};
use edge_slot_image::sha256;

use crate::facts;

const READ_LIMIT: u64 = 1 << 20;
/// Bytes of a digest that tell notices apart.
const ID: usize = 6;

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    severity: NoticeSeverity,
    text: String,
    help: Option<String>,
}

impl Said {
    /// Something went as it should, and is worth knowing.
    pub(crate) fn info(text: impl Into<String>) -> Self {
        Self { severity: NoticeSeverity::Info, text: text.into(), help: None }
    }

    /// Somebody should look when there is time.
    pub(crate) fn warning(text: impl Into<String>) -> Self {
        Self { severity: NoticeSeverity::Warning, text: text.into(), help: None }
    }

    /// Something does not work.
    pub(crate) fn problem(text: impl Into<String>) -> Self {
        Self { severity: NoticeSeverity::Problem, text: text.into(), help: None }
    }

    /// Something failed; what the error advises goes with it.
    pub(crate) fn failed(what: &str, error: &Error) -> Self {
        let text = if what.is_empty() { error.to_string() } else { format!("{what}: {error}") };
        Self { severity: NoticeSeverity::Problem, text, help: error.help.clone() }
    }

    /// What a person does about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn severity(&self) -> NoticeSeverity {
        self.severity
    }

    fn notice(self, ends: NoticeEnd) -> Notice {
        let id = to_hex(&sha256(self.text.as_bytes()).0[..ID]);
        Notice { id, severity: self.severity, since: facts::now(), text: self.text, help: self.help, ends }
    }
}

/// Says something to the journal, at the level that it has.
pub(super) fn log(severity: NoticeSeverity, text: &dyn fmt::Display) {
    match severity {
        NoticeSeverity::Info => tracing::info!("notice: {text}"),
        NoticeSeverity::Warning => tracing::warn!("notice: {text}"),
        NoticeSeverity::Problem => tracing::error!("notice: {text}"),
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " (help: {help})"))
    }
}

#[derive(Debug, Default)]
pub(super) struct Notices(Mutex<Board>);

#[derive(Debug, Default)]
struct Board {
    events: Vec<Notice>,
    /// What is looked at again and again, by what it is about.
    conditions: BTreeMap<&'static str, Vec<Notice>>,
    /// Identifiers, also for an agent that is started again in this boot.
    put_away: BTreeSet<String>,
}

impl Notices {
    /// As they were left earlier in this boot.
    pub(super) fn of_this_boot() -> Self {
        Self(Mutex::new(Board { put_away: load(), ..Board::default() }))
    }

    /// Tells an event; whether it is news.
    pub(super) fn add(&self, said: Said) -> bool {
        let notice = said.notice(NoticeEnd::WhenRead);
        let mut board = self.board();
        let is_new = !board.events.iter().any(|known| known.id == notice.id);
        if is_new {
            board.events.push(notice);
        }
        is_new
    }

    /// Tells what is true about something now, in place of what was; what of it is news.
    pub(super) fn while_it_lasts(&self, about: &'static str, now: Vec<Said>) -> Vec<Notice> {
        let mut board = self.board();
        let before = board.conditions.remove(about).unwrap_or_default();
        let known = |notice: &Notice| before.iter().find(|known| known.id == notice.id).cloned();
        let notices: Vec<Notice> = now.into_iter().map(|said| said.notice(NoticeEnd::WithItsCause)).collect();
        let (mut news, mut present) = (Vec::new(), Vec::new());
        for notice in notices {
            present.push(known(&notice).unwrap_or_else(|| {
                news.push(notice.clone());
                notice
            }));
        }
        // What comes back after its end is said again.
        let is_over = |over: &&Notice| !present.iter().any(|notice| notice.id == over.id);
        let shrinks =
            before.iter().filter(is_over).filter(|over| board.put_away.remove(&over.id)).count() > 0;
        if shrinks && let Err(error) = store(&board.put_away) {
            tracing::warn!("what was read is not written down: {error}");
        }
        board.conditions.insert(about, present);
        news
    }

    /// What is to be shown, the worst first.
    pub(super) fn shown(&self) -> Vec<Notice> {
        let board = self.board();
        let all = board.events.iter().chain(board.conditions.values().flatten());
        let mut shown: Vec<Notice> =
            all.filter(|notice| !board.put_away.contains(&notice.id)).cloned().collect();
        shown.sort_by_key(|notice| std::cmp::Reverse(notice.severity));
        shown
    }

    /// Somebody has read one of them, or all.
    ///
    /// # Errors
    /// [`Class::NotFound`] when there is no such notice; when it cannot be written down.
    pub(super) fn put_away(&self, which: Option<&str>) -> Result<()> {
        let shown = self.shown().into_iter().map(|notice| notice.id);
        let chosen: Vec<String> = shown.filter(|id| which.is_none_or(|which| which == id)).collect();
        if let (true, Some(id)) = (chosen.is_empty(), which) {
            return Err(Error::new(Class::NotFound, format!("there is no notice {id:?}")));
        }
        let mut board = self.board();
        board.put_away.extend(chosen);
        store(&board.put_away)
    }

    fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn store(put_away: &BTreeSet<String>) -> Result<()> {
    let bytes = serde_json::to_vec(put_away).context("cannot write what was read")?;
    files::write_durably(Path::new(paths::NOTICES_PUT_AWAY), &bytes, 0o600)
}

fn load() -> BTreeSet<String> {
    let read = files::read(Path::new(paths::NOTICES_PUT_AWAY), READ_LIMIT).ok();
    read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(notices: &Notices) -> Vec<String> {
        notices.shown().into_iter().map(|notice| notice.text).collect()
    }

    #[test]
    fn every_notice_has_its_end() {
        let notices = Notices::default();
        assert!(notices.add(Said::info("a")) && !notices.add(Said::info("a")));
        assert!(notices.add(Said::problem("b").help("do c")));
        assert_eq!(texts(&notices), ["b", "a"], "the worst first");
        let full = || vec![Said::warning("full")];
        assert_eq!(notices.while_it_lasts("disk", full())[0].text, "full");
        assert!(notices.while_it_lasts("disk", full()).is_empty());
        let shown = notices.shown();
        assert_eq!(shown[1].ends, NoticeEnd::WithItsCause);
        notices.board().put_away.extend(shown.iter().map(|notice| notice.id.clone()));
        assert!(texts(&notices).is_empty());
        notices.while_it_lasts("disk", Vec::new());
        notices.while_it_lasts("disk", full());
        assert_eq!(texts(&notices), ["full"], "it came back");
        assert_eq!(notices.put_away(Some("x")).unwrap_err().class, Class::NotFound);
    }

    #[test]
    fn what_helps_comes_with_what_failed() {
        let said = Said::failed("the disk", &Error::environment("it is gone").help("plug it in"));
        assert_eq!((said.text.as_str(), said.help.as_deref()), ("the disk: it is gone", Some("plug it in")));
    }
}
