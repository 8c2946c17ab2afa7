//! The command line.

mod building;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use edge_cli::Reader;
use edge_model::Result;
use edge_model::forge::{Base, Source};
use serde_json::json;

use crate::apt::Lookup;
use crate::build::{self, Options};
use crate::bundle;
use crate::cache::Cache;
use crate::documents::{self, Kind, SchemaOf, To};
use crate::import::{self, Buildable};
use crate::inputs::Freshness;
use crate::inspect::kernel::PciId;
use crate::inspect::{self, Question};
use crate::lint;
use crate::progress::Progress;
use crate::project::{self, Project};
use crate::tools::{self, Purpose};
use crate::unpack;

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
    Init {
        /// A folder that does not exist yet, or is empty; the image takes its name
        directory: PathBuf,
    },
    /// Build a project, or a CanvOS folder as it is, into its folder build/
    Build {
        /// The folder with forge.yaml, or a CanvOS folder
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
        /// The folder with forge.yaml, or a CanvOS folder
        directory: PathBuf,
        #[command(flatten)]
        places: Places,
    },
    /// Take the newest inputs into forge.lock, and show what changed
    Update {
        /// The folder with forge.yaml, or a CanvOS folder
        directory: PathBuf,
        #[command(flatten)]
        places: Places,
        /// Only show
        #[arg(long)]
        dry_run: bool,
    },
    /// Unpack a container image into a folder: oci:REFERENCE, oci-layout:FOLDER or docker-archive:FILE
    Unpack {
        /// oci:REFERENCE, oci-layout:FOLDER or docker-archive:FILE
        image: String,
        /// A folder that does not exist yet, or is empty
        folder: PathBuf,
        /// Talk to the registry without TLS
        #[arg(long)]
        plain_http: bool,
    },
    /// Turn a CanvOS folder into a project, and say what changes
    Import {
        /// The CanvOS folder
        directory: PathBuf,
        /// Import it although its image will lack the security that this key of .arg asks for
        #[arg(long, value_name = "KEY")]
        waive: Vec<String>,
        /// Write the project into a new folder, and leave this one as it is
        #[arg(long, value_name = "NEWDIR")]
        to: Option<PathBuf>,
        /// Say what would change, and write nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Check user data, unattended files and other documents
    Validate {
        /// Documents; what each is, its name or its text tells
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What the files are, when their names do not tell
        #[arg(long)]
        kind: Option<Kind>,
    },
    /// Print user data with the other name of its section: edge or stylus
    Convert {
        /// User data
        file: PathBuf,
        /// Whose name the section gets: edge is ours, palette is stylus
        #[arg(long)]
        to: To,
    },
    /// Print the JSON Schema of a document, for editors
    Schema {
        /// The kind of document
        document: SchemaOf,
    },
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
        /// As for inspect
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
    /// Collect the container images of a site into one file that needs no network where it is brought to
    #[command(subcommand)]
    Bundle(Bundle),
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
    Completions {
        /// The shell that is to know
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command
    Manual {
        /// Where they go
        folder: std::path::PathBuf,
    },
}

/// Where inputs come from, and how: for this time, instead of what forge.yaml or the machine says.
#[derive(clap::Args)]
struct Places {
    /// Build a CanvOS folder although its image will lack the security that this key of .arg asks for
    #[arg(long, value_name = "KEY")]
    waive: Vec<String>,
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
    Ok(edge_registry::parse(reference)?.registry().to_owned())
}

const BUNDLE_EXAMPLES: &str = "Examples:
  edgeforge bundle build cluster.yaml --project shop -o shop-content.tar.zst
  edgeforge bundle build --image docker.io/library/nginx:1.29 --keys keys -o web.tar.zst
  edgeforge bundle show shop-content.tar.zst";

#[derive(Subcommand)]
#[command(after_help = BUNDLE_EXAMPLES)]
enum Bundle {
    /// Fetch images and write a bundle of them
    Build(bundle::Order),
    /// Show what is in a bundle, and check all of it
    Show {
        /// The bundle
        file: PathBuf,
    },
}

#[derive(Subcommand)]
enum Keys {
    /// Make a key pair in a folder
    Generate {
        /// Where the two files go
        directory: PathBuf,
    },
}

pub(crate) fn run() -> Result<ExitCode> {
    let arguments: Arguments = edge_cli::parse()?;
    let reader = Reader::of_flag(arguments.json);
    // The only provider of cryptography that is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match arguments.command {
        Command::Validate { files, kind } => {
            let usable = documents::validate(&files, kind, reader)?;
            return Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Lint { image: Some(image), plain_http, .. } => {
            let usable = lint::run(&image, plain_http, reader)?;
            return Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Lint { image: None, .. } => lint::list(reader),
        Command::Inspect { image, plain_http, pci, top } => {
            inspect::run(&image, plain_http, &Question { pci, top }, reader)
        }
        Command::Diff { before, after, plain_http } => {
            inspect::diff::run(&before, &after, plain_http, reader)
        }
        Command::Convert { file, to } => documents::convert(&file, to, reader),
        Command::Schema { document } => documents::schema(document),
        Command::Init { directory } => init(&directory, reader),
        Command::Fetch { directory, places } => fetch(&directory, &places, Freshness::Locked, false, reader),
        Command::Update { directory, places, dry_run } => {
            fetch(&directory, &places, Freshness::Newest, dry_run, reader)
        }
        Command::Unpack { image, folder, plain_http } => unpack::run(&image, &folder, plain_http, reader),
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
            building::run(&directory, &options, &places, push, dry_run, reader)
        }
        Command::Import { directory, waive, to, dry_run } => {
            import::run(&directory, to.as_deref(), &waive, dry_run, reader)
        }
        Command::Bundle(Bundle::Show { file }) => bundle::show(&file, reader),
        Command::Bundle(Bundle::Build(order)) => bundle::build(&order, reader),
        Command::Keys(Keys::Generate { directory }) => generate_keys(&directory, reader),
        Command::Tools { lab } => print_tools(if lab { Purpose::Lab } else { Purpose::Builder }, reader),
        Command::Completions { shell } => edge_cli::completions::<Arguments>("edgeforge", shell, reader),
        Command::Manual { folder } => edge_cli::manual::<Arguments>(&folder, reader),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn init(directory: &Path, reader: Reader) -> Result<()> {
    let name = project::scaffold(directory)?;
    let shown = directory.display();
    eprintln!("{shown} is ready. Next:");
    eprintln!("  edgeforge keys generate {shown}/keys   a key pair that signs its images");
    eprintln!("  edgeforge build {shown}   as it is; without a key its images are unsigned");
    reader.tell(&json!({ "directory": directory, "name": name }), |_| {})
}

fn generate_keys(folder: &Path, reader: Reader) -> Result<()> {
    let keys = project::generate_keys(folder)?;
    eprintln!(
        "{} signs images; keep a copy of it in a safe place: without it no installed host",
        keys.private.display()
    );
    eprintln!("  can be upgraded. {} is what hosts trust.", keys.public.display());
    eprintln!(
        "Next: `keys: {}` in forge.yaml, or the path as it is seen from there",
        project::keys_as_seen(folder)
    );
    reader.tell(&keys, |keys| println!("{}", keys.public.display()))
}

fn fetch(
    directory: &Path,
    places: &Places,
    freshness: Freshness,
    dry_run: bool,
    reader: Reader,
) -> Result<()> {
    let mut drift = Vec::new();
    for Buildable { mut project, .. } in import::buildables(directory, &places.waive)? {
        places.apply(&mut project, [])?;
        drift.extend(build::fetch(&project, freshness, dry_run, &Progress::new())?);
    }
    reader.tell(&drift, |drift| match &drift[..] {
        [] => println!("nothing changed"),
        changes => println!("{}", changes.join("\n")),
    })
}

fn print_tools(purpose: Purpose, reader: Reader) -> Result<()> {
    let cache = Cache::open(true)?;
    let (base, progress) = (Base::default(), Progress::new());
    let lookup = Lookup::new(&cache, &progress, false);
    let tools = tools::prepare(&lookup, &base, purpose, &tools::pin(&lookup, &base, purpose, None)?)?;
    reader.tell(&json!({ "tree": tools.root() }), |_| println!("{}", tools.root().display()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::building::jobs;
    use edge_model::Error;

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
        let places =
            Places { waive: Vec::new(), mirror: mirror.clone(), tools_mirror: None, plain_http: true };
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
    fn every_verb_is_described_on_its_page_and_named_rightly() {
        let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        edge_cli::check(Arguments::command(), root).unwrap();
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
