//! The node's own programs: kubelet and kube-proxy.

use edge_model::paths;
use edge_model::paths::CLUSTER_RUN;
use serde_json::{Value, json};

use super::runtime::SOCKET;
use super::{Placement, RenderedFile};

pub(super) const KUBELET_CONFIGURATION: &str = "/run/edge/cluster/kubelet.json";
pub(super) const PROXY_KUBECONFIG: &str = "/etc/kubernetes/kube-proxy.conf";
pub(super) const MANIFESTS: &str = paths::STATIC_PODS;
/// The image's `/usr` is read-only: plug-ins of volumes live where things can be written.
pub(super) const VOLUME_PLUGINS: &str = "/var/lib/kubelet/volume-plugins";
/// Settings that the agent makes itself, so that a definition must not.
pub(super) const OWN_KUBELET_SETTINGS: [&str; 14] = [
    "apiVersion",
    "kind",
    "address",
    "authentication",
    "authorization",
    "clusterDNS",
    "clusterDomain",
    "containerRuntimeEndpoint",
    "podCIDR",
    "registerNode",
    "resolvConf",
    "rotateCertificates",
    "staticPodPath",
    "volumePluginDir",
];

pub(super) fn files(placement: &Placement) -> Vec<RenderedFile> {
    vec![
        RenderedFile::json(KUBELET_CONFIGURATION, &kubelet(placement)),
        RenderedFile::new(
            format!("{CLUSTER_RUN}/kubelet.env"),
            format!(
                "EDGE_KUBELET_ARGS=--hostname-override={} --node-ip={}\n",
                placement.node, placement.address
            ),
        ),
        RenderedFile::json(format!("{CLUSTER_RUN}/kube-proxy.json"), &proxy(placement)),
    ]
}

/// <https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/>
pub(super) fn kubelet(placement: &Placement) -> Value {
    let mut settings = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": "/etc/kubernetes/pki/ca.crt" },
        },
        "authorization": { "mode": "Webhook" },
        "cgroupDriver": "systemd",
        "clusterDNS": [placement.name_service],
        "clusterDomain": placement.dns_domain,
        "containerRuntimeEndpoint": SOCKET,
        "healthzBindAddress": "127.0.0.1",
        "resolvConf": paths::RESOLV_CONF,
        "rotateCertificates": true,
        "staticPodPath": MANIFESTS,
        "volumePluginDir": VOLUME_PLUGINS,
    });
    if let Value::Object(settings) = &mut settings {
        // Those of our own were refused when the definition was checked.
        settings.extend(placement.kubelet.clone());
    }
    settings
}

/// <https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/>
fn proxy(placement: &Placement) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": { "kubeconfig": PROXY_KUBECONFIG },
        "clusterCIDR": placement.pods.to_string(),
        "hostnameOverride": placement.node,
        // Its default, the node's address, is on no wire.
        "nodePortAddresses": ["0.0.0.0/0"],
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        // The kernel's own limits stay.
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
    })
}

/// As a static pod and not as a DaemonSet: it belongs to the image, as kubelet does, and an image that comes back brings
/// its own.
pub(super) fn proxy_pod(placement: &Placement) -> RenderedFile {
    let configuration = format!("{CLUSTER_RUN}/kube-proxy.json");
    let file = |name: &str, path: &str| json!({ "name": name, "hostPath": { "path": path, "type": "File" } });
    let mount = |name: &str, path: &str| json!({ "name": name, "mountPath": path, "readOnly": true });
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "kube-proxy",
            "namespace": "kube-system",
            "labels": { "component": "kube-proxy", "tier": "node" },
        },
        "spec": {
            "hostNetwork": true,
            "priorityClassName": "system-node-critical",
            "containers": [{
                "name": "kube-proxy",
                "image": placement.images.proxy,
                "imagePullPolicy": "IfNotPresent",
                "command": ["kube-proxy", format!("--config={configuration}")],
                "securityContext": { "privileged": true },
                "resources": { "requests": { "cpu": "10m", "memory": "32Mi" } },
                "volumeMounts": [
                    mount("configuration", &configuration),
                    mount("kubeconfig", PROXY_KUBECONFIG),
                    mount("modules", "/lib/modules"),
                ],
            }],
            "volumes": [
                file("configuration", &configuration),
                file("kubeconfig", PROXY_KUBECONFIG),
                json!({ "name": "modules", "hostPath": { "path": "/lib/modules" } }),
            ],
        },
    });
    RenderedFile { mode: 0o600, ..RenderedFile::json(format!("{MANIFESTS}/kube-proxy.json"), &pod) }
}
