//! The database of dpkg: `status`, one list of files for each package, diversions and alternatives.
//!
//! <https://manpages.debian.org/trixie/dpkg/dpkg-query.1.en.html>

use std::collections::{BTreeMap, BTreeSet};

use edge_model::ids::from_hex;
use edge_model::{Error, Result};

use super::{Licences, Made, Package, PackageDatabase, Sum, copyright};
use crate::tree::{Content, Tree};

pub(super) const STATUS: &str = "var/lib/dpkg/status";
const INFO: &str = "var/lib/dpkg/info";
const DIVERSIONS: &str = "var/lib/dpkg/diversions";
const ALTERNATIVES: &str = "var/lib/dpkg/alternatives";
/// Of one file of the database.
const LIMIT: u64 = 64 << 20;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Dpkg;

const MADE: &[Made] = &[
    Made { pattern: "var/lib/dpkg/**", by: "dpkg" },
    Made { pattern: "etc/dpkg/origins/default", by: "base-files" },
    Made { pattern: "var/lib/apt/**", by: "apt" },
    Made { pattern: "etc/passwd", by: "base-passwd" },
    Made { pattern: "etc/group", by: "base-passwd" },
    Made { pattern: "etc/shadow", by: "passwd" },
    Made { pattern: "etc/gshadow", by: "passwd" },
    Made { pattern: "etc/subuid", by: "passwd" },
    Made { pattern: "etc/subgid", by: "passwd" },
    Made { pattern: "etc/shells", by: "debianutils" },
    Made { pattern: "var/lib/shells.state", by: "debianutils" },
    Made { pattern: "etc/ld.so.cache", by: "libc-bin" },
    Made { pattern: "usr/lib/*/gconv/gconv-modules.cache", by: "libc-bin" },
    Made { pattern: "etc/ssl/certs/ca-certificates.crt", by: "ca-certificates" },
    Made { pattern: "etc/ca-certificates.conf", by: "ca-certificates" },
    Made { pattern: "usr/lib/modules/*/modules.*", by: "kmod" },
    Made { pattern: "usr/lib/udev/hwdb.bin", by: "udev" },
    Made { pattern: "etc/pam.d/common-*", by: "libpam-runtime" },
    Made { pattern: "var/lib/pam/*", by: "libpam-runtime" },
    Made { pattern: "etc/ssh/sshd_config", by: "openssh-server" },
    Made { pattern: "var/lib/ucf/**", by: "ucf" },
    Made { pattern: "etc/motd", by: "base-files" },
    Made { pattern: "etc/profile", by: "base-files" },
    Made { pattern: "root/.bashrc", by: "base-files" },
    Made { pattern: "root/.profile", by: "base-files" },
    Made { pattern: "var/spool/mail", by: "base-files" },
    Made { pattern: "usr/local/man", by: "base-files" },
    Made { pattern: "etc/nsswitch.conf", by: "libc-bin" },
    Made { pattern: "etc/environment", by: "libpam-modules" },
    Made { pattern: "etc/security/opasswd", by: "libpam-modules" },
    Made { pattern: "etc/hosts.allow", by: "libwrap0" },
    Made { pattern: "etc/hosts.deny", by: "libwrap0" },
    Made { pattern: "etc/localtime", by: "tzdata" },
    Made { pattern: "etc/modules", by: "kmod" },
    Made { pattern: "etc/default/locale", by: "systemd" },
    // By its tmpfiles.d/debian.conf.
    Made { pattern: "etc/mtab", by: "systemd" },
    Made { pattern: "etc/vconsole.conf", by: "systemd" },
    Made { pattern: "etc/.resolv.conf.systemd-resolved.bak", by: "systemd-resolved" },
    Made { pattern: "var/lib/smartmontools/**", by: "smartmontools" },
    Made { pattern: "var/lib/wtmpdb/wtmp.db", by: "libwtmpdb0" },
];

/// Paths that a base has as links into `/usr` because its folders are merged.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

