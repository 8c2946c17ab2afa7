//! Container images that a host holds for its cluster beside those of its own image: content bundles, and what is in them.
//!
//! A bundle is an OCI layout in one compressed archive. Its list of images, `index.json`, names everything else by digest, so
//! a signature over it covers all.

use serde::{Deserialize, Serialize};

use crate::ids::Digest;

/// Where a list of images says the full name of one, with its tag.
pub const IMAGE_NAME: &str = "io.containerd.image.name";
/// The same by the OCI specification; some tools write the tag alone.
pub const IMAGE_TAG: &str = "org.opencontainers.image.ref.name";
/// Where a list of images says what its bundle is called.
pub const BUNDLE_NAME: &str = "org.edgeforge.bundle.name";
/// Ends the name of a bundle's file.
pub const BUNDLE_SUFFIX: &str = ".zst";

/// All bundles of a host, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    pub bundles: Vec<Bundle>,
}

/// A bundle that is whole on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    pub name: String,
    /// Of its list of images: it tells two bundles of one name apart.
    pub digest: Digest,
    pub images: Vec<BundledImage>,
    /// Seconds since 1970, for people.
    #[serde(default)]
    pub installed_at: u64,
    /// The key that signed the list of images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<Digest>,
    /// Where it came from, for people.
    #[serde(default)]
    pub origin: String,
}

/// A container image of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundledImage {
    /// Full, with the tag: `docker.io/library/nginx:1.29`.
    pub name: String,
    /// Of its manifest, or of the index that leads to manifests.
    pub digest: Digest,
    /// Everything that it consists of, manifests included.
    pub blobs: Vec<ContentBlob>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentBlob {
    pub digest: Digest,
    pub size: u64,
    #[serde(default)]
    pub media_type: String,
}

impl Inventory {
    /// Every blob that a bundle needs, each as often as it is needed.
    pub fn blobs(&self) -> impl Iterator<Item = &ContentBlob> {
        self.bundles.iter().flat_map(|bundle| &bundle.images).flat_map(|image| &image.blobs)
    }
}

/// The full name of an image as runtimes know it: `nginx` is `docker.io/library/nginx:latest`.
///
/// <https://github.com/distribution/reference/blob/v0.6.0/normalize.go>
pub fn full_name(name: &str) -> String {
    let (name, digest) = match name.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (name, None),
    };
    let (first, rest) = name.split_once('/').unwrap_or(("", name));
    let is_host = first.contains(['.', ':']) || first == "localhost";
    let mut full = match (is_host, first) {
        (true, "index.docker.io") => format!("docker.io/{rest}"),
        (true, _) => name.to_owned(),
        (false, "") => format!("docker.io/library/{rest}"),
        (false, _) => format!("docker.io/{name}"),
    };
    if let Some(rest) = full.strip_prefix("docker.io/").filter(|rest| !rest.contains('/')) {
        full = format!("docker.io/library/{rest}");
    }
    let has_tag = full.rsplit('/').next().is_some_and(|last| last.contains(':'));
    match digest {
        Some(digest) => format!("{full}@{digest}"),
        None if has_tag => full,
        None => format!("{full}:latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_names_become_those_that_the_runtime_asks_for() {
        for (name, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.29", "docker.io/library/nginx:1.29"),
            ("grafana/loki:3", "docker.io/grafana/loki:3"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/grafana/loki:3", "docker.io/grafana/loki:3"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
            ("shop.local:5000/till", "shop.local:5000/till:latest"),
            ("localhost/till:1", "localhost/till:1"),
            ("nginx@sha256:00", "docker.io/library/nginx@sha256:00"),
            ("nginx:1@sha256:00", "docker.io/library/nginx:1@sha256:00"),
        ] {
            assert_eq!(full_name(name), full, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_full_name_stays_what_it_is(name in "[a-z.:/]{1,20}(@sha256:[0-9a-f]{4})?") {
            let full = full_name(&name);
            prop_assert_eq!(full_name(&full), full);
        }
    }
}
