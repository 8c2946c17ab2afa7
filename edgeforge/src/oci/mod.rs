//! Container images as a source: pulled from a registry, or read from a layout or an archive, every byte checked by
//! its digest before it is used.

mod archive;
pub(crate) mod credentials;
mod download;
#[cfg(test)]
mod hostile;
mod image;
mod layer;
mod registry;

pub(crate) use archive::{Named, all_of_archive, forget_damaged, from_archive, from_layout};
#[cfg(test)]
use edge_registry::Patience;
pub(crate) use image::{Contents, Image, Layer, Stored};
#[cfg(test)]
use registry::pull;
pub(crate) use registry::{Endpoint, Whole, pull_pinned, pull_whole};

use std::path::Path;

use edge_model::forge::{Registry, Source};
use edge_model::{Error, Result};

use crate::progress::Progress;

/// An image that belongs to no project: `oci:REFERENCE`, `oci-layout:FOLDER` or `docker-archive:FILE`. Blobs from a
/// registry come to the folder `blobs`.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] for another kind of source; those of registries and archives.
pub(crate) fn find(from: &Source, plain_http: bool, blobs: &Path, progress: &Progress) -> Result<Image> {
    let here = Path::new("");
    match from {
        Source::Registry(reference) => {
            let host = reference.split('/').next().unwrap_or_default().to_owned();
            let settings = [Registry { host, plain_http, ..Registry::default() }];
            pull_pinned(reference, None, &Endpoint::alone(&settings), blobs, false, progress)
        }
        Source::Layout(place) => from_layout(here, place),
        Source::DockerArchive(file) => from_archive(Path::new(file)),
        other => Err(Error::invalid(format!("{other} is not an image"))
            .help("give oci:REFERENCE, oci-layout:FOLDER or docker-archive:FILE")),
    }
}
