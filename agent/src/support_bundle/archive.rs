//! The bundle as a stream: a tar archive in a zstd frame. One file at a time is in memory, and each goes through the
//! hiding of secrets on its way.

use std::io::Write;

use edge_model::secret::{HIDDEN, Secret};
use edge_model::{Context, Result};
use edge_planner::redaction::redact;
use serde::Serialize;

/// Largest file of a bundle, in bytes.
pub(super) const FILE_LIMIT: usize = 16 << 20;
/// A shorter value would be found in words that have nothing to do with it.
const SHORTEST_SECRET: usize = 4;
const LEVEL: i32 = 3;
const INDEX: &str = "index.json";

/// Text that was collected.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) text: String,
    /// What a reader should know about it.
    pub(super) note: Option<String>,
}

impl Collected {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), note: None }
    }

    pub(super) fn json(value: &impl Serialize) -> Result<Self> {
        Ok(Self::text(serde_json::to_string_pretty(value).context("cannot write JSON")?))
    }
}

/// What the index says about one file.
#[derive(Debug, Serialize)]
struct Entry {
    file: String,
    collected: bool,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// Why it could not be collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Index<'a> {
    host: &'a str,
    at: u64,
    agent_version: &'a str,
    files: &'a [Entry],
}

pub(super) struct Archive<'a> {
    tar: tar::Builder<zstd::Encoder<'static, &'a mut dyn Write>>,
    folder: String,
    host: String,
    at: u64,
    secrets: &'a [Secret],
    entries: Vec<Entry>,
    bytes: u64,
}

impl<'a> Archive<'a> {
    /// # Errors
    /// When the target cannot be written.
    pub(super) fn new(
        target: &'a mut dyn Write,
        folder: &str,
        host: &str,
        at: u64,
        secrets: &'a [Secret],
    ) -> Result<Self> {
        let encoder = zstd::Encoder::new(target, LEVEL).context("cannot begin the support bundle")?;
        Ok(Self {
            tar: tar::Builder::new(encoder),
            folder: folder.to_owned(),
            host: host.to_owned(),
            at,
            secrets,
            entries: Vec::new(),
            bytes: 0,
        })
    }

    /// Adds a file, or the reason why there is none.
    ///
    /// # Errors
    /// When the target cannot be written.
    pub(super) fn add(&mut self, file: &str, collected: Result<Collected>) -> Result<()> {
        let entry = match collected {
            Ok(Collected { text, note }) => {
                let (text, cut) = self.presentable(text);
                self.append(file, text.as_bytes())?;
                let cut = cut.then(|| "its end is cut off".to_owned());
                let notes: Vec<String> = [note, cut].into_iter().flatten().collect();
                let note = (!notes.is_empty()).then(|| notes.join("; "));
                Entry { file: file.to_owned(), collected: true, bytes: text.len(), note, reason: None }
            }
            Err(error) => {
                let (reason, _) = self.presentable(error.to_string());
                Entry { file: file.to_owned(), collected: false, bytes: 0, note: None, reason: Some(reason) }
            }
        };
        self.entries.push(entry);
        Ok(())
    }

    /// Bytes that were put in so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds the index and ends the archive.
    ///
    /// # Errors
    /// When the target cannot be written.
    pub(super) fn finish(mut self) -> Result<()> {
        let index = Index {
            host: &self.host,
            at: self.at,
            agent_version: env!("CARGO_PKG_VERSION"),
            files: &self.entries,
        };
        let index = serde_json::to_vec_pretty(&index).context("cannot write the index")?;
        self.append(INDEX, &index)?;
        let encoder = self.tar.into_inner().context("cannot end the support bundle")?;
        encoder.finish().and_then(Write::flush).context("cannot end the support bundle")
    }

    fn append(&mut self, file: &str, bytes: &[u8]) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.at);
        self.bytes += bytes.len() as u64;
        self.tar
            .append_data(&mut header, format!("{}/{file}", self.folder), bytes)
            .context("cannot write the support bundle")
    }

    /// Within the limit, and without anything that is secret by its name or known to be one.
    fn presentable(&self, mut text: String) -> (String, bool) {
        let cut = text.len() > FILE_LIMIT;
        if cut {
            let end = (0..=FILE_LIMIT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
        for secret in self.secrets.iter().map(Secret::reveal).filter(|secret| secret.len() >= SHORTEST_SECRET)
        {
            // In JSON it may look different.
            let quoted = serde_json::to_string(secret).unwrap_or_default();
            for form in [secret, quoted.trim_matches('"')] {
                if !form.is_empty() && text.contains(form) {
                    text = text.replace(form, HIDDEN);
                }
            }
        }
        (redact(&text), cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::Error;
    use std::io::Read;

    fn unpack(bytes: &[u8]) -> Vec<(String, String)> {
        let mut archive = tar::Archive::new(zstd::Decoder::new(bytes).unwrap());
        let files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().to_string_lossy().into_owned(), text)
        });
        files.collect()
    }

    #[test]
    fn what_could_not_be_collected_is_in_the_index_with_its_reason() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes, "support-x-1", "x", 7, &[]).unwrap();
        archive.add("a/b.txt", Ok(Collected::text("hello"))).unwrap();
        archive.add("c.txt", Err(Error::environment("there is none: token=hunter2"))).unwrap();
        let long = "é".repeat(FILE_LIMIT / 2 + 1);
        archive.add("long.txt", Ok(Collected { text: long, note: Some("long".into()) })).unwrap();
        archive.finish().unwrap();
        let files = unpack(&bytes);
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["support-x-1/a/b.txt", "support-x-1/long.txt", "support-x-1/index.json"]);
        let index: serde_json::Value = serde_json::from_str(&files[2].1).unwrap();
        assert_eq!(index["files"][0]["collected"], true);
        assert_eq!(index["files"][1]["reason"], "there is none: token=(hidden)");
        assert_eq!(index["files"][2]["note"], "long; its end is cut off");
        assert!(files[1].1.len() <= FILE_LIMIT);
    }

    #[test]
    fn no_known_secret_and_nothing_that_sounds_like_one_gets_in() {
        let secrets = [
            Secret::new("SECRET-MARKER-1"),
            Secret::new("abc"),
            Secret::new("SECRET-MARKER-7\nSECRET-MARKER-8"),
        ];
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes, "s", "x", 7, &secrets).unwrap();
        let text = "run SECRET-MARKER-1 now\n{\"password\": \"SECRET-MARKER-2\"}\nproxy http://u:SECRET-MARKER-3@p:1\n\
            edge.token=SECRET-MARKER-4 abc\nAuthorization: Bearer SECRET-MARKER-5\nkey: |\n  SECRET-MARKER-6\n";
        archive.add("log.txt", Ok(Collected::text(text))).unwrap();
        archive.add("d.json", Collected::json(&["SECRET-MARKER-7\nSECRET-MARKER-8"])).unwrap();
        archive.add("other.txt", Err(Error::environment("failed with SECRET-MARKER-1"))).unwrap();
        archive.finish().unwrap();
        let all: String = unpack(&bytes).into_iter().map(|(_, text)| text).collect();
        assert!(!all.contains("SECRET-MARKER"), "{all}");
        assert!(all.contains("abc"), "what is too short to be found for certain stays");
    }
}
