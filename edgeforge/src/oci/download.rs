//! One blob, fetched into a file: resumed where it broke off, and never trusted before its digest is right.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use edge_model::ids::to_hex;
use edge_model::{Class, Context, Error, Result};
use reqwest::{Response, StatusCode};
use tokio::time::Instant;

use super::image::{Descriptor, Stored};
use super::registry::{Registry, unreachable};

/// Tries that bring next to nothing before a blob is given up.
const TRIES: u32 = 4;
/// Between looks whether another build has finished the same blob.
const WAITING: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Fetches a blob to `sha256-HEX` in a folder.
///
/// # Errors
/// [`Class::Integrity`] when the registry gives other bytes than the digest says, [`Class::Environment`] when it
/// gives none.
pub(super) async fn blob(registry: &Registry, blob: &Descriptor, folder: &Path) -> Result<Stored> {
    let name = format!("sha256-{}", to_hex(&blob.digest.0));
    let path = folder.join(&name);
    let stored = Stored { path: path.clone(), offset: 0, size: blob.size };
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == blob.size) {
        crate::cache::touch(&path);
        return Ok(stored);
    }
    let part = folder.join(format!(".{name}.part"));
    let lock = File::create(folder.join(format!(".{name}.lock"))).context("cannot lock a blob")?;
    // Waiting must not stop the other downloads of this thread.
    while let Err(error) = lock.try_lock() {
        match error {
            std::fs::TryLockError::WouldBlock => tokio::time::sleep(WAITING).await,
            std::fs::TryLockError::Error(error) => return Err(error).context("cannot lock a blob"),
        }
    }
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == blob.size) {
        return Ok(stored);
    }
    let mut pause = registry.patience.pause;
    let mut without_progress = 0;
    loop {
        let before = length(&part);
        let error = match fetch(registry, blob, &part).await {
            Ok(()) => break,
            // It would give the same again.
            Err(error) if error.class != Class::Environment => return Err(error),
            Err(error) => error,
        };
        let came = length(&part).saturating_sub(before);
        without_progress = if came >= registry.patience.least { 0 } else { without_progress + 1 };
        if without_progress >= TRIES {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    let found = edge_host::files::digest(&part)?;
    if found != (blob.digest, blob.size) {
        fs::remove_file(&part).context("cannot remove a wrong blob")?;
        return Err(Error::integrity(format!("{} was promised, and {} came", blob.digest, found.0)));
    }
    File::open(&part).and_then(|file| file.sync_all()).context("cannot write a blob to disk")?;
    fs::rename(&part, &path).with_context(|| format!("cannot keep {}", path.display()))?;
    Ok(stored)
}

fn length(part: &Path) -> u64 {
    fs::metadata(part).map_or(0, |metadata| metadata.len())
}

/// Adds to `part` what is missing.
async fn fetch(registry: &Registry, blob: &Descriptor, part: &Path) -> Result<()> {
    let mut offset = length(part);
    if offset > blob.size {
        offset = 0;
    }
    if offset == blob.size && offset > 0 {
        return Ok(());
    }
    let response = registry.blob(blob.digest, offset).await?;
    if !begins_at(&response, offset)? {
        offset = 0;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(part)
        .with_context(|| format!("cannot write {}", part.display()))?;
    file.set_len(offset).context("cannot write a blob")?;
    receive(registry, response, blob.size - offset, &mut file).await
}

/// Whether the answer begins where it was asked to; else at the start. A registry may not know ranges, but what it
/// says about them must be true.
fn begins_at(response: &Response, offset: u64) -> Result<bool> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(offset == 0);
    }
    let range = response.headers().get(reqwest::header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first = range
        .and_then(|range| range.strip_prefix("bytes ")?.split_once('-'))
        .and_then(|(first, _)| first.parse::<u64>().ok());
    if first == Some(offset) {
        return Ok(true);
    }
    Err(Error::integrity(format!(
        "the registry was asked for bytes from {offset} on, and gives {}",
        range.unwrap_or("others")
    )))
}

async fn receive(registry: &Registry, mut response: Response, mut left: u64, file: &mut File) -> Result<()> {
    let patience = registry.patience;
    let (mut since, mut came) = (Instant::now(), 0_u64);
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&error))? {
        left = left
            .checked_sub(piece.len() as u64)
            .ok_or_else(|| Error::integrity("the registry gives more bytes than it promised"))?;
        file.write_all(&piece).context("cannot write a blob")?;
        came += piece.len() as u64;
        if since.elapsed() >= patience.window {
            if came < patience.least && left > 0 {
                return Err(Error::environment(format!(
                    "the registry gave {came} bytes in {} seconds",
                    patience.window.as_secs()
                )));
            }
            (since, came) = (Instant::now(), 0);
        }
    }
    if left > 0 {
        return Err(Error::environment(format!("the registry stopped {left} bytes before the end")));
    }
    Ok(())
}
