//! A document that the host keeps and that two images share: written so that a power cut leaves one whole, changed in one call
//! under a lock, and without losing what only the other image knows ([`edge_model::shared_state`]).

use std::collections::BTreeMap;
use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use edge_host::files;
use edge_model::api::black_box::BlackBox;
use edge_model::api::{KeptEvents, KeptOperations};
use edge_model::ledger::Ledger;
use edge_model::shared_state::Understood;
use edge_model::{Class, Context, Error, Result};
use edge_planner::boot::failures::KnownFailures;
use edge_planner::cluster::member::Member;
use edge_planner::installed;
use edge_planner::network_trial::Memory;
use edge_slot_image::sealed;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::accounts::KeptAccount;

const LIMIT: u64 = 4 << 20;
const GENERATION: &str = "generation";
const FORMAT: &str = "format";

/// What can be kept in this way.
pub(crate) trait Kept: Serialize + DeserializeOwned + Default + Clone + PartialEq {
    /// First part of the names of its files.
    const NAME: &'static str;
    const COPIES: Copies;
    /// Version of the document; none where every key of it is somebody's name.
    const FORMAT: Option<u32> = Some(1);
}

/// How a document survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    /// `NAME.json`: a power cut leaves the old one or the new one.
    One,
    /// `NAME-0.json` and `NAME-1.json` with digests and generations: one may be damaged on the disk, and the other holds.
    Two,
}

impl Kept for Ledger {
    const NAME: &'static str = installed::LEDGER;
    const COPIES: Copies = Copies::Two;
}

impl Kept for Member {
    const NAME: &'static str = "member";
    const COPIES: Copies = Copies::Two;
    const FORMAT: Option<u32> = None; // it has its own
}

impl Kept for BlackBox {
    const NAME: &'static str = "black-box";
    const COPIES: Copies = Copies::One;
}

impl Kept for KnownFailures {
    const NAME: &'static str = "failed-units";
    const COPIES: Copies = Copies::One;
}

impl Kept for KeptOperations {
    const NAME: &'static str = "operations";
    const COPIES: Copies = Copies::One;
}

impl Kept for KeptEvents {
    const NAME: &'static str = "events";
    const COPIES: Copies = Copies::One;
}

impl Kept for Memory {
    const NAME: &'static str = "network";
    const COPIES: Copies = Copies::One;
}

impl Kept for BTreeMap<String, KeptAccount> {
    const NAME: &'static str = "accounts";
    const COPIES: Copies = Copies::One;
    const FORMAT: Option<u32> = None;
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

    /// The document; an empty one when there is none.
    ///
    /// # Errors
    /// When there is one and no copy of it can be read.
    pub(crate) fn read(&self) -> Result<T> {
        Ok(self.newest()?.document)
    }

    /// The document; an empty one when there is none that can be read.
    pub(crate) fn load(&self) -> T {
        self.read().unwrap_or_default()
    }

    /// Reads, changes and writes the document while nobody else does.
    ///
    /// # Errors
    /// Those of `change`, when no copy can be read, or when the disk refuses; the document is then what it was.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        self.change_from(Self::newest, change)
    }

    /// As [`StateFile::change`], for documents without which the host has to go on: a damaged one is set aside, and begun anew.
    ///
    /// # Errors
    /// As [`StateFile::change`]; also when the disk does not let itself be read, which may be over soon.
    pub(crate) fn change_or_begin<R>(&self, change: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        let newest_or_empty = |file: &Self| match file.newest() {
            Err(error) if error.class == Class::Integrity => {
                tracing::error!("the {} is begun anew: {error}", T::NAME);
                file.set_aside()?;
                Ok(empty())
            }
            other => other,
        };
        self.change_from(newest_or_empty, change)
    }

    /// Damaged copies must not come back with a generation that is higher than the new ones.
    fn set_aside(&self) -> Result<()> {
        for path in [self.only(), self.copy(0), self.copy(1)] {
            let aside = path.with_extension("damaged");
            match std::fs::rename(&path, &aside) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot set {} aside", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn change_from<R>(
        &self,
        read: impl FnOnce(&Self) -> Result<Understood<T>>,
        change: impl FnOnce(&mut T) -> Result<R>,
    ) -> Result<R> {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot create {}", self.folder.display()))?;
        let lock = self.folder.join(format!(".{}.lock", T::NAME));
        let lock = File::create(&lock).with_context(|| format!("cannot create {}", lock.display()))?;
        lock.lock().with_context(|| format!("cannot lock the {}", T::NAME))?;
        let before = read(self)?;
        let mut document = before.document.clone();
        let outcome = change(&mut document)?;
        if document != before.document {
            self.write(&before, &document)?;
        }
        Ok(outcome)
    }

    fn write(&self, before: &Understood<T>, document: &T) -> Result<()> {
        let context = || format!("cannot write the {}", T::NAME);
        let mut value = before.carry(document).with_context(context)?;
        let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
        if let Some(format) = T::FORMAT {
            // What a newer image has written stays in it, and it stays of its format.
            value[FORMAT] = number(&value, FORMAT).max(u64::from(format)).into();
        }
        let generation = number(before.raw(), GENERATION) + 1;
        if T::COPIES == Copies::Two {
            value[GENERATION] = generation.into();
        }
        let json = serde_json::to_vec(&value).with_context(context)?;
        match T::COPIES {
            Copies::One => files::write_durably(&self.only(), &json, 0o600),
            Copies::Two => files::write_durably(&self.copy(generation), &sealed::seal(&json), 0o600),
        }
    }

    fn only(&self) -> PathBuf {
        self.folder.join(format!("{}.json", T::NAME))
    }

    fn copy(&self, generation: u64) -> PathBuf {
        self.folder.join(sealed::file_name(T::NAME, generation))
    }

    fn newest(&self) -> Result<Understood<T>> {
        let generation = |value: &Value| value.get(GENERATION).and_then(Value::as_u64).unwrap_or(0);
        let copies = match T::COPIES {
            Copies::One => vec![self.raw(&self.only())],
            Copies::Two => vec![self.raw(&self.copy(0)), self.raw(&self.copy(1))],
        };
        let mut newest: Option<Value> = None;
        let mut damage = None;
        for copy in copies {
            match copy {
                Ok(Some(value))
                    if newest.as_ref().is_none_or(|best| generation(best) < generation(&value)) =>
                {
                    newest = Some(value);
                }
                Ok(_) => {}
                Err(error) => damage = Some(error),
            }
        }
        match (newest, damage) {
            (Some(value), _) => Ok(Understood::read(value)),
            (None, None) => Ok(empty()),
            (None, Some(error)) => Err(error),
        }
    }

    /// One copy, if it is there.
    fn raw(&self, path: &Path) -> Result<Option<Value>> {
        if !path.try_exists().with_context(|| format!("cannot look for {}", path.display()))? {
            return Ok(None);
        }
        let bytes = files::read(path, LIMIT)?;
        let damaged = || Error::integrity(format!("{} is damaged", path.display()));
        let json = match T::COPIES {
            Copies::One => &bytes[..],
            Copies::Two => sealed::open(&bytes).ok_or_else(damaged)?,
        };
        let value: Value = serde_json::from_slice(json).map_err(|_| damaged())?;
        if value.is_object() { Ok(Some(value)) } else { Err(damaged()) }
    }
}

fn empty<T: Kept>() -> Understood<T> {
    Understood::read(Value::Object(serde_json::Map::new()))
}

#[cfg(test)]
mod tests;
