//! Which images a checkout makes: one for each version of Kubernetes.

use edge_model::canvos::Distribution;
use edge_model::{Error, Result};
use edge_planner::upgrade::compare_versions;

use super::folder::{CanvosFolder, KUBERNETES_FOLDER};

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) distribution: Distribution,
    /// `None`: no file of Kubernetes was found, so the image has none.
    pub(crate) kubernetes: Option<Kubernetes>,
}

/// A version of Kubernetes and the file that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kubernetes {
    pub(crate) version: String,
    pub(crate) file: String,
}

/// What is built, and what would be if there were a file for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variants {
    /// At least one, older versions first.
    pub(crate) built: Vec<Variant>,
    /// Versions that are asked for and have no file.
    pub(crate) without_file: Vec<String>,
}

/// Decides which images a checkout makes.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when its distribution of Kubernetes cannot be built in.
pub(crate) fn variants(folder: &CanvosFolder) -> Result<Variants> {
    let distribution = folder.arguments.distribution()?;
    let asked = match folder.arguments.kubernetes_version() {
        Some(version) => vec![version.to_owned()],
        None => {
            let mut list = folder.versions.get(distribution.name()).cloned().unwrap_or_default();
            list.sort_by(|one, other| compare_versions(one, other));
            list.dedup();
            list
        }
    };
    let only = asked.len() == 1;
    let (mut built, mut without_file) = (Vec::new(), Vec::new());
    for version in asked {
        match component_file(folder, distribution, &version, only) {
            Some(file) => {
                let kubernetes = Some(Kubernetes { version, file });
                built.push(Variant { distribution, kubernetes });
            }
            None => without_file.push(version),
        }
    }
    if built.is_empty() {
        built.push(Variant { distribution, kubernetes: None });
    }
    Ok(Variants { built, without_file })
}

/// The name under which a file is looked for first.
pub(crate) fn usual_name(distribution: Distribution, version: &str) -> String {
    match distribution {
        Distribution::K3s => format!("k3s-{version}"),
        Distribution::Kubeadm => format!("kubeadm-{version}.tar.zst"),
    }
}

/// The file of a version. One without a version in its name counts only when there is no doubt which one is meant.
fn component_file(
    folder: &CanvosFolder,
    distribution: Distribution,
    version: &str,
    only: bool,
) -> Option<String> {
    let name = distribution.name();
    let whole = folder.arguments.component_version(distribution, version);
    let versions = [version.to_owned(), whole.clone(), whole.replace('+', "-")];
    let mut stems: Vec<String> = versions
        .iter()
        .flat_map(|version| [format!("{name}-{version}"), format!("{name}-v{version}")])
        .collect();
    if only {
        stems.push(name.to_owned());
    }
    // K3s is one program; kubeadm needs the kubelet and a container runtime beside it.
    let program: &[&str] = if distribution == Distribution::K3s { &[""] } else { &[] };
    let endings = [program, &[".tar", ".tar.gz", ".tgz", ".tar.zst"]].concat();
    let names: Vec<String> =
        stems.iter().flat_map(|stem| endings.iter().map(move |ending| format!("{stem}{ending}"))).collect();
    let below = names.iter().map(|name| format!("{KUBERNETES_FOLDER}/{name}"));
    names.iter().cloned().chain(below).find(|path| folder.files.contains(path))
}

/// Where CanvOS would push a variant.
///
/// # Errors
/// When `.arg` does not say all of it, or the tag would promise Kubernetes that is not in the image.
pub(crate) fn reference(folder: &CanvosFolder, variant: &Variant) -> Result<String> {
    let Some(kubernetes) = &variant.kubernetes else {
        return Err(Error::rejected("the tag names a version of Kubernetes, and the image has none").help(
            "put the file of Kubernetes into the folder, or give the whole reference: --push REFERENCE",
        ));
    };
    folder.arguments.reference(variant.distribution, &kubernetes.version, folder.agent_version())
}

