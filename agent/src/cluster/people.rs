//! What people get of the cluster: access to it, for a day and under their own name.

use std::path::Path;
use std::time::Duration;

use edge_host::child::Child;
use edge_host::network;
use edge_model::api::cluster::Kubeconfig;
use edge_model::{Error, Result, paths};

const PATIENCE: Duration = Duration::from_secs(120);
/// Nobody who finds it later gets in with it.
const LIFE: &str = "24h";
/// The group that kubeadm binds to all rights.
const ADMINISTRATORS: &str = "kubeadm:cluster-admins";
/// A name that is in the API's certificate, whatever address it is reached at.
const NAME_OF_API: &str = "kubernetes";

/// A kubeconfig for somebody who may do everything in the cluster.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when there is no cluster with keys yet.
pub(crate) fn kubeconfig(who: &str) -> Result<Kubeconfig> {
    let configuration = format!("{}/kubeadm.yaml", paths::CLUSTER_RUN);
    if !Path::new(&configuration).exists() || !Path::new("/etc/kubernetes/pki/ca.key").exists() {
        return Err(Error::rejected("this host has no cluster that could be reached yet")
            .help("edge-agent cluster status says how far it is"));
    }
    let name: String = who
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || "-_.".contains(*character))
        .collect();
    let output = Child::new("kubeadm")
        .args(["kubeconfig", "user", "--config", &configuration])
        .args(["--client-name", &format!("edge:{name}"), "--org", ADMINISTRATORS, "--validity-period", LIFE])
        .deadline(PATIENCE)
        .run()?;
    let text = String::from_utf8(output).map_err(|_| Error::internal("kubeadm wrote no text"))?;
    let address = network::addresses().into_iter().map(|address| address.address).next();
    Ok(Kubeconfig { kubeconfig: reachable(&text, address.as_deref()) })
}

/// The cluster's own address is on no wire: people come over the LAN, to a certificate that does not know it.
fn reachable(kubeconfig: &str, address: Option<&str>) -> String {
    let Some(address) = address else { return kubeconfig.to_owned() };
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let line = |line: &str| match line.trim_start().strip_prefix("server: https://") {
        Some(rest) => {
            let port = rest.rsplit_once(':').map_or("6443", |(_, port)| port);
            let indent = &line[..line.len() - line.trim_start().len()];
            format!("{indent}server: https://{host}:{port}\n{indent}tls-server-name: {NAME_OF_API}\n")
        }
        None => format!("{line}\n"),
    };
    kubeconfig.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_led_to_an_address_that_they_can_reach() {
        let text = "clusters:\n- cluster:\n    certificate-authority-data: eA==\n    server: https://198.19.0.1:6443\n  name: shop\n";
        let seen = reachable(text, Some("10.0.2.15"));
        assert!(seen.contains(
            "\n    server: https://10.0.2.15:6443\n    tls-server-name: kubernetes\n  name: shop\n"
        ));
        assert!(reachable(text, Some("fd00::5")).contains("https://[fd00::5]:6443"));
        assert_eq!(reachable(text, None), text);
    }
}
