//! What is in an image beside packages: our programs, the loader, Kubernetes.

use edge_model::ids::Digest;
use edge_model::{Context, Result, paths};
use serde::{Deserialize, Serialize};

use super::percent;
use crate::lock::LockedComponent;
use crate::packages;
use crate::tree::Tree;

const LIMIT: u64 = 1 << 20;
/// Where distributions of Kubernetes put their programs.
const FOLDERS: [&str; 3] = ["usr/bin", "usr/local/bin", "opt/bin"];
/// Programs of a distribution, and whether they have its version.
const PROGRAMS: [(&str, bool); 9] = [
    ("k3s", true),
    ("kubeadm", true),
    ("kubelet", true),
    ("kubectl", true),
    ("containerd", false),
    ("containerd-shim-runc-v2", false),
    ("runc", false),
    ("crictl", false),
    ("ctr", false),
];

/// Something in the image that no package contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Component {
    pub(crate) name: String,
    /// `None` when it is not known.
    pub(crate) version: Option<String>,
    pub(crate) sha256: Digest,
    pub(crate) licence: Option<String>,
    pub(crate) purl: String,
    pub(crate) description: String,
}

impl Component {
    /// A program of ours, by its path in the tree.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn own(tree: &Tree, name: &str, path: &str, description: &str) -> Result<Self> {
        Ok(Self::own_with(name, tree.digest(path)?, description))
    }

    /// A program of ours that is not in the tree, as the init of the initrd.
    fn own_with(name: &str, sha256: Digest, description: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self {
            name: name.to_owned(),
            version: Some(version.to_owned()),
            sha256,
            licence: Some(env!("CARGO_PKG_LICENSE").to_owned()),
            purl: purl(name, Some(version)),
            description: description.to_owned(),
        }
    }

    /// A distribution of Kubernetes, or one program of it.
    pub(crate) fn kubernetes(name: &str, version: Option<&str>, sha256: Digest) -> Self {
        Self {
            name: name.to_owned(),
            version: version.map(str::to_owned),
            sha256,
            licence: None,
            purl: purl(name, version),
            description: "Kubernetes component".to_owned(),
        }
    }
}

impl Component {
    /// A container image by its full name with tag: `registry.k8s.io/etcd:3.7.3-0`.
    fn image(name: &str, digest: Digest) -> Self {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, ""));
        let last = repository.rsplit('/').next().unwrap_or(repository);
        Self {
            name: repository.to_owned(),
            version: Some(tag.to_owned()).filter(|tag| !tag.is_empty()),
            sha256: digest,
            licence: None,
            purl: format!(
                "pkg:oci/{}@{}?repository_url={}&tag={}",
                percent(last),
                percent(&digest.to_string()),
                percent(repository),
                percent(tag)
            ),
            description: "Container image of the cluster".to_owned(),
        }
    }
}

fn purl(name: &str, version: Option<&str>) -> String {
    let version = version.map(|version| format!("@{}", percent(version))).unwrap_or_default();
    format!("pkg:generic/{}{version}", percent(name))
}

/// Writes down which parts of Kubernetes are in a tree: another image may be made from this one, and what brought them
/// is not known then. `images` are the container images that came with it; `is_new` tells whether a path did.
///
/// # Errors
/// When a program cannot be read.
pub(crate) fn write_down(
    tree: &mut Tree,
    distribution: &LockedComponent,
    images: &[(&str, Digest)],
    is_new: impl Fn(&str) -> bool,
) -> Result<()> {
    let mut components = written_down(tree);
    let version = distribution.version.as_str();
    let whole = Component::kubernetes(&distribution.name, Some(version), distribution.digest);
    let mut found = vec![whole];
    for (name, has_its_version) in PROGRAMS {
        let paths = FOLDERS.iter().map(|folder| format!("{folder}/{name}"));
        let path =
            paths.filter(|path| is_new(path)).find(|path| tree.get(path).is_some_and(|it| it.is_file()));
        // The program that the distribution is named after stands for the whole already.
        if let Some(path) = path.filter(|_| name != distribution.name) {
            found.push(Component::kubernetes(name, has_its_version.then_some(version), tree.digest(&path)?));
        }
    }
    found.extend(images.iter().map(|(name, digest)| Component::image(name, *digest)));
    components.retain(|one| found.iter().all(|new| new.name != one.name));
    components.extend(found);
    let text = serde_json::to_vec(&components).context("cannot write the components")?;
    tree.put_file(&paths::IMAGE_COMPONENTS[1..], 0o644, text);
    Ok(())
}

/// What an image of ours says about itself; a damaged file says nothing.
fn written_down(tree: &Tree) -> Vec<Component> {
    let text = tree.text(&paths::IMAGE_COMPONENTS[1..], LIMIT).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Everything of an image that is no package. `init` is the digest of the initrd's program, `tools` the package database
/// of the tools tree, where systemd-boot comes from.
///
/// # Errors
/// When the tree lacks one of our programs.
pub(crate) fn all(tree: &Tree, init: Digest, tools: &str) -> Result<Vec<Component>> {
    let loader = packages::versions(tools).into_iter().find(|package| package.name == "systemd-boot-efi");
    let mut components = vec![
        Component::own(tree, "edge-agent", "usr/bin/edge-agent", "The agent of the host")?,
        Component::own(tree, "edge-local-ui", "usr/bin/edge-local-ui", "The web page of the host")?,
        Component::own(tree, "edge-tui", "usr/bin/edge-tui", "The console of the host")?,
        Component::own_with("edge-init", init, "The first program of the initrd"),
    ];
    if let Some(loader) = loader {
        components.push(Component {
            name: "systemd-boot".into(),
            version: Some(loader.version),
            sha256: tree.digest(&paths::IMAGE_SYSTEMD_BOOT[1..])?,
            licence: Some("LGPL-2.1-or-later".into()),
            purl: loader.purl,
            description: "The boot loader".into(),
        });
    }
    components.extend(written_down(tree));
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_a_distribution_are_known_also_to_an_image_that_is_made_from_it() {
        let mut tree = Tree::default();
        for path in ["usr/bin/kubelet", "usr/bin/runc", "usr/bin/ctr"] {
            tree.put_file(path, 0o755, path);
        }
        let distribution = |version: &str| LockedComponent {
            name: "kubeadm".into(),
            version: version.into(),
            source: "x".into(),
            digest: Digest([1; 32]),
        };
        // That of a package is no part of it.
        write_down(&mut tree, &distribution("1.31.1"), &[], |path| path != "usr/bin/ctr").unwrap();
        let seen = |tree: &Tree| -> Vec<String> {
            written_down(tree).into_iter().map(|component| component.purl).collect()
        };
        assert_eq!(
            seen(&tree),
            ["pkg:generic/kubeadm@1.31.1", "pkg:generic/kubelet@1.31.1", "pkg:generic/runc"]
        );
        let etcd = [("registry.k8s.io/etcd:3.7.3-0", Digest([2; 32]))];
        write_down(&mut tree, &distribution("1.32.0"), &etcd, |path| path == "usr/bin/kubelet").unwrap();
        let digest = "02".repeat(32);
        let of_etcd =
            format!("pkg:oci/etcd@sha256%3A{digest}?repository_url=registry.k8s.io%2Fetcd&tag=3.7.3-0");
        assert_eq!(
            seen(&tree),
            ["pkg:generic/runc", "pkg:generic/kubeadm@1.32.0", "pkg:generic/kubelet@1.32.0", &of_etcd]
        );
    }
}
