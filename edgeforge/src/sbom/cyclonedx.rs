//! CycloneDX 1.6.
//!
//! <https://cyclonedx.org/docs/1.6/json/>

use serde_json::{Value, json};

use super::{Bill, hex};
use crate::packages::Package;

pub(super) fn document(bill: &Bill<'_>) -> Value {
    let packages = bill.packages.iter().map(|found| {
        let licence = bill.licences.of(&found.name).map(|licence| licence.expression.as_str());
        package(found, licence)
    });
    let components = bill.components.iter().map(|component| {
        let mut value = json!({
            "type": "application",
            "bom-ref": component.purl,
            "name": component.name,
            "description": component.description,
            "purl": component.purl,
            "hashes": [{ "alg": "SHA-256", "content": hex(&component.sha256) }],
        });
        if let Some(version) = &component.version {
            value["version"] = json!(version);
        }
        if let Some(licence) = &component.licence {
            value["licenses"] = json!([{ "expression": licence }]);
        }
        value
    });
    let all: Vec<Value> = packages.chain(components).collect();
    let references: Vec<&Value> = all.iter().map(|component| &component["bom-ref"]).collect();
    let dependencies = json!([{ "ref": bill.purl(), "dependsOn": references }]);
    // Whoever reads this must not take the list for complete when files are left over.
    let aggregate = if bill.complete { "complete" } else { "incomplete" };
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", bill.uuid("cyclonedx")),
        "version": 1,
        "metadata": {
            "timestamp": bill.created,
            "tools": { "components": [
                { "type": "application", "name": "edgeforge", "version": env!("CARGO_PKG_VERSION") },
            ] },
            "component": {
                "type": "operating-system",
                "bom-ref": bill.purl(),
                "name": bill.manifest.name,
                "version": bill.manifest.version,
                "purl": bill.purl(),
                "hashes": [{ "alg": "SHA-256", "content": hex(&bill.manifest.root.blob.digest) }],
                "properties": [
                    { "name": "edgeforge:root-hash", "value": bill.manifest.root.root_hash.to_string() },
                    { "name": "edgeforge:kernel", "value": bill.manifest.kernel },
                ],
            },
        },
        "components": all,
        "dependencies": dependencies,
        "compositions": [{ "aggregate": aggregate, "assemblies": [bill.purl()] }],
    })
}

fn package(package: &Package, licence: Option<&str>) -> Value {
    let mut value = json!({
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "properties": [
            { "name": "edgeforge:source-package", "value": format!("{} {}", package.source.0, package.source.1) },
            { "name": "edgeforge:bytes", "value": package.size.to_string() },
        ],
    });
    if let Some(maintainer) = &package.maintainer {
        value["supplier"] = json!({ "name": maintainer });
    }
    if let Some(description) = &package.description {
        value["description"] = json!(description);
    }
    if let Some(homepage) = package.homepage.as_deref().filter(|homepage| homepage.starts_with("http")) {
        value["externalReferences"] = json!([{ "type": "website", "url": homepage }]);
    }
    if let Some(licence) = licence {
        value["licenses"] = json!([{ "expression": licence }]);
    }
    value
}
