//! The log of stages: of this boot in memory, and of the last boots on the persistent partition.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use edge_host::machine::Machine;
use edge_model::paths;
use edge_model::stage_log::StageRecord;

/// So many boots are kept.
const BOOTS_KEPT: usize = 10;

/// Appends a record. That a stage ran matters more than that it was written down: failures are said and no more.
pub(crate) fn append(machine: &Machine, record: &StageRecord) {
    if let Err(error) = try_append(machine, record) {
        tracing::warn!("the stage {} was not recorded: {error}", record.stage);
    }
}

fn try_append(machine: &Machine, record: &StageRecord) -> std::io::Result<()> {
    let path = machine.path(paths::STAGE_LOG);
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?.write_all(&line)?;
    if !machine.is_mounted(paths::PERSISTENT) {
        return Ok(());
    }
    let kept = machine.path(paths::STAGE_LOGS_KEPT);
    fs::create_dir_all(&kept)?;
    fs::copy(&path, kept.join(format!("{}.jsonl", record.boot)))?;
    let mut old = by_age(&kept);
    let surplus = old.len().saturating_sub(BOOTS_KEPT);
    old.drain(..surplus).try_for_each(fs::remove_file)
}

/// Oldest first.
fn by_age(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn parse(path: &Path) -> Vec<StageRecord> {
    let text = fs::read_to_string(path).unwrap_or_default();
    // The last line may have been cut off with the power.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What happened in this boot.
pub(crate) fn read_present() -> Vec<StageRecord> {
    parse(Path::new(paths::STAGE_LOG))
}

/// What happened in the boots that are kept, oldest first; the present one is the last.
pub(crate) fn read_kept() -> Vec<StageRecord> {
    by_age(Path::new(paths::STAGE_LOGS_KEPT)).iter().flat_map(|path| parse(path)).collect()
}
