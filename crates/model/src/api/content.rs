//! Container images that are on the host for its cluster, and content bundles that bring more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContentView {
    /// Images that the host's own image carries, by full name.
    pub of_image: Vec<String>,
    /// The oldest first: of two images with one name, that of the newer bundle is given.
    pub bundles: Vec<BundleView>,
    /// Bytes that the data partition has free.
    pub free_bytes: u64,
    /// Whether images that are not here are asked for at their registries.
    pub upstream: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BundleView {
    pub name: String,
    /// Of its list of images: it tells two bundles of one name apart.
    pub digest: String,
    /// Full names.
    pub images: Vec<String>,
    /// Bytes of its blobs; those that bundles share are counted with each.
    pub bytes: u64,
    /// Seconds since 1970.
    pub installed_at: u64,
    pub signed: bool,
    /// Where it came from, for people.
    pub origin: String,
    /// Images of which something is missing or damaged.
    pub damaged: Vec<String>,
}

/// Where a bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// `file:PATH`, or `stick:` for all bundles on a USB stick.
    pub source: String,
    /// Remove older bundles of the same name afterwards.
    #[serde(default)]
    pub replace: bool,
}

/// A bundle that is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BundleRemoval {
    /// Its name; where several have it, followed by `@` and the beginning of the digest.
    pub bundle: String,
    /// Also when the cluster needs images that only it has.
    #[serde(default)]
    pub force: bool,
}
