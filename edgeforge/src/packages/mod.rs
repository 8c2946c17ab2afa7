//! Package databases of a root file system: which packages are in it, and which file belongs to which.

mod copyright;
mod dpkg;
mod licence;

use std::collections::{BTreeMap, BTreeSet};

use edge_model::{Error, Result};

use crate::tree::Tree;
pub(crate) use dpkg::{Dpkg, versions};
pub(crate) use licence::Licences;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    /// Name and version of what the package was built from.
    pub(crate) source: (String, String),
    pub(crate) maintainer: Option<String>,
    pub(crate) homepage: Option<String>,
    /// One line.
    pub(crate) description: Option<String>,
    /// The database calls it installed, and not in the middle of it.
    pub(crate) complete: bool,
    /// Entries of the tree that belong to it, by their paths in the tree. Folders are not among them.
    pub(crate) files: BTreeSet<String>,
    /// What the package says its files hold, by their paths in the tree; not of files that people may change.
    pub(crate) sums: BTreeMap<String, Sum>,
    /// Bytes of these files.
    pub(crate) size: u64,
    pub(crate) purl: String,
}

/// An MD5 sum: against mistakes, not against deceit.
pub(crate) type Sum = [u8; 16];

/// Files that no package contains, and that come into being when packages are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    /// As in recipes.
    pub(crate) pattern: &'static str,
    /// The package whose programs make them.
    pub(crate) by: &'static str,
}

/// One way to record packages.
pub(crate) trait PackageDatabase: std::fmt::Debug {
    /// The name of the packages' form, such as `deb`.
    fn form(&self) -> &'static str;

    /// All packages with those of their files that are in the tree, sorted by name and architecture.
    ///
    /// # Errors
    /// When the database is damaged.
    fn packages(&self, tree: &Tree) -> Result<Vec<Package>>;

    /// Licences by name of package. A finished image has no documentation any more: give the tree as it is before
    /// that is dropped.
    fn licences(&self, base: &Tree) -> Licences;

    fn made(&self) -> &'static [Made];
}

/// Where other databases are, and what they are called.
const NOT_READ: [(&str, &str); 5] = [
    ("var/lib/rpm", "rpm"),
    ("usr/lib/sysimage/rpm", "rpm"),
    ("usr/share/rpm", "rpm"),
    ("lib/apk/db/installed", "apk"),
    ("var/lib/pacman/local", "pacman"),
];

/// The package database of a tree; `None` when there is no trace of one.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when there is one that is not read yet, by its name.
pub(crate) fn database(tree: &Tree) -> Result<Option<&'static dyn PackageDatabase>> {
    if tree.contains(dpkg::STATUS) {
        return Ok(Some(&Dpkg));
    }
    let there = |path: &str| {
        tree.get(path).is_some_and(|node| !node.is_directory()) || tree.below(path).next().is_some()
    };
    match NOT_READ.iter().find(|(path, _)| there(path)) {
        None => Ok(None),
        Some((path, form)) => {
            Err(Error::rejected(format!("the package database in /{path} is not read yet: {form}"))
                .help("bases with a dpkg database can be described package by package"))
        }
    }
}

/// Licences of the packages of a base, before the build drops documentation; those that another image of ours has
/// written down, where it has dropped it already. None when the package database is not read yet: the bill of materials
/// says that.
pub(crate) fn licences(base: &Tree) -> Licences {
    let mut licences = Licences::written_down(base);
    if let Ok(Some(database)) = database(base) {
        licences.extend(database.licences(base));
    }
    licences
}

/// Which package a path belongs to.
#[derive(Debug, Default)]
pub(crate) struct Owners<'p>(BTreeMap<&'p str, &'p str>);

impl<'p> Owners<'p> {
    pub(crate) fn of(packages: &'p [Package]) -> Self {
        let mut owners = BTreeMap::new();
        for package in packages {
            for file in &package.files {
                owners.entry(file.as_str()).or_insert(package.name.as_str());
            }
        }
        Self(owners)
    }

    pub(crate) fn owner(&self, path: &str) -> Option<&'p str> {
        self.0.get(path).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_not_read_yet_is_named() {
        let mut tree = Tree::default();
        assert!(database(&tree).unwrap().is_none());
        assert_eq!(licences(&tree), Licences::default());
        tree.put_file("usr/lib/sysimage/rpm/rpmdb.sqlite", 0o644, "x");
        let error = database(&tree).unwrap_err().to_string();
        assert!(error.contains("not read yet: rpm"), "{error}");
        tree.put_file("var/lib/dpkg/status", 0o644, "");
        assert_eq!(database(&tree).unwrap().unwrap().form(), "deb");
    }
}