/// The version of an image: the tag that CanvOS gives it.
pub(crate) fn image_version(folder: &CanvosFolder, variant: &Variant) -> String {
    let agent = folder.agent_version();
    let tag = match &variant.kubernetes {
        Some(kubernetes) => folder.arguments.tag(variant.distribution, &kubernetes.version, agent),
        None => folder.arguments.image_tag(agent),
    };
    let fits = |character: char| character.is_ascii_alphanumeric() || "-.+~".contains(character);
    let tag: String = tag.chars().map(|character| if fits(character) { character } else { '-' }).collect();
    let tag: String =
        tag.trim_start_matches(|first: char| !first.is_ascii_alphanumeric()).chars().take(100).collect();
    if tag.is_empty() { "1.0.0".into() } else { tag }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::canvos::Arguments;

    fn folder(arguments: &str, files: &[&str]) -> CanvosFolder {
        CanvosFolder {
            arguments: Arguments::parse(".arg", arguments).unwrap(),
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            versions: serde_json::from_str(r#"{"k3s": ["1.9.0", "1.31.1", "1.30.4", "1.31.1"]}"#).unwrap(),
            ..CanvosFolder::default()
        }
    }

    fn files(arguments: &str, files: &[&str]) -> (Vec<Option<String>>, Vec<String>) {
        let found = variants(&folder(arguments, files)).unwrap();
        let built =
            found.built.into_iter().map(|variant| variant.kubernetes.map(|kubernetes| kubernetes.file));
        (built.collect(), found.without_file)
    }

    #[test]
    fn each_version_with_a_file_is_built_older_ones_first() {
        let (built, without) =
            files("K8S_DISTRIBUTION=k3s", &["k3s-1.31.1", "kubernetes/k3s-v1.9.0+k3s1", "k3s"]);
        assert_eq!(built, [Some("kubernetes/k3s-v1.9.0+k3s1".into()), Some("k3s-1.31.1".into())]);
        assert_eq!(without, ["1.30.4"]);
        let (built, without) = files("K8S_DISTRIBUTION=k3s", &["k3s"]);
        assert_eq!((built, without.len()), (vec![None], 3));
        let (built, without) = files("K8S_DISTRIBUTION=kubeadm", &["kubeadm"]);
        assert_eq!((built, without.len()), (vec![None], 0));
    }

    #[test]
    fn one_version_takes_a_file_without_a_version_too() {
        let one = |listed: &[&str]| files("K8S_DISTRIBUTION=k3s\nK8S_VERSION=1.31.1", listed).0.remove(0);
        assert_eq!(one(&["k3s", "k3s-v1.31.1"]), Some("k3s-v1.31.1".into()));
        assert_eq!(one(&["k3s"]), Some("k3s".into()));
        assert_eq!(one(&["kubernetes/k3s.tar.gz"]), Some("kubernetes/k3s.tar.gz".into()));
        assert_eq!(one(&["k3s-1.31.10"]), None);
        let kubeadm =
            |listed: &[&str]| files("K8S_DISTRIBUTION=kubeadm\nK8S_VERSION=1.31.1", listed).0.remove(0);
        assert_eq!(kubeadm(&["kubeadm"]), None);
        assert_eq!(kubeadm(&["kubeadm.tgz"]), Some("kubeadm.tgz".into()));
    }

    #[test]
    fn an_image_without_kubernetes_is_not_pushed_under_its_tag() {
        let arguments =
            "K8S_DISTRIBUTION=k3s\nK8S_VERSION=1.31.1\nIMAGE_REGISTRY=registry.example\nPE_VERSION=v4.1";
        let with = folder(arguments, &["k3s"]);
        let variant = variants(&with).unwrap().built.remove(0);
        assert_eq!(reference(&with, &variant).unwrap(), "registry.example/ubuntu:k3s-1.31.1-v4.1");
        assert_eq!(image_version(&with, &variant), "k3s-1.31.1-v4.1");
        let without = folder(arguments, &[]);
        let variant = variants(&without).unwrap().built.remove(0);
        assert!(reference(&without, &variant).is_err());
        assert_eq!(image_version(&without, &variant), "v4.1");
        let bare = folder("K8S_DISTRIBUTION=k3s\nCUSTOM_TAG=_a_b", &[]);
        let variant = variants(&bare).unwrap().built.remove(0);
        assert_eq!(image_version(&bare, &variant), "a-b");
    }
}
