//! What `forge.yaml` adds to a root by itself: files, accounts, kernel modules, certificates, hardening.

use std::collections::BTreeSet;
use std::path::Path;

use edge_host::files;
use edge_model::forge::{FileEntry, Forge, ImageUser};
use edge_model::{Context, Error, Result};

use crate::kernel::Kernel;
use crate::recipe;
use crate::tree::{Content, Tree};

const MODULES_LOAD: &str = "usr/lib/modules-load.d/50-edgeforge.conf";
/// What programs with OpenSSL, Go and Rust read: in Debian, Fedora and openSUSE.
const TRUST_STORES: [&str; 3] =
    ["etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/ca-bundle.pem"];
const CERTIFICATE_LIMIT: u64 = 1 << 20;
const FIRST_USER: u32 = 1000;
const FIRST_SYSTEM_USER: u32 = 900;

/// Files whose mode the CIS benchmark names (sections 2.4 and 7.1).
const CIS_MODES: [(&str, u32); 7] = [
    ("etc/crontab", 0o600),
    ("etc/ssh/sshd_config", 0o600),
    ("etc/shadow", 0o640),
    ("etc/gshadow", 0o640),
    ("etc/passwd", 0o644),
    ("etc/group", 0o644),
    ("etc/sudoers", 0o440),
];

/// Adds everything.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] for a group, owner, module or source that is not there.
pub(crate) fn add(tree: &mut Tree, forge: &Forge, project: &Path, kernel: &Kernel) -> Result<()> {
    add_certificates(tree, project)?;
    for user in &forge.users {
        add_user(tree, user).with_context(|| format!("forge.yaml: users: {}", user.name))?;
    }
    for file in &forge.files {
        add_file(tree, file, project).with_context(|| format!("forge.yaml: files: {}", file.path))?;
    }
    if let Some(unknown) = forge.modules.iter().find(|module| !kernel.has_module(module)) {
        return Err(Error::invalid(format!("the kernel {} has no module {unknown}", kernel.release))
            .help("correct `modules` in forge.yaml, or choose another `kernel`"));
    }
    if !forge.modules.is_empty() {
        tree.put_file(MODULES_LOAD, 0o644, forge.modules.join("\n") + "\n");
    }
    if forge.cis_hardening {
        restrict_modes(tree);
    }
    Ok(())
}

/// Settings of the CIS benchmark, which the project's own files may replace.
pub(crate) fn harden(tree: &mut Tree) {
    for (path, content) in recipe::cis_files() {
        let mode = if path.starts_with("etc/sudoers.d/") { 0o440 } else { 0o644 };
        tree.put_file(&path, mode, content);
    }
}

fn restrict_modes(tree: &mut Tree) {
    for (path, mode) in CIS_MODES {
        if let Some(node) = tree.get_mut(path) {
            node.mode = mode;
        }
    }
}

/// The project's folder `certs/`.
pub(crate) fn certificates(project: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let folder = project.join("certs");
    let mut found = Vec::new();
    let context = || format!("cannot list {}", folder.display());
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        entries => entries.with_context(context)?,
    };
    for entry in entries {
        let path = entry.with_context(context)?.path();
        let is_certificate = path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|it| matches!(it, "pem" | "crt"));
        if !is_certificate {
            continue;
        }
        let bytes = files::read(&path, CERTIFICATE_LIMIT)?;
        let text = String::from_utf8_lossy(&bytes);
        if text.contains("PRIVATE KEY") {
            return Err(Error::invalid(format!("{} holds a private key", path.display()))
                .help("certificates go into every image; keep the key elsewhere"));
        }
        edge_model::document::format::certificate_ends(&text)
            .map_err(|why| Error::invalid(format!("{}: {why}", path.display())))?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("certificate").to_owned();
        found.push((name, bytes));
    }
    found.sort();
    Ok(found)
}

fn add_certificates(tree: &mut Tree, project: &Path) -> Result<()> {
    let certificates = certificates(project)?;
    if certificates.is_empty() {
        return Ok(());
    }
    let stores: BTreeSet<String> = TRUST_STORES.iter().filter_map(|path| tree.followed(path)).collect();
    let mut added = Vec::new();
    for (name, bytes) in certificates {
        added.extend_from_slice(&bytes);
        if !added.ends_with(b"\n") {
            added.push(b'\n');
        }
        let path = format!("usr/share/ca-certificates/edgeforge/{name}");
        tree.put_through_links(&path, 0o644, Content::Bytes(bytes))?;
    }
    for store in &stores {
        let mut bundle = tree.read_file(store)?;
        if !bundle.is_empty() && !bundle.ends_with(b"\n") {
            bundle.push(b'\n');
        }
        bundle.extend(&added);
        tree.replace(store, bundle);
    }
    if stores.is_empty() {
        tree.put_through_links(TRUST_STORES[0], 0o644, Content::Bytes(added))?;
    }
    Ok(())
}

