//! Nothing hidden: what is in an image, who each file comes from, and what the image was made from.
//!
//! Everything is derived from the finished file system, so it says what is there and not what was meant to be
//! there. Times come from the image, and identifiers from its root hash: the same image gives the same bytes.

mod components;
mod coverage;
mod cyclonedx;
mod ours;
mod provenance;
mod spdx;

use std::fs;
use std::path::Path;

use edge_host::gpt::Guid;
use edge_model::ids::{Digest, to_hex};
use edge_model::manifest::ImageManifest;
use edge_model::{Context, Result};
use serde_json::Value;

use crate::packages::{self, Licences, Package};
use crate::tree::Tree;
pub(crate) use components::{Component, all as components, write_down as write_down_components};
use coverage::coverage;
pub(crate) use ours::OurPaths;
pub(crate) use provenance::Provenance;

/// All that the documents are made from.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) manifest: &'a ImageManifest,
    /// The finished file system.
    pub(crate) tree: &'a Tree,
    pub(crate) licences: &'a Licences,
    pub(crate) components: &'a [Component],
    pub(crate) ours: &'a OurPaths,
    pub(crate) provenance: &'a Provenance,
}

/// What the documents have in common.
struct Bill<'a> {
    manifest: &'a ImageManifest,
    /// RFC 3339.
    created: String,
    packages: &'a [Package],
    licences: &'a Licences,
    components: &'a [Component],
    /// Why the packages are not known.
    not_read: Option<&'a str>,
    /// Every file of the image is accounted for, and what its package says.
    complete: bool,
}

impl Bill<'_> {
    fn title(&self) -> String {
        format!("{}-{}", self.manifest.name, self.manifest.version)
    }

    /// The same for the same image, another one for each document.
    fn uuid(&self, document: &str) -> String {
        Guid::derived(format!("{} {document}", self.manifest.root.root_hash).as_bytes()).to_string()
    }

    fn purl(&self) -> String {
        format!(
            "pkg:generic/{}@{}?arch={}",
            percent(&self.manifest.name),
            percent(&self.manifest.version),
            percent(&self.manifest.architecture)
        )
    }
}

/// How much of the image could be accounted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) packages: usize,
    pub(crate) files: usize,
    pub(crate) unaccounted: usize,
    /// Files of packages that hold something else than their package says.
    pub(crate) changed: usize,
    /// Why the packages are not known.
    pub(crate) not_read: Option<String>,
}

impl std::fmt::Display for Written {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { packages, files, unaccounted, changed, not_read } = self;
        if let Some(reason) = not_read {
            write!(formatter, "{reason}; ")?;
        }
        write!(
            formatter,
            "{packages} packages, {files} files, {unaccounted} of them unaccounted for, {changed} changed (sbom.coverage.json)"
        )
    }
}

