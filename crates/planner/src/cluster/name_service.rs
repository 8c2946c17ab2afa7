//! CoreDNS: its objects. Its Corefile follows the host's name servers; upstream's does not start where there are none.

use serde_json::{Value, json};

use super::{ObjectSet, Placement};

const NAME: &str = "coredns";
const NAMESPACE: &str = "kube-system";

pub(super) fn objects(placement: &Placement) -> ObjectSet {
    let objects = vec![
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": NAME, "namespace": NAMESPACE },
        }),
        role(),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "system:coredns" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns" },
            "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE }],
        }),
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": NAME, "namespace": NAMESPACE },
            "data": { "Corefile": corefile(placement) },
        }),
        service(placement),
        deployment(placement),
    ];
    ObjectSet { name: "name-service".into(), objects }
}

/// <https://coredns.io/manual/toc/#configuration>
pub(super) fn corefile(placement: &Placement) -> String {
    let forward = match &placement.name_servers[..] {
        [] => String::new(),
        servers => {
            let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
            format!("    forward . {} {{\n        max_concurrent 1000\n    }}\n", servers.join(" "))
        }
    };
    let domain = &placement.dns_domain;
    format!(
        ".:53 {{
    errors
    health {{
        lameduck 5s
    }}
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }}
    prometheus :9153
{forward}    cache 30
    loop
    reload
    loadbalance
}}
"
    )
}

fn role() -> Value {
    let look = |group: &str, resources: &[&str]| json!({ "apiGroups": [group], "resources": resources, "verbs": ["list", "watch"] });
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": { "name": "system:coredns" },
        "rules": [
            look("", &["services", "pods", "namespaces"]),
            look("discovery.k8s.io", &["endpointslices"]),
        ],
    })
}

fn service(placement: &Placement) -> Value {
    let port = |name: &str, protocol: &str, port: u16| json!({ "name": name, "port": port, "protocol": protocol, "targetPort": port });
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": NAMESPACE,
            "labels": { "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS" },
        },
        "spec": {
            "clusterIP": placement.name_service,
            "selector": { "k8s-app": "kube-dns" },
            "ports": [port("dns", "UDP", 53), port("dns-tcp", "TCP", 53), port("metrics", "TCP", 9153)],
        },
    })
}

fn deployment(placement: &Placement) -> Value {
    let probe = |path: &str, port: u16| json!({ "path": path, "port": port, "scheme": "HTTP" });
    let port = |name: &str, port: u16, protocol: &str| json!({ "name": name, "containerPort": port, "protocol": protocol });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": NAME, "namespace": NAMESPACE, "labels": { "k8s-app": "kube-dns" } },
        "spec": {
            // One node: a second one would fall with the first.
            "replicas": 1,
            "selector": { "matchLabels": { "k8s-app": "kube-dns" } },
            "template": {
                "metadata": { "labels": { "k8s-app": "kube-dns" } },
                "spec": {
                    "priorityClassName": "system-cluster-critical",
                    "serviceAccountName": NAME,
                    "nodeSelector": { "kubernetes.io/os": "linux" },
                    "tolerations": [
                        { "key": "CriticalAddonsOnly", "operator": "Exists" },
                        { "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" },
                    ],
                    "dnsPolicy": "Default",
                    "containers": [{
                        "name": NAME,
                        "image": placement.images.core_dns,
                        "imagePullPolicy": "IfNotPresent",
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "resources": {
                            "limits": { "memory": "170Mi" },
                            "requests": { "cpu": "100m", "memory": "70Mi" },
                        },
                        "ports": [port("dns", 53, "UDP"), port("dns-tcp", 53, "TCP"), port("metrics", 9153, "TCP")],
                        "livenessProbe": {
                            "httpGet": probe("/health", 8080),
                            "initialDelaySeconds": 60,
                            "timeoutSeconds": 5,
                            "failureThreshold": 5,
                        },
                        "readinessProbe": { "httpGet": probe("/ready", 8181), "periodSeconds": 2 },
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "capabilities": { "add": ["NET_BIND_SERVICE"], "drop": ["ALL"] },
                            "readOnlyRootFilesystem": true,
                        },
                        "volumeMounts": [{ "name": "config", "mountPath": "/etc/coredns", "readOnly": true }],
                    }],
                    "volumes": [{
                        "name": "config",
                        "configMap": { "name": NAME, "items": [{ "key": "Corefile", "path": "Corefile" }] },
                    }],
                },
            },
        },
    })
}
