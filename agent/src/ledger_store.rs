//! The ledger on the disk: two copies with generations, each written so that a power cut leaves the other whole.

use std::path::{Path, PathBuf};

use edge_host::files;
use edge_model::ledger::Ledger;
use edge_model::{Context, Error, Result};
use edge_slot_image::sha256;

#[derive(Debug, Clone)]
pub(crate) struct LedgerStore {
    folder: PathBuf,
}

impl LedgerStore {
    /// A store in a folder, normally `/oem/edge`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The newest copy that is whole; an empty ledger when there is none.
    pub(crate) fn load(&self) -> Ledger {
        let copies = [0, 1].into_iter().filter_map(|index| self.load_copy(index).ok());
        copies.max_by_key(|ledger| ledger.generation).unwrap_or_default()
    }

    /// Writes a new generation over the older copy and returns it.
    ///
    /// # Errors
    /// When the disk refuses; the previous generation is then still there.
    pub(crate) fn store(&self, mut ledger: Ledger) -> Result<Ledger> {
        ledger.generation = self.load().generation + 1;
        let json = serde_json::to_vec(&ledger).context("cannot write the ledger")?;
        let mut bytes = format!("{}\n", sha256(&json)).into_bytes();
        bytes.extend(json);
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot create {}", self.folder.display()))?;
        files::write_durably(&self.copy_path(ledger.generation % 2), &bytes, 0o600)?;
        Ok(ledger)
    }

    fn copy_path(&self, index: u64) -> PathBuf {
        self.folder.join(format!("ledger-{index}.json"))
    }

    fn load_copy(&self, index: u64) -> Result<Ledger> {
        let bytes = files::read(&self.copy_path(index), 4 << 20)?;
        let damaged = || Error::integrity("a copy of the ledger is damaged");
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
        let (digest, json) = (&bytes[..end], &bytes[end + 1..]);
        if digest != sha256(json).to_string().as_bytes() {
            return Err(damaged());
        }
        serde_json::from_slice(json).context("a copy of the ledger cannot be read")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_copy_gives_way_to_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = LedgerStore::new(folder.path());
        assert_eq!(store.load(), Ledger::default());
        for generation in 1..=5 {
            assert_eq!(store.store(Ledger::default()).unwrap().generation, generation);
        }
        let newest = store.copy_path(1);
        let whole = std::fs::read(&newest).unwrap();
        // Cut short, emptied, or with one bit changed: the generation before is used.
        for damage in [&whole[..whole.len() / 2], &[], b"sha256:00\n{}"] {
            std::fs::write(&newest, damage).unwrap();
            assert_eq!(store.load().generation, 4);
        }
        std::fs::write(&newest, &whole).unwrap();
        assert_eq!(store.load().generation, 5);
    }
}
