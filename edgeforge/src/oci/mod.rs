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

pub(crate) use archive::{forget_damaged, from_archive, from_layout};
pub(crate) use image::{Contents, Image, Layer};
pub(crate) use registry::{Endpoint, pull_pinned};
#[cfg(test)]
use registry::{Patience, pull};
