//! The gate: data of a cluster meets an image only when both fit together.

use edge_model::cluster::KubernetesVersions;
use edge_model::{Error, Result};

use super::member::Member;

/// Whether the Kubernetes of an image may open what another one has written. Both directions of a change need more than
/// a restart: etcd writes a new format at its first start, and the old one cannot read it.
///
/// # Errors
/// [`edge_model::Class::Rejected`] with both versions.
pub fn may_open(member: &Member, image: &KubernetesVersions) -> Result<()> {
    match &member.opened {
        Some(opening) if opening.versions != *image => Err(Error::rejected(format!(
            "the data of this cluster is of {}, and this image carries {image}: a change of the version is not made yet",
            opening.versions
        ))
        .help("go back to the image before with `edge-agent rollback`, or delete the cluster")),
        _ => Ok(()),
    }
}

/// Whether an upgrade may lead to an image with this Kubernetes.
///
/// # Errors
/// As [`may_open`].
pub fn may_upgrade(opened: Option<&KubernetesVersions>, next: Option<&KubernetesVersions>) -> Result<()> {
    let Some(opened) = opened else { return Ok(()) };
    let help = "use an image with the same versions, or delete the cluster first";
    match next {
        Some(next) if next == opened => Ok(()),
        Some(next) => Err(Error::rejected(format!(
            "this host has a cluster of {opened}, and the new image carries {next}: a change of the version is not made yet"
        ))
        .help(help)),
        None => Err(Error::rejected(format!(
            "this host has a cluster of {opened}, and the new image carries no Kubernetes"
        ))
        .help(help)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::member::Opening;
    use super::*;
    use edge_model::cluster::Distribution;
    use edge_model::ids::RootHash;

    fn versions(kubernetes: &str, etcd: &str) -> KubernetesVersions {
        KubernetesVersions {
            distribution: Distribution::Kubeadm,
            kubernetes: kubernetes.into(),
            etcd: Some(etcd.into()),
        }
    }

    #[test]
    fn data_and_image_meet_only_when_they_fit() {
        let image = versions("v1.37.2", "3.7.3");
        for (opened, fits) in [
            (None, true),
            (Some(versions("v1.37.2", "3.7.3")), true),
            (Some(versions("v1.36.3", "3.6.16")), false),
            (Some(versions("v1.38.0", "3.7.3")), false),
            (Some(versions("v1.37.2", "3.6.16")), false),
        ] {
            let opening = opened.clone().map(|versions| Opening { root_hash: RootHash([1; 32]), versions });
            let member = Member { opened: opening, ..Member::default() };
            assert_eq!(may_open(&member, &image).is_ok(), fits, "{opened:?}");
            assert_eq!(may_upgrade(opened.as_ref(), Some(&image)).is_ok(), fits, "{opened:?}");
        }
        assert!(may_upgrade(None, None).is_ok());
        assert!(may_upgrade(Some(&image), None).unwrap_err().message.contains("no Kubernetes"));
    }
}
