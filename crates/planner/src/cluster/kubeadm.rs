//! Kubernetes by kubeadm: its configuration, and the phases that the agent has it do. The order, and what is done again
//! after a cut, is ours.
//!
//! <https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/>

use edge_model::paths;
use edge_model::paths::CLUSTER_RUN;
use serde_json::{Value, json};

use super::gate::Verdict;
use super::node::{self, MANIFESTS, PROXY_KUBECONFIG, VOLUME_PLUGINS};
use super::step::documents;
use super::{
    Action, Authority, ObjectSet, Placement, Probe, RenderedFile, Step, StepId, name_service, runtime,
};

pub(super) const API_PORT: u16 = 6443;
const KUBEADM: &str = "kubeadm";
const KEYS: &str = "/etc/kubernetes/pki";
const STAGED: &str = "/etc/kubernetes/.new";
const STAGED_KEYS: &str = "/etc/kubernetes/.new/pki";
/// The whole of a cluster's keys; `pki` last, because its presence says that the rest is there.
const STAGED_NAMES: [&str; 7] = [
    "admin.conf",
    "super-admin.conf",
    "kubelet.conf",
    "controller-manager.conf",
    "scheduler.conf",
    "kube-proxy.conf",
    "pki",
];
/// Tell that manifests in memory are those of this definition and image; kubelet passes over hidden files.
const API_STAMP: &str = "/etc/kubernetes/manifests/.edge-api";
const CONTROLLERS_STAMP: &str = "/etc/kubernetes/manifests/.edge-controllers";
/// A box may be off for years, and nobody is there to renew anything.
const LEAF_LIFE: &str = "87600h";
const AUTHORITY_LIFE: &str = "262800h";
const AUTHORITY_DAYS: u64 = 30 * 365;
/// kubeadm takes those that it finds, and dates what they sign from their own first day
/// (<https://kubernetes.io/docs/setup/best-practices/certificates/>).
const AUTHORITIES: [Authority; 3] = [
    Authority { file: "ca", name: "kubernetes" },
    Authority { file: "front-proxy-ca", name: "front-proxy-ca" },
    Authority { file: "etcd/ca", name: "etcd-ca" },
];
/// Machines under load, or emulated ones, take their time; the agent says what it waits for.
const PATIENCE: &str = "30m0s";

/// kubeadm has these asked every second, each time with a new TLS connection or a read through the datastore's log: most
/// of what an idle cluster of one host does.
const CALM_PROBES: [&str; 3] = ["etcd", "kube-apiserver", "kube-scheduler"];
const PATCHES: &str = "/run/edge/cluster/patches";

/// Needed by pods' networks, by the proxy's rules, and by layers of images.
const MODULES: [&str; 6] = ["overlay", "erofs", "bridge", "br_netfilter", "nf_conntrack", "nf_tables"];
const KERNEL: [(&str, &str); 3] = [
    ("net/ipv4/ip_forward", "1"),
    // Pods of one host speak over a bridge; services must hold there, too.
    ("net/bridge/bridge-nf-call-iptables", "1"),
    // Without it kubelet sets it, with a warning.
    ("vm/overcommit_memory", "1"),
];
/// The cluster's own network device.
pub(super) const DEVICE: &str = "edge0";

pub(super) fn steps(placement: &Placement, verdict: &Verdict) -> Vec<Step> {
    let configuration = configuration_files(placement);
    let mut steps = vec![
        Step {
            id: StepId::Network,
            check: Probe::Address { interface: DEVICE, address: placement.address },
            act: vec![
                Action::LoadModules(&MODULES),
                Action::SetKernel(&KERNEL),
                Action::MakeBridge {
                    name: DEVICE,
                    address: placement.address,
                    prefix: placement.hosts.prefix,
                    // A host without a way out could not send anything to a service (F1.5).
                    routes: vec![placement.services.to_string()],
                },
            ],
        },
        Step {
            id: StepId::Configuration,
            check: Probe::Files(configuration.clone()),
            act: vec![Action::Write(configuration)],
        },
        keys(verdict.has_data()),
        super::opening(verdict),
        manifests(placement),
        Step {
            id: StepId::Runtime,
            check: Probe::Runtime("containerd.service"),
            act: vec![Action::Start("containerd.service")],
        },
        Step {
            id: StepId::Kubelet,
            check: Probe::Unit("kubelet.service"),
            act: vec![
                Action::RemoveEmpty(&[
                    "/var/lib/kubelet/pki/kubelet.crt",
                    "/var/lib/kubelet/pki/kubelet.key",
                ]),
                Action::Start("kubelet.service"),
            ],
        },
        Step { id: StepId::Api, check: Probe::Api, act: Vec::new() },
        controllers(placement),
    ];
    steps.extend(inside(placement));
    steps
}

