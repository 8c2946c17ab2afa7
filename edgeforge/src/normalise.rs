//! From a freshly installed Debian tree to the root of an appliance: without what differs from build to build,
//! with our programs, the recipe's files and the project's overlay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use edge_model::{Error, Result, paths};

use crate::component::images::{Carried, check_plain_folders};
use crate::kernel::Kernel;
use crate::lock::LockedComponent;
use crate::packages::Licences;
use crate::programs::{self, Programs};
use crate::project::{PUBLIC_KEY, Project};
use crate::recipe::{self, Account, Recipe};
use crate::tree::{Content, Tree, path_matches};
use crate::{component, contents, keymaps, sbom};

const SECONDS_PER_DAY: u64 = 86_400;

/// What a root is made of, besides the Debian tree.
#[derive(Clone)]
pub(crate) struct Inputs<'a> {
    pub(crate) project: &'a Project,
    pub(crate) recipe: &'a Recipe,
    pub(crate) programs: &'a Programs,
    /// systemd-boot of the tools tree.
    pub(crate) loader: PathBuf,
    pub(crate) kernel: &'a Kernel,
    /// The file of the distribution of Kubernetes, and what it is.
    pub(crate) kubernetes: Option<(&'a Path, &'a LockedComponent)>,
    /// The container images that it brings, when it starts from images.
    pub(crate) images: Option<&'a Carried>,
    /// A folder with tables of keys.
    pub(crate) keymaps: &'a Path,
    /// Of the base's packages.
    pub(crate) licences: &'a Licences,
    /// The base follows the Kairos contract.
    pub(crate) kairos: bool,
    /// A folder that lives until the tree has been written.
    pub(crate) scratch: &'a Path,
}

/// Seconds since 1970 of the newest package, by the times that packages give their documentation; without
/// documentation, of the newest program.
pub(crate) fn newest_input(tree: &Tree) -> Option<u64> {
    let newest = |below: &str| {
        tree.iter()
            .filter(|(path, node)| {
                path.starts_with(below) && matches!(node.content, Content::Span { .. } | Content::File(_))
            })
            .map(|(_, node)| node.modified)
            .max()
    };
    newest("usr/share/doc/").or_else(|| newest("usr/bin/"))
}

/// Turns a tree into the root of an image whose newest input is from `created`. Gives the paths that the project
/// added, and those that it replaced.
///
/// # Errors
/// When a file that must be changed is not there, or an overlay file cannot be read.
pub(crate) fn normalise(tree: &mut Tree, inputs: &Inputs<'_>, created: u64) -> Result<BTreeSet<String>> {
    keep_kernel_configuration(tree, inputs.kernel)?;
    tree.remove(|path| inputs.recipe.drop.iter().any(|pattern| path_matches(pattern, path)));
    for directory in &inputs.recipe.directories {
        if !tree.contains(directory) {
            let mode = if directory == "tmp" { 0o1777 } else { 0o755 };
            tree.put(directory, mode, Content::Directory);
        }
    }
    sort_packages(tree)?;
    set_shadow_dates(tree, created)?;
    add_accounts(tree, &inputs.recipe.accounts)?;
    add_units(tree, inputs.recipe);
    add_generated(tree, created);
    for (path, content) in Recipe::files() {
        let mode = if path.starts_with("etc/sudoers.d/") { 0o440 } else { 0o644 };
        tree.put_file(&path, mode, content);
    }
    for (name, path) in programs::IN_THE_ROOT {
        tree.put(path, 0o755, Content::File(inputs.programs.path(name)));
    }
    tree.put(&paths::IMAGE_SYSTEMD_BOOT[1..], 0o644, Content::File(inputs.loader.clone()));
    keymaps::place(tree, inputs.keymaps);
    if let Some(key) = inputs.project.trusted_key() {
        tree.put_file(&format!("{}/{PUBLIC_KEY}", &paths::IMAGE_KEYS[1..]), 0o644, key.to_text());
    }
    if inputs.kairos {
        tree.put_symlink("usr/bin/kairos-agent", "edge-agent");
        for (path, content) in recipe::kairos_files() {
            tree.put_file(&path, 0o440, content);
        }
    }
    identify(tree, inputs, created)?;
    if inputs.project.forge.cis_hardening {
        contents::harden(tree);
    }
    inputs.licences.write_down(tree)?;
    let before = tree.clone();
    if let Some((file, distribution)) = inputs.kubernetes {
        component::place(tree, &distribution.name, file, inputs.scratch)?;
        if let Some(images) = inputs.images {
            images.place(tree)?;
            // Units and settings of ours come after what the archive brings under the same names.
            for (path, content) in recipe::kubernetes_files() {
                tree.put_file(&path, 0o644, content);
            }
        }
        let new = tree.differs_from(&before);
        let images = inputs.images.map(Carried::names).unwrap_or_default();
        sbom::write_down_components(tree, distribution, &images, |path| new.contains(path))?;
    }
    add_overlay(tree, &inputs.project.overlay)?;
    contents::add(tree, &inputs.project.forge, &inputs.project.directory, inputs.kernel)?;
    if inputs.kubernetes.is_some() {
        check_plain_folders(tree)?;
    }
    let mut added = tree.differs_from(&before);
    added.remove(&paths::IMAGE_COMPONENTS[1..]);
    Ok(added)
}

