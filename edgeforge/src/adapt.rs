//! A root from elsewhere becomes an appliance's: what our agent does itself is taken out of a Kairos base, and what
//! no appliance can be without is checked for.

use std::collections::BTreeMap;

use edge_model::{Error, Result, paths};

use crate::recipe::{Fate, KairosTable, Recipe};
use crate::tree::{Content, Tree};

const KAIROS_RELEASE: &str = "etc/kairos-release";
const OEM: &str = "system/oem/";
const UNITS: [&str; 3] = ["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// Whose package database a root has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackageDatabase {
    Dpkg,
    Rpm,
    None,
}

/// What a root from elsewhere is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// It follows the Kairos contract.
    pub(crate) kairos: bool,
    /// `ID` of os-release.
    pub(crate) distribution: String,
    /// `VERSION_CODENAME` of os-release; empty where a distribution has none.
    pub(crate) codename: String,
    pub(crate) database: PackageDatabase,
}

impl Origin {
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when the root is no operating system at all.
    pub(crate) fn of(tree: &Tree) -> Result<Self> {
        let release =
            ["usr/lib/os-release", "etc/os-release"].into_iter().find_map(|path| tree.read_file(path).ok());
        let release = release.ok_or_else(|| {
            Error::invalid("the base is no operating system: it has no os-release")
                .help("use an image that is made from a distribution, not one with a single program")
        })?;
        let release = String::from_utf8_lossy(&release).into_owned();
        let field = |name: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        let rpm = ["usr/lib/sysimage/rpm", "var/lib/rpm"];
        let database = if tree.contains("var/lib/dpkg/status") {
            PackageDatabase::Dpkg
        } else if rpm.iter().any(|path| tree.contains(path)) {
            PackageDatabase::Rpm
        } else {
            PackageDatabase::None
        };
        Ok(Self {
            kairos: tree.contains(KAIROS_RELEASE) && !is_ours(tree),
            distribution: field("ID"),
            codename: field("VERSION_CODENAME"),
            database,
        })
    }
}

/// Whether the tree is an image of ours whose /etc/kairos-release we wrote, and not one made from a Kairos base.
fn is_ours(tree: &Tree) -> bool {
    #[derive(serde::Deserialize)]
    struct Identity {
        name: String,
        version: String,
    }
    let identity = tree.read_file(&paths::IMAGE_DESCRIPTION[1..]).ok();
    let identity = identity.and_then(|bytes| serde_json::from_slice::<Identity>(&bytes).ok());
    let release = tree.read_file(KAIROS_RELEASE).unwrap_or_default();
    let release = String::from_utf8_lossy(&release);
    identity.is_some_and(|Identity { name, version }| {
        let lines = [format!("KAIROS_NAME=\"{name}\""), format!("KAIROS_VERSION=\"v{version}\"")];
        lines.iter().all(|line| release.lines().any(|other| other == line))
    })
}

/// Names of the packages that dpkg has installed, those that it must hold among them.
pub(crate) fn installed(status: &str) -> Vec<&str> {
    status
        .split("\n\n")
        .filter(|stanza| {
            stanza.lines().any(|line| line.starts_with("Status: ") && line.ends_with(" ok installed"))
        })
        .filter_map(|stanza| stanza.lines().find_map(|line| line.strip_prefix("Package: ")))
        .collect()
}

/// Of the packages that a project wants to have removed, those that are there; and what to say about the others.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when nothing can be removed from the base.
pub(crate) fn removable(
    wanted: &[String],
    origin: &Origin,
    installed: &[&str],
) -> Result<(Vec<String>, Vec<String>)> {
    if let (Some(first), true) = (wanted.first(), origin.database != PackageDatabase::Dpkg) {
        return Err(Error::rejected(format!("{first} cannot be removed: the base has no dpkg"))
            .help("remove it from the base image itself, and from `packages.remove`"));
    }
    // With an architecture or without.
    let is_there = |name: &String| installed.contains(&name.split(':').next().unwrap_or(name));
    let (there, others): (Vec<String>, Vec<String>) = wanted.iter().cloned().partition(is_there);
    let say = |name: &String| {
        let near = edge_model::document::check::nearest(name, installed.iter().copied());
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!("warning: packages.remove: the base has no {name}{near}")
    };
    let said = others.iter().map(say).collect();
    Ok((there, said))
}

/// Does to a Kairos base what the table says. Gives a line for each thing that was done.
pub(crate) fn take_over(tree: &mut Tree, table: &KairosTable) -> Vec<String> {
    let mut done = Vec::new();
    for (unit, entry) in &table.units {
        let there: Vec<String> = UNITS
            .iter()
            .map(|folder| format!("{folder}/{unit}"))
            .filter(|path| tree.contains(path))
            .collect();
        let wanted: Vec<String> = tree
            .iter()
            .filter(|(path, _)| {
                path.starts_with("etc/systemd/system/") && path.ends_with(&format!("/{unit}"))
            })
            .map(|(path, _)| path.to_owned())
            .collect();
        if there.is_empty() && wanted.is_empty() || entry.fate == Fate::Keep {
            continue;
        }
        for path in there.iter().chain(&wanted) {
            tree.remove_subtree(path);
        }
        if entry.fate == Fate::Mask {
            tree.put_symlink(&format!("etc/systemd/system/{unit}"), "/dev/null");
        }
        done.push(format!("{unit}: {}: {}", entry.fate.done(), entry.why));
    }
    let oem: Vec<String> =
        tree.iter().filter_map(|(path, _)| path.strip_prefix(OEM)).map(str::to_owned).collect();
    for file in oem {
        let name = file.trim_end_matches(".yaml").trim_end_matches(".yml");
        match table.oem.get(name) {
            Some(entry) if entry.fate != Fate::Keep => {
                tree.remove_subtree(&format!("{OEM}{file}"));
                done.push(format!("/{OEM}{file}: {}: {}", entry.fate.done(), entry.why));
            }
            _ => {}
        }
    }
    for (path, entry) in &table.programs {
        if !tree.contains(path) || entry.fate == Fate::Keep {
            continue;
        }
        tree.remove_subtree(path);
        done.push(format!("/{path}: {}: {}", entry.fate.done(), entry.why));
    }
    done
}

