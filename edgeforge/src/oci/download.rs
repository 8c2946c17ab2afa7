//! One blob, fetched into a file: resumed where it broke off, and never trusted before its digest is right.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use edge_model::ids::to_hex;
use edge_model::{Class, Context, Error, Result};
use edge_registry::Repository;

use super::image::{Descriptor, Stored};

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
pub(super) async fn blob(repository: &Repository, blob: &Descriptor, folder: &Path) -> Result<Stored> {
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
    let mut pause = repository.patience().pause;
    let mut without_progress = 0;
    loop {
        let before = length(&part);
        let error = match fetch(repository, blob, &part).await {
            Ok(()) => break,
            // It would give the same again.
            Err(error) if error.class != Class::Environment => return Err(error),
            Err(error) => error,
        };
        let came = length(&part).saturating_sub(before);
        without_progress = if came >= repository.patience().least { 0 } else { without_progress + 1 };
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
async fn fetch(repository: &Repository, blob: &Descriptor, part: &Path) -> Result<()> {
    let mut offset = length(part);
    if offset > blob.size {
        offset = 0;
    }
    if offset == blob.size && offset > 0 {
        return Ok(());
    }
    let mut body = repository.blob(blob.digest, blob.size, offset).await?;
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(part)
        .with_context(|| format!("cannot write {}", part.display()))?;
    // A registry that does not know ranges begins at the start.
    file.set_len(body.begins_at()).context("cannot write a blob")?;
    while let Some(piece) = body.chunk().await? {
        file.write_all(&piece).context("cannot write a blob")?;
    }
    Ok(())
}