fn text(tree: &Tree, path: &str) -> Result<String> {
    String::from_utf8(tree.read_file(path)?).map_err(|_| Error::invalid(format!("/{path} is not text")))
}

/// The number of an account or group, from `/etc/passwd` or `/etc/group`.
fn id_of(table: &str, name: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

fn add_user(tree: &mut Tree, user: &ImageUser) -> Result<()> {
    let (passwd, group) = (text(tree, "etc/passwd")?, text(tree, "etc/group")?);
    if id_of(&passwd, &user.name).is_some() {
        return Err(Error::invalid("the image has this account already"));
    }
    let first = if user.system { FIRST_SYSTEM_USER } else { FIRST_USER };
    let taken = |id: u32| [&passwd, &group].iter().any(|table| has_id(table, id));
    let id = user.uid.or_else(|| (first..60_000).find(|id| !taken(*id)));
    let id = id.filter(|id| !taken(*id)).ok_or_else(|| Error::invalid("its number is taken"))?;
    let home = user.home.clone().unwrap_or_else(|| format!("/home/{}", user.name));
    let shell = user.shell.as_deref().unwrap_or(if user.system { "/usr/sbin/nologin" } else { "/bin/bash" });
    let mut groups: Vec<String> = Vec::new();
    for line in group.lines() {
        let name = line.split(':').next().unwrap_or_default();
        if user.groups.iter().any(|wanted| wanted == name) {
            let comma = if line.ends_with(':') { "" } else { "," };
            groups.push(format!("{line}{comma}{}\n", user.name));
        } else {
            groups.push(format!("{line}\n"));
        }
    }
    if let Some(unknown) = user.groups.iter().find(|wanted| id_of(&group, wanted).is_none()) {
        return Err(Error::invalid(format!("the image has no group {unknown}")));
    }
    let name = &user.name;
    tree.replace("etc/passwd", format!("{passwd}{name}:x:{id}:{id}::{home}:{shell}\n").into_bytes());
    tree.replace("etc/group", format!("{}{name}:x:{id}:\n", groups.concat()).into_bytes());
    let shadow = text(tree, "etc/shadow")?;
    tree.replace("etc/shadow", format!("{shadow}{name}:!*:::::::\n").into_bytes());
    // The home of a system account is often a folder of somebody else, or of nobody.
    let is_there = tree.followed(&home).is_some() || home == "/" || home == "/nonexistent";
    if !user.system || !user.ssh_keys.is_empty() || user.home.is_some() && !is_there {
        if !user.system || !is_there {
            own_folder(tree, &home, 0o700, id)?;
        }
        if !user.ssh_keys.is_empty() {
            own_folder(tree, &format!("{home}/.ssh"), 0o700, id)?;
            let keys = Content::Bytes((user.ssh_keys.join("\n") + "\n").into_bytes());
            let path = put(tree, &format!("{home}/.ssh/authorized_keys"), 0o600, keys)?;
            own(tree, &path, id, id);
        }
    }
    Ok(())
}

fn put(tree: &mut Tree, path: &str, mode: u32, content: Content) -> Result<String> {
    tree.put_through_links(path.trim_start_matches('/'), mode, content)
}

fn has_id(table: &str, id: u32) -> bool {
    table.lines().any(|line| line.split(':').nth(2).is_some_and(|field| field == id.to_string()))
}

fn own_folder(tree: &mut Tree, path: &str, mode: u32, id: u32) -> Result<()> {
    let path = put(tree, path, mode, Content::Directory)?;
    own(tree, &path, id, id);
    Ok(())
}

fn own(tree: &mut Tree, path: &str, uid: u32, gid: u32) {
    if let Some(node) = tree.get_mut(path) {
        (node.uid, node.gid) = (uid.into(), gid.into());
    }
}

fn add_file(tree: &mut Tree, file: &FileEntry, project: &Path) -> Result<()> {
    let path = file.path.trim_start_matches('/');
    let mode = match &file.permissions {
        None => 0o644,
        Some(text) => edge_model::document::format::parse_file_mode(text)
            .ok_or_else(|| Error::invalid(format!("{text:?} is not a file mode, like 0644")))?,
    };
    let content = match (&file.content, &file.source) {
        (Some(content), _) => Content::Bytes(content.clone().into_bytes()),
        (None, Some(source)) => {
            let source = project.join(source);
            if !source.is_file() {
                return Err(Error::invalid(format!("there is no file {}", source.display())));
            }
            Content::File(source)
        }
        (None, None) => return Err(Error::invalid("it has neither content nor source")),
    };
    let owner = file.owner.as_deref().map(|owner| parse_owner(tree, owner)).transpose()?;
    let path = tree.put_through_links(path, mode, content)?;
    if let Some((uid, gid)) = owner {
        own(tree, &path, uid, gid);
    }
    Ok(())
}

fn parse_owner(tree: &Tree, owner: &str) -> Result<(u32, u32)> {
    let (user, group) = owner.split_once(':').unwrap_or((owner, owner));
    let find = |path: &str, name: &str| -> Result<u32> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        id_of(&text(tree, path)?, name)
            .ok_or_else(|| Error::invalid(format!("the image has no {name} in /{path}")))
    };
    Ok((find("etc/passwd", user)?, find("etc/group", group)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.put_file("etc/passwd", 0o644, "root:x:0:0::/root:/bin/bash\n");
        tree.put_file("etc/group", 0o644, "root:x:0:\nsudo:x:27:\nvideo:x:44:one\n");
        tree.put_file("etc/shadow", 0o640, "root:*:1::::::\n");
        tree
    }

    #[test]
    fn an_account_has_no_password_and_owns_its_home() {
        let mut tree = tree();
        let user = ImageUser {
            name: "site".into(),
            groups: vec!["sudo".into(), "video".into()],
            ssh_keys: vec!["ssh-ed25519 AAAA site".into()],
            ..ImageUser::default()
        };
        add_user(&mut tree, &user).unwrap();
        assert!(text(&tree, "etc/passwd").unwrap().ends_with("site:x:1000:1000::/home/site:/bin/bash\n"));
        assert!(text(&tree, "etc/group").unwrap().contains("sudo:x:27:site\nvideo:x:44:one,site\n"));
        assert!(text(&tree, "etc/shadow").unwrap().ends_with("site:!*:::::::\n"));
        assert_eq!(tree.get("home/site/.ssh/authorized_keys").unwrap().uid, 1000);
        assert!(add_user(&mut tree, &user).is_err());
        let other = ImageUser { name: "other".into(), groups: vec!["wheel".into()], ..ImageUser::default() };
        assert!(add_user(&mut tree, &other).unwrap_err().to_string().contains("wheel"));
    }

    #[test]
    fn certificates_reach_the_store_that_the_distribution_reads() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("certs")).unwrap();
        let document = include_str!("../../crates/planner/tests/documents/certificate.user-data.yaml");
        let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
        let inner = document.split_once(begin).unwrap().1.split_once(end).unwrap().0;
        let lines: String = inner.lines().map(|line| format!("{}\n", line.trim())).collect();
        let certificate = format!("{begin}{lines}{end}\n");
        std::fs::write(folder.path().join("certs/own.pem"), &certificate).unwrap();
        // As in Fedora: the folder of Debian is a link.
        let mut tree = tree();
        tree.put_symlink("etc/ssl/certs", "../pki/tls/certs");
        tree.put_symlink("etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/extracted/bundle.pem");
        tree.put_file("etc/pki/extracted/bundle.pem", 0o644, "first");
        add_certificates(&mut tree, folder.path()).unwrap();
        let bundle = text(&tree, "etc/pki/extracted/bundle.pem").unwrap();
        assert!(bundle.starts_with("first\n-----BEGIN") && bundle.contains(certificate.trim()));
        assert!(!tree.iter().any(|(path, _)| path.starts_with("etc/ssl/certs/")));
    }

    #[test]
    fn files_have_the_owner_and_mode_that_is_asked_for() {
        let mut tree = tree();
        let file = FileEntry {
            path: "/etc/app/secret".into(),
            content: Some("x".into()),
            permissions: Some("0640".into()),
            owner: Some("root:video".into()),
            ..FileEntry::default()
        };
        add_file(&mut tree, &file, Path::new("/")).unwrap();
        let node = tree.get("etc/app/secret").unwrap();
        assert_eq!((node.mode, node.uid, node.gid), (0o640, 0, 44));
        let unknown = FileEntry { owner: Some("nobody-here".into()), ..file };
        assert!(add_file(&mut tree, &unknown, Path::new("/")).is_err());
    }
}
