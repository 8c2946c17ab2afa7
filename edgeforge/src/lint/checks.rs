//! The checks themselves: each looks at a tree and says what is wrong with it.

use edge_model::paths;

use super::Facts;
use crate::inspect::kernel::{Place, has_module, in_initrd};
use crate::inspect::{Password, accounts, privileged, units};
use crate::packages;
use crate::tree::{Content, Tree, path_matches};

const SMALL: u64 = 1 << 20;

/// Programs that Debian gives more rights than their callers have, for what they are there for.
const KNOWN_PRIVILEGED: [&str; 22] = [
    "usr/bin/chage",
    "usr/bin/chfn",
    "usr/bin/chsh",
    "usr/bin/crontab",
    "usr/bin/expiry",
    "usr/bin/fusermount3",
    "usr/bin/gpasswd",
    "usr/bin/mount",
    "usr/bin/newgidmap",
    "usr/bin/newgrp",
    "usr/bin/newuidmap",
    "usr/bin/passwd",
    "usr/bin/ping",
    "usr/bin/pkexec",
    "usr/bin/ssh-agent",
    "usr/bin/su",
    "usr/bin/sudo",
    "usr/bin/umount",
    "usr/lib/dbus-1.0/dbus-daemon-launch-helper",
    "usr/lib/openssh/ssh-keysign",
    "usr/lib/polkit-1/polkit-agent-helper-1",
    "usr/sbin/unix_chkpwd",
];

const CACHES: [&str; 9] = [
    "var/cache/**",
    "var/lib/apt/lists/**",
    "var/log/**",
    "var/tmp/**",
    "tmp/**",
    "root/.cache/**",
    "var/lib/dpkg/*-old",
    "etc/*.dpkg-old",
    "etc/*.dpkg-dist",
];

/// Drivers without which usual machines and virtual machines do not find their disk.
const BOOT_DRIVERS: [&str; 5] = ["virtio_blk", "nvme", "ahci", "sd_mod", "usb_storage"];
const MOUNT_POINTS: [&str; 7] = ["dev", "proc", "sys", "run", "tmp", "oem", "usr/local"];

pub(super) fn default_password(tree: &Tree, _: &Facts) -> Vec<String> {
    let accounts = accounts(tree).into_iter();
    let what = accounts.filter_map(|account| match account.password {
        Password::None => None,
        Password::Empty => Some(format!("{} has an empty password", account.name)),
        Password::Set => Some(format!("{} has a password", account.name)),
    });
    what.chain(tree.below("system/oem").flat_map(|(path, _)| passwords_of_stages(tree, path))).collect()
}

/// Passwords that the stages of the image would set.
fn passwords_of_stages(tree: &Tree, path: &str) -> Vec<String> {
    let text = tree.text(path, SMALL).unwrap_or_default();
    let Ok(document) = edge_model::document::tree::read(path, &text) else { return Vec::new() };
    let is_set = |node: &edge_model::document::Node| {
        node.scalar().is_some_and(|value| !value.is_empty() && !value.starts_with(['!', '*']))
    };
    // Of the account that cloud-init makes by itself; further down it may be that of a registry.
    let mut count = usize::from(document.find("password").is_some_and(is_set));
    let mut open = vec![&document];
    while let Some(node) = open.pop() {
        let entries = node.entries().iter();
        let secrets = entries.filter(|entry| matches!(entry.key.as_str(), "passwd" | "plain_text_passwd"));
        count += secrets.filter(|entry| is_set(&entry.value)).count();
        open.extend(node.items().iter().chain(node.entries().iter().map(|entry| &entry.value)));
    }
    vec![format!("/{path} sets a password"); count]
}

pub(super) fn foreign_owner(tree: &Tree, _: &Facts) -> Vec<String> {
    const ROOTS: [&str; 14] = [
        "etc",
        "etc/group",
        "etc/passwd",
        "etc/shadow",
        "etc/sudoers",
        "etc/sudoers.d",
        "etc/systemd/system",
        "root",
        "usr",
        "usr/bin",
        "usr/bin/sudo",
        "usr/lib",
        "usr/lib/systemd/system",
        "usr/sbin",
    ];
    let owner = |path: &str| tree.get(path).map_or(0, |node| node.uid);
    let found = ROOTS.iter().map(|path| (owner(path), path)).filter(|(uid, _)| *uid != 0);
    found.map(|(uid, path)| format!("/{path} belongs to the account with the number {uid}")).collect()
}