/// What is in the datastore: made once, and looked at in every boot.
fn inside(placement: &Placement) -> Vec<Step> {
    let (rights, names) = (rights(), name_service::objects(placement));
    let mut steps = vec![
        Step {
            id: StepId::Settings,
            check: Probe::Object {
                path: "/api/v1/namespaces/kube-system/configmaps/kubeadm-config".into(),
                pointer: "/data/ClusterConfiguration",
                words: format!("kubernetesVersion: {}", placement.versions.kubernetes),
            },
            // The one that is looked for comes last.
            act: ["kubelet", "kubeadm"].map(|what| phase(&["upload-config", what])).into(),
        },
        Step {
            id: StepId::Role,
            check: Probe::Object {
                path: format!("/api/v1/nodes/{}", placement.node),
                pointer: "/metadata/labels",
                words: "node-role.kubernetes.io/control-plane".into(),
            },
            act: vec![phase(&["mark-control-plane"])],
        },
        Step { id: StepId::Rights, check: Probe::Applied(rights.clone()), act: vec![Action::Apply(rights)] },
        Step {
            id: StepId::NameService,
            check: Probe::Applied(names.clone()),
            act: vec![Action::Apply(names)],
        },
        Step { id: StepId::Ready, check: Probe::NodeReady(placement.node.clone()), act: Vec::new() },
    ];
    steps.extend(super::workloads(placement));
    steps
}

fn configuration_files(placement: &Placement) -> Vec<RenderedFile> {
    let kubeadm = |name: &str, keys: &str| {
        RenderedFile::new(format!("{CLUSTER_RUN}/{name}"), kubeadm_configuration(placement, keys))
    };
    let mut files = vec![kubeadm("kubeadm.yaml", KEYS), kubeadm("kubeadm-new.yaml", STAGED_KEYS)];
    files.extend(CALM_PROBES.map(calm_probe));
    files.extend(node::files(placement));
    files.extend(runtime::files(placement));
    files
}

/// <https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/control-plane-flags/#patches>
fn calm_probe(pod: &str) -> RenderedFile {
    let container = json!({ "name": pod, "readinessProbe": { "periodSeconds": 10 } });
    RenderedFile::json(
        format!("{PATCHES}/{pod}+strategic.json"),
        &json!({ "spec": { "containers": [container] } }),
    )
}

/// One run of kubeadm, for a part of what `kubeadm init` does.
fn phase(words: &[&str]) -> Action {
    let configuration = format!("--config={CLUSTER_RUN}/kubeadm.yaml");
    let arguments = ["init", "phase"].iter().chain(words).map(|word| (*word).to_owned());
    Action::Run { program: KUBEADM, arguments: arguments.chain([configuration]).collect(), output: None }
}

/// All keys are made beside their place and moved there when they are on the disk. A cluster that was opened with keys
/// has lost them when they are gone: others do not fit its data.
fn keys(opened: bool) -> Step {
    let check = Probe::Present(vec![format!("{KEYS}/ca.crt"), PROXY_KUBECONFIG.into()]);
    if opened {
        let reason =
            "the keys of this cluster are gone from /etc/kubernetes: new ones would not fit its data";
        return Step { id: StepId::Keys, check, act: vec![Action::Refuse(reason)] };
    }
    let run = |words: &[&str], output: Option<&str>| {
        let configuration = format!("--config={CLUSTER_RUN}/kubeadm-new.yaml");
        let arguments = words.iter().map(|word| (*word).to_owned()).chain([configuration]).collect();
        Action::Run { program: KUBEADM, arguments, output: output.map(str::to_owned) }
    };
    let folder = format!("--kubeconfig-dir={STAGED}");
    let (of_proxy, life) = (format!("{STAGED}/kube-proxy.conf"), format!("--validity-period={LEAF_LIFE}"));
    Step {
        id: StepId::Keys,
        check,
        act: vec![
            Action::EmptyFolder(STAGED),
            Action::MakeAuthorities { folder: STAGED_KEYS, names: &AUTHORITIES, life_days: AUTHORITY_DAYS },
            run(&["init", "phase", "certs", "all"], None),
            run(&["init", "phase", "kubeconfig", "all", &folder], None),
            // This command takes the life of what it makes from its own option alone.
            run(&["kubeconfig", "user", "--client-name=system:kube-proxy", &life], Some(&of_proxy)),
            Action::MoveDurably { from: STAGED, to: paths::KUBERNETES, names: &STAGED_NAMES },
        ],
    }
}

