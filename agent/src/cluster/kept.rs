//! The datastore's data as an image left it: copied before an image with another minor version opens it, and put back when the
//! first one returns. Copied cold, at the start of the image that changes it: nothing runs then, so it needs no program, no API
//! and no clean stop, and what the power cut of a moment ago left is what is kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use edge_host::{files, folder};
use edge_model::api::cluster::KeptData;
use edge_model::calendar::day_and_time;
use edge_model::ids::{Digest, RootHash, to_hex};
use edge_model::{Context, Error, Result, paths};
use edge_planner::cluster::member::Opening;
use serde::{Deserialize, Serialize};

/// What etcd calls the folder with its data, inside its own one.
const DATA: &str = "member";
const RECORD: &str = "kept.json";
const RECORD_LIMIT: u64 = 1 << 20;
/// Beside the data that it takes the place of: a copy that is being made, and what another image has made of the data.
const COMING: &str = ".edge-coming";
const ASIDE: &str = ".edge-aside-";
/// Bytes that the copy leaves free for everything else.
const RESERVE: u64 = 256 << 20;
/// Bytes of a root hash that name a folder.
const NAME: usize = 8;

/// What is known of data that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) of: Opening,
    /// Seconds since 1970; for people.
    pub(crate) made: u64,
    /// The definition that was in force.
    pub(super) definition: String,
    files: BTreeMap<String, Digest>,
}

impl Kept {
    pub(super) fn for_people(self) -> KeptData {
        KeptData { versions: self.of.versions, made: self.made }
    }
}

/// What a return to this image does to the data of the cluster; `None` when it does nothing to it.
pub(crate) fn told_of_return(to: &RootHash) -> Option<String> {
    let kept = Places::of_host().kept().ok().flatten().filter(|kept| kept.of.root_hash == *to)?;
    let when = day_and_time(kept.made);
    Some(format!("the cluster gets its data of {when} again, and what was made since is put aside"))
}

/// Where it is kept, and where the datastore has its own.
#[derive(Debug, Clone)]
pub(super) struct Places {
    kept: PathBuf,
    datastore: PathBuf,
}

impl Places {
    pub(super) fn of_host() -> Self {
        Self { kept: paths::CLUSTER_KEPT.into(), datastore: paths::ETCD_DATA.into() }
    }

    fn folder(&self, of: &RootHash) -> PathBuf {
        self.kept.join(to_hex(&of.0[..NAME]))
    }

    /// What is kept, if anything is. There is never more than one.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub(super) fn kept(&self) -> Result<Option<Kept>> {
        let Ok(entries) = fs::read_dir(&self.kept) else { return Ok(None) };
        for entry in entries.flatten() {
            let path = entry.path().join(RECORD);
            if path.exists() {
                let bytes = files::read(&path, RECORD_LIMIT)?;
                return serde_json::from_slice(&bytes)
                    .map(Some)
                    .with_context(|| format!("{} cannot be read", path.display()));
            }
        }
        Ok(None)
    }

    /// Keeps the data for the image that opened it last.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when there is no room, or the disk fails. The data itself is as it was.
    pub(super) fn keep(&self, of: &Opening, definition: &str, now: u64) -> Result<()> {
        self.forget()?;
        self.remove_aside()?;
        let data = self.datastore.join(DATA);
        self.has_room(folder::size(&data)?)?;
        make_private(&self.kept)?;
        let part = self.kept.join("part");
        make_private(&part)?;
        let files = folder::copy(&data, &part.join(DATA))?;
        let kept = Kept { of: of.clone(), made: now, definition: definition.to_owned(), files };
        let bytes = serde_json::to_vec(&kept).context("cannot write down what is kept")?;
        files::write_durably(&part.join("record"), &bytes, 0o600)?;
        // The name by which it is found comes last.
        let folder = self.folder(&of.root_hash);
        files::rename_folder(&part, &folder)?;
        files::write_durably(&folder.join(RECORD), &bytes, 0o600)
    }

    fn has_room(&self, size: u64) -> Result<()> {
        let free = files::free_bytes(self.kept.parent().unwrap_or(&self.kept))?;
        if free >= size.saturating_add(RESERVE) {
            return Ok(());
        }
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        Err(Error::environment(format!(
            "the cluster's data cannot be kept for the version before: it has {} MiB, and {} MiB are free",
            mebibytes(size),
            mebibytes(free)
        ))
        .help("go back with `edge-agent rollback`, make room, and upgrade again"))
    }

    /// Puts what is kept for an image in the place of what `by` has made of it, which is put aside.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] when it is damaged; nothing was changed then.
    pub(super) fn restore(&self, of: RootHash, by: RootHash) -> Result<Kept> {
        let kept = self.kept()?.filter(|kept| kept.of.root_hash == of).ok_or_else(|| {
            Error::integrity("the cluster's data that was kept for this image is gone")
                .help("upgrade to the newer version again, or restore a backup")
        })?;
        let coming = self.datastore.join(COMING);
        folder::remove(&coming)?;
        let files = folder::copy(&self.folder(&of).join(DATA), &coming)?;
        if files != kept.files {
            folder::remove(&coming)?;
            return Err(Error::integrity("the cluster's data that was kept for this image is damaged")
                .help("upgrade to the newer version again, or restore a backup"));
        }
        let (data, aside) = (self.datastore.join(DATA), self.aside(by));
        if aside.exists() {
            // Cut between the two renames, or behind them: what stands there now is a copy of what is kept.
            folder::remove(&data)?;
        } else if data.exists() {
            files::rename_folder(&data, &aside)?;
        }
        files::rename_folder(&coming, &data)?;
        Ok(kept)
    }

    fn aside(&self, by: RootHash) -> PathBuf {
        self.datastore.join(format!("{ASIDE}{}", to_hex(&by.0[..NAME])))
    }

    /// What a return put aside stays until the next change of the version.
    fn remove_aside(&self) -> Result<()> {
        let Ok(entries) = fs::read_dir(&self.datastore) else { return Ok(()) };
        let of_ours = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(ASIDE);
        entries.flatten().filter(of_ours).try_for_each(|entry| folder::remove(&entry.path()))
    }

    /// Nothing is kept any more.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub(super) fn forget(&self) -> Result<()> {
        let Ok(entries) = fs::read_dir(&self.kept) else { return Ok(()) };
        entries.flatten().try_for_each(|entry| {
            // Without its record it is nothing, however far its removal comes.
            let record = entry.path().join(RECORD);
            if record.exists() {
                fs::remove_file(&record).with_context(|| format!("cannot remove {}", record.display()))?;
                files::sync_folder(&entry.path())?;
            }
            folder::remove(&entry.path())
        })
    }
}

