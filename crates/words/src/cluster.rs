//! Words about the cluster.

pub const TITLE: &str = "Cluster";
pub const NAME: &str = "Name";
pub const STATE: &str = "State";
pub const KUBERNETES: &str = "Kubernetes";
pub const ETCD: &str = "Its store";
pub const NODE: &str = "Node";
pub const PODS: &str = "Pods";
pub const WAITS: &str = "Waits for";
pub const WHY: &str = "Why";
pub const NONE: [&str; 3] = [
    "This host has no cluster.",
    "",
    "One is made of a definition on the installation medium, or with: edge-agent cluster create",
];
pub const TROUBLED: &str = "These do not run:";
pub fn since(what: &str, time: &str) -> String {
    format!("{what}, since {time}")
}
pub fn etcd(version: &str) -> String {
    format!("etcd {version}")
}
pub fn restarts(count: u64) -> String {
    match count {
        0 => String::new(),
        1 => ", restarted once".into(),
        times => format!(", restarted {times} times"),
    }
}
