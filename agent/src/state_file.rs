//! A document that the host keeps: two copies with generations, each written so that a power cut leaves the other whole,
//! and changed in one call under a lock.

use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use edge_host::files;
use edge_model::ledger::Ledger;
use edge_model::{Context, Error, Result};
use edge_planner::cluster::member::Member;
use edge_slot_image::sha256;
use serde::Serialize;
use serde::de::DeserializeOwned;

const LIMIT: u64 = 4 << 20;

/// What can be kept in this way.
pub(crate) trait Kept: Serialize + DeserializeOwned + Default + Clone {
    /// First part of the names of its copies.
    const NAME: &'static str;
    fn generation(&self) -> u64;
    fn set_generation(&mut self, generation: u64);
}

impl Kept for Ledger {
    const NAME: &'static str = "ledger";

    fn generation(&self) -> u64 {
        self.generation
    }

    fn set_generation(&mut self, generation: u64) {
        self.generation = generation;
    }
}

impl Kept for Member {
    const NAME: &'static str = "member";

    fn generation(&self) -> u64 {
        self.generation
    }

    fn set_generation(&mut self, generation: u64) {
        self.generation = generation;
    }
}

#[derive(Debug, Clone)]
pub(crate) struct StateFile<T> {
    folder: PathBuf,
    of: PhantomData<T>,
}

impl<T: Kept> StateFile<T> {
    /// A document in a folder of its kind.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), of: PhantomData }
    }

    /// The newest copy that is whole; an empty document when there is none.
    pub(crate) fn load(&self) -> T {
        let copies = [0, 1].into_iter().filter_map(|index| self.load_copy(index).ok());
        copies.max_by_key(T::generation).unwrap_or_default()
    }

    /// Reads, changes and writes the document while nobody else does.
    ///
    /// # Errors
    /// Those of `change`, or when the disk refuses; the document is then what it was.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot create {}", self.folder.display()))?;
        let lock = self.folder.join(format!(".{}.lock", T::NAME));
        let lock = File::create(&lock).with_context(|| format!("cannot create {}", lock.display()))?;
        lock.lock().with_context(|| format!("cannot lock the {}", T::NAME))?;
        let mut document = self.load();
        let outcome = change(&mut document)?;
        self.write(document)?;
        Ok(outcome)
    }

    /// Writes a new generation over the older copy and returns it.
    ///
    /// # Errors
    /// When the disk refuses; the previous generation is then still there.
    pub(crate) fn store(&self, document: T) -> Result<T> {
        self.change(|present| {
            *present = document;
            Ok(())
        })?;
        Ok(self.load())
    }

    fn write(&self, mut document: T) -> Result<()> {
        let generation = self.load().generation() + 1;
        document.set_generation(generation);
        let json = serde_json::to_vec(&document).with_context(|| format!("cannot write the {}", T::NAME))?;
        let mut bytes = format!("{}\n", sha256(&json)).into_bytes();
        bytes.extend(json);
        files::write_durably(&self.copy_path(generation % 2), &bytes, 0o600)
    }

    fn copy_path(&self, index: u64) -> PathBuf {
        self.folder.join(format!("{}-{index}.json", T::NAME))
    }

    fn load_copy(&self, index: u64) -> Result<T> {
        let bytes = files::read(&self.copy_path(index), LIMIT)?;
        let damaged = || Error::integrity(format!("a copy of the {} is damaged", T::NAME));
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
        let (digest, json) = (&bytes[..end], &bytes[end + 1..]);
        if digest != sha256(json).to_string().as_bytes() {
            return Err(damaged());
        }
        serde_json::from_slice(json).with_context(|| format!("a copy of the {} cannot be read", T::NAME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_copy_gives_way_to_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateFile::<Ledger>::new(folder.path());
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

    #[test]
    fn changes_of_several_threads_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8_u64 {
                let store = StateFile::<Member>::new(folder.path());
                scope.spawn(move || {
                    store
                        .change(|member| {
                            member.created |= 1 << number;
                            Ok(())
                        })
                        .unwrap();
                });
            }
        });
        assert_eq!(StateFile::<Member>::new(folder.path()).load().created, 0xff);
    }

    #[test]
    fn a_change_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateFile::<Member>::new(folder.path());
        let failed = store.change(|member| {
            member.created = 7;
            Err::<(), _>(Error::internal("no"))
        });
        assert!(failed.is_err() && store.load() == Member::default());
    }
}
