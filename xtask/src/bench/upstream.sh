# A cluster as upstream's guide makes it, of the same programs and images: kubeadm, images that are imported and unpacked.
set -e
here=/usr/local/upstream run=/run/upstream socket=unix:///run/containerd/containerd.sock
mkdir -p $run/cni
cat > $run/containerd.toml <<END
version = 3
imports = ['/etc/containerd/conf.d/*.toml']
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '$PAUSE'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['/usr/lib/cni']
  conf_dir = '$run/cni'
END
cat > $run/cni/10-bridge.conflist <<END
{ "cniVersion": "1.0.0", "name": "bridge", "plugins": [ { "type": "bridge", "bridge": "cni0", "isGateway": true,
  "ipam": { "type": "host-local", "dataDir": "$run/ipam", "ranges": [[{ "subnet": "10.42.0.0/24" }]],
  "routes": [{ "dst": "0.0.0.0/0" }] } } ] }
END
cat > $run/kubeadm.yaml <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration: {criSocket: "$socket", taints: []}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $VERSION
networking: {podSubnet: 10.42.0.0/16}
etcd: {local: {imageTag: "$ETCD_TAG"}}
dns: {imageTag: "$DNS_TAG"}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
resolvConf: /run/systemd/resolve/resolv.conf
evictionHard: {memory.available: 1Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
END
sysctl -q -w net.ipv4.ip_forward=1
systemd-run --quiet --unit=upstream-containerd --property=Delegate=yes --property=KillMode=process \
  containerd --config $run/containerd.toml
until crictl --runtime-endpoint $socket version > /dev/null 2>&1; do sleep 0.1; done
$here/ctr --namespace k8s.io images import --snapshotter overlayfs $here/images.tar > /dev/null
systemd-run --quiet --unit=upstream-kubelet --property=Restart=always --property=RestartSec=1 \
  --property=StartLimitIntervalSec=0 --property=KillMode=process kubelet --config=/var/lib/kubelet/config.yaml \
  --kubeconfig=/etc/kubernetes/kubelet.conf --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf
kubeadm init --config $run/kubeadm.yaml --ignore-preflight-errors=all > $run/kubeadm.log 2>&1 || { tail -20 $run/kubeadm.log >&2; exit 1; }
kubectl --kubeconfig=/etc/kubernetes/admin.conf apply --filename=$here/page.yaml > /dev/null
