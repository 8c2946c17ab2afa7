//! Units that an image starts, and the sockets that they listen on.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::tree::{Content, Tree};

const LIMIT: u64 = 1 << 20;
pub(crate) const OWN: &str = "etc/systemd/system";
const VENDOR: &str = "usr/lib/systemd/system";
const SSHD: &str = "etc/ssh/sshd_config";

/// A unit that another one pulls in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Enabled {
    pub(crate) unit: String,
    pub(crate) by: String,
    /// Path of the link that says so.
    pub(crate) link: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Listener {
    /// The socket unit, or `sshd`.
    pub(crate) by: String,
    /// The key and the address, as they are written.
    pub(crate) listens: String,
    /// Whether another machine could reach it.
    pub(crate) network: bool,
}

/// Units that links enable, without those that are masked.
pub(crate) fn enabled(tree: &Tree) -> Vec<Enabled> {
    let mut found = BTreeMap::new();
    for folder in [VENDOR, OWN] {
        for (path, _) in tree.below(folder) {
            let inner = path.trim_start_matches(folder).trim_start_matches('/');
            let Some((by, unit)) = inner.split_once('/') else { continue };
            let by = by.strip_suffix(".wants").or_else(|| by.strip_suffix(".requires"));
            // Targets of a systemd that runs in an initrd: ours has another init.
            let by = by.filter(|by| !by.starts_with("initrd"));
            if let Some(by) = by.filter(|_| !is_masked(tree, unit)) {
                let key = (unit.to_owned(), by.to_owned());
                found.insert(key, Enabled { unit: unit.into(), by: by.into(), link: path.into() });
            }
        }
    }
    found.into_values().filter(|enabled| !leads_nowhere(tree, &enabled.link)).collect()
}

/// A link to `/dev/null` takes a unit away.
fn leads_nowhere(tree: &Tree, path: &str) -> bool {
    matches!(tree.get(path).map(|node| &node.content), Some(Content::Symlink(target)) if target.as_os_str() == "/dev/null")
}

pub(crate) fn is_masked(tree: &Tree, unit: &str) -> bool {
    leads_nowhere(tree, &format!("{OWN}/{unit}"))
}

pub(crate) fn masked(tree: &Tree) -> Vec<String> {
    let own = tree.below(OWN).filter(|(path, _)| leads_nowhere(tree, path));
    own.filter_map(|(path, _)| path.strip_prefix(OWN))
        .map(|path| path.trim_start_matches('/').to_owned())
        .collect()
}

/// `getty@.service` of `getty@tty1.service`.
fn template(unit: &str) -> Option<String> {
    let (name, rest) = unit.split_once('@')?;
    Some(format!("{name}@.{}", rest.rsplit_once('.')?.1))
}

/// The file that describes a unit.
pub(crate) fn unit_file(tree: &Tree, unit: &str) -> Option<String> {
    let names = [Some(unit.to_owned()), template(unit)];
    let paths =
        names.into_iter().flatten().flat_map(|name| [OWN, VENDOR].map(|folder| format!("{folder}/{name}")));
    paths
        .filter_map(|path| tree.followed(&path))
        .find(|path| tree.get(path).is_some_and(crate::tree::Node::is_file))
}

/// The lines of a unit and of what is dropped in beside it.
fn lines(tree: &Tree, unit: &str) -> Vec<String> {
    let mut texts: Vec<String> =
        unit_file(tree, unit).and_then(|path| tree.text(&path, LIMIT)).into_iter().collect();
    let mut drop_ins = BTreeMap::new();
    for folder in [VENDOR, OWN] {
        for (path, _) in tree.below(&format!("{folder}/{unit}.d")).filter(|(path, _)| path.ends_with(".conf"))
        {
            drop_ins.insert(path.rsplit('/').next().unwrap_or_default().to_owned(), path.to_owned());
        }
    }
    texts.extend(drop_ins.values().filter_map(|path| tree.text(path, LIMIT)));
    texts.iter().flat_map(|text| text.lines()).map(|line| line.trim().to_owned()).collect()
}

/// What the enabled socket units and the SSH server listen on.
pub(crate) fn listeners(tree: &Tree) -> Vec<Listener> {
    let enabled = enabled(tree);
    let units: BTreeSet<&str> = enabled.iter().map(|enabled| enabled.unit.as_str()).collect();
    let mut found = Vec::new();
    for unit in units.iter().filter(|unit| unit.ends_with(".socket")) {
        found.extend(socket(unit, &lines(tree, unit)));
    }
    if ["ssh.service", "sshd.service"].iter().any(|unit| units.contains(unit)) {
        let ports = ssh_settings(tree, "port");
        let ports = if ports.is_empty() { vec!["22".to_owned()] } else { ports };
        let listener = |port| Listener { by: "sshd".into(), listens: format!("Port {port}"), network: true };
        found.extend(ports.into_iter().map(listener));
    }
    found.sort();
    found
}