/// Beside the modules, where `edgeforge inspect` and `diff` find it: the folder boot is dropped.
fn keep_kernel_configuration(tree: &mut Tree, kernel: &Kernel) -> Result<()> {
    if let Some(path) = kernel.configuration_path() {
        let bytes = tree.read_file(path)?;
        tree.put_file(&format!("usr/lib/modules/{}/config", kernel.release), 0o644, bytes);
    }
    Ok(())
}

/// dpkg writes its record in the order of its work: the same packages shall give the same bytes.
fn sort_packages(tree: &mut Tree) -> Result<()> {
    let path = "var/lib/dpkg/status";
    if tree.contains(path) {
        let status = text(tree, path)?;
        let mut stanzas: Vec<&str> =
            status.split("\n\n").map(str::trim).filter(|stanza| !stanza.is_empty()).collect();
        stanzas.sort_unstable();
        let bytes = stanzas.iter().map(|stanza| format!("{stanza}\n\n")).collect::<String>().into_bytes();
        tree.replace(path, bytes);
    }
    Ok(())
}

/// The day of the last password change is the day of the build: replace it.
fn set_shadow_dates(tree: &mut Tree, created: u64) -> Result<()> {
    let shadow = text(tree, "etc/shadow")?;
    let lines = shadow.lines().map(|line| {
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        if let Some(day) = fields.get_mut(2) {
            *day = (created / SECONDS_PER_DAY).to_string();
        }
        fields.join(":") + "\n"
    });
    let bytes = lines.collect::<String>().into_bytes();
    tree.replace("etc/shadow", bytes);
    Ok(())
}

fn add_accounts(tree: &mut Tree, accounts: &[Account]) -> Result<()> {
    let passwd = text(tree, "etc/passwd")?;
    let mut new = Vec::new();
    for account in accounts {
        let name = |line: &str| line.split(':').next() == Some(&account.name);
        let id = |line: &str| line.split(':').nth(2) == Some(account.id.to_string().as_str());
        // Another image of ours as a base has it already.
        match passwd.lines().find(|line| name(line) || id(line)) {
            None => new.push(account.clone()),
            Some(line) if name(line) && id(line) => {}
            Some(line) => {
                let other = line.split(':').next().unwrap_or_default();
                return Err(Error::rejected(format!(
                    "the base gives the number {} or the name {} to {other}",
                    account.id, account.name
                ))
                .help("remove that account from the base, or give it another number"));
            }
        }
    }
    let mut append = |path: &str, line: fn(&Account) -> String| -> Result<()> {
        let lines: String = new.iter().map(line).collect();
        let text = text(tree, path)? + &lines;
        tree.replace(path, text.into_bytes());
        Ok(())
    };
    append("etc/passwd", |account| {
        format!("{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n", account.name, account.id)
    })?;
    append("etc/group", |account| format!("{}:x:{}:\n", account.name, account.id))?;
    append("etc/shadow", |account| format!("{}:!*:::::::\n", account.name))
}

fn add_units(tree: &mut Tree, recipe: &Recipe) {
    let system = "etc/systemd/system";
    let disabled: Vec<&String> = recipe.disable.iter().collect();
    tree.remove(|path| {
        path.starts_with(system) && disabled.iter().any(|unit| path.ends_with(&format!("/{unit}")))
    });
    for unit in &recipe.mask {
        tree.remove(|path| path.starts_with(system) && path.ends_with(&format!("/{unit}")));
        tree.put_symlink(&format!("{system}/{unit}"), "/dev/null");
    }
    for generator in &recipe.mask_generators {
        tree.put_symlink(&format!("etc/systemd/system-generators/{generator}"), "/dev/null");
    }
    for enabled in &recipe.enable {
        let link = format!("{system}/{}.wants/{}", enabled.target, enabled.unit);
        tree.put_symlink(&link, &format!("/usr/lib/systemd/system/{}", enabled.unit));
    }
    tree.put_symlink(
        &format!("{system}/multi-user.target.wants/edge-tui@tty1.service"),
        "/usr/lib/systemd/system/edge-tui@.service",
    );
    tree.put_symlink(&format!("{system}/default.target"), "/usr/lib/systemd/system/multi-user.target");
}

