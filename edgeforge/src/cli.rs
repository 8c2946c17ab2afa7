//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use edge_model::forge::{Base, Envelope};
use edge_model::{Context, Error, Result};

use crate::build::{self, Options, Summary};
use crate::cache::Cache;
use crate::documents::{self, Kind, SchemaOf, To};
use crate::envelopes::Content;
use crate::progress::Progress;
use crate::project::{self, Project};
use crate::tools::{self, Purpose};

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
  edgeforge build shop --push registry.example/edge/shop:1.0.0";

#[derive(Subcommand)]
enum Command {
    /// Write a new project folder
    Init { directory: PathBuf },
    /// Build a project into its folder build/
    Build {
        directory: PathBuf,
        /// Do not use results of earlier builds
        #[arg(long)]
        no_cache: bool,
        /// Push the provider image to a registry afterwards
        #[arg(long, value_name = "REFERENCE")]
        push: Option<String>,
        /// Write the root as a container image, too
        #[arg(long)]
        container: bool,
        /// Push the container image to a registry afterwards
        #[arg(long, value_name = "REFERENCE")]
        push_container: Option<String>,
        /// Talk to the registry without TLS
        #[arg(long)]
        plain_http: bool,
        /// Check the project and print what would be built
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
        Command::Convert { file, to } => documents::convert(&file, to),
        Command::Schema { document } => documents::schema(document),
        Command::Init { directory } => init(&directory),
        Command::Build { directory, no_cache, push, container, push_container, plain_http, dry_run } => {
            let mut project = Project::load(&directory)?;
            if container || push_container.is_some() {
                project.forge.envelopes.push(Envelope::Container);
            }
            let options = Options { no_cache, push, push_container, plain_http };
            run_build(&project, &options, dry_run, arguments.json)
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

fn run_build(project: &Project, options: &Options, dry_run: bool, json: bool) -> Result<()> {
    if project.signing_key.is_none() {
        eprintln!(
            "warning: this project has no keys: the image will be UNSIGNED, and hosts refuse it by default"
        );
        eprintln!(
            "  help: edgeforge keys generate {0}/keys, then `keys: keys` in forge.yaml",
            project.directory.display()
        );
    }
    if dry_run {
        Content::find(project)?;
        println!(
            "{} from {} → {}",
            project.forge.artifact_name(),
            project.forge.base().from,
            project.output().display()
        );
        return Ok(());
    }
    clean_up_on_interrupt(build::staging_folder(project))?;
    let built = build::build(project, options, &Progress::new());
    while INTERRUPTED.load(Ordering::Acquire) {
        // The thread that cleans up ends this process; that a child was stopped is no news.
        std::thread::park();
    }
    let built = built?;
    if !json {
        tell_next_steps(project, &built, options.push.is_some());
    }
    print_summary(&built, json)
}

/// On the error output: the answer is the last line alone.
fn tell_next_steps(project: &Project, summary: &Summary, pushed: bool) {
    let mebibytes = |size: u64| size as f64 / f64::from(1 << 20);
    eprintln!("\n{}:", project.output().display());
    for output in &summary.outputs {
        let name = output.path.file_name().unwrap_or_default().to_string_lossy();
        eprintln!("  {name:<44} {:>9.1} MiB  {}", mebibytes(output.size), output.what);
    }
    let iso = summary.iso.display();
    eprintln!("Next:");
    eprintln!("  a USB stick        sudo dd if={iso} of=/dev/DISK bs=4M oflag=direct status=progress");
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
    let tools = tools::prepare(&cache, &Base::default(), purpose, &Progress::new())?;
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
            let _ = build::remove_folder(&staging);
            eprintln!("interrupted; nothing was changed");
            std::process::exit(EXIT_STATUS);
        }
    });
    Ok(())
}
