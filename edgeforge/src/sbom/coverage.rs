//! Every file of the image is accounted for, or listed.

use std::collections::{BTreeMap, BTreeSet};

use edge_model::Result;
use md5::{Digest, Md5};
use serde::Serialize;

use super::OurPaths;
use crate::packages::{Made, Owners, Package, Sum};
use crate::tree::{Content, Node, Tree, path_matches};

/// Which file comes from whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Coverage {
    pub(crate) counts: Counts,
    /// Why no file could be given to a package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) packages_not_read: Option<String>,
    /// Files that nothing is known about.
    pub(crate) unaccounted: Vec<String>,
    /// Files whose package says that they hold something else, and the package: a command or the base changed them.
    pub(crate) changed: BTreeMap<String, String>,
    /// Files of packages, by package.
    pub(crate) packages: BTreeMap<String, Vec<String>>,
    /// Files that no package contains and that its programs make when packages are installed, by package.
    pub(crate) made_by_packages: BTreeMap<String, Vec<String>>,
    pub(crate) programs: BTreeSet<String>,
    pub(crate) recipe: BTreeSet<String>,
    pub(crate) project: BTreeSet<String>,
    pub(crate) generated: BTreeSet<String>,
}

/// Files and links; folders are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) files: usize,
    pub(crate) packages: usize,
    pub(crate) made_by_packages: usize,
    pub(crate) programs: usize,
    pub(crate) recipe: usize,
    pub(crate) project: usize,
    pub(crate) generated: usize,
    pub(crate) changed: usize,
    pub(crate) unaccounted: usize,
}

/// Sorts every file of a tree. What the project or the recipe put there counts as theirs, although a package
/// contains a file of the same path: it was replaced.
///
/// # Errors
/// When a file of the image cannot be read.
pub(crate) fn coverage(
    tree: &Tree,
    packages: &[Package],
    made: &[Made],
    ours: &OurPaths,
) -> Result<Coverage> {
    let owners = Owners::of(packages);
    let sums: BTreeMap<&str, &Sum> = packages
        .iter()
        .flat_map(|package| package.sums.iter().map(|(path, sum)| (path.as_str(), sum)))
        .collect();
    let installed: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let made: Vec<&Made> = made.iter().filter(|made| installed.contains(made.by)).collect();
    let mut found = Coverage {
        counts: Counts::default(),
        packages_not_read: None,
        unaccounted: Vec::new(),
        changed: BTreeMap::new(),
        packages: BTreeMap::new(),
        made_by_packages: BTreeMap::new(),
        programs: BTreeSet::new(),
        recipe: BTreeSet::new(),
        project: BTreeSet::new(),
        generated: BTreeSet::new(),
    };
    for (path, _) in tree.iter().filter(|(_, node)| !node.is_directory()) {
        found.counts.files += 1;
        let own = [
            (&ours.project, &mut found.project, &mut found.counts.project),
            (&ours.programs, &mut found.programs, &mut found.counts.programs),
            (&ours.recipe, &mut found.recipe, &mut found.counts.recipe),
            (&ours.generated, &mut found.generated, &mut found.counts.generated),
        ];
        if let Some((_, list, count)) = own.into_iter().find(|(paths, ..)| paths.contains(path)) {
            list.insert(path.to_owned());
            *count += 1;
        } else if let Some(owner) = owners.owner(path)
            && let Some(said) = sums.get(path)
            && sum(tree, path)? != **said
        {
            found.changed.insert(path.to_owned(), owner.to_owned());
            found.counts.changed += 1;
        } else if let Some(owner) = owners.owner(path) {
            found.packages.entry(owner.to_owned()).or_default().push(path.to_owned());
            found.counts.packages += 1;
        } else if let Some(maker) = maker(tree, path, &owners, &made) {
            found.made_by_packages.entry(maker.to_owned()).or_default().push(path.to_owned());
            found.counts.made_by_packages += 1;
        } else if ours.commands.contains(path) {
            found.project.insert(path.to_owned());
            found.counts.project += 1;
        } else {
            found.unaccounted.push(path.to_owned());
            found.counts.unaccounted += 1;
        }
    }
    Ok(found)
}

fn sum(tree: &Tree, path: &str) -> Result<Sum> {
    let mut hasher = Md5::new();
    if tree.get(path).is_some_and(Node::is_file) {
        tree.read_in_pieces(path, |piece| hasher.update(piece))?;
    }
    Ok(hasher.finalize().into())
}

/// The package whose installation makes a file: by the list of such files, or, for a link that enables a unit, a script
/// of a run level or a certificate, the package of what it leads to.
fn maker<'p>(tree: &Tree, path: &str, owners: &Owners<'p>, made: &[&'p Made]) -> Option<&'p str> {
    if let Some(made) = made.iter().find(|made| path_matches(made.pattern, path)) {
        return Some(made.by);
    }
    let folders = ["etc/systemd/", "etc/rc", "etc/ssl/certs/"];
    let enables = folders.iter().any(|folder| path.starts_with(folder))
        && matches!(tree.get(path)?.content, Content::Symlink(_));
    enables.then(|| tree.followed(path)).flatten().and_then(|unit| owners.owner(&unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_in_exactly_one_list() {
        let mut tree = Tree::default();
        for path in [
            "usr/bin/a",
            "etc/passwd",
            "etc/stray",
            "usr/bin/edge",
            "etc/recipe",
            "usr/lib/systemd/system/a.service",
        ] {
            tree.put_file(path, 0o644, "x");
        }
        tree.put_symlink(
            "etc/systemd/system/multi-user.target.wants/a.service",
            "/usr/lib/systemd/system/a.service",
        );
        let files =
            ["usr/bin/a", "usr/bin/edge", "usr/lib/systemd/system/a.service"].map(str::to_owned).into();
        tree.put_file("usr/bin/edge-a", 0o755, "other");
        let files: BTreeSet<String> = files;
        let changed = "usr/bin/edge-a".to_owned();
        // Of "x", and of something that the file does not hold.
        let x =
            [0x9d, 0xd4, 0xe4, 0x61, 0x26, 0x8c, 0x80, 0x34, 0xf5, 0xc8, 0x56, 0x4e, 0x15, 0x5c, 0x67, 0xa6];
        let package = Package {
            name: "a".into(),
            files: files.into_iter().chain([changed.clone()]).collect(),
            sums: [("usr/bin/a".to_owned(), x), (changed, [0; 16])].into(),
            ..Package::default()
        };
        let packages = [package, Package { name: "base".into(), ..Package::default() }];
        let made =
            [Made { pattern: "etc/passwd", by: "base" }, Made { pattern: "etc/stray", by: "not installed" }];
        let ours = OurPaths {
            programs: ["usr/bin/edge".to_owned()].into(),
            recipe: ["etc/recipe".to_owned(), "etc/not-there".to_owned()].into(),
            ..OurPaths::default()
        };
        let found = coverage(&tree, &packages, &made, &ours).unwrap();
        let counts = &found.counts;
        assert_eq!(found.unaccounted, ["etc/stray"]);
        assert_eq!((counts.files, counts.packages, counts.made_by_packages, counts.changed), (8, 2, 2, 1));
        assert_eq!(found.changed["usr/bin/edge-a"], "a");
        assert_eq!((counts.programs, counts.recipe, counts.unaccounted), (1, 1, 1));
        assert_eq!(found.made_by_packages["a"], ["etc/systemd/system/multi-user.target.wants/a.service"]);
    }
}
