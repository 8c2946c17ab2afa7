//! containerd: its configuration, the registry that it asks, and the pods' network.

use edge_model::paths::{CLUSTER_RUN, CONTENT_REGISTRY, IMAGE_CNI, IMAGE_LAYERS};
use serde_json::json;

use super::{Placement, RenderedFile};

pub(super) const SOCKET: &str = "unix:///run/containerd/containerd.sock";
/// Addresses of pods, in memory: after a power cut nobody gives back those of pods that are gone
/// (kubernetes#108121).
pub(super) const POD_ADDRESSES: &str = "/run/cni/ipam";

pub(super) fn files(placement: &Placement) -> Vec<RenderedFile> {
    vec![
        RenderedFile::new(format!("{CLUSTER_RUN}/containerd.toml"), containerd(placement)),
        RenderedFile::new(format!("{CLUSTER_RUN}/certs.d/_default/hosts.toml"), registry()),
        RenderedFile::json(format!("{CLUSTER_RUN}/cni/10-edge.conflist"), &pod_network(placement)),
        // For people who ask the runtime themselves.
        RenderedFile::new(
            "/etc/crictl.yaml",
            format!("runtime-endpoint: {SOCKET}\nimage-endpoint: {SOCKET}\n"),
        ),
    ]
}

/// <https://github.com/containerd/containerd/blob/v2.4.2/docs/cri/config.md>
fn containerd(placement: &Placement) -> String {
    let pause = &placement.images.pause;
    format!(
        "# Made at each boot. Additions of a site: /etc/containerd/conf.d/*.toml
version = 3
imports = ['/etc/containerd/conf.d/*.toml']

# Layers of the image are EROFS file systems in the verified root: nothing is unpacked, nothing can be torn.
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'erofs'
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = '{CLUSTER_RUN}/certs.d'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '{pause}'
[plugins.'io.containerd.snapshotter.v1.erofs']
  layer_content_caches = ['{IMAGE_LAYERS}']
[plugins.'io.containerd.differ.v1.erofs']
  mkfs_options = ['--sort=none']
# Without this, what is unpacked shortly before a power cut is empty for ever (containerd#8973).
[plugins.'io.containerd.service.v1.diff-service']
  default = ['erofs', 'walking']
  sync_fs = true

# Every container is asked for its use of the processor this often; kubelet looks every ten seconds.
[plugins.'io.containerd.cri.v1.runtime']
  stats_collect_period = '10s'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = true
# Programs of the image come before those that a workload has copied to the host.
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['{IMAGE_CNI}', '/opt/cni/bin']
  conf_dir = '{CLUSTER_RUN}/cni'
"
    )
}

/// Every image is asked for at the agent, and nowhere else.
///
/// <https://github.com/containerd/containerd/blob/v2.4.2/docs/hosts.md>
fn registry() -> String {
    format!(
        "server = \"http://{CONTENT_REGISTRY}\"\n\n[host.\"http://{CONTENT_REGISTRY}\"]\n  capabilities = [\"pull\", \"resolve\"]\n  dial_timeout = \"2s\"\n"
    )
}

fn pod_network(placement: &Placement) -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "edge",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipMasq": true,
                "ipMasqBackend": "nftables",
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": POD_ADDRESSES,
                    "ranges": [[{ "subnet": placement.own_pods.to_string() }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "backend": "nftables", "capabilities": { "portMappings": true } },
        ],
    })
}
