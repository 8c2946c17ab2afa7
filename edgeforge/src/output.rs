//! The output folder of a project: written by one build at a time, and replaced as a whole.

use std::fs;
use std::path::{Path, PathBuf};

use edge_host::files;
use edge_model::{Context, Error, Result};

use crate::project::Project;

/// One build of a project at a time: both would write into the same folder.
pub(crate) fn alone(project: &Project) -> Result<fs::File> {
    let folder = fs::File::open(&project.directory)
        .with_context(|| format!("cannot open {}", project.directory.display()))?;
    if files::lock_within(&folder, files::LOCK_WITHIN)? {
        return Ok(folder);
    }
    let error = Error::rejected(format!("another build of {} runs", project.directory.display()));
    Err(error.help("wait for its end"))
}

/// Where the output grows until it is whole.
pub(crate) fn staging_folder(project: &Project) -> PathBuf {
    project.directory.join(".build.part")
}

pub(crate) fn publish(staging: &Path, output: &Path) -> Result<()> {
    let old = output.with_file_name(".build.old");
    fs::create_dir_all(output.parent().unwrap_or(output)).context("cannot create the output folder")?;
    remove_folder(&old)?;
    if output.exists() {
        fs::rename(output, &old).with_context(|| format!("cannot replace {}", output.display()))?;
    }
    fs::rename(staging, output).with_context(|| format!("cannot write {}", output.display()))?;
    remove_folder(&old)
}

pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