fn socket(unit: &str, lines: &[String]) -> Vec<Listener> {
    let mut found: Vec<Listener> = Vec::new();
    for line in lines {
        let Some((key, address)) = line.split_once('=') else { continue };
        let (key, address) = (key.trim(), address.trim());
        if !key.starts_with("Listen") {
            continue;
        }
        if address.is_empty() {
            // An empty value forgets the earlier ones.
            found.retain(|listener| !listener.listens.starts_with(&format!("{key}=")));
            continue;
        }
        let is_ip = matches!(key, "ListenStream" | "ListenDatagram" | "ListenSequentialPacket");
        let network = is_ip && !address.starts_with(['/', '@', '%']) && !address.starts_with("vsock:");
        found.push(Listener { by: unit.to_owned(), listens: format!("{key}={address}"), network });
    }
    found
}

/// Values of a setting of the SSH server, in lower case, in the order in which they count.
pub(crate) fn ssh_settings(tree: &Tree, key: &str) -> Vec<String> {
    let drop_ins = tree.below("etc/ssh/sshd_config.d").map(|(path, _)| path.to_owned());
    let files = drop_ins.filter(|path| path.ends_with(".conf")).chain([SSHD.to_owned()]);
    let texts = files.filter_map(|path| tree.text(&path, LIMIT));
    let mut found = Vec::new();
    for text in texts {
        // What stands behind `Match` counts for some connections only.
        let lines =
            text.lines().map(str::trim).take_while(|line| !line.to_ascii_lowercase().starts_with("match "));
        for line in lines {
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            if words.next().is_some_and(|word| word.eq_ignore_ascii_case(key)) {
                found.extend(words.next().map(str::to_ascii_lowercase));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.put_file("usr/lib/systemd/system/ssh.socket", 0o644, "[Socket]\nListenStream=22\n");
        tree.put_file(
            "usr/lib/systemd/system/local.socket",
            0o644,
            "[Socket]\nListenStream=/run/x\nListenDatagram=vsock::5\n",
        );
        tree.put_file("usr/lib/systemd/system/getty@.service", 0o644, "");
        tree.put_symlink(
            "etc/systemd/system/sockets.target.wants/ssh.socket",
            "/usr/lib/systemd/system/ssh.socket",
        );
        tree.put_symlink("usr/lib/systemd/system/sockets.target.wants/local.socket", "../local.socket");
        tree.put_symlink("usr/lib/systemd/system/sockets.target.wants/off.socket", "../off.socket");
        tree.put_symlink("etc/systemd/system/off.socket", "/dev/null");
        tree
    }

    #[test]
    fn what_is_masked_is_not_enabled() {
        let units: Vec<String> = enabled(&tree()).into_iter().map(|enabled| enabled.unit).collect();
        assert_eq!(units, ["local.socket", "ssh.socket"]);
        assert_eq!(masked(&tree()), ["off.socket"]);
        assert!(unit_file(&tree(), "getty@tty1.service").is_some());
        assert!(unit_file(&tree(), "none.service").is_none());
    }

    #[test]
    fn drop_ins_change_what_a_socket_listens_on() {
        let mut tree = tree();
        tree.put_file(
            "etc/systemd/system/ssh.socket.d/port.conf",
            0o644,
            "[Socket]\nListenStream=\nListenStream=10.0.0.1:2222\n",
        );
        let found = listeners(&tree);
        let network: Vec<&str> = found
            .iter()
            .filter(|listener| listener.network)
            .map(|listener| listener.listens.as_str())
            .collect();
        assert_eq!(network, ["ListenStream=10.0.0.1:2222"]);
        assert_eq!(found.len(), 3);
        tree.put_symlink(
            "etc/systemd/system/multi-user.target.wants/ssh.service",
            "/usr/lib/systemd/system/ssh.service",
        );
        tree.put_file(SSHD, 0o644, "Port 2022\nMatch User x\nPort 9\n");
        assert!(listeners(&tree).iter().any(|listener| listener.listens == "Port 2022"));
    }

    proptest! {
        #[test]
        fn no_text_panics(unit in "[ -~\n]{0,200}", ssh in "[ -~\n]{0,200}") {
            let mut tree = tree();
            tree.put_file("usr/lib/systemd/system/ssh.socket", 0o644, unit);
            tree.put_file(SSHD, 0o644, ssh);
            let _ = (listeners(&tree), ssh_settings(&tree, "port"));
        }
    }
}
