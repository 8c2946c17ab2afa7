//! Writing a planned project: everything grows in a hidden folder first, so that a refusal changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use edge_model::{Context, Error, Result};

use super::folder::CanvosFolder;
use super::local_ui;
use super::plan::{Origin, Plan, PlannedFile};
use crate::output::remove_folder;
use crate::project::files_below;

/// Writes planned files below `target`.
///
/// # Errors
/// When a file cannot be read or written, or is there already.
pub(super) fn fill(folder: &CanvosFolder, files: &[PlannedFile], target: &Path) -> Result<()> {
    for file in files {
        if let Origin::Folder(from) = &file.from {
            copy(&folder.directory.join(from), &target.join(&file.path))?;
        }
    }
    if files.iter().any(|file| matches!(file.from, Origin::LocalUi(_))) {
        let place = target.join("overlay/files").join(local_ui::PLACE);
        local_ui::unpack(&folder.directory.join(local_ui::FILE), &place)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let context = || format!("cannot copy {} to {}", from.display(), to.display());
    fs::create_dir_all(to.parent().unwrap_or(to)).with_context(context)?;
    let metadata = fs::symlink_metadata(from).with_context(context)?;
    if metadata.is_symlink() {
        let target = fs::read_link(from).with_context(context)?;
        return symlink(target, to).with_context(context);
    }
    if !metadata.is_file() {
        return Err(Error::invalid(format!("{} is neither a file nor a link", from.display())));
    }
    fs::copy(from, to).map(drop).with_context(context)
}

/// Writes a whole project into a new or empty folder.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when the folder holds anything.
pub(super) fn new_project(folder: &CanvosFolder, plan: &Plan, to: &Path) -> Result<()> {
    if to.symlink_metadata().is_ok() && !fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_none()) {
        let error = Error::rejected(format!("{} is not an empty folder", to.display()));
        return Err(error.help("give a new folder"));
    }
    let name = to.file_name().ok_or_else(|| {
        Error::invalid(format!("{} is no name for a new folder", to.display())).help("give its name")
    })?;
    let staging = to.with_file_name(format!(".{}.part", name.to_string_lossy()));
    let context = || format!("cannot write {}", to.display());
    let write = || {
        remove_folder(&staging)?;
        fs::create_dir_all(&staging).with_context(context)?;
        fill(folder, &plan.files, &staging)?;
        documents(plan, &staging)?;
        fs::rename(&staging, to).with_context(context)
    };
    write().inspect_err(|_| drop(remove_folder(&staging)))
}

/// Adds what makes the checkout itself a project. `forge.yaml` comes last: only then it is one.
///
/// # Errors
/// [`edge_model::Class::Rejected`] naming a file that is there with other content.
pub(super) fn in_place(folder: &CanvosFolder, plan: &Plan) -> Result<()> {
    let staging = folder.directory.join(".import.part");
    let write = || {
        remove_folder(&staging)?;
        fs::create_dir_all(&staging).with_context(|| format!("cannot create {}", staging.display()))?;
        let new: Vec<PlannedFile> = plan.files.iter().filter(|file| !file.stays()).cloned().collect();
        fill(folder, &new, &staging)?;
        documents(plan, &staging)?;
        let mut files = files_below(&staging)?;
        files.sort_by_key(|(path, _)| path == "forge.yaml");
        for (path, _) in &files {
            check_free(&staging.join(path), &folder.directory.join(path))?;
        }
        files.iter().try_for_each(|(path, source)| move_to(source, &folder.directory.join(path)))
    };
    let written = write();
    let removed = remove_folder(&staging);
    written.and(removed)
}

fn documents(plan: &Plan, target: &Path) -> Result<()> {
    let put = |name: &str, text: &str| {
        let path = target.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    plan.unattended.iter().try_for_each(|text| put("unattended.yaml", text))?;
    put("forge.yaml", &plan.forge_text)
}

/// An earlier import that was interrupted may have left the same.
fn check_free(new: &Path, target: &Path) -> Result<()> {
    if target.symlink_metadata().is_err() || same(new, target) {
        return Ok(());
    }
    let error = Error::rejected(format!("{} is there already and differs", target.display()));
    Err(error.help("move it away, or import to a new folder: --to NEWDIR"))
}

fn same(one: &Path, other: &Path) -> bool {
    let link = |path: &Path| -> Option<PathBuf> { fs::read_link(path).ok() };
    match (link(one), link(other)) {
        (None, None) => {
            let (one, other) = (edge_host::files::digest(one), edge_host::files::digest(other));
            one.is_ok_and(|one| other.is_ok_and(|other| one == other))
        }
        (one, other) => one == other,
    }
}

fn move_to(source: &Path, target: &Path) -> Result<()> {
    let context = || format!("cannot write {}", target.display());
    fs::create_dir_all(target.parent().unwrap_or(target)).with_context(context)?;
    fs::rename(source, target).with_context(context)
}