impl PackageDatabase for Dpkg {
    fn form(&self) -> &'static str {
        "deb"
    }

    fn packages(&self, tree: &Tree) -> Result<Vec<Package>> {
        let status = tree
            .text(STATUS, LIMIT)
            .ok_or_else(|| Error::environment("the package database is too large"))?;
        let diversions = diversions(tree);
        let vendor = vendor(tree);
        let mut packages: Vec<Package> =
            stanzas(&status).filter_map(|stanza| package(&stanza, &vendor)).collect();
        packages
            .sort_by(|one, other| (&one.name, &one.architecture).cmp(&(&other.name, &other.architecture)));
        for package in &mut packages {
            (package.files, package.sums) = files(tree, package, &diversions);
        }
        add_alternatives(tree, &mut packages);
        add_merged_folders(tree, &mut packages);
        for package in &mut packages {
            package.size = package.files.iter().map(|file| size(tree, file)).sum();
        }
        Ok(packages)
    }

    fn licences(&self, base: &Tree) -> Licences {
        let mut licences = Licences::default();
        for (path, node) in base.below("usr/share/doc") {
            let inner = path.strip_prefix("usr/share/doc/").and_then(|path| path.split_once('/'));
            let Some((name, "copyright")) = inner else {
                // The documentation of a package may be that of another one.
                if matches!(node.content, Content::Symlink(_))
                    && let Some(text) =
                        base.followed(path).and_then(|to| base.text(&format!("{to}/copyright"), LIMIT))
                {
                    licences.add(path.trim_start_matches("usr/share/doc/"), copyright::licence(&text));
                }
                continue;
            };
            if let Some(text) = base.followed(path).and_then(|path| base.text(&path, LIMIT)) {
                licences.add(name, copyright::licence(&text));
            }
        }
        licences
    }

    fn made(&self) -> &'static [Made] {
        MADE
    }
}

/// Names and versions in the text of a status file.
pub(crate) fn versions(status: &str) -> Vec<Package> {
    stanzas(status).filter_map(|stanza| package(&stanza, "debian")).collect()
}

/// Hard links share their bytes; they are counted once, where they are not links.
fn size(tree: &Tree, path: &str) -> u64 {
    match tree.get(path).map(|node| &node.content) {
        Some(Content::HardLink(_)) | None => 0,
        Some(_) => tree.size(path),
    }
}

type Stanza<'t> = BTreeMap<&'t str, &'t str>;

/// The first line of each field.
fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    text.split("\n\n").map(|stanza| {
        let lines = stanza.lines().filter(|line| !line.starts_with([' ', '\t']));
        lines.filter_map(|line| line.split_once(':')).map(|(key, value)| (key, value.trim())).collect()
    })
}

fn package(stanza: &Stanza<'_>, vendor: &str) -> Option<Package> {
    let (name, version) = (*stanza.get("Package")?, *stanza.get("Version")?);
    let status = stanza.get("Status").copied().unwrap_or("install ok installed");
    if status.ends_with(" not-installed") || status.ends_with(" config-files") {
        return None;
    }
    let architecture = stanza.get("Architecture").copied().unwrap_or("all");
    let source = match stanza.get("Source").map(|source| source.split_once(" (").unwrap_or((source, version)))
    {
        Some((source, version)) => (source.to_owned(), version.trim_end_matches(')').to_owned()),
        None => (name.to_owned(), version.to_owned()),
    };
    let field =
        |key: &str| stanza.get(key).filter(|value| !value.is_empty()).map(|value| (*value).to_owned());
    Some(Package {
        purl: purl(vendor, name, version, architecture),
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        source,
        maintainer: field("Maintainer"),
        homepage: field("Homepage"),
        description: field("Description"),
        complete: status.ends_with(" ok installed"),
        ..Package::default()
    })
}

/// <https://github.com/package-url/purl-spec>
fn purl(vendor: &str, name: &str, version: &str, architecture: &str) -> String {
    format!(
        "pkg:deb/{vendor}/{}@{}?arch={}",
        crate::sbom::percent(name),
        crate::sbom::percent(version),
        crate::sbom::percent(architecture)
    )
}

