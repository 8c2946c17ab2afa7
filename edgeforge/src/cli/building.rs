//! `edgeforge build`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use edge_cli::Reader;
use edge_model::forge::Envelope;
use edge_model::{Error, Result};

use super::Places;
use crate::build::{self, Options, Summary};
use crate::import::{self, Buildable};
use crate::progress::Progress;
use crate::project::Project;
use crate::{output, preflight, scratch, tools};

/// The person has pressed Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

pub(super) fn run(
    directory: &Path,
    options: &Options,
    places: &Places,
    push: Option<Option<String>>,
    dry_run: bool,
    reader: Reader,
) -> Result<()> {
    let buildables = import::buildables(directory, &places.waive)?;
    let mut jobs = jobs(buildables, options, push)?;
    for (project, options) in &mut jobs {
        let pushed = options.push.iter().chain(&options.push_container);
        places.apply(project, pushed)?;
    }
    let Some((first, _)) = jobs.first() else { return Ok(()) };
    if first.signer.is_none() {
        eprintln!(
            "warning: this project has no keys: the image will be UNSIGNED, and hosts refuse it by default"
        );
        eprintln!(
            "  help: edgeforge keys generate {0}/keys, then `keys: keys` in its forge.yaml, if it has one",
            directory.display()
        );
    }
    for (project, options) in &jobs {
        preflight::check(project, options, dry_run)?;
    }
    if dry_run {
        return tell_plans(&jobs, reader);
    }
    clean_up_on_interrupt(output::staging_folder(first))?;
    let mut summaries = Vec::new();
    for (project, options) in &jobs {
        let built = build::build(project, options, &Progress::new());
        while INTERRUPTED.load(Ordering::Acquire) {
            // The thread that cleans up ends this process; that a child was stopped is no news.
            std::thread::park();
        }
        let built = built?;
        if reader == Reader::Person {
            tell_next_steps(project, &built, options.push.is_some());
        }
        summaries.push(built);
    }
    print_summaries(&summaries, reader)
}

/// What would be built, and where it would go.
#[derive(serde::Serialize)]
struct Plan {
    name: String,
    base: String,
    output: PathBuf,
    push: Option<String>,
}

fn tell_plans(jobs: &[(Project, Options)], reader: Reader) -> Result<()> {
    let mut plans = Vec::new();
    for (project, options) in jobs {
        let base = project.forge.base();
        // What is locked and here already needs no archive.
        if let Some(error) = tools::check_archives(&base).err().filter(|_| !options.offline) {
            eprintln!("warning: what is not on this machine cannot be fetched: {error}");
            error.help.iter().for_each(|help| eprintln!("  help: {help}"));
        }
        plans.push(Plan {
            name: project.forge.artifact_name(),
            base: base.from.to_string(),
            output: project.output(),
            push: options.push.clone(),
        });
    }
    reader.tell(&plans, |plans| {
        for plan in plans {
            println!("{} from {} → {}", plan.name, plan.base, plan.output.display());
            plan.push.iter().for_each(|reference| println!("  pushed to {reference}"));
        }
    })
}

/// Projects with where each is pushed. Everything that is wrong is found before the first one is built.
pub(super) fn jobs(
    buildables: Vec<Buildable>,
    options: &Options,
    push: Option<Option<String>>,
) -> Result<Vec<(Project, Options)>> {
    if matches!(push, Some(Some(_))) && buildables.len() > 1 {
        let error = Error::invalid(format!("one reference cannot name {} images", buildables.len()));
        return Err(error.help("--push without a value gives each its own, or set K8S_VERSION"));
    }
    let job = |Buildable { mut project, reference }| {
        if options.container {
            project.forge.envelopes.push(Envelope::Container);
        }
        let push = match &push {
            None => None,
            Some(Some(given)) => Some(given.clone()),
            Some(None) => Some(reference?),
        };
        Ok((project, Options { push, ..options.clone() }))
    };
    buildables.into_iter().map(job).collect()
}

/// On the error output: the answer is the last line alone.
fn tell_next_steps(project: &Project, summary: &Summary, pushed: bool) {
    eprintln!("\n{}:", project.output().display());
    for output in &summary.outputs {
        let name = output.path.file_name().unwrap_or_default().to_string_lossy();
        let size = indicatif::HumanBytes(output.size).to_string();
        eprintln!("  {name:<44} {size:>11}  {}", output.what);
    }
    let iso = summary.iso.display();
    eprintln!("Next:");
    for (goal, command) in summary.outputs.iter().filter_map(|output| output.next.as_ref()) {
        eprintln!("  {goal:<18} {command}");
    }
    eprintln!(
        "  a virtual machine  truncate -s 8G disk.img && qemu-system-x86_64 -m 4096 -bios /usr/share/ovmf/OVMF.fd -cdrom {iso} -drive file=disk.img,format=raw,if=virtio"
    );
    if !pushed {
        let (forge, directory) = (&project.forge, project.directory.display());
        eprintln!(
            "  a registry         edgeforge build {directory} --push REGISTRY/{}:{}",
            forge.name, forge.version
        );
    }
}

/// One image is an answer, several are a list of them.
fn print_summaries(summaries: &[Summary], reader: Reader) -> Result<()> {
    let for_people = |summary: &Summary| {
        let mebibytes = summary.iso_size as f64 / f64::from(1 << 20);
        println!("{} {mebibytes:.1} MiB root={}", summary.iso.display(), summary.root_hash);
    };
    match summaries {
        [one] => reader.tell(one, for_people),
        all => reader.tell(all, |all| all.iter().for_each(for_people)),
    }
}

/// Ctrl-C leaves no half output: children are ended, and the folder that grows is removed.
fn clean_up_on_interrupt(staging: PathBuf) -> Result<()> {
    const EXIT_STATUS: i32 = 130;
    const GRACE: Duration = Duration::from_secs(10);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::internal(format!("cannot watch for an interrupt: {error}")))?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            INTERRUPTED.store(true, Ordering::Release);
            edge_host::child::stop_all(GRACE);
            let _ = output::remove_folder(&staging);
            scratch::remove_all();
            eprintln!("interrupted; what was not finished is removed");
            std::process::exit(EXIT_STATUS);
        }
    });
    Ok(())
}
