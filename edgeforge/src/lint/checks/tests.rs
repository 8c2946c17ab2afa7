use edge_model::forge::SizeBudgets;
use edge_model::initrd::{Load, ModuleEntry};
use proptest::prelude::*;

use super::*;
use crate::inspect::Sizes;
use crate::lint::check_tree;
use crate::lint::table::CHECKS;

/// A tree that every check likes.
fn good() -> Tree {
    let mut tree = Tree::default();
    for folder in MOUNT_POINTS {
        let mode = if folder == "tmp" { 0o1777 } else { 0o755 };
        tree.put(folder, mode, Content::Directory);
    }
    tree.put_file("etc/machine-id", 0o444, "uninitialized\n");
    tree.put_file("usr/lib/clock-epoch", 0o644, "1700000000\n");
    tree.put_file("usr/lib/os-release", 0o644, "ID=debian\nIMAGE_ID=a\nIMAGE_VERSION=1\n");
    tree.put_symlink("etc/os-release", "../usr/lib/os-release");
    tree.put_file("etc/kairos-release", 0o644, "KAIROS_ID=kairos\nKAIROS_VERSION=v1\n");
    tree.put_file("usr/lib/edge/image.json", 0o644, "{}");
    tree.put_file("etc/passwd", 0o644, "root:x:0:0::/root:/bin/bash\n");
    tree.put_file("etc/shadow", 0o640, "root:*:1::::::\n");
    tree.put_file("var/lib/dpkg/status", 0o644, "Package: a\nStatus: install ok installed\nVersion: 1\n");
    tree.put_file("usr/bin/sudo", 0o4755, "x");
    tree.put_symlink("usr/bin/mtab", "/proc/mounts");
    tree.put_file("system/oem/09.yaml", 0o644, "configs: {registry: {auth: {password: theirs}}}\n");
    tree.put_file(
        "usr/lib/systemd/system/a.service",
        0o644,
        "[Service]\nExecStart=!/usr/bin/sudo x\nExecStart=-/none\n",
    );
    tree.put_symlink(
        "etc/systemd/system/multi-user.target.wants/a.service",
        "/usr/lib/systemd/system/a.service",
    );
    tree
}

fn facts() -> Facts {
    let entry =
        |name: &&str| ModuleEntry { file: format!("{name}.ko"), needs: Vec::new(), load: Load::Always };
    Facts {
        created: Some(1_700_000_000),
        initrd: Some(BOOT_DRIVERS.iter().map(entry).collect()),
        sizes: Sizes { root: 100, uki: Some(10), initrd: Some(5), iso: None },
        budgets: SizeBudgets { root: Some("100".into()), iso: Some("1".into()), ..SizeBudgets::default() },
        ignored: Vec::new(),
    }
}

#[test]
fn a_good_image_has_no_findings() {
    assert_eq!(check_tree(&good(), &facts()), []);
}

/// Each check finds what it is for, and nothing else does.
#[test]
fn every_check_finds_its_fault() {
    type Spoil = fn(&mut Tree, &mut Facts);
    let faults: [(&str, Spoil); 21] = [
        ("default-password", |tree, _| tree.put_file("etc/shadow", 0o640, "root:$y$x:1::::::\n")),
        ("default-password", |tree, _| {
            let stage = "stages: {boot: [{users: {a: {passwd: '!'}, kairos: {passwd: kairos}}}]}\n";
            tree.put_file("system/oem/10.yaml", 0o644, stage)
        }),
        ("default-password", |tree, _| tree.put_file("system/oem/11.yaml", 0o644, "password: known\n")),
        ("foreign-owner", |tree, _| tree.get_mut("etc/passwd").unwrap().uid = 1000),
        ("ssh-host-key", |tree, _| {
            tree.put_file("etc/ssh/ssh_host_rsa_key", 0o600, "-----BEGIN OPENSSH PRIVATE KEY-----\n")
        }),
        ("private-key", |tree, _| tree.put_file("etc/ssl/x.pem", 0o600, "-----BEGIN RSA PRIVATE KEY-----\n")),
        ("world-writable", |tree, _| tree.put_file("opt/x", 0o666, "")),
        ("privileged-file", |tree, _| tree.put_file("usr/bin/x", 0o2755, "")),
        ("stale-cache", |tree, _| tree.put_file("var/lib/apt/lists/x", 0o644, "")),
        ("machine-id", |tree, _| {
            tree.put_file("etc/machine-id", 0o444, "0123456789abcdef0123456789abcdef\n")
        }),
        ("random-seed", |tree, _| tree.put_file("var/lib/systemd/random-seed", 0o600, "x")),
        ("clock-floor", |_, facts| facts.created = Some(1)),
        ("boot-drivers", |_, facts| facts.initrd = Some(Vec::new())),
        ("size-budget", |_, facts| facts.budgets.uki = Some("9B".into())),
        ("identity-files", |tree, _| tree.put_file("etc/kairos-release", 0o644, "")),
        ("mount-points", |tree, _| tree.remove(|path| path == "oem")),
        ("dangling-unit", |tree, _| {
            tree.put_symlink("etc/systemd/system/x.target.wants/b.service", "/b.service")
        }),
        ("missing-program", |tree, _| {
            tree.put_file("usr/lib/systemd/system/a.service", 0o644, "ExecStart=/none\n")
        }),
        ("dangling-link", |tree, _| tree.put_symlink("usr/sbin/x", "y")),
        ("ssh-login", |tree, _| tree.put_file("etc/ssh/sshd_config", 0o644, "permitrootlogin yes\n")),
        ("broken-package", |tree, _| {
            tree.put_file(
                "var/lib/dpkg/status",
                0o644,
                "Package: a\nStatus: install ok unpacked\nVersion: 1\n",
            );
        }),
    ];
    for (id, spoil) in faults {
        let (mut tree, mut facts) = (good(), facts());
        spoil(&mut tree, &mut facts);
        let found: Vec<&str> = check_tree(&tree, &facts).iter().map(|finding| finding.id).collect();
        assert!(!found.is_empty() && found.iter().all(|found| *found == id), "{id}: {found:?}");
    }
    let mut found = faults.map(|(id, _)| id).to_vec();
    found.dedup();
    assert_eq!(found, CHECKS.iter().map(|check| check.id).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn no_tree_panics(files in proptest::collection::vec(("[a-z/.]{1,20}", "[ -~\n:=]{0,60}"), 0..8)) {
        let mut tree = good();
        for (path, text) in files {
            tree.put_file(path.trim_matches('/'), 0o777, text.clone());
            tree.put_file("usr/lib/systemd/system/a.service", 0o644, text);
        }
        let _ = check_tree(&tree, &facts());
    }
}
