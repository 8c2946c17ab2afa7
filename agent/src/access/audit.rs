//! Who did what: appended to a file in `/oem` that no upgrade and no rollback touches, and that cannot fill the disk.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use edge_host::files;
use edge_model::api::audit::{AuditFilters, AuditPage, AuditRecord, Outcome};
use edge_model::{Context, Result};

const SIZE_LIMIT: u64 = 2 << 20;
/// Characters of one text in a record.
const LONGEST_TEXT: usize = 500;
/// Longest page.
const PAGE: usize = 50;

/// Which records are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditQuery {
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
    pub(crate) actor: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) limit: Option<usize>,
    pub(crate) after: Option<u64>,
}

pub(crate) struct AuditLog {
    path: PathBuf,
    /// Bytes of the present file and of the one before it, each.
    size_limit: u64,
    last: Mutex<u64>,
}

impl AuditLog {
    pub(crate) fn open(path: &Path) -> Self {
        Self::open_limited(path, SIZE_LIMIT)
    }

    fn open_limited(path: &Path, size_limit: u64) -> Self {
        let log = Self { path: path.to_owned(), size_limit, last: Mutex::new(0) };
        let last = log.records().map(|record| record.sequence).max().unwrap_or(0);
        *log.last() = last;
        log.end_last_line();
        log
    }

    fn last(&self) -> MutexGuard<'_, u64> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn earlier(&self) -> PathBuf {
        self.path.with_extension("1.jsonl")
    }

    /// A power cut may have left half a line: the next record must not become its other half.
    fn end_last_line(&self) {
        let Ok(bytes) = files::read(&self.path, 2 * SIZE_LIMIT) else { return };
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            let end =
                OpenOptions::new().append(true).open(&self.path).and_then(|mut file| file.write_all(b"\n"));
            if let Err(error) = end {
                tracing::warn!("the audit record cannot be mended: {error}");
            }
        }
    }

    /// Appends a record under the next number.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub(crate) fn append(&self, record: AuditRecord) -> Result<()> {
        let mut last = self.last();
        let mut record = shortened(record);
        record.sequence = *last + 1;
        let mut line = serde_json::to_vec(&record).context("cannot write an audit record")?;
        line.push(b'\n');
        let size = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if size + line.len() as u64 > self.size_limit {
            fs::rename(&self.path, self.earlier()).context("cannot turn the audit record over")?;
        }
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).context("cannot make the folder of the audit record")?;
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)
            .context("cannot open the audit record")?;
        file.write_all(&line).and_then(|()| file.sync_data()).context("cannot write the audit record")?;
        *last = record.sequence;
        Ok(())
    }

    /// All records that are kept, oldest first. A line that a power cut has broken is passed over.
    pub(crate) fn records(&self) -> impl Iterator<Item = AuditRecord> + use<> {
        let open = |path: PathBuf| fs::File::open(path).ok().map(BufReader::new);
        [self.earlier(), self.path.clone()]
            .into_iter()
            .filter_map(open)
            .flat_map(|file| file.split(b'\n').map_while(std::io::Result::ok))
            .filter_map(|line| serde_json::from_slice(&line).ok())
    }

    /// A page of records, newest first.
    pub(crate) fn page(&self, query: &AuditQuery) -> AuditPage {
        let is_wanted = |record: &AuditRecord| {
            let equals =
                |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|wanted| wanted == value);
            query.from.is_none_or(|from| record.at >= from)
                && query.to.is_none_or(|to| record.at <= to)
                && query.after.is_none_or(|after| record.sequence < after)
                && equals(&query.actor, &record.actor)
                && equals(&query.kind, &record.resource_kind)
                && equals(&query.action, &record.action)
        };
        let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE);
        let mut items: Vec<AuditRecord> = self.records().filter(is_wanted).collect();
        items.reverse();
        let next = (items.len() > limit).then(|| items[limit - 1].sequence);
        items.truncate(limit);
        AuditPage { items, next }
    }

    pub(crate) fn filters(&self) -> AuditFilters {
        let (mut actors, mut actions, mut kinds) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for record in self.records() {
            actors.insert(record.actor);
            actions.insert(record.action);
            kinds.insert(record.resource_kind);
        }
        AuditFilters {
            actors: actors.into_iter().collect(),
            action_types: actions.into_iter().collect(),
            resource_kinds: kinds.into_iter().collect(),
        }
    }

    /// Everything that is kept, as it is written.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn text(&self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        for path in [self.earlier(), self.path.clone()] {
            if path.exists() {
                text.extend(files::read(&path, 2 * SIZE_LIMIT)?);
            }
        }
        Ok(text)
    }
}

/// Whoever is refused, or fails at length, must not fill the record.
fn shortened(record: AuditRecord) -> AuditRecord {
    AuditRecord {
        resource_name: short(&record.resource_name),
        content_msg: short(&record.content_msg),
        before: record.before.as_deref().map(short),
        after: record.after.as_deref().map(short),
        outcome: match record.outcome {
            Outcome::Refused { status, reason } => Outcome::Refused { status, reason: short(&reason) },
            accepted @ Outcome::Accepted { .. } => accepted,
        },
        ..record
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::api::Surface;

    fn record(actor: &str, size: usize) -> AuditRecord {
        AuditRecord {
            sequence: 0,
            at: 7,
            clock_is_set: false,
            edge_host_id: "edge-1".into(),
            actor: actor.into(),
            surface: Surface::CommandLine,
            order: None,
            actor_type: "admin".into(),
            from: "uid 0".into(),
            action: "POST /v1/operations".into(),
            resource_kind: "operation".into(),
            resource_id: "1".into(),
            resource_name: "upgrade".into(),
            content_msg: "x".repeat(size),
            before: None,
            after: None,
            outcome: Outcome::Accepted { status: 202 },
        }
    }

    #[test]
    fn records_are_numbered_kept_and_limited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = AuditLog::open(&path);
        log.append(record("site", 10)).unwrap();
        log.append(record("root", 10)).unwrap();
        // The power fails in the middle of a line.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"sequence\": 3").unwrap();
        let log = AuditLog::open(&path);
        log.append(record("site", 10)).unwrap();
        let numbers: Vec<u64> = log.records().map(|record| record.sequence).collect();
        assert_eq!(numbers, [1, 2, 3]);
        let page =
            log.page(&AuditQuery { actor: Some("site".into()), limit: Some(1), ..AuditQuery::default() });
        assert_eq!((page.items[0].sequence, page.next), (3, Some(3)));
        let page =
            log.page(&AuditQuery { actor: Some("site".into()), after: page.next, ..AuditQuery::default() });
        assert_eq!((page.items[0].sequence, page.next), (1, None));
        assert_eq!(log.filters().actors, ["root", "site"]);
        const LIMIT: u64 = 32 << 10;
        let log = AuditLog::open_limited(&path, LIMIT);
        for _ in 0..120 {
            log.append(record("site", 100 << 10)).unwrap();
        }
        let kept: u64 =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(kept > LIMIT && kept <= 2 * LIMIT, "{kept}");
        let last = log.records().last().unwrap();
        assert_eq!((last.sequence, last.content_msg.chars().count()), (123, LONGEST_TEXT + 1));
    }
}
