//! Container images that a component brings: their layers become file systems in the verified root, which the host's
//! runtime mounts as they are, and manifests and configurations are kept beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_host::gpt::Guid;
use edge_host::sandbox::Sandbox;
use edge_model::cluster::{
    CoreImage, CoreImages, Distribution, ImageKubernetes, KubernetesVersions, etcd_of_tag,
};
use edge_model::content::IMAGE_NAME;
use edge_model::ids::{Digest, to_hex};
use edge_model::{Context, Error, Result, paths};
use serde_json::{Value, json};

use crate::cache::{Cache, Key};
use crate::erofs;
use crate::oci::{self, Named};
use crate::progress::Progress;
use crate::tree::{Content, Tree, count_names};

/// Where a component's archive has its images: an OCI layout.
pub(crate) const FOLDER: &str = "images";
const DEADLINE: Duration = Duration::from_secs(3600);

/// Images that are ready to be put into a root.
#[derive(Debug)]
pub(crate) struct Carried {
    images: Vec<Named>,
    /// By the digest of the layer's archive.
    layers: BTreeMap<Digest, PathBuf>,
    pub(crate) kubernetes: ImageKubernetes,
}

/// Reads the images of a component's archive and makes file systems of their layers.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] naming the images without which no cluster starts and which are not there.
pub(crate) fn prepare(
    archive: &Path,
    version: &str,
    cache: &Cache,
    tools: &Sandbox,
    progress: &Progress,
) -> Result<Carried> {
    let context = || format!("the images in {} cannot be used", archive.display());
    let images = oci::all_of_archive(archive, FOLDER).with_context(context)?;
    let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
    let kubernetes = describe(&names, version).with_context(context)?;
    let mut layers = BTreeMap::new();
    for layer in images.iter().flat_map(|image| &image.layers) {
        if layers.contains_key(&layer.diff_id) {
            continue;
        }
        let key =
            Key::of("layer-erofs-1").with(&layer.diff_id.0).with(tools.root().as_os_str().as_encoded_bytes());
        let made = progress.step("image layer", || {
            cache.step("layer-erofs", key, |output| {
                let scratch =
                    tempfile::tempdir_in(cache.root()).context("cannot create a temporary folder")?;
                let archive = scratch.path().join("layer.tar");
                layer.write_archive(&archive)?;
                file_system(&archive, layer.diff_id, tools, output)
            })
        })?;
        layers.insert(layer.diff_id, made.path);
    }
    Ok(Carried { images, layers, kubernetes })
}

/// As containerd's own converter makes them, but with the same bytes each time.
///
/// <https://github.com/containerd/containerd/blob/v2.4.2/docs/snapshotters/erofs.md>
fn file_system(archive: &Path, diff_id: Digest, tools: &Sandbox, output: &Path) -> Result<()> {
    Child::new("mkfs.erofs")
        .args(["--quiet", "--tar=f", "--aufs", "-Enoinline_data", "-zlz4"])
        // Files keep the times that their image gives them.
        .args(["-T0", "--mkfs-time", "-U", &Guid::derived(&diff_id.0).to_string()])
        .arg(output)
        .arg(archive)
        .deadline(DEADLINE)
        .inside(tools)?
        .run()?;
    // It takes an archive that it cannot read for an empty one, and says that all went well.
    let made = std::fs::File::open(output).context("cannot open the file system of a layer")?;
    let (inodes, names) = (erofs::inode_count(&made)?, count_names(archive)?);
    if inodes < names as u64 {
        return Err(Error::invalid(format!(
            "mkfs.erofs made {inodes} files of the {names} in the layer {diff_id}"
        ))
        .help("pack the image again: a field of its archive's headers may be empty"));
    }
    Ok(())
}

/// Which of the images are the ones that a cluster starts from, and what versions they say.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] naming every one that is missing, or there with several versions.
fn describe(names: &[&str], version: &str) -> Result<ImageKubernetes> {
    let version = format!("v{}", version.trim_start_matches('v'));
    let mut wrong = Vec::new();
    let mut find = |core: CoreImage| -> String {
        let start = format!("{}:", core.repository());
        let found: Vec<&str> = names.iter().copied().filter(|name| name.starts_with(&start)).collect();
        let wanted = format!("{start}{version}");
        match (core.is_of_kubernetes(), &found[..]) {
            (true, found) if found.contains(&wanted.as_str()) => return wanted,
            (true, _) => wrong.push(wanted),
            (false, [only]) => return (*only).to_owned(),
            (false, []) => wrong.push(core.repository().to_owned()),
            (false, several) => {
                wrong.push(format!("one version of {} instead of {}", core.repository(), several.join(", ")))
            }
        }
        String::new()
    };
    let images = CoreImages {
        api_server: find(CoreImage::ApiServer),
        controller_manager: find(CoreImage::ControllerManager),
        scheduler: find(CoreImage::Scheduler),
        proxy: find(CoreImage::Proxy),
        etcd: find(CoreImage::Etcd),
        core_dns: find(CoreImage::CoreDns),
        pause: find(CoreImage::Pause),
    };
    if !wrong.is_empty() {
        return Err(Error::invalid(format!("without these no cluster starts: {}", wrong.join(", ")))
            .help(format!("put them into the OCI layout `{FOLDER}/` of the component's archive")));
    }
    let etcd = images.etcd.rsplit_once(':').map(|(_, tag)| etcd_of_tag(tag).to_owned());
    let versions = KubernetesVersions { distribution: Distribution::Kubeadm, kubernetes: version, etcd };
    Ok(ImageKubernetes { versions, images: Some(images) })
}

