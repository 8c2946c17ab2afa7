//! Where images come from: a registry, an OCI layout folder, one file, or a stick.

mod archive;
mod layout;
pub(crate) mod persistence;
mod registry;
mod stick;

pub(crate) use registry::open as repository;

use std::io::Read;
use std::path::Path;

use edge_model::manifest::{ImageManifest, Signatures};
use edge_model::user_data::edge::EdgeSection;
use edge_model::{Context, Error, Result};
use edge_slot_image::oci::{self, Descriptor, Manifest};
use edge_slot_image::signing::{self, MANIFEST_LIMIT, Provenance, TrustedKey};
use persistence::{Broken, RETRY_PAUSES};

/// Anything that gives blobs by digest, from any offset.
pub(crate) trait BlobSource {
    /// The OCI manifest of the only image.
    ///
    /// # Errors
    /// When it cannot be reached or is not a provider image.
    fn manifest(&mut self) -> Result<Vec<u8>>;

    /// A stream of a blob from byte `offset` on. What it gives must be checked by the caller.
    ///
    /// # Errors
    /// When the blob cannot be reached.
    fn open(&mut self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + '_>>;
}

/// What a source must know about the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// A disk that is no stick, whatever it is plugged into.
    pub(crate) own_disk: &'a str,
    /// Its proxies lead to registries, and its logins open them.
    pub(crate) edge: &'a EdgeSection,
}

/// A provider image whose manifest has been checked.
pub(crate) struct SourceImage {
    pub(crate) blobs: Box<dyn BlobSource>,
    pub(crate) oci: Manifest,
    pub(crate) manifest: ImageManifest,
    pub(crate) provenance: Provenance,
}

/// Opens `oci:REF`, `oci-layout:DIR`, `file:PATH` or `stick:`.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] for another form.
fn open_blobs(source: &str, plain_http: bool, around: &Surroundings<'_>) -> Result<Box<dyn BlobSource>> {
    match source.split_once(':') {
        Some(("oci", reference)) => {
            Ok(Box::new(registry::Registry::open(reference, plain_http, around.edge)?))
        }
        Some(("oci-layout", path)) => Ok(Box::new(layout::Layout::open(Path::new(path))?)),
        Some(("file", path)) => Ok(Box::new(archive::ArchiveFile::open(Path::new(path))?)),
        Some(("stick", "")) => Ok(Box::new(stick::Stick::open(around.own_disk)?)),
        _ => Err(Error::invalid(format!("{source:?} is not a source of images"))
            .help("use oci:REGISTRY/NAME:TAG, oci-layout:FOLDER, file:PATH or stick:")),
    }
}

/// Fetches and checks the manifest of an image: signature first, then its content.
///
/// # Errors
/// When the source cannot be reached, or the manifest is wrong or wrongly signed.
pub(crate) fn open(
    source: &str,
    plain_http: bool,
    trusted: &[TrustedKey],
    around: &Surroundings<'_>,
) -> Result<SourceImage> {
    let mut blobs = open_blobs(source, plain_http, around)?;
    let oci = Manifest::parse(&blobs.manifest()?)?;
    let bytes = read_small(blobs.as_mut(), oci.layer(oci::MEDIA_IMAGE_MANIFEST)?)?;
    let signature: Option<Signatures> = match oci.find(oci::MEDIA_SIGNATURE) {
        Some(layer) => {
            let bytes = read_small(blobs.as_mut(), layer)?;
            Some(serde_json::from_slice(&bytes).context("the image's signature cannot be read")?)
        }
        None => None,
    };
    let provenance = signing::check_signature(&bytes, signature.as_ref(), trusted)?;
    let manifest = signing::parse_manifest(&bytes)?;
    Ok(SourceImage { blobs, oci, manifest, provenance })
}

/// A whole small blob, checked against its digest.
fn read_small(blobs: &mut dyn BlobSource, blob: &Descriptor) -> Result<Vec<u8>> {
    if blob.size > MANIFEST_LIMIT as u64 {
        return Err(Error::invalid(format!("the layer {} is too large", blob.media_type)));
    }
    let bytes = persistence::persistently(&RETRY_PAUSES, || {
        // A source that is not there is not waited for.
        let stream = blobs.open(blob, 0).map_err(Broken::Other)?;
        let mut bytes = Vec::new();
        let read = stream.take(blob.size + 1).read_to_end(&mut bytes);
        read.context("the download of the image's manifest broke off").map_err(Broken::Download)?;
        Ok(bytes)
    })?;
    if edge_slot_image::sha256(&bytes) != blob.digest {
        return Err(Error::integrity(format!("the layer {} does not match its digest", blob.media_type)));
    }
    Ok(bytes)
}

/// The blob with this media type must be the one that the signed manifest names.
///
/// # Errors
/// [`edge_model::Class::Integrity`] when it is another.
pub(crate) fn checked_layer(
    image: &SourceImage,
    media_type: &str,
    expected: edge_model::manifest::Blob,
) -> Result<Descriptor> {
    let layer = image.oci.layer(media_type)?;
    if layer.digest != expected.digest || layer.size != expected.size {
        return Err(Error::integrity(format!(
            "the layer {media_type} is not the one that the manifest names"
        )));
    }
    Ok(layer.clone())
}