/// Writes `sbom.spdx.json`, `sbom.cyclonedx.json`, `sbom.coverage.json` and `provenance.json` into a folder.
///
/// # Errors
/// When the package database cannot be read, or a file not be written.
pub(crate) fn write(folder: &Path, inputs: &Inputs<'_>) -> Result<Written> {
    let (database, not_read) = match packages::database(inputs.tree) {
        Ok(database) => (database, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let packages = database.map(|database| database.packages(inputs.tree)).transpose()?.unwrap_or_default();
    let made = database.map_or(&[][..], |database| database.made());
    let mut coverage = coverage(inputs.tree, &packages, made, inputs.ours)?;
    coverage.packages_not_read = not_read.clone();
    let bill = Bill {
        manifest: inputs.manifest,
        created: crate::clock::rfc3339(inputs.manifest.created)?,
        packages: &packages,
        licences: inputs.licences,
        components: inputs.components,
        not_read: not_read.as_deref(),
        complete: not_read.is_none() && coverage.unaccounted.is_empty() && coverage.changed.is_empty(),
    };
    let put = |name: &str, document: &Value| {
        let mut bytes =
            serde_json::to_vec_pretty(document).with_context(|| format!("cannot write {name}"))?;
        bytes.push(b'\n');
        fs::write(folder.join(name), bytes).with_context(|| format!("cannot write {name}"))
    };
    put("sbom.spdx.json", &spdx::document(&bill))?;
    put("sbom.cyclonedx.json", &cyclonedx::document(&bill))?;
    put("sbom.coverage.json", &serde_json::to_value(&coverage).context("cannot write the coverage")?)?;
    put("provenance.json", &inputs.provenance.statement(inputs.manifest)?)?;
    Ok(Written {
        packages: packages.len(),
        files: coverage.counts.files,
        unaccounted: coverage.unaccounted.len(),
        changed: coverage.changed.len(),
        not_read,
    })
}

fn hex(digest: &Digest) -> String {
    to_hex(&digest.0)
}

/// A part of a package URL.
pub(crate) fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use edge_model::ids::RootHash;
    use edge_model::manifest::{Blob, FORMAT, RootImage, Ukis};

    use super::provenance::Input;
    use super::*;
    use edge_model::forge::Forge;

    fn manifest() -> ImageManifest {
        let blob = Blob { digest: Digest([1; 32]), size: 4096 };
        ImageManifest {
            format: FORMAT,
            name: "shop".into(),
            version: "1.0.0".into(),
            architecture: "amd64".into(),
            created: 1_700_000_000,
            kernel: "6.12".into(),
            root: RootImage {
                root_hash: RootHash([2; 32]),
                data_blocks: 2,
                tree_blocks: 2,
                blob,
                data_frames: Vec::new(),
                tree_frames: Vec::new(),
            },
            ukis: Ukis { main: blob, recovery: blob, live: blob },
            kubernetes: None,
            components: Default::default(),
            critical: Vec::new(),
        }
    }

    fn write_all() -> Vec<Value> {
        let mut tree = Tree::default();
        let status = "Package: libstdc++6\nArchitecture: amd64\nVersion: 14.2-1\nMaintainer: A B <a@b.example>\n\n\
                      Package: libstdc--6\nVersion: 1\nDescription: other\n";
        tree.put_file("var/lib/dpkg/status", 0o644, status);
        tree.put_file("usr/bin/edge-agent", 0o755, "agent");
        tree.put_file("etc/stray", 0o644, "?");
        let copyright = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: odd\n Text.\n";
        tree.put_file("usr/share/doc/libstdc++6/copyright", 0o644, copyright);
        let licences = packages::licences(&tree);
        tree.remove(|path| path.starts_with("usr/share/doc"));
        let forge = Forge::parse("forge.yaml", "name: shop\nversion: 1.0.0\n").unwrap();
        let base = Input { name: "base".into(), uri: "debian:trixie".into(), sha256: Some(Digest([3; 32])) };
        let inputs = Inputs {
            manifest: &manifest(),
            tree: &tree,
            licences: &licences,
            components: &[
                Component::own(&tree, "edge-agent", "usr/bin/edge-agent", "The agent").unwrap(),
                Component::kubernetes("k3s", Some("v1.33.1+k3s1"), Digest([4; 32])),
            ],
            ours: &OurPaths { programs: ["usr/bin/edge-agent".to_owned()].into(), ..OurPaths::default() },
            provenance: &Provenance::new(&forge, vec![base], status),
        };
        let folder = tempfile::tempdir().unwrap();
        let written = write(folder.path(), &inputs).unwrap();
        assert_eq!(written, Written { packages: 2, files: 3, unaccounted: 2, changed: 0, not_read: None });
        ["sbom.spdx.json", "sbom.cyclonedx.json", "sbom.coverage.json", "provenance.json"]
            .map(|name| serde_json::from_slice(&fs::read(folder.path().join(name)).unwrap()).unwrap())
            .into()
    }

    #[test]
    fn documents_name_every_package_and_component() {
        let [spdx, cyclonedx, coverage, provenance] = &write_all()[..] else { panic!() };
        let names = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
        };
        let expected = ["shop", "libstdc++6", "libstdc--6", "edge-agent", "k3s"];
        assert_eq!(names(&spdx["packages"]), expected);
        assert_eq!(names(&cyclonedx["components"]).len(), 4);
        let locator = &spdx["packages"][2]["externalRefs"][0]["referenceLocator"];
        assert!(locator.as_str().unwrap().starts_with("pkg:deb/debian/libstdc"));
        assert_eq!(spdx["hasExtractedLicensingInfos"][0]["extractedText"], "Text.");
        // There is no package dpkg that could have made its database.
        assert_eq!(coverage["unaccounted"], serde_json::json!(["etc/stray", "var/lib/dpkg/status"]));
        assert_eq!(provenance["predicate"]["buildDefinition"]["externalParameters"]["forge"]["name"], "shop");
        assert_eq!(provenance["subject"][0]["digest"]["sha256"], "01".repeat(32));
    }

    #[test]
    fn identifiers_differ_and_the_same_image_gives_the_same_bytes() {
        let (one, other) = (write_all(), write_all());
        assert_eq!(one, other);
        let identifiers: BTreeSet<&str> = one[0]["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|package| package["SPDXID"].as_str().unwrap())
            .collect();
        assert_eq!(identifiers.len(), 5);
        assert_ne!(one[0]["documentNamespace"], one[1]["serialNumber"]);
    }

    #[test]
    fn packages_that_are_not_read_yet_are_said_to_be_unknown() {
        let mut tree = Tree::default();
        tree.put_file("var/lib/rpm/rpmdb.sqlite", 0o644, "x");
        let forge = Forge::parse("forge.yaml", "name: shop\nversion: 1.0.0\n").unwrap();
        let inputs = Inputs {
            manifest: &manifest(),
            tree: &tree,
            licences: &packages::licences(&tree),
            components: &[],
            ours: &OurPaths::default(),
            provenance: &Provenance::new(&forge, Vec::new(), ""),
        };
        let folder = tempfile::tempdir().unwrap();
        assert!(write(folder.path(), &inputs).unwrap().to_string().contains("not read yet: rpm"));
        for (name, key) in [("sbom.spdx.json", "comment"), ("sbom.coverage.json", "packages_not_read")] {
            let document: Value =
                serde_json::from_slice(&fs::read(folder.path().join(name)).unwrap()).unwrap();
            assert!(document[key].as_str().unwrap().contains("rpm"), "{name}");
        }
    }

    #[test]
    fn parts_of_package_urls_are_escaped() {
        assert_eq!(percent("1:2.0+dfsg~rc1"), "1%3A2.0%2Bdfsg~rc1");
    }
}