impl Carried {
    /// Names of all images with their tags, and digests of their manifests.
    pub(crate) fn names(&self) -> Vec<(&str, Digest)> {
        self.images.iter().map(|image| (image.name.as_str(), image.digest)).collect()
    }

    /// Puts layers, documents and the description into a root.
    ///
    /// # Errors
    /// When the description cannot be written.
    pub(crate) fn place(&self, tree: &mut Tree) -> Result<()> {
        for (diff_id, file) in &self.layers {
            let name = to_hex(&diff_id.0);
            let path = format!("{}/sha256/{}/{name}.erofs", &paths::IMAGE_LAYERS[1..], &name[..2]);
            tree.put(&path, 0o644, Content::File(file.clone()));
        }
        let content = &paths::IMAGE_CONTENT[1..];
        let mut manifests = Vec::new();
        for image in &self.images {
            for (digest, bytes) in [(image.digest, &image.manifest), (image.config_digest, &image.config)] {
                tree.put_file(&format!("{content}/blobs/sha256/{}", to_hex(&digest.0)), 0o644, bytes.clone());
            }
            manifests.push(entry(image));
        }
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        tree.put_file(&format!("{content}/index.json"), 0o644, index.to_string());
        let text = serde_json::to_vec(&self.kubernetes).context("cannot describe the image's Kubernetes")?;
        tree.put_file(&paths::IMAGE_KUBERNETES[1..], 0o644, text);
        Ok(())
    }
}

fn entry(image: &Named) -> Value {
    json!({
        "mediaType": image.media_type,
        "digest": image.digest.to_string(),
        "size": image.manifest.len(),
        "annotations": { IMAGE_NAME: image.name },
    })
}

/// Kubernetes' own folders are plain mounts on the host. Content of the image below one would make it an overlay, on which
/// its runtime does not work.
const PLAIN_ON_THE_HOST: [&str; 5] =
    ["var/lib/containerd/", "var/lib/kubelet/", "var/lib/etcd/", "var/lib/rancher/", "etc/kubernetes/"];

/// Refuses a root with content where a cluster needs a plain folder.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] naming the first path.
pub(crate) fn check_plain_folders(tree: &Tree) -> Result<()> {
    let in_the_way = tree.iter().find(|(path, node)| {
        !node.is_directory() && PLAIN_ON_THE_HOST.iter().any(|folder| path.starts_with(folder))
    });
    match in_the_way {
        None => Ok(()),
        Some((path, _)) => Err(Error::invalid(format!("/{path} cannot be in an image with Kubernetes"))
            .help("the host keeps its cluster's state there, in a file system of its own: move the file elsewhere")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 8] = [
        "registry.k8s.io/kube-apiserver:v1.37.2",
        "registry.k8s.io/kube-controller-manager:v1.37.2",
        "registry.k8s.io/kube-scheduler:v1.37.2",
        "registry.k8s.io/kube-proxy:v1.37.2",
        "registry.k8s.io/etcd:3.7.3-0",
        "registry.k8s.io/coredns/coredns:v1.14.6",
        "registry.k8s.io/pause:3.10.2",
        "edge.local/page:1",
    ];

    #[test]
    fn every_missing_image_is_named() {
        let whole = describe(&NAMES, "1.37.2").unwrap();
        assert_eq!(whole.versions.to_string(), "Kubernetes 1.37.2 with etcd 3.7.3");
        assert_eq!(whole.images.unwrap().pause, "registry.k8s.io/pause:3.10.2");
        let refusal = |names: &[&str], version: &str| describe(names, version).unwrap_err().to_string();
        let other = refusal(&NAMES, "v1.36.0");
        assert!(
            other.contains("registry.k8s.io/kube-scheduler:v1.36.0") && !other.contains("pause"),
            "{other}"
        );
        let without: Vec<&str> =
            NAMES.iter().copied().filter(|name| !name.contains("pause") && !name.contains("etcd")).collect();
        let missing = refusal(&without, "v1.37.2");
        assert!(missing.contains("registry.k8s.io/etcd, registry.k8s.io/pause"), "{missing}");
        let twice = [&NAMES[..], &["registry.k8s.io/etcd:3.6.16-0"]].concat();
        assert!(refusal(&twice, "v1.37.2").contains("one version of registry.k8s.io/etcd instead of"));
        assert!(refusal(&[], "v1.37.2").contains("kube-apiserver"));
    }

    #[test]
    fn files_where_a_cluster_keeps_its_state_are_refused() {
        let mut tree = Tree::default();
        tree.put("var/lib/kubelet/pods", 0o755, Content::Directory);
        tree.put_file("var/lib/kubelet-notes", 0o644, "x");
        check_plain_folders(&tree).unwrap();
        tree.put_file("var/lib/containerd/images/a.tar", 0o644, "x");
        assert!(
            check_plain_folders(&tree).unwrap_err().to_string().contains("/var/lib/containerd/images/a.tar")
        );
    }
}
