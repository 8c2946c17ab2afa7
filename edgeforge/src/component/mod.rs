//! The distribution of Kubernetes that goes into an image.

pub(crate) mod images;

use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_host::files;
use edge_model::cluster::{CarriedKubernetes, Distribution, KubernetesVersions};
use edge_model::forge::{Component, Kubernetes};
use edge_model::ids::{Digest, from_hex, to_hex};
use edge_model::{Context, Error, Result};
use edge_planner::cluster::gate;

use crate::cache::Cache;
use crate::lock::LockedComponent;
use crate::tree::{Content, Tree};

const DEADLINE: Duration = Duration::from_secs(3600);
const ELF: [u8; 4] = [0x7f, b'E', b'L', b'F'];
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// K3s is one program under several names.
const K3S_NAMES: [&str; 3] = ["kubectl", "crictl", "ctr"];

/// Which distribution it is, and where from.
pub(crate) fn chosen(kubernetes: &Kubernetes) -> Option<(&'static str, &Component)> {
    let k3s = kubernetes.k3s.as_ref().map(|component| ("k3s", component));
    k3s.or_else(|| kubernetes.kubeadm.as_ref().map(|component| ("kubeadm", component)))
}

/// The component's file on this machine: the project's own, or one that is fetched once.
///
/// # Errors
/// [`edge_model::Class::Integrity`] when it is not the file that `sha256` says.
pub(crate) fn fetch(
    name: &str,
    component: &Component,
    project: &Path,
    cache: &Cache,
    offline: bool,
) -> Result<(PathBuf, LockedComponent)> {
    let wanted =
        component.sha256.as_deref().and_then(from_hex).and_then(|bytes| bytes.try_into().ok()).map(Digest);
    let path = match (&component.file, &component.url, wanted) {
        (Some(file), _, _) => project.join(file),
        (None, Some(url), Some(digest)) => from_url(url, digest, cache, offline)?,
        _ => return Err(Error::internal("a component has no source")),
    };
    let (digest, _) = files::digest(&path)?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != digest) {
        if path.starts_with(cache.root()) {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            return Err(Error::integrity(format!(
                "the cache's copy of {name} {} is damaged",
                component.version
            ))
            .help("it was removed: build again where there is a network"));
        }
        return Err(Error::integrity(format!(
            "{} is not the file that was meant: {wanted} was expected, it is {digest}",
            path.display()
        ))
        .help("correct kubernetes.sha256 in forge.yaml, or the file"));
    }
    let source = component.file.as_ref().or(component.url.as_ref()).cloned().unwrap_or_default();
    Ok((path, LockedComponent { name: name.to_owned(), version: component.version.clone(), source, digest }))
}

fn from_url(url: &str, digest: Digest, cache: &Cache, offline: bool) -> Result<PathBuf> {
    let folder = cache.root().join("components");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join(to_hex(&digest.0));
    let _lock = cache.lock("components")?;
    if path.exists() {
        crate::cache::touch(&path);
        return Ok(path);
    }
    if offline {
        return Err(Error::environment(format!("{url} is not on this machine"))
            .help("run `edgeforge fetch` where there is a network"));
    }
    let part = folder.join(format!(".{}.part", to_hex(&digest.0)));
    Child::new("/usr/lib/apt/apt-helper")
        .args(["-q", "download-file", url])
        .arg(&part)
        .arg(format!("SHA256:{}", to_hex(&digest.0)))
        .deadline(DEADLINE)
        .run()
        .with_context(|| format!("cannot fetch {url}"))?;
    std::fs::rename(&part, &path).context("cannot keep a component")?;
    Ok(path)
}

/// What of a component decides which data it may open.
pub(crate) fn carried(locked: &LockedComponent, images: Option<&images::Carried>) -> CarriedKubernetes {
    let versions = match images {
        Some(images) => images.kubernetes.versions.clone(),
        None => KubernetesVersions {
            distribution: Distribution::K3s,
            kubernetes: format!("v{}", locked.version.trim_start_matches('v')),
            etcd: None,
        },
    };
    CarriedKubernetes { upgrades_from: Some(gate::least_before(&versions)), versions }
}

/// Puts a component into the root: a program, or everything that an archive has.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when the file is neither.
pub(crate) fn place(tree: &mut Tree, name: &str, file: &Path, scratch: &Path) -> Result<()> {
    let start = first_bytes(file)?;
    if start.starts_with(&ELF) {
        if name != "k3s" {
            return Err(Error::invalid(format!(
                "{} is one program, and {name} needs several",
                file.display()
            ))
            .help(
                "give an archive with kubeadm, kubelet, kubectl, containerd, runc and crictl under usr/bin",
            ));
        }
        tree.put("usr/bin/k3s", 0o755, Content::File(file.to_owned()));
        for alias in K3S_NAMES {
            tree.put_symlink(&format!("usr/bin/{alias}"), "k3s");
        }
        return Ok(());
    }
    let archive = unpacked(name, file, scratch)?;
    // Images are not files of the root.
    let is_image = |path: &str| path == images::FOLDER || path.starts_with(&format!("{}/", images::FOLDER));
    tree.add_archive(&archive, scratch, |path| !is_image(path))
        .with_context(|| format!("{} is neither a program nor an archive of files", file.display()))?;
    let program = if name == "k3s" { "k3s" } else { "kubeadm" };
    let has = ["usr/bin", "usr/local/bin", "opt/bin"]
        .iter()
        .any(|folder| tree.contains(&format!("{folder}/{program}")));
    if has { Ok(()) } else { Err(Error::invalid(format!("{} has no usr/bin/{program}", file.display()))) }
}

