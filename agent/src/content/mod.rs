//! Container images for this host's cluster: those that its image carries, and those that content bundles brought to the data
//! partition. The agent gives both to the container runtime as one registry on loopback; what is on neither is asked for at its
//! own registry, if the site allows that.

mod care;
mod import;
mod of_image;
mod registry;
mod shelf;
mod source;
mod store;
mod upstream;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use edge_host::files;
use edge_host::machine::Machine;
use edge_model::api::content::{BundleRemoval, BundleView, ContentView};
use edge_model::content::{Bundle, Inventory};
use edge_model::user_data::edge::{EdgeSection, Unsigned};
use edge_model::{Error, Result, paths};
use edge_planner::content::{self, Trust};

use crate::cluster;
use crate::configuration::{self, Settings};
use crate::facts::{self, Host};
use crate::operations::Outcome;
use crate::report::Report;
use of_image::ImageContent;
use store::Store;

pub(crate) use care::ContentCaretaker;
pub(crate) use registry::serve;
pub(crate) use upstream::Upstream;

fn store_of(machine: &Machine) -> Store {
    Store::at(&machine.path(paths::CONTENT))
}

/// Everything that this host can give to its runtime.
pub(crate) fn shelf_of_host() -> Arc<shelf::Shelf> {
    Arc::new(shelf::Shelf::new(
        ImageContent::read(Path::new(paths::IMAGE_CONTENT)),
        Store::at(Path::new(paths::CONTENT)),
    ))
}

/// What there is, for people.
///
/// # Errors
/// When the list of bundles cannot be read.
pub(crate) fn view(machine: &Machine, edge: &EdgeSection) -> Result<ContentView> {
    let store = store_of(machine);
    let of_image = ImageContent::read(&machine.path(paths::IMAGE_CONTENT));
    let bundles = store.inventory()?.bundles;
    Ok(ContentView {
        of_image: of_image.names().map(str::to_owned).collect(),
        bundles: bundles.iter().map(|bundle| bundle_view(&store, bundle)).collect(),
        free_bytes: files::free_bytes(&machine.path(paths::PERSISTENT)).unwrap_or(0),
        upstream: edge.content.asks_upstream(),
    })
}

fn bundle_view(store: &Store, bundle: &Bundle) -> BundleView {
    let blobs: BTreeSet<_> =
        bundle.images.iter().flat_map(|image| &image.blobs).map(|blob| (blob.digest, blob.size)).collect();
    BundleView {
        name: bundle.name.clone(),
        digest: bundle.digest.to_string(),
        images: bundle.images.iter().map(|image| image.name.clone()).collect(),
        bytes: blobs.iter().map(|(_, size)| size).sum(),
        installed_at: bundle.installed_at,
        signed: bundle.signed_by.is_some(),
        origin: bundle.origin.clone(),
        damaged: store.damaged(bundle),
    }
}

/// The operation that brings bundles to this host.
///
/// # Errors
/// Why none came. What came so far stays, and need not come again.
pub(crate) fn bring(
    host: &Host,
    settings: &Settings,
    request: &edge_model::api::content::ImportRequest,
    report: &mut dyn Report,
) -> Result<Outcome> {
    let store = store_of(&host.machine);
    let trusted = facts::trusted_keys(&host.machine)?;
    let rules = import::Rules {
        trusted: &trusted,
        trust: Trust::Site(settings.edge().content.unsigned),
        replaces: request.replace,
    };
    let found = source::open(&request.source, &host.record.disk)?;
    let (told, mut failures) = import_all(&store, found.bundles(), &rules, report)?;
    let Some(first) = (!failures.is_empty()).then(|| failures.remove(0)) else {
        return Ok(Outcome::stay(told.join("; ")));
    };
    let others = failures.iter().map(ToString::to_string).chain(told).collect::<Vec<_>>().join("; ");
    Err(if others.is_empty() { first } else { first.context(format!("not everything came ({others})")) })
}

/// Brings one bundle after the other: one that is refused stops no other one. Gives what came, in words, and why the rest did not.
///
/// # Errors
/// When somebody stops it.
fn import_all(
    store: &Store,
    bundles: &[source::BundleAt],
    rules: &import::Rules<'_>,
    report: &mut dyn Report,
) -> Result<(Vec<String>, Vec<Error>)> {
    let (mut told, mut failures) = (Vec::new(), Vec::new());
    for bundle in bundles {
        match import::import(store, bundle, rules, report) {
            Ok(imported) => told.push(imported.describe()),
            Err(error) => {
                report.progress(0)?;
                tracing::error!("content: {error}");
                failures.push(error);
            }
        }
    }
    Ok((told, failures))
}

/// Brings what a folder of an installation medium carries to the data partition of the host that it makes. What cannot be taken is told,
/// and stops nothing: it can be brought to the host later, which must be there for that.
pub(crate) fn bring_from_medium(
    folder: &Path,
    persistent: &Path,
    machine: &Machine,
    report: &mut dyn Report,
) -> Result<Vec<Error>> {
    let store = Store::at(&persistent.join(paths::below_persistent(paths::CONTENT)));
    let trusted = facts::trusted_keys(machine)?;
    // With Secure Boot nothing outside the verified image brings code, and a medium is outside.
    let trust = match configuration::trust().secure_boot {
        true => Trust::Site(Unsigned::Refuse),
        false => Trust::Medium,
    };
    let rules = import::Rules { trusted: &trusted, trust, replaces: false };
    let (_, failures) = import_all(&store, &source::in_folder(folder)?, &rules, report)?;
    Ok(failures)
}

/// Reads everything that bundles brought.
///
/// # Errors
/// [`edge_model::Class::Integrity`] naming the images that something is missing of.
pub(crate) fn verify(host: &Host, report: &mut dyn Report) -> Result<Outcome> {
    let store = store_of(&host.machine);
    let inventory = store.inventory()?;
    let total: u64 = store::distinct(&inventory).values().sum();
    report.step("reading the content of bundles", total);
    let mut done = 0;
    for (digest, size) in store::distinct(&inventory) {
        store.check(digest, size)?;
        done += size;
        report.progress(done)?;
    }
    let damaged = damaged_images(&store, &inventory);
    if damaged.is_empty() {
        return Ok(Outcome::stay(format!("{} bundles hold what they should", inventory.bundles.len())));
    }
    Err(Error::integrity(format!("something is missing of {}", damaged.join(", ")))
        .help("import the bundle again: only what is missing is written"))
}

fn damaged_images(store: &Store, inventory: &Inventory) -> Vec<String> {
    inventory.bundles.iter().flat_map(|bundle| store.damaged(bundle)).collect()
}

/// Removes a bundle, and of its blobs those that no other one needs.
///
/// # Errors
/// [`edge_model::Class::NotFound`] when there is none, [`edge_model::Class::Rejected`] when the cluster needs it, or does
/// not say what it needs.
pub(crate) fn remove(machine: &Machine, removal: &BundleRemoval) -> Result<String> {
    let store = store_of(machine);
    let _alone = store.lock()?;
    let needed = if removal.force { BTreeSet::new() } else { cluster::images_that_it_names()? };
    let name = store.change_inventory(|inventory| {
        let bundle = content::find(inventory, &removal.bundle)?;
        let (digest, name) = (bundle.digest, bundle.name.clone());
        content::may_remove(inventory, digest, &needed)?;
        inventory.bundles.retain(|one| one.digest != digest);
        Ok(name)
    })?;
    store.sweep(None)?;
    Ok(name)
}

#[cfg(test)]
pub(crate) mod tests;