/// Files that a running Debian would make for itself.
fn add_generated(tree: &mut Tree, created: u64) {
    tree.put_file("etc/machine-id", 0o444, "uninitialized\n");
    tree.put_file("etc/hostname", 0o644, "edge\n");
    tree.put_file("etc/fstab", 0o644, "");
    tree.put_symlink("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
    // With these, the service manager does not look for an update of /usr at every boot.
    tree.put_file("etc/.updated", 0o644, "");
    tree.put_file("var/.updated", 0o644, "");
    // systemd takes the time of this file as the earliest possible one; its content is for us.
    tree.put_file(&paths::CLOCK_EPOCH[1..], 0o644, format!("{created}\n"));
}

/// Who this image is, for systemd, for Kairos' tools and for the agent.
fn identify(tree: &mut Tree, inputs: &Inputs<'_>, created: u64) -> Result<()> {
    let project = inputs.project;
    let forge = &project.forge;
    let release = text(tree, "usr/lib/os-release")?;
    // An image of ours as the base has said these already.
    let lines =
        release.lines().filter(|line| !line.starts_with("IMAGE_ID=") && !line.starts_with("IMAGE_VERSION="));
    let release: String = lines.map(|line| format!("{line}\n")).collect();
    let release = format!("{release}IMAGE_ID=\"{}\"\nIMAGE_VERSION=\"{}\"\n", forge.name, forge.version);
    tree.replace("usr/lib/os-release", release.clone().into_bytes());
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    let distribution = field("ID");
    let family = family(&distribution, &field("ID_LIKE"));
    let fields: BTreeMap<&str, String> = [
        ("KAIROS_ID", "kairos".to_owned()),
        ("KAIROS_NAME", forge.name.clone()),
        ("KAIROS_VERSION", format!("v{}", forge.version)),
        ("KAIROS_RELEASE", forge.version.clone()),
        ("KAIROS_FLAVOR", distribution.clone()),
        ("KAIROS_FAMILY", family),
        ("KAIROS_ARCH", "amd64".into()),
        ("KAIROS_TARGETARCH", "amd64".into()),
        ("KAIROS_MODEL", "generic".into()),
        ("KAIROS_VARIANT", "core".into()),
        ("KAIROS_TRUSTED_BOOT", "false".into()),
    ]
    .into();
    let lines: String = fields.iter().map(|(key, value)| format!("{key}=\"{value}\"\n")).collect();
    // What a Kairos base says about itself is what its files and plug-ins rely on.
    if !inputs.kairos {
        tree.put_file(&paths::KAIROS_RELEASE[1..], 0o644, lines);
    }
    let signed = project.signer.is_some();
    let identity = serde_json::json!({ "name": forge.name, "version": forge.version, "created": created, "signed": signed });
    tree.put_file(&paths::IMAGE_DESCRIPTION[1..], 0o644, format!("{identity}\n"));
    Ok(())
}

/// Kairos' name for a distribution's relatives.
///
/// <https://kairos.io/docs/reference/kairos-factory/>
fn family(distribution: &str, like: &str) -> String {
    let names: Vec<&str> = like.split_whitespace().chain([distribution]).collect();
    let known =
        [("debian", "debian"), ("ubuntu", "debian"), ("rhel", "rhel"), ("fedora", "rhel"), ("suse", "suse")];
    let found = known.iter().find(|(name, _)| {
        names.iter().any(|one| one == name || one.starts_with("opensuse") && *name == "suse")
    });
    found.map_or_else(|| distribution.to_owned(), |(_, family)| (*family).to_owned())
}

fn add_overlay(tree: &mut Tree, overlay: &[(String, PathBuf)]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for (path, source) in overlay {
        let metadata = std::fs::symlink_metadata(source)?;
        if metadata.is_symlink() {
            tree.put_through_links(path, 0o777, Content::Symlink(std::fs::read_link(source)?))?;
        } else if metadata.is_file() {
            // Group and others' bits depend on the engineer's umask; what matters is whether it is a program.
            let mode = if metadata.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
            tree.put_through_links(path, mode, Content::File(source.clone()))?;
        } else {
            return Err(Error::invalid(format!("{} is neither a file nor a link", source.display())));
        }
    }
    Ok(())
}

fn text(tree: &Tree, path: &str) -> Result<String> {
    String::from_utf8(tree.read_file(path)?).map_err(|_| Error::environment(format!("/{path} is not text")))
}
