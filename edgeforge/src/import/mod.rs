//! Folders of CanvOS: built as they are, or turned into projects.
//!
//! [`folder`] reads one, [`variants`] says which images it makes, [`plan`] decides what it becomes. Only this module
//! and [`write`] change anything.

mod dockerfile;
mod folder;
mod local_ui;
mod plan;
#[cfg(test)]
mod tests;
mod variants;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use edge_cli::Reader;
use edge_model::{Context, Error, Result};

use crate::project::{Project, files_below};
use folder::CanvosFolder;
use plan::{Change, Plan, PlannedFile};

/// Something that `build` builds.
#[derive(Debug)]
pub(crate) struct Buildable {
    pub(crate) project: Project,
    /// Where it is pushed when nobody says where.
    pub(crate) reference: Result<String>,
}

/// What a folder builds: its project, or the images that CanvOS would make of it. What they lack is said on standard
/// error; security that they lack only when it is `waived`.
///
/// # Errors
/// Those of [`Project::load`], [`CanvosFolder::read`] and [`plan::plan`].
pub(crate) fn buildables(directory: &Path, waived: &[String]) -> Result<Vec<Buildable>> {
    if !folder::is_canvos(directory) {
        let reference = Err(Error::invalid("--push needs a reference").help("--push REGISTRY/NAME:TAG"));
        return Ok(vec![Buildable { project: Project::load(directory)?, reference }]);
    }
    let folder = CanvosFolder::read(directory)?;
    folder.arguments.check_demands(waived)?;
    let variants = variants::variants(&folder)?;
    let mut built = Vec::new();
    for (number, variant) in variants.built.iter().enumerate() {
        let plan = plan::plan(&folder, &variants, variant)?;
        if number == 0 {
            say(&plan, &folder);
        }
        let mut project = project(&folder, plan)?;
        if variants.built.len() > 1 {
            project.output = project.output.join(&project.forge.version);
        }
        built.push(Buildable { project, reference: variants::reference(&folder, variant) });
    }
    Ok(built)
}

fn say(plan: &Plan, folder: &CanvosFolder) {
    if let Some(warning) = &plan.warning {
        eprintln!("warning: {warning}");
    }
    for change in plan.changes.iter().filter(|change| change.attention) {
        eprintln!("warning: {} → {}", change.from, change.to);
    }
    eprintln!(
        "this is a CanvOS folder; `edgeforge import {}` makes it a project",
        folder.directory.display()
    );
}

/// The project that a plan describes, with what is not in the folder yet in a temporary one.
fn project(folder: &CanvosFolder, plan: Plan) -> Result<Project> {
    let mut project = Project::assemble(
        folder.directory.clone(),
        plan.forge,
        folder.user_data.clone().unwrap_or_default(),
        match plan.unattended {
            Some(text) => text,
            None => edge_host::files::read_text(&folder.directory.join("unattended.yaml"))?,
        },
    )?;
    let new: Vec<PlannedFile> = plan.files.iter().filter(|file| !file.stays()).cloned().collect();
    let generated = tempfile::tempdir().context("cannot create a temporary folder")?;
    write::fill(folder, &new, generated.path())?;
    for (overlay, folder) in
        [(&mut project.overlay, "overlay/files"), (&mut project.medium_overlay, "overlay/files-iso")]
    {
        let mut all: BTreeMap<_, _> = std::mem::take(overlay).into_iter().collect();
        all.extend(files_below(&generated.path().join(folder))?);
        *overlay = all.into_iter().collect();
    }
    let planned = |path: &str| plan.files.iter().any(|file| file.path == format!("overlay/files-iso/{path}"));
    project.medium_overlay.retain(|(path, _)| planned(path));
    project.generated = Some(generated);
    Ok(project)
}

/// The answer of `import`.
#[derive(Debug, serde::Serialize)]
struct Report<'a> {
    /// The folder with the new `forge.yaml`.
    project: &'a Path,
    written: bool,
    changes: &'a [Change],
    warning: &'a Option<String>,
    files: &'a [PlannedFile],
    forge: &'a str,
    unattended: &'a Option<String>,
}

/// Turns a CanvOS folder into a project, in place or in a new folder, and prints what changed.
///
/// # Errors
/// Those of [`CanvosFolder::read`] and [`plan::plan`]; [`edge_model::Class::Rejected`] when something would be
/// overwritten. Nothing was changed then.
pub(crate) fn run(
    directory: &Path,
    to: Option<&Path>,
    waived: &[String],
    dry_run: bool,
    reader: Reader,
) -> Result<()> {
    if directory.join("forge.yaml").exists() {
        let error =
            Error::rejected(format!("{} is a project already: it has a forge.yaml", directory.display()));
        return Err(error.help("build it with `edgeforge build`"));
    }
    let folder = CanvosFolder::read(directory)?;
    folder.arguments.check_demands(waived)?;
    let mut plan = newest(&folder)?;
    let project = to.unwrap_or(directory);
    match to {
        _ if dry_run => {}
        Some(to) => write::new_project(&folder, &plan, to)?,
        None => write::in_place(&folder, &plan)?,
    }
    plan.changes.sort_by_key(|change| !change.attention);
    let report = Report {
        project,
        written: !dry_run,
        changes: &plan.changes,
        warning: &plan.warning,
        files: &plan.files,
        forge: &plan.forge_text,
        unattended: &plan.unattended,
    };
    reader.tell(&report, |_| print!("{}", text(&plan)))?;
    let (done, next) =
        if dry_run { ("would be", "import it without --dry-run") } else { ("is", "edgeforge build") };
    eprintln!("{} {done} a project. Next: {next}", project.display());
    Ok(())
}

/// A `forge.yaml` builds one version of Kubernetes: the newest one.
fn newest(folder: &CanvosFolder) -> Result<Plan> {
    let variants = variants::variants(folder)?;
    let variant =
        variants.built.last().ok_or_else(|| Error::internal("a folder makes at least one image"))?;
    let mut plan = plan::plan(folder, &variants, variant)?;
    if variants.built.len() > 1 {
        let to = format!(
            "forge.yaml builds the newest of {} versions; without forge.yaml `edgeforge build` builds each of them",
            variants.built.len()
        );
        plan.changes.push(Change { from: "K8S_VERSION".into(), to, attention: true });
    }
    Ok(plan)
}

/// The report for people: what needs somebody first, with a mark.
fn text(plan: &Plan) -> String {
    let mut lines: Vec<String> = plan.changes.iter().map(ToString::to_string).collect();
    lines.extend(plan.warning.iter().map(|warning| format!("! {} → {warning}", edge_model::canvos::FILE)));
    lines.join("\n") + "\n"
}