/// Whether the root has everything that an appliance needs.
///
/// # Errors
/// [`edge_model::Class::Rejected`] with everything that is missing.
pub(crate) fn check(tree: &Tree, recipe: &Recipe, origin: &Origin) -> Result<()> {
    let missing = missing(tree, &recipe.needs);
    if missing.is_empty() {
        return Ok(());
    }
    let help = match origin.database {
        PackageDatabase::Dpkg => "add the packages to `packages` in forge.yaml",
        PackageDatabase::Rpm => {
            "packages of RPM distributions are not installed by the builder yet: add them to the base image itself"
        }
        PackageDatabase::None => {
            "the base has no package database that is known here: add what is missing to it"
        }
    };
    Err(Error::rejected(format!("the base lacks what an appliance needs:\n  {}", missing.join("\n  ")))
        .help(help))
}

fn missing(tree: &Tree, needs: &BTreeMap<String, String>) -> Vec<String> {
    let is_there = |place: &str| {
        let resolved = tree.resolved_parent(place).unwrap_or_else(|_| place.to_owned());
        tree.get(&resolved).is_some_and(|node| !matches!(node.content, Content::Directory))
    };
    needs
        .iter()
        .filter(|(places, _)| !places.split('|').any(is_there))
        .map(|(_, what)| what.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made to the contract, not an image of Kairos.
    fn synthetic_kairos() -> Tree {
        let mut tree = Tree::default();
        tree.put_file("usr/lib/os-release", 0o644, "ID=ubuntu\nVERSION_CODENAME=\"noble\"\n");
        tree.put_file("etc/kairos-release", 0o644, "KAIROS_VERSION=\"v3.5.0\"\n");
        tree.put_file("var/lib/dpkg/status", 0o644, "Package: sudo\nStatus: install ok installed\n\nPackage: gone\nStatus: deinstall ok config-files\n\nPackage: kernel\nStatus: hold ok installed\n");
        for path in ["09_systemd_services.yaml", "30_ulimit.yaml", "99_mine.yaml"] {
            tree.put_file(&format!("{OEM}{path}"), 0o644, "name: x\n");
        }
        tree.put_file("usr/bin/kairos-agent", 0o755, "program");
        tree.put_file("etc/systemd/system/kairos-agent.service", 0o644, "[Unit]\n");
        tree.put_symlink("etc/systemd/system/multi-user.target.wants/kairos-agent.service", "/x");
        tree
    }

    #[test]
    fn a_kairos_base_is_recognised_and_nothing_runs_twice() {
        let mut tree = synthetic_kairos();
        let origin = Origin::of(&tree).unwrap();
        tree.put_file("usr/lib/edge/image.json", 0o644, r#"{"name":"shop","version":"1"}"#);
        let ours = "KAIROS_NAME=\"shop\"\nKAIROS_VERSION=\"v1\"\n";
        let mut derived = tree.clone();
        derived.put_file("etc/kairos-release", 0o644, ours);
        assert!(!Origin::of(&derived).unwrap().kairos);
        assert!(origin.kairos && origin.database == PackageDatabase::Dpkg);
        assert_eq!((origin.distribution.as_str(), origin.codename.as_str()), ("ubuntu", "noble"));
        let done = take_over(&mut tree, &KairosTable::load().unwrap());
        assert!(
            !tree.contains("system/oem/09_systemd_services.yaml") && !tree.contains("usr/bin/kairos-agent")
        );
        assert!(tree.contains("system/oem/30_ulimit.yaml") && tree.contains("system/oem/99_mine.yaml"));
        let unit = tree.get("etc/systemd/system/kairos-agent.service").unwrap();
        assert!(
            matches!(&unit.content, Content::Symlink(target) if target == std::path::Path::new("/dev/null"))
        );
        assert!(!tree.contains("etc/systemd/system/multi-user.target.wants/kairos-agent.service"));
        assert_eq!(done.len(), 3, "{done:?}");
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let tree = synthetic_kairos();
        let origin = Origin::of(&tree).unwrap();
        let error = check(&tree, &Recipe::load().unwrap(), &origin).unwrap_err().to_string();
        assert!(error.contains("systemd, the service manager") && error.contains("an SSH server"), "{error}");
        assert!(Origin::of(&Tree::default()).is_err());
    }

    #[test]
    fn what_is_removed_is_installed_and_the_rest_is_named() {
        let tree = synthetic_kairos();
        let status = String::from_utf8(tree.read_file("var/lib/dpkg/status").unwrap()).unwrap();
        let there = installed(&status);
        assert_eq!(there, ["sudo", "kernel"]);
        let origin = Origin::of(&tree).unwrap();
        let wanted = ["kernel:amd64", "kernle"].map(str::to_owned);
        let (removed, said) = removable(&wanted, &origin, &there).unwrap();
        assert_eq!(removed, ["kernel:amd64"]);
        assert!(said.len() == 1 && said[0].contains("kernle; did you mean kernel?"), "{said:?}");
        let other = Origin { database: PackageDatabase::Rpm, ..origin };
        assert!(removable(&wanted, &other, &there).unwrap_err().to_string().contains("no dpkg"));
        assert!(removable(&[], &other, &there).is_ok());
    }
}
