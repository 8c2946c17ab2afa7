//! SPDX 2.3.
//!
//! <https://spdx.github.io/spdx-spec/v2.3/>

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Bill, Component, hex};
use crate::packages::Package;

const ROOT: &str = "SPDXRef-Image";
const NONE: &str = "NOASSERTION";

pub(super) fn document(bill: &Bill<'_>) -> Value {
    let mut used = BTreeSet::from([ROOT.to_owned()]);
    let mut elements = vec![image(bill)];
    let mut texts: BTreeMap<&String, &String> = BTreeMap::new();
    for found in bill.packages {
        let licence = bill.licences.of(&found.name);
        texts.extend(licence.iter().flat_map(|licence| &licence.texts));
        let identifier = identifier("Package", &found.name, &mut used);
        elements.push(package(found, &identifier, licence.map(|licence| licence.expression.as_str())));
    }
    for component in bill.components {
        let identifier = identifier("Component", &component.name, &mut used);
        elements.push(self::component(component, &identifier));
    }
    let describes = json!({
        "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": ROOT,
    });
    let contained = elements.iter().skip(1).map(|element| {
        json!({ "spdxElementId": ROOT, "relationshipType": "CONTAINS", "relatedSpdxElement": element["SPDXID"] })
    });
    let relationships: Vec<Value> = std::iter::once(describes).chain(contained).collect();
    let texts: Vec<Value> = texts
        .into_iter()
        .map(|(name, text)| json!({ "licenseId": name, "extractedText": text, "name": name.trim_start_matches("LicenseRef-") }))
        .collect();
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": bill.title(),
        "documentNamespace": format!("urn:uuid:{}", bill.uuid("spdx")),
        "creationInfo": {
            "created": bill.created,
            "creators": [format!("Tool: edgeforge-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": elements,
        "relationships": relationships,
        "hasExtractedLicensingInfos": texts,
    });
    if let Some(reason) = bill.not_read {
        document["comment"] = json!(format!("The packages are not known: {reason}"));
    }
    document
}

fn image(bill: &Bill<'_>) -> Value {
    json!({
        "SPDXID": ROOT,
        "name": bill.manifest.name,
        "versionInfo": bill.manifest.version,
        "summary": format!("The operating-system image with the root hash {}", bill.manifest.root.root_hash),
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "downloadLocation": NONE,
        "filesAnalyzed": false,
        "checksums": [{ "algorithm": "SHA256", "checksumValue": hex(&bill.manifest.root.blob.digest) }],
        "licenseConcluded": NONE,
        "licenseDeclared": NONE,
        "copyrightText": NONE,
        "externalRefs": purl(&bill.purl()),
    })
}

fn package(package: &Package, identifier: &str, licence: Option<&str>) -> Value {
    let mut value = json!({
        "SPDXID": identifier,
        "name": package.name,
        "versionInfo": package.version,
        "supplier": package.maintainer.as_deref().map_or_else(|| NONE.to_owned(), supplier),
        "downloadLocation": NONE,
        "filesAnalyzed": false,
        "sourceInfo": format!("built from {} {}", package.source.0, package.source.1),
        "licenseConcluded": NONE,
        "licenseDeclared": licence.unwrap_or(NONE),
        "copyrightText": NONE,
        "externalRefs": purl(&package.purl),
    });
    for (key, text) in [("homepage", &package.homepage), ("summary", &package.description)] {
        if let Some(text) = text {
            value[key] = json!(text);
        }
    }
    value
}

fn component(component: &Component, identifier: &str) -> Value {
    let mut value = json!({
        "SPDXID": identifier,
        "name": component.name,
        "summary": component.description,
        "downloadLocation": NONE,
        "filesAnalyzed": false,
        "licenseConcluded": NONE,
        "licenseDeclared": component.licence.as_deref().unwrap_or(NONE),
        "copyrightText": NONE,
        "checksums": [{ "algorithm": "SHA256", "checksumValue": hex(&component.sha256) }],
        "externalRefs": purl(&component.purl),
    });
    if let Some(version) = &component.version {
        value["versionInfo"] = json!(version);
    }
    value
}

/// `Organization: NAME (ADDRESS)`.
fn supplier(maintainer: &str) -> String {
    match maintainer.split_once('<') {
        Some((name, address)) => format!(
            "Organization: {} ({})",
            name.trim().trim_matches('"'),
            address.trim_end().trim_end_matches('>')
        ),
        None => format!("Organization: {maintainer}"),
    }
}

fn purl(locator: &str) -> Value {
    json!([{
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": locator,
    }])
}

/// Letters, digits, dots and hyphens only; packages whose names become the same get a number.
fn identifier(kind: &str, name: &str, used: &mut BTreeSet<String>) -> String {
    let word: String = name
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' })
        .collect();
    let first = format!("SPDXRef-{kind}-{word}");
    let numbered = (2..).map(|number| format!("{first}-{number}"));
    let mut names = std::iter::once(first.clone()).chain(numbered);
    let free = names.find(|name| !used.contains(name)).unwrap_or(first.clone());
    used.insert(free.clone());
    free
}
