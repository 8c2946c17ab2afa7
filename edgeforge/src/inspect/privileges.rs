//! Programs that give whoever starts them more than he has.

use serde::Serialize;

use crate::tree::Tree;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const CAPABILITY: &str = "security.capability";

/// Names of the bits, from the lowest: capabilities(7).
const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Privileged {
    pub(crate) path: String,
    /// Four octal digits.
    pub(crate) mode: String,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) setuid: bool,
    pub(crate) setgid: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) capabilities: Vec<String>,
}

/// All such files, by path. A folder with the group bit gives nobody anything.
pub(crate) fn privileged(tree: &Tree) -> Vec<Privileged> {
    let files = tree.iter().filter(|(_, node)| node.is_file());
    let found = files.filter_map(|(path, node)| {
        let capabilities = node.attribute(CAPABILITY).map(capabilities).unwrap_or_default();
        let (setuid, setgid) = (node.mode & SETUID != 0, node.mode & SETGID != 0);
        (setuid || setgid || !capabilities.is_empty()).then(|| Privileged {
            path: path.to_owned(),
            mode: format!("{:04o}", node.mode & 0o7777),
            uid: node.uid,
            gid: node.gid,
            setuid,
            setgid,
            capabilities,
        })
    });
    found.collect()
}

/// What a program may do, of the kernel's `vfs_cap_data` in its second and third form.
fn capabilities(value: &[u8]) -> Vec<String> {
    let word = |at: usize| {
        let bytes = value.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        u64::from(bytes.map_or(0, u32::from_le_bytes))
    };
    let bits = word(4) | word(12) << 32;
    let name =
        |bit: usize| CAPABILITIES.get(bit).map_or_else(|| format!("cap_{bit}"), |name| format!("cap_{name}"));
    (0..64).filter(|bit| bits >> bit & 1 == 1).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Content, Node};

    #[test]
    fn bits_and_capabilities_are_named() {
        let mut tree = Tree::default();
        tree.put_file("usr/bin/sudo", 0o4755, "x");
        tree.put("var/mail", 0o2775, Content::Directory);
        let ping = Node::new(0o755, (0, 0), 0, Content::Bytes(Vec::new()));
        let value = [&[1, 0, 0, 2][..], &(1_u32 << 13).to_le_bytes(), &[0; 4], &1_u32.to_le_bytes(), &[0; 4]]
            .concat();
        tree.insert(
            "usr/bin/ping".into(),
            ping.with_attributes(vec![("SCHILY.xattr.security.capability".into(), value)]),
        );
        let found = privileged(&tree);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].capabilities, ["cap_net_raw", "cap_mac_override"]);
        assert!(found[1].setuid && found[1].mode == "4755");
        assert!(capabilities(&[1]).is_empty());
    }
}