pub(super) fn ssh_host_key(tree: &Tree, _: &Facts) -> Vec<String> {
    let keys = tree.below("etc/ssh").filter(|(path, _)| path.starts_with("etc/ssh/ssh_host_"));
    keys.map(|(path, _)| format!("/{path}")).collect()
}

pub(super) fn private_key(tree: &Tree, _: &Facts) -> Vec<String> {
    const FOLDERS: [&str; 6] = ["etc", "home", "opt", "root", "srv", "usr/local"];
    let own = tree.below("usr/lib/edge").chain(FOLDERS.iter().flat_map(|folder| tree.below(folder)));
    let files =
        own.filter(|(_, node)| node.is_file()).filter(|(path, _)| !path.starts_with("etc/ssh/ssh_host_"));
    let is_key = |path: &str| {
        let text = tree.text(path, SMALL).unwrap_or_default();
        text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY-----"))
    };
    files.filter(|(path, _)| is_key(path)).map(|(path, _)| format!("/{path}")).collect()
}

pub(super) fn world_writable(tree: &Tree, _: &Facts) -> Vec<String> {
    const STICKY: u32 = 0o1000;
    let open = tree.iter().filter(|(_, node)| match node.content {
        Content::Symlink(_) => false,
        Content::Directory => node.mode & 0o002 != 0 && node.mode & STICKY == 0,
        _ => node.mode & 0o002 != 0,
    });
    open.map(|(path, node)| format!("/{path} has mode {:04o}", node.mode & 0o7777)).collect()
}

pub(super) fn privileged_file(tree: &Tree, _: &Facts) -> Vec<String> {
    let unknown = privileged(tree).into_iter().filter(|file| !KNOWN_PRIVILEGED.contains(&file.path.as_str()));
    unknown
        .map(|file| {
            format!("/{} has mode {} {}", file.path, file.mode, file.capabilities.join(","))
                .trim_end()
                .to_owned()
        })
        .collect()
}

pub(super) fn stale_cache(tree: &Tree, _: &Facts) -> Vec<String> {
    let files = tree.iter().filter(|(_, node)| node.is_file());
    let stale = files.filter(|(path, _)| {
        CACHES.iter().any(|pattern| path_matches(pattern, path)) || path.ends_with(".pyc")
    });
    stale.map(|(path, _)| format!("/{path}")).collect()
}

pub(super) fn machine_id(tree: &Tree, _: &Facts) -> Vec<String> {
    let id = tree.text("etc/machine-id", SMALL).unwrap_or_default();
    let mut found = Vec::new();
    if !matches!(id.trim(), "" | "uninitialized") {
        found.push("/etc/machine-id names one machine".to_owned());
    }
    if tree.get("var/lib/dbus/machine-id").is_some_and(crate::tree::Node::is_file) {
        found.push("/var/lib/dbus/machine-id is a file of its own".to_owned());
    }
    found
}

pub(super) fn random_seed(tree: &Tree, _: &Facts) -> Vec<String> {
    const SEEDS: [&str; 4] = [
        "var/lib/systemd/random-seed",
        "var/lib/systemd/credential.secret",
        "var/lib/urandom/random-seed",
        "boot/loader/random-seed",
    ];
    SEEDS.iter().filter(|path| tree.contains(path)).map(|path| format!("/{path}")).collect()
}

pub(super) fn clock_floor(tree: &Tree, facts: &Facts) -> Vec<String> {
    let floor = tree.text(&paths::CLOCK_EPOCH[1..], SMALL);
    let what = match (floor, facts.created) {
        (None, _) => format!("{} is missing", paths::CLOCK_EPOCH),
        (Some(floor), Some(created)) if floor.trim().parse() != Ok(created) => {
            format!("{} says {:?}, and the image is from {created}", paths::CLOCK_EPOCH, floor.trim())
        }
        _ => return Vec::new(),
    };
    vec![what]
}

pub(super) fn boot_drivers(tree: &Tree, facts: &Facts) -> Vec<String> {
    let Some(list) = &facts.initrd else { return Vec::new() };
    let missing = BOOT_DRIVERS
        .iter()
        .filter(|name| in_initrd(list, name).is_none() && has_module(tree, name) != Place::BuiltIn);
    missing.map(|name| format!("{name} is neither in the initrd nor in the kernel")).collect()
}

pub(super) fn size_budget(_: &Tree, facts: &Facts) -> Vec<String> {
    let budgets = facts.budgets().into_iter().filter(|(_, size, most)| size > most);
    budgets
        .map(|(part, size, most)| format!("{part} has {size} bytes, {} more than {most}", size - most))
        .collect()
}

