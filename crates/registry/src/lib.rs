//! Registries that are not trusted: sizes, times and redirects are limited, and nothing is believed but digests. Builder and
//! host read them with this client alone.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md>

mod body;
mod challenge;
mod http;
mod repository;

pub use body::Body;
pub use http::{Options, Patience, ProxyChoice};
/// `HOST/REPOSITORY:TAG`, or with `@DIGEST`.
pub use oci_client::Reference;
pub use repository::{Login, Repository};

use edge_model::{Error, Result};

/// # Errors
/// [`edge_model::Class::InvalidInput`] for what is no reference.
pub fn parse(reference: &str) -> Result<Reference> {
    reference
        .parse()
        .map_err(|error| Error::invalid(format!("{reference:?} is not an image reference: {error}")))
}
