//! What is in an image: the packages of its base, as SPDX 2.3.
//!
//! <https://spdx.github.io/spdx-spec/v2.3/>

use edge_model::Result;
use edge_slot_image::sha256;
use serde_json::{Value, json};

use crate::tree::Tree;

/// The document for the packages that dpkg recorded in a tree.
///
/// # Errors
/// When the tree has no record.
pub(crate) fn spdx(tree: &Tree, name: &str, version: &str, created: &str) -> Result<Value> {
    let status = tree.read_file("var/lib/dpkg/status")?;
    let status = String::from_utf8_lossy(&status);
    let packages: Vec<Value> = status.split("\n\n").filter_map(package).collect();
    let namespace = sha256(status.as_bytes());
    Ok(json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{name}-{version}"),
        "documentNamespace": format!("urn:edgeforge:{name}:{version}:{namespace}"),
        "creationInfo": { "created": created, "creators": ["Tool: edgeforge"] },
        "packages": packages,
    }))
}

fn package(stanza: &str) -> Option<Value> {
    let field = |name: &str| {
        stanza
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    let (name, version) = (field("Package")?, field("Version")?);
    let architecture = field("Architecture").unwrap_or("all");
    let identifier: String = name
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
        .collect();
    Some(json!({
        "SPDXID": format!("SPDXRef-Package-{identifier}"),
        "name": name,
        "versionInfo": version,
        "supplier": "Organization: Debian",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!("pkg:deb/debian/{name}@{version}?arch={architecture}"),
        }],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_listed() {
        let mut tree = Tree::default();
        let status =
            "Package: libc6\nVersion: 2.41-1\nArchitecture: amd64\n\nPackage: tzdata\nVersion: 2026a\n";
        tree.put_file("var/lib/dpkg/status", 0o644, status);
        let document = spdx(&tree, "edge", "1", "2026-01-01T00:00:00Z").unwrap();
        assert_eq!(document["packages"].as_array().unwrap().len(), 2);
        assert_eq!(
            document["packages"][0]["externalRefs"][0]["referenceLocator"],
            "pkg:deb/debian/libc6@2.41-1?arch=amd64"
        );
    }
}