/// The distribution, as package URLs name it.
fn vendor(tree: &Tree) -> String {
    let release = tree.text("usr/lib/os-release", 1 << 20).unwrap_or_default();
    let id = release.lines().find_map(|line| line.strip_prefix("ID="));
    let id: String = id.unwrap_or("debian").chars().filter(char::is_ascii_alphanumeric).collect();
    if id.is_empty() { "debian".into() } else { id.to_ascii_lowercase() }
}

/// Who moved a file aside, and where.
struct Diversion {
    to: String,
    by: String,
}

fn diversions(tree: &Tree) -> BTreeMap<String, Diversion> {
    let text = tree.text(DIVERSIONS, LIMIT).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let triples = lines.chunks_exact(3);
    triples
        .map(|triple| {
            (triple[0].to_owned(), Diversion { to: triple[1].to_owned(), by: triple[2].to_owned() })
        })
        .collect()
}

/// Paths in the tree, and what md5sums says about them.
fn files(
    tree: &Tree,
    package: &Package,
    diversions: &BTreeMap<String, Diversion>,
) -> (BTreeSet<String>, BTreeMap<String, Sum>) {
    let names =
        [format!("{INFO}/{}:{}", package.name, package.architecture), format!("{INFO}/{}", package.name)];
    let list = |extension: &str| {
        names.iter().find_map(|name| tree.text(&format!("{name}.{extension}"), LIMIT)).unwrap_or_default()
    };
    // A merged folder is a link here and a folder for all packages but one.
    let is_file = |path: &String| {
        !MERGED.contains(&path.as_str()) && tree.get(path).is_some_and(|node| !node.is_directory())
    };
    let placed = |path: &str| {
        let diverted = diversions.get(path).filter(|diversion| diversion.by != package.name);
        tree.without_linked_folders(diverted.map_or(path, |diversion| diversion.to.as_str()))
    };
    let (listed, sums) = (list("list"), list("md5sums"));
    let sum = |line: &str| {
        let (sum, path) = line.split_once("  ")?;
        Some((placed(&format!("/{path}")), from_hex(sum)?.try_into().ok()?))
    };
    let sums = sums.lines().filter_map(sum).collect();
    let own = names.iter().flat_map(|name| {
        [
            "list",
            "md5sums",
            "conffiles",
            "postinst",
            "postrm",
            "preinst",
            "prerm",
            "shlibs",
            "symbols",
            "triggers",
            "templates",
            "config",
        ]
        .map(|extension| format!("{name}.{extension}"))
    });
    (listed.lines().map(placed).chain(own).filter(is_file).collect(), sums)
}

/// A link of an alternative belongs to the package of what it stands for.
fn add_alternatives(tree: &Tree, packages: &mut [Package]) {
    let mut links = BTreeSet::new();
    for (path, _) in tree.below(ALTERNATIVES) {
        let Some(text) = tree.text(path, LIMIT) else { continue };
        let mut lines = text.lines().skip(1);
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let mut name = Some(name);
        // Name and link of the group, then of each slave, up to an empty line.
        while let (Some(group), Some(link)) = (name.take(), lines.next()) {
            links.insert((group, link.to_owned()));
            name = lines.next().filter(|name| !name.is_empty()).map(str::to_owned);
        }
    }
    for (name, link) in links {
        let selected = format!("etc/alternatives/{name}");
        let target = match tree.get(&selected).map(|node| &node.content) {
            Some(Content::Symlink(target)) => tree.without_linked_folders(&target.to_string_lossy()),
            _ => continue,
        };
        let at = packages.iter().position(|package| package.files.contains(&target));
        // What an alternative stands for may have been dropped, as manual pages are.
        let at = at.or_else(|| packages.iter().position(|package| package.name == "dpkg"));
        let Some(package) = at.and_then(|at| packages.get_mut(at)) else { continue };
        let link = tree.without_linked_folders(&link);
        package.files.extend([selected, link].into_iter().filter(|path| tree.contains(path)));
    }
}

