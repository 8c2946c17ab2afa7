//! The end of a cluster, ordered by a person. Every step can be done again, so a cut is made good at the next boot.

use edge_model::paths;

/// One step of the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// Stops a unit and everything that it has started.
    Stop(&'static str),
    /// Ends all processes of pods.
    EndPods,
    /// Unmounts everything at and below a path.
    Unmount(&'static str),
    /// Unmounts everything below a path, which is a mount of its own and is emptied later.
    UnmountInside(&'static str),
    /// Takes the networks of pods away: each is a mount below a folder, whose name begins so.
    RemoveNetworks { folder: &'static str, prefix: &'static str },
    /// Takes a network device away.
    RemoveDevice(&'static str),
    /// Takes the proxy's and the pods' packet rules away.
    RemoveRules,
    /// Empties a folder that may be a mount of its own.
    Empty(&'static str),
    /// There is no cluster any more: last, because it cannot be taken back.
    RecordEnd,
}

/// Everything that a cluster has left on the host.
pub fn steps() -> Vec<Removal> {
    let units = ["kubelet.service", "containerd.service"].map(Removal::Stop);
    let mounts = [
        Removal::UnmountInside("/var/lib/kubelet"),
        Removal::Unmount("/run/containerd"),
        Removal::Unmount(paths::STATIC_PODS),
    ];
    let devices = ["cni0", super::kubeadm::DEVICE].map(Removal::RemoveDevice);
    let data = [
        paths::CLUSTER_KEPT,
        paths::ETCD_DATA,
        "/var/lib/kubelet",
        "/var/lib/containerd",
        paths::KUBERNETES,
        "/var/log/pods",
        "/var/log/containers",
        super::runtime::POD_ADDRESSES,
        edge_model::paths::CLUSTER_RUN,
    ]
    .map(Removal::Empty);
    let mut steps = Vec::new();
    steps.extend(units);
    steps.insert(1, Removal::EndPods);
    steps.extend(mounts);
    steps.push(Removal::RemoveNetworks { folder: "/run/netns", prefix: "cni-" });
    steps.extend(devices);
    steps.push(Removal::RemoveRules);
    steps.extend(data);
    steps.push(Removal::RecordEnd);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_after_its_users_and_the_record_last() {
        let steps = steps();
        let at = |wanted: &Removal| steps.iter().position(|step| step == wanted).unwrap();
        assert!(
            at(&Removal::Stop("kubelet.service")) < at(&Removal::EndPods),
            "kubelet would start them again"
        );
        assert!(at(&Removal::EndPods) < at(&Removal::UnmountInside("/var/lib/kubelet")));
        assert!(at(&Removal::UnmountInside("/var/lib/kubelet")) < at(&Removal::Empty("/var/lib/kubelet")));
        for step in &steps {
            let Removal::Empty(folder) = step else { continue };
            assert!(
                !steps.contains(&Removal::Unmount(folder)),
                "{folder}: what is stored there stays behind"
            );
        }
        assert_eq!(steps.last(), Some(&Removal::RecordEnd));
        assert_eq!(steps.iter().filter(|step| **step == Removal::RecordEnd).count(), 1);
    }
}