/// The component's archive without its compression; a program is left as it is.
///
/// # Errors
/// When it cannot be read, or the disk is full.
pub(crate) fn unpacked(name: &str, file: &Path, scratch: &Path) -> Result<PathBuf> {
    let start = first_bytes(file)?;
    let archive = scratch.join(format!("{name}.tar"));
    if archive.exists() {
        return Ok(archive);
    }
    let open = || std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()));
    let write = |reader: &mut dyn std::io::Read| -> Result<()> {
        let mut output = std::fs::File::create(&archive).context("cannot unpack a component")?;
        std::io::copy(reader, &mut output).map(drop).context("cannot unpack a component")
    };
    if start.starts_with(&GZIP) {
        write(&mut flate2::read::MultiGzDecoder::new(open()?))?;
    } else if start.starts_with(&ZSTD) {
        write(&mut zstd::Decoder::new(open()?).context("cannot unpack a component")?)?;
    } else {
        return Ok(file.to_owned());
    }
    Ok(archive)
}

fn first_bytes(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let context = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path).with_context(context)?.take(8).read_to_end(&mut bytes).with_context(context)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_and_an_archive_find_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("k3s");
        std::fs::write(&program, [&ELF[..], b"rest"].concat()).unwrap();
        let mut tree = Tree::default();
        place(&mut tree, "k3s", &program, folder.path()).unwrap();
        assert!(tree.contains("usr/bin/k3s") && tree.contains("usr/bin/kubectl"));
        assert!(place(&mut tree, "kubeadm", &program, folder.path()).is_err());
        let mut source = Tree::default();
        source.put_file("usr/bin/kubeadm", 0o755, "x");
        let archive = folder.path().join("source.tar");
        source.write(&archive, 0).unwrap();
        place(&mut tree, "kubeadm", &archive, folder.path()).unwrap();
        assert!(tree.contains("usr/bin/kubeadm"));
    }

    #[test]
    fn an_archive_leaves_the_root_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = Tree::default();
        for path in ["bin", "bin/kubeadm", "etc", "opt/cni", "opt/cni/x"] {
            let content = if path.contains("kube") || path.ends_with('x') {
                Content::Bytes(b"x".into())
            } else {
                Content::Directory
            };
            source.insert(path.into(), crate::tree::Node::new(0o775, (1000, 1000), 0, content));
        }
        let archive = folder.path().join("source.tar");
        source.write(&archive, 0).unwrap();
        let mut tree = Tree::default();
        tree.put_file("usr/bin/sh", 0o755, "sh");
        tree.put_symlink("bin", "usr/bin");
        tree.put_file("etc/shadow", 0o640, "");
        place(&mut tree, "kubeadm", &archive, folder.path()).unwrap();
        assert!(
            tree.contains("usr/bin/sh") && tree.contains("usr/bin/kubeadm") && !tree.contains("bin/kubeadm")
        );
        let mut other = Tree::default();
        other.put_symlink("etc", "usr/etc");
        other.put_file("usr/bin/kubeadm", 0o755, "x");
        other.write(&archive, 0).unwrap();
        let error = place(&mut tree.clone(), "kubeadm", &archive, folder.path()).unwrap_err();
        assert!(edge_model::error::render(&error).contains("would replace a folder"));
        let owned = |path: &str| tree.get(path).map(|node| (node.mode, node.uid)).unwrap();
        assert_eq!(
            (owned("etc"), owned("opt/cni"), owned("opt/cni/x")),
            ((0o755, 0), (0o775, 0), (0o775, 0))
        );
    }

    #[test]
    fn another_file_than_the_one_that_is_meant_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("k3s"), "x").unwrap();
        let component = Component { version: "1".into(), file: Some("k3s".into()), ..Component::default() };
        let cache = Cache::for_tests(folder.path());
        assert!(fetch("k3s", &component, folder.path(), &cache, true).is_ok());
        let damaged = Component {
            url: Some("https://registry.example/k3s".into()),
            file: None,
            sha256: Some("cd".repeat(32)),
            ..component.clone()
        };
        let kept = folder.path().join("components").join("cd".repeat(32));
        std::fs::create_dir(folder.path().join("components")).unwrap();
        std::fs::write(&kept, "half").unwrap();
        let error = fetch("k3s", &damaged, folder.path(), &cache, true).unwrap_err();
        assert!(error.to_string().contains("damaged") && !kept.exists(), "{error}");
        let other = Component { sha256: Some("ab".repeat(32)), ..component };
        let error = fetch("k3s", &other, folder.path(), &cache, true).unwrap_err();
        assert_eq!(error.class, edge_model::Class::Integrity);
    }
}