pub(super) fn identity_files(tree: &Tree, _: &Facts) -> Vec<String> {
    let lacks = |path: &str, keys: &[&str]| -> Vec<String> {
        let Some(text) = tree.followed(path).and_then(|path| tree.text(&path, SMALL)) else {
            return vec![format!("/{path} is missing")];
        };
        let has = |key: &str| text.lines().any(|line| line.starts_with(&format!("{key}=")));
        keys.iter().filter(|key| !has(key)).map(|key| format!("/{path} has no {key}")).collect()
    };
    let mut found = lacks("etc/os-release", &["ID", "IMAGE_ID", "IMAGE_VERSION"]);
    found.extend(lacks(&paths::KAIROS_RELEASE[1..], &["KAIROS_ID", "KAIROS_VERSION"]));
    found.extend(lacks(&paths::IMAGE_DESCRIPTION[1..], &[]));
    found
}

pub(super) fn mount_points(tree: &Tree, _: &Facts) -> Vec<String> {
    let is_folder = |path: &str| {
        tree.followed(path).and_then(|path| tree.get(&path)).is_some_and(crate::tree::Node::is_directory)
    };
    MOUNT_POINTS.iter().filter(|path| !is_folder(path)).map(|path| format!("/{path} is missing")).collect()
}

pub(super) fn dangling_unit(tree: &Tree, _: &Facts) -> Vec<String> {
    let links = units::enabled(tree).into_iter().filter(|enabled| enabled.link.starts_with(units::OWN));
    let dangling = links.filter(|enabled| units::unit_file(tree, &enabled.unit).is_none());
    dangling.map(|enabled| format!("{} is wanted by {}", enabled.unit, enabled.by)).collect()
}

pub(super) fn missing_program(tree: &Tree, _: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    let mut units: Vec<String> = units::enabled(tree).into_iter().map(|enabled| enabled.unit).collect();
    units.dedup();
    for unit in units {
        let text = units::unit_file(tree, &unit).and_then(|path| tree.text(&path, SMALL)).unwrap_or_default();
        // A unit with a condition may be meant for other images.
        if text.lines().any(|line| {
            line.starts_with("ConditionPathExists=") || line.starts_with("ConditionFileIsExecutable=")
        }) {
            continue;
        }
        for program in text.lines().filter_map(|line| line.strip_prefix("ExecStart=")).filter_map(program) {
            if tree.followed(program).is_none() {
                found.push(format!("{unit} starts {program}"));
            }
        }
    }
    found
}

/// The absolute path in a line of a unit; `None` when the unit does not mind that it is missing.
fn program(line: &str) -> Option<&str> {
    let plain = line.trim().trim_start_matches(['@', ':', '+', '!', '|']);
    let word = plain.split_whitespace().next()?;
    (word.starts_with('/') && !word.contains(['%', '$'])).then_some(word)
}

pub(super) fn dangling_link(tree: &Tree, _: &Facts) -> Vec<String> {
    const FOLDERS: [&str; 3] = ["usr/bin", "usr/sbin", "usr/lib/systemd/system"];
    let links = FOLDERS.iter().flat_map(|folder| tree.below(folder)).filter_map(|(path, node)| {
        let Content::Symlink(target) = &node.content else { return None };
        let target = target.to_string_lossy();
        // Memory and devices are there on a running host only.
        let elsewhere = ["/dev/", "/proc/", "/run/", "/sys/"].iter().any(|folder| target.starts_with(folder));
        (!elsewhere && tree.followed(path).is_none()).then(|| format!("/{path} leads to {target}"))
    });
    links.collect()
}

pub(super) fn ssh_login(tree: &Tree, _: &Facts) -> Vec<String> {
    let first = |key: &str| units::ssh_settings(tree, key).into_iter().next();
    ["PermitRootLogin", "PermitEmptyPasswords"]
        .into_iter()
        .filter(|key| first(key).as_deref() == Some("yes"))
        .map(|key| format!("{key} yes"))
        .collect()
}

pub(super) fn broken_package(tree: &Tree, _: &Facts) -> Vec<String> {
    let Some(database) = packages::database(tree).ok().flatten() else { return Vec::new() };
    match database.packages(tree) {
        Err(error) => vec![format!("the package database cannot be read: {error}")],
        Ok(packages) => {
            let broken = packages.into_iter().filter(|package| !package.complete);
            broken.map(|package| format!("{} {}", package.name, package.version)).collect()
        }
    }
}

#[cfg(test)]
mod tests;