fn add_merged_folders(tree: &Tree, packages: &mut [Package]) {
    if let Some(package) = packages.iter_mut().find(|package| package.name == "base-files") {
        let is_link = |path: &&str| matches!(tree.get(path).map(|node| &node.content), Some(Content::Symlink(target)) if target.starts_with("usr"));
        package.files.extend(MERGED.iter().copied().filter(is_link).map(str::to_owned));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS_TEXT: &str = "Package: one\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\n\
        Version: 1:2.0+b1\nSource: first (1:2.0)\nMaintainer: A <a@b.example>\nDescription: short\n Version: 9\n\n\
        Package: two\nStatus: install ok half-configured\nVersion: 3\n\n\
        Package: gone\nStatus: deinstall ok config-files\nVersion: 3\n";

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.put_file(STATUS, 0o644, STATUS_TEXT);
        tree.put_symlink("lib", "usr/lib");
        tree.put_file("usr/lib/x.so", 0o644, "12345");
        tree.put_file("usr/lib/x.so.moved", 0o644, "123");
        tree.put_file("usr/bin/vi.tiny", 0o755, "v");
        tree.put_symlink("usr/bin/vi", "/etc/alternatives/vi");
        tree.put_symlink("etc/alternatives/vi", "/usr/bin/vi.tiny");
        tree.put_file(
            "var/lib/dpkg/alternatives/vi",
            0o644,
            "auto\n/usr/bin/vi\nvi.1.gz\n/usr/share/man/vi.1.gz\n\n/usr/bin/vi.tiny\n10\n",
        );
        tree.put_file("var/lib/dpkg/diversions", 0o644, "/lib/x.so\n/lib/x.so.moved\ntwo\n");
        tree.put_file(
            "var/lib/dpkg/info/one:amd64.list",
            0o644,
            "/.\n/lib\n/lib/x.so\n/usr/share/doc/one/copyright\n/usr/bin/vi.tiny\n",
        );
        tree.put_file("var/lib/dpkg/info/two.list", 0o644, "/lib/x.so\n");
        tree
    }

    #[test]
    fn files_are_found_behind_merged_folders_diversions_and_alternatives() {
        let tree = tree();
        let packages = Dpkg.packages(&tree).unwrap();
        let [one, two] = &packages[..] else { panic!("{packages:?}") };
        assert_eq!(
            (one.version.as_str(), one.source.0.as_str(), one.source.1.as_str()),
            ("1:2.0+b1", "first", "1:2.0")
        );
        assert_eq!(one.purl, "pkg:deb/debian/one@1%3A2.0%2Bb1?arch=amd64");
        let files = |package: &Package| package.files.iter().cloned().collect::<Vec<_>>().join(" ");
        let expected = "etc/alternatives/vi usr/bin/vi usr/bin/vi.tiny usr/lib/x.so.moved var/lib/dpkg/info/one:amd64.list";
        assert_eq!(files(one), expected);
        assert_eq!(files(two), "usr/lib/x.so var/lib/dpkg/info/two.list");
        assert!(one.complete && !two.complete);
        assert_eq!(two.size, 5 + "/lib/x.so\n".len() as u64);
    }

    #[test]
    fn licences_are_read_before_documentation_is_dropped() {
        let mut tree = tree();
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: Expat\n";
        tree.put_file("usr/share/doc/one/copyright", 0o644, text);
        tree.put_symlink("usr/share/doc/two", "one");
        let licences = Dpkg.licences(&tree);
        assert_eq!(licences.of("one").unwrap().expression, "MIT");
        assert_eq!(licences.of("two").unwrap().expression, "MIT");
        assert!(licences.of("gone").is_none());
    }

    proptest! {
        #[test]
        fn no_text_panics(status in "[ -~\n]{0,300}", list in "[ -~\n]{0,100}", other in "[ -~\n]{0,100}") {
            let mut tree = tree();
            tree.put_file(STATUS, 0o644, format!("{STATUS_TEXT}\n{status}"));
            tree.put_file("var/lib/dpkg/info/one:amd64.list", 0o644, list.clone());
            tree.put_file("var/lib/dpkg/diversions", 0o644, other.clone());
            tree.put_file("var/lib/dpkg/alternatives/vi", 0o644, other);
            prop_assert!(!Dpkg.packages(&tree).unwrap().is_empty());
        }
    }
}