/// Data of a cluster has its secrets in it.
fn make_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot create {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::cluster::{Distribution, KubernetesVersions};
    use edge_testkit::every_fault::with_every_fault;

    struct Stand(tempfile::TempDir);

    const OLD: RootHash = RootHash([1; 32]);
    const NEW: RootHash = RootHash([2; 32]);

    fn opening(root_hash: RootHash) -> Opening {
        let versions = KubernetesVersions {
            distribution: Distribution::Kubeadm,
            kubernetes: "v1.36.3".into(),
            etcd: Some("3.6.16".into()),
        };
        Opening { root_hash, versions }
    }

    impl Stand {
        fn new() -> Self {
            let stand = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(stand.data().join("snap")).unwrap();
            fs::create_dir(stand.0.path().join("kept")).unwrap();
            stand.write("of the old");
            stand
        }

        fn places(&self) -> Places {
            Places { kept: self.0.path().join("kept"), datastore: self.0.path().join("etcd") }
        }

        fn data(&self) -> PathBuf {
            self.0.path().join("etcd/member")
        }

        fn write(&self, text: &str) {
            fs::write(self.data().join("snap/db"), text).unwrap();
        }

        fn read(&self) -> String {
            fs::read_to_string(self.data().join("snap/db")).unwrap_or_default()
        }

        fn after_a_change() -> Self {
            let stand = Self::new();
            stand.places().keep(&opening(OLD), "name: shop\n", 7).unwrap();
            stand.write("of the new");
            stand
        }
    }

    #[test]
    fn data_is_kept_whole_or_not_at_all_whatever_fails() {
        let effects = with_every_fault(
            Stand::new,
            |stand| stand.places().keep(&opening(OLD), "name: shop\n", 7),
            |stand, what| {
                assert_eq!(stand.read(), "of the old", "{what}");
                if let Some(kept) = stand.places().kept().unwrap() {
                    let copy = stand.places().folder(&kept.of.root_hash).join("member/snap/db");
                    assert_eq!(fs::read_to_string(copy).unwrap(), "of the old", "{what}");
                }
            },
            |stand| {
                let kept = stand.places().kept().unwrap().unwrap();
                assert_eq!((kept.of, kept.definition.as_str()), (opening(OLD), "name: shop\n"));
            },
        );
        assert!(effects.len() > 10, "{effects:?}");
    }

    #[test]
    fn it_comes_back_whatever_fails_and_what_was_made_of_it_is_put_aside() {
        with_every_fault(
            Stand::after_a_change,
            |stand| stand.places().restore(OLD, NEW).map(drop),
            |stand, what| {
                let kept = stand.places().folder(&OLD).join("member/snap/db");
                assert_eq!(fs::read_to_string(kept).unwrap(), "of the old", "{what}");
            },
            |stand| {
                assert_eq!(stand.read(), "of the old");
                let aside = stand.places().aside(NEW).join("snap/db");
                assert_eq!(fs::read_to_string(aside).unwrap(), "of the new");
            },
        );
        let stand = Stand::after_a_change();
        stand.places().restore(OLD, NEW).unwrap();
        stand.places().forget().unwrap();
        assert!(stand.places().kept().unwrap().is_none());
        // The next change begins anew.
        stand.places().keep(&opening(OLD), "name: shop\n", 8).unwrap();
        assert!(!stand.places().aside(NEW).exists());
    }

    #[test]
    fn what_is_damaged_is_not_restored() {
        let stand = Stand::after_a_change();
        let copy = stand.places().folder(&OLD).join("member/snap/db");
        fs::write(copy, "of the olb").unwrap();
        let error = stand.places().restore(OLD, NEW).unwrap_err();
        assert!(error.message.contains("damaged") && stand.read() == "of the new", "{error}");
        assert!(stand.places().restore(NEW, OLD).unwrap_err().message.contains("is gone"));
    }
}
