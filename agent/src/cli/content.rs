//! Content bundles, for people.

use clap::Subcommand;
use edge_cli::Reader;
use edge_client::Client;
use edge_model::Result;
use edge_model::api::OperationRequest;
use edge_model::api::content::{BundleRemoval, BundleView, ContentView, ImportRequest};
use edge_model::calendar::day_and_time;

use super::{absolute, operate, red};

/// Characters of a digest that are shown.
const SHORT: usize = 12;

#[derive(Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Content {
    /// Show which container images are on this host, and which bundles brought them
    List,
    /// Bring the container images of a bundle to this host
    Import {
        /// `file:PATH` of a bundle (or of its first part), or `stick:` for all bundles on a USB stick
        source: String,
        /// Remove older bundles of the same name afterwards
        #[arg(long)]
        replace: bool,
    },
    /// Read every byte of all bundles; what is damaged is put aside
    Verify,
    /// Remove a bundle
    Remove {
        /// Its name; where several have it, followed by `@` and the beginning of the digest
        bundle: String,
        /// Also when the cluster needs images that only this bundle has
        #[arg(long)]
        force: bool,
    },
}

const EXAMPLES: &str = "Examples:
  edge-agent content import stick:
  edge-agent content import file:/media/stick/shop-1.tar.zst --replace
  edge-agent content list
  edge-agent content remove shop";

impl Content {
    pub(super) fn run(self, reader: Reader) -> Result<()> {
        match self {
            Content::List => reader.tell(&Client::new()?.content()?, print),
            Content::Import { source, replace } => {
                let source = absolute(&source)?;
                operate(reader, &OperationRequest::ImportContent(ImportRequest { source, replace }))
            }
            Content::Verify => operate(reader, &OperationRequest::VerifyContent),
            Content::Remove { bundle, force } => {
                let view = Client::new()?.remove_content(&BundleRemoval { bundle, force })?;
                reader.tell(&view, print)
            }
        }
    }
}

fn print(view: &ContentView) {
    println!("the image of this host carries {} container images", view.of_image.len());
    match &view.bundles[..] {
        [] => println!("there is no content bundle"),
        bundles => bundles.iter().for_each(print_bundle),
    }
    println!("{} MiB are free", view.free_bytes >> 20);
    if !view.upstream {
        println!("images that are not here are asked for nowhere (edge.content.upstream)");
    }
}

fn print_bundle(bundle: &BundleView) {
    let digest: String = bundle.digest.rsplit(':').next().unwrap_or_default().chars().take(SHORT).collect();
    let signed = if bundle.signed { "signed" } else { "not signed" };
    let (name, size, when) =
        (&bundle.name, bundle.bytes.div_ceil(1 << 20), day_and_time(bundle.installed_at));
    println!("{name}@{digest}  {size} MiB, {signed}, {when}, from {}", bundle.origin);
    for image in &bundle.images {
        let damaged = bundle.damaged.contains(image);
        println!("  {}", if damaged { red(&format!("{image}: damaged")) } else { image.clone() });
    }
}