/// In memory, so that an image never meets those of another one. Datastore and API come first.
fn manifests(placement: &Placement) -> Step {
    let stamp = stamp(API_STAMP, &kubeadm_configuration(placement, KEYS));
    Step {
        id: StepId::Manifests,
        check: Probe::Files(vec![stamp.clone()]),
        act: vec![
            Action::MountMemory(MANIFESTS),
            phase(&["etcd", "local"]),
            phase(&["control-plane", "apiserver"]),
            Action::Write(vec![stamp]),
        ],
    }
}

/// What would only wait for the API, and on a slow machine take from it the time that it needs to start.
fn controllers(placement: &Placement) -> Step {
    let proxy = node::proxy_pod(placement);
    let stamp = stamp(CONTROLLERS_STAMP, &(kubeadm_configuration(placement, KEYS) + &proxy.content));
    Step {
        id: StepId::Controllers,
        check: Probe::Files(vec![stamp.clone()]),
        act: vec![
            Action::Write(vec![proxy]),
            phase(&["control-plane", "controller-manager"]),
            phase(&["control-plane", "scheduler"]),
            Action::Write(vec![stamp]),
        ],
    }
}

fn stamp(path: &str, inputs: &str) -> RenderedFile {
    RenderedFile::new(path, edge_slot_image::sha256(inputs.as_bytes()).to_string() + "\n")
}

fn kubeadm_configuration(placement: &Placement, keys: &str) -> String {
    documents(&[
        init_configuration(placement),
        cluster_configuration(placement, keys),
        node::kubelet(placement),
    ])
}

fn init_configuration(placement: &Placement) -> Value {
    json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": { "advertiseAddress": placement.address, "bindPort": API_PORT },
        "nodeRegistration": {
            "name": placement.node,
            "criSocket": runtime::SOCKET,
            "imagePullPolicy": "IfNotPresent",
            // The only node runs workloads, too. Left out, it would be tainted.
            "taints": [],
        },
        "patches": { "directory": PATCHES },
        "timeouts": {
            "controlPlaneComponentHealthCheck": PATIENCE,
            "kubeletHealthCheck": PATIENCE,
            "kubernetesAPICall": PATIENCE,
            "etcdAPICall": PATIENCE,
        },
    })
}

fn cluster_configuration(placement: &Placement, keys: &str) -> Value {
    let images = &placement.images;
    // There is nobody to take the lead from: without it nothing is written every two seconds.
    let alone = json!([{ "name": "leader-elect", "value": "false" }]);
    json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "clusterName": placement.cluster,
        "kubernetesVersion": placement.versions.kubernetes,
        "certificatesDir": keys,
        // Keys of RSA take seconds on the processors of such machines.
        "encryptionAlgorithm": "ECDSA-P256",
        "certificateValidityPeriod": LEAF_LIFE,
        "caCertificateValidityPeriod": AUTHORITY_LIFE,
        "controlPlaneEndpoint": placement.api_endpoint(),
        "networking": {
            "podSubnet": placement.pods.to_string(),
            "serviceSubnet": placement.services.to_string(),
            "dnsDomain": placement.dns_domain,
        },
        "apiServer": { "certSANs": ["localhost", "127.0.0.1", placement.address, placement.node] },
        "controllerManager": {
            "extraArgs": [
                { "name": "leader-elect", "value": "false" },
                { "name": "flex-volume-plugin-dir", "value": VOLUME_PLUGINS },
                // kubelet's own certificate, which it renews while it runs: after years without power it could not ask for one.
                { "name": "cluster-signing-duration", "value": LEAF_LIFE },
                // Pods that have ended are kept for whoever looks at them; by default twelve thousand.
                { "name": "terminated-pod-gc-threshold", "value": "50" },
            ],
        },
        "scheduler": { "extraArgs": alone },
        "etcd": { "local": { "imageTag": tag(&images.etcd), "dataDir": paths::ETCD_DATA } },
        // Both are ours: see `name_service` and `node::proxy_pod`.
        "dns": { "disabled": true },
        "proxy": { "disabled": true },
    })
}

/// What stands behind the name of an image.
fn tag(image: &str) -> &str {
    image.rsplit_once(':').map_or(image, |(_, tag)| tag)
}

/// What kubeadm gives with its bootstrap tokens. There are none: a cluster of one host lets nobody join.
fn rights() -> ObjectSet {
    let binding = |name: &str, role: &str, kind: &str, subject: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": subject }],
        })
    };
    ObjectSet {
        name: "rights".into(),
        objects: vec![
            binding(
                "kubeadm:node-autoapprove-certificate-rotation",
                "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
                "Group",
                "system:nodes",
            ),
            // `kubectl logs` and `exec` go from the API to kubelet.
            binding(
                "kubeadm:apiserver-kubelet-client",
                "system:kubelet-api-admin",
                "User",
                "kube-apiserver-kubelet-client",
            ),
        ],
    }
}
