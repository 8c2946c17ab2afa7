//! A builder of an earlier state of this project: its images have an older agent, to which hosts may come back.

use std::path::PathBuf;

use edge_host::child::Child;
use edge_model::{Context, Error, Result};

use crate::{build, root};

/// Before state files had a format and unknown parts of them were carried.
const COMMIT: &str = "463b85f41ea4a674b652b6f67b28fe5ee38af23c";
const GIT_WITHIN: std::time::Duration = std::time::Duration::from_secs(120);

/// Why there can be none here.
pub(crate) fn missing() -> Option<String> {
    let known = git().args(["cat-file", "-e", &format!("{COMMIT}^{{commit}}")]).outcome();
    let is_known = known.is_ok_and(|outcome| outcome.status.success());
    (!is_known && !builder().exists()).then(|| "the history of this clone does not go back so far".to_owned())
}

/// Compiles it once.
///
/// # Errors
/// When the older state cannot be had, or does not compile any more.
pub(crate) fn prepare() -> Result<PathBuf> {
    if builder().exists() {
        return Ok(builder());
    }
    let folder = folder();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let archive = folder.join("source.tar");
    git().args(["archive", "--format=tar", "-o"]).arg(&archive).arg(COMMIT).run()?;
    Child::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&folder).run()?;
    let cargo =
        build::child().directory(&folder).args(["run", "--quiet", "--package", "xtask", "--", "build"]);
    cargo.run_on_terminal()?;
    // What it was compiled with is larger than all else that tests keep.
    let compiled = folder.join("target");
    std::fs::remove_dir_all(&compiled).with_context(|| format!("cannot remove {}", compiled.display()))?;
    if builder().exists() { Ok(builder()) } else { Err(Error::internal("the older state made no builder")) }
}

fn folder() -> PathBuf {
    root().join("target/older").join(&COMMIT[..12])
}

fn builder() -> PathBuf {
    folder().join("dist/edgeforge")
}

fn git() -> Child {
    Child::new("git").directory(&root()).deadline(GIT_WITHIN)
}
