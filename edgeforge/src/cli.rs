//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use edge_model::forge::{Base, Envelope, Source};
use edge_model::{Context, Error, Result};

use crate::apt::Lookup;
use crate::build::{self, Options, Summary};
use crate::cache::Cache;
use crate::documents::{self, Kind, SchemaOf, To};
use crate::envelopes::Content;
use crate::import::{self, Buildable};
use crate::inputs::Freshness;
use crate::inspect::kernel::PciId;
use crate::inspect::{self, Question};
use crate::lint;
use crate::progress::Progress;
use crate::project::{self, Project};
use crate::tools::{self, Purpose};
use crate::{output, scratch, unpack};

/// Builds provider images and installer ISOs for edge appliances.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  edgeforge init shop            write a project that builds as it is
  edgeforge keys generate keys   make the key pair that signs images
  edgeforge build shop           write shop/build/*.iso and the rest
  edgeforge validate shop/user-data shop/unattended.yaml
  edgeforge inspect shop         show what is in the image
  edgeforge build shop --push registry.example/edge/shop:1.0.0
  edgeforge import CanvOS --to shop   turn a CanvOS folder into a project";

const INSPECT_EXAMPLES: &str = "Examples:
  edgeforge inspect shop
  edgeforge inspect shop/build/shop-1.0.0-amd64.iso --top 40
  edgeforge inspect shop-1.0.0-amd64.oci.tar --pci 8086:15f3
  edgeforge inspect oci:registry.example/edge/shop:1.0.0
  edgeforge inspect shop --json";

#[derive(Subcommand)]
enum Command {
    /// Write a new project folder
    Init { directory: PathBuf },
    /// Build a project, or a CanvOS folder as it is, into its folder build/
    Build {
        directory: PathBuf,
        /// Do not use results of earlier builds
        #[arg(long)]
        no_cache: bool,
        /// Use only what is on this machine
        #[arg(long)]
        offline: bool,
        /// Refuse to build anything but what forge.lock says
        #[arg(long)]
        locked: bool,
        /// Push the provider image to a registry afterwards; a CanvOS folder says itself where
        #[arg(long, value_name = "REFERENCE", num_args = 0..=1)]
        push: Option<Option<String>>,
        /// Write the root as a container image, too
        #[arg(long)]
        container: bool,
        /// Push the container image to a registry afterwards
        #[arg(long, value_name = "REFERENCE")]
        push_container: Option<String>,
        #[command(flatten)]
        places: Places,
        /// Check the project and print what would be built
        #[arg(long)]
        dry_run: bool,
    },
    /// Fetch everything that a build needs, for building with --offline
    Fetch {
        directory: PathBuf,
        #[command(flatten)]
        places: Places,
    },
    /// Take the newest inputs into forge.lock, and show what changed
    Update {
        directory: PathBuf,
        #[command(flatten)]
        places: Places,
        /// Only show
        #[arg(long)]
        dry_run: bool,
    },
    /// Unpack a container image into a folder: oci:REFERENCE, oci-layout:FOLDER or docker-archive:FILE
    Unpack {
        image: String,
        folder: PathBuf,
        /// Talk to the registry without TLS
        #[arg(long)]
        plain_http: bool,
    },
    /// Turn a CanvOS folder into a project, and say what changes
    Import {
        directory: PathBuf,
        /// Write the project into a new folder, and leave this one as it is
        #[arg(long, value_name = "NEWDIR")]
        to: Option<PathBuf>,
        /// Say what would change, and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Check user data, unattended files and other documents
    Validate {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What the files are, when their names do not tell
        #[arg(long)]
        kind: Option<Kind>,
    },
    /// Print user data with the other name of its section: edge or stylus
    Convert {
        file: PathBuf,
        #[arg(long)]
        to: To,
    },
    /// Print the JSON Schema of a document, for editors
    Schema { document: SchemaOf },
    /// Show what is in an image: packages, kernel, units, accounts, listening sockets, privileged files
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect {
        /// A project, its build folder, an .iso, a .raw, an .oci.tar, an OCI layout, a root.img, or oci:REFERENCE,
        /// oci-layout:FOLDER and docker-archive:FILE, also of container images
        image: String,
        /// Talk to the registry without TLS
        #[arg(long)]
        plain_http: bool,
        /// Show the drivers for a PCI device, as `lspci -nn` prints it: VENDOR:DEVICE or VENDOR:DEVICE:CLASS
        #[arg(long, value_name = "ID")]
        pci: Option<PciId>,
        /// How many packages are shown, the largest first
        #[arg(long, default_value_t = 15)]
        top: usize,
    },
    /// Show what differs between two images: packages, files, kernel configuration, sizes
    Diff {
        /// As for inspect
        before: String,
        after: String,
        /// Talk to registries without TLS
        #[arg(long)]
        plain_http: bool,
    },
    /// Check an image; the exit status is 1 when there are errors
    Lint {
        /// As for inspect; the settings of a project count
        #[arg(required_unless_present = "list")]
        image: Option<String>,
        /// Talk to the registry without TLS
        #[arg(long)]
        plain_http: bool,
        /// Print all checks
        #[arg(long, conflicts_with = "image")]
        list: bool,
    },
    /// Work with signing keys
    #[command(subcommand)]
    Keys(Keys),
    /// Make the tree of tools that builds (or virtual machines) use, and print its path
    Tools {
        /// The tools for virtual machines: emulator, firmware, registry
        #[arg(long)]
        lab: bool,
    },
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// Write manual pages, one for each command
    Manual { folder: std::path::PathBuf },
}

/// Where inputs come from, and how: for this time, instead of what forge.yaml or the machine says.
#[derive(clap::Args)]
struct Places {
    /// The mirror of the base's packages, instead of that of this machine's apt
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// The Debian mirror of the builder's tools
    #[arg(long, value_name = "URL")]
    tools_mirror: Option<String>,
    /// Talk without TLS to the registry that is pushed to; when nothing is pushed, to that of the base
    #[arg(long)]
    plain_http: bool,
}

impl Places {
    fn apply<'r>(&self, project: &mut Project, pushed: impl IntoIterator<Item = &'r String>) -> Result<()> {
        let mut base = project.forge.base();
        base.mirror = self.mirror.clone().or(base.mirror);
        base.tools_mirror = self.tools_mirror.clone().or(base.tools_mirror);
        let mut references: Vec<String> = pushed.into_iter().cloned().collect();
        if let (true, Source::Registry(reference)) = (references.is_empty(), &base.from) {
            references.push(reference.clone());
        }
        for reference in references.iter().filter(|_| self.plain_http) {
            project.forge.speak_plain_http(registry_of(reference)?);
        }
        if self.mirror.is_some() || self.tools_mirror.is_some() {
            project.forge.set_base(base);
        }
        Ok(())
    }
}

fn registry_of(reference: &str) -> Result<String> {
    let parsed: oci_client::Reference = reference
        .parse()
        .map_err(|error| Error::invalid(format!("{reference:?} is not an image reference: {error}")))?;
    Ok(parsed.registry().to_owned())
}

/// The person has pressed Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

#[derive(Subcommand)]
enum Keys {
    /// Make a key pair in a folder
    Generate { directory: PathBuf },
}

pub(crate) fn run() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // The only provider of cryptography that is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match arguments.command {
        Command::Validate { files, kind } => {
            let usable = documents::validate(&files, kind, arguments.json)?;
            return Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Lint { image: Some(image), plain_http, .. } => {
            let usable = lint::run(&image, plain_http, arguments.json)?;
            return Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Lint { image: None, .. } => lint::list(arguments.json),
        Command::Inspect { image, plain_http, pci, top } => {
            inspect::run(&image, plain_http, &Question { pci, top }, arguments.json)
        }
        Command::Diff { before, after, plain_http } => {
            inspect::diff::run(&before, &after, plain_http, arguments.json)
        }
        Command::Convert { file, to } => documents::convert(&file, to),
        Command::Schema { document } => documents::schema(document),
        Command::Init { directory } => init(&directory),
        Command::Fetch { directory, places } => {
            fetch(&directory, &places, Freshness::Locked, false, arguments.json)
        }
        Command::Update { directory, places, dry_run } => {
            fetch(&directory, &places, Freshness::Newest, dry_run, arguments.json)
        }
        Command::Unpack { image, folder, plain_http } => unpack::unpack(&image, &folder, plain_http),
        Command::Build {
            directory,
            no_cache,
            offline,
            locked,
            push,
            container,
            push_container,
            places,
            dry_run,
        } => {
            let container = container || push_container.is_some();
            let options = Options { no_cache, offline, locked, push: None, push_container, container };
            run_build(&directory, &options, &places, push, dry_run, arguments.json)
        }
        Command::Import { directory, to, dry_run } => {
            import::run(&directory, to.as_deref(), dry_run, arguments.json)
        }
        Command::Keys(Keys::Generate { directory }) => project::generate_keys(&directory),
        Command::Tools { lab } => print_tools(if lab { Purpose::Lab } else { Purpose::Builder }),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "edgeforge", &mut std::io::stdout());
            Ok(())
        }
        Command::Manual { folder } => clap_mangen::generate_to(Arguments::command(), &folder)
            .with_context(|| format!("cannot write manual pages to {}", folder.display())),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn init(directory: &Path) -> Result<()> {
    project::scaffold(directory)?;
    eprintln!("{} is ready. Next: edgeforge build {0}", directory.display());
    Ok(())
}

fn run_build(
    directory: &Path,
    options: &Options,
    places: &Places,
    push: Option<Option<String>>,
    dry_run: bool,
    json: bool,
) -> Result<()> {
    let buildables = import::buildables(directory)?;
    let mut jobs = jobs(buildables, options, push)?;
    for (project, options) in &mut jobs {
        let pushed = options.push.iter().chain(&options.push_container);
        places.apply(project, pushed)?;
    }
    let Some((first, _)) = jobs.first() else { return Ok(()) };
    if first.signing_key.is_none() {
        eprintln!(
            "warning: this project has no keys: the image will be UNSIGNED, and hosts refuse it by default"
        );
        eprintln!(
            "  help: edgeforge keys generate {0}/keys, then `keys: keys` in its forge.yaml, if it has one",
            directory.display()
        );
    }
    if dry_run {
        for (project, options) in &jobs {
            Content::find(project)?;
            let base = project.forge.base();
            // What is locked and here already needs no archive.
            if let Some(error) = tools::check_archives(&base).err().filter(|_| !options.offline) {
                eprintln!("warning: what is not on this machine cannot be fetched: {error}");
                error.help.iter().for_each(|help| eprintln!("  help: {help}"));
            }
            let base = base.from;
            println!("{} from {base} → {}", project.forge.artifact_name(), project.output().display());
            options.push.iter().for_each(|reference| println!("  pushed to {reference}"));
        }
        return Ok(());
    }
    clean_up_on_interrupt(output::staging_folder(first))?;
    for (project, options) in &jobs {
        let built = build::build(project, options, &Progress::new());
        while INTERRUPTED.load(Ordering::Acquire) {
            // The thread that cleans up ends this process; that a child was stopped is no news.
            std::thread::park();
        }
        let built = built?;
        if !json {
            tell_next_steps(project, &built, options.push.is_some());
        }
        print_summary(&built, json)?;
    }
    Ok(())
}

/// Projects with where each is pushed. Everything that is wrong is found before the first one is built.
fn jobs(
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

fn fetch(directory: &Path, places: &Places, freshness: Freshness, dry_run: bool, json: bool) -> Result<()> {
    let mut drift = Vec::new();
    for Buildable { mut project, .. } in import::buildables(directory)? {
        places.apply(&mut project, [])?;
        drift.extend(build::fetch(&project, freshness, dry_run, &Progress::new())?);
    }
    if json {
        println!("{}", serde_json::to_string(&drift).context("cannot print the changes")?);
    } else if drift.is_empty() {
        println!("nothing changed");
    } else {
        println!("{}", drift.join("\n"));
    }
    Ok(())
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
        "  a virtual machine  qemu-system-x86_64 -m 4096 -bios /usr/share/ovmf/OVMF.fd -cdrom {iso} -drive file=DISK,if=virtio"
    );
    if !pushed {
        let (forge, directory) = (&project.forge, project.directory.display());
        eprintln!(
            "  a registry         edgeforge build {directory} --push REGISTRY/{}:{}",
            forge.name, forge.version
        );
    }
}

fn print_summary(summary: &Summary, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(summary).context("cannot print the summary")?);
    } else {
        let mebibytes = summary.iso_size as f64 / f64::from(1 << 20);
        println!("{} {mebibytes:.1} MiB root={}", summary.iso.display(), summary.root_hash);
    }
    Ok(())
}

fn print_tools(purpose: Purpose) -> Result<()> {
    let cache = Cache::open(true)?;
    let (base, progress) = (Base::default(), Progress::new());
    let lookup = Lookup::new(&cache, &progress, false);
    let tools = tools::prepare(&lookup, &base, purpose, &tools::pin(&lookup, &base, purpose, None)?)?;
    println!("{}", tools.root().display());
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(words: &[&str]) -> Option<Option<String>> {
        match Arguments::try_parse_from([&["edgeforge", "build", "shop"], words].concat()).unwrap().command {
            Command::Build { push, .. } => push,
            _ => unreachable!(),
        }
    }

    fn built(references: &[Result<String>]) -> (tempfile::TempDir, Vec<Buildable>) {
        let folder = tempfile::tempdir().unwrap();
        project::scaffold(folder.path()).unwrap();
        let buildable = |reference: &Result<String>| {
            let project = Project::load(folder.path()).unwrap();
            Buildable { project, reference: reference.clone() }
        };
        let buildables = references.iter().map(buildable).collect();
        (folder, buildables)
    }

    #[test]
    fn places_of_this_time_count_more_than_those_of_the_project() {
        let folder = tempfile::tempdir().unwrap();
        let text = "name: a\nversion: '1'\nbase: {from: 'oci:base.example:5000/x:1', mirror: 'https://one.example'}\n";
        std::fs::write(folder.path().join("forge.yaml"), text).unwrap();
        let mut project = Project::load(folder.path()).unwrap();
        let mirror = Some("https://two.example".to_owned());
        let places = Places { mirror: mirror.clone(), tools_mirror: None, plain_http: true };
        let hosts = |project: &Project| -> Vec<String> {
            project.forge.registries.iter().map(|registry| registry.host.clone()).collect()
        };
        places.apply(&mut project, []).unwrap();
        assert_eq!(project.forge.base().mirror, mirror);
        assert_eq!(hosts(&project), ["base.example:5000"]);
        let mut project = Project::load(folder.path()).unwrap();
        places.apply(&mut project, [&"push.example/x:1".to_owned()]).unwrap();
        assert_eq!(hosts(&project), ["push.example"]);
    }

    #[test]
    fn a_reference_may_be_given_or_left_to_the_folder() {
        assert_eq!(pushed(&[]), None);
        assert_eq!(pushed(&["--push"]), Some(None));
        assert_eq!(pushed(&["--push", "r.example/a:1"]), Some(Some("r.example/a:1".into())));
        assert_eq!(pushed(&["--push=r.example/a:1"]), Some(Some("r.example/a:1".into())));
        let places = |references: &[Result<String>], push| {
            let (_folder, buildables) = built(references);
            let jobs = jobs(buildables, &Options::default(), push)?;
            Ok::<_, Error>(jobs.into_iter().map(|(_, options)| options.push).collect::<Vec<_>>())
        };
        let (one, two) = (Ok("a:1".to_owned()), Ok("a:2".to_owned()));
        let unknown = Err(Error::invalid("--push needs a reference"));
        assert_eq!(places(std::slice::from_ref(&unknown), None).unwrap(), [None]);
        assert_eq!(
            places(std::slice::from_ref(&unknown), Some(Some("b".into()))).unwrap(),
            [Some("b".into())]
        );
        assert!(places(&[one.clone(), unknown], Some(None)).is_err());
        let both = [one, two];
        assert_eq!(places(&both, Some(None)).unwrap(), [Some("a:1".into()), Some("a:2".into())]);
        assert!(places(&both, Some(Some("b".into()))).unwrap_err().to_string().contains("2 images"));
    }
}
