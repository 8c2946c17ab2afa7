//! What an image was made from, as an in-toto statement with SLSA provenance. It is not signed: its value is that
//! another build with the same inputs can be compared with it.
//!
//! <https://slsa.dev/spec/v1.0/provenance>, <https://github.com/in-toto/attestation/tree/main/spec/v1>

use edge_model::forge::Forge;
use edge_model::ids::Digest;
use edge_model::manifest::{Blob, ImageManifest};
use edge_model::{Context, Result};
use serde_json::{Value, json};

use super::hex;
use crate::lock::Lock;
use crate::packages::{self, Package};
use crate::project::Project;
use crate::tools;

/// Anything with a place and a digest that went into the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    /// What it is for: `base`, `forge.lock`, `kubernetes`.
    pub(crate) name: String,
    pub(crate) uri: String,
    pub(crate) sha256: Option<Digest>,
}

#[derive(Debug, Clone)]
pub(crate) struct Provenance {
    /// The project's own description.
    pub(crate) forge: Forge,
    pub(crate) inputs: Vec<Input>,
    /// Packages of the tools tree.
    pub(crate) tools: Vec<Package>,
}

impl Provenance {
    /// `status` is the package database of the tools tree.
    pub(crate) fn new(forge: &Forge, inputs: Vec<Input>, status: &str) -> Self {
        Self { forge: forge.clone(), inputs, tools: packages::versions(status) }
    }

    /// The inputs of a project, the builder's programs and recipes among them.
    ///
    /// # Errors
    /// When the lock cannot be written.
    pub(crate) fn inputs(project: &Project, lock: &Lock) -> Result<Vec<Input>> {
        let input = |name: &str, uri: String, sha256| Input { name: name.to_owned(), uri, sha256 };
        let file = project.lock();
        let file = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut inputs = vec![
            input("base", lock.base.from.clone(), lock.base.digest),
            input("forge.lock", file, Some(edge_slot_image::sha256(&lock.bytes()?))),
        ];
        inputs.extend(
            lock.kubernetes
                .iter()
                .map(|one| input("kubernetes", format!("{}@{}", one.name, one.version), Some(one.digest))),
        );
        inputs.extend(lock.builder.iter().map(|(name, digest)| {
            input("builder", format!("{name}@{}", env!("CARGO_PKG_VERSION")), Some(*digest))
        }));
        inputs.extend(tools::of_the_machine()?.into_iter().map(|tool| input("tool", tool, None)));
        Ok(inputs)
    }

    /// The statement about the files that hosts use.
    ///
    /// # Errors
    /// When the project's description cannot be written.
    pub(super) fn statement(&self, manifest: &ImageManifest) -> Result<Value> {
        let subject =
            |name: &str, blob: &Blob| json!({ "name": name, "digest": { "sha256": hex(&blob.digest) } });
        let subjects = [
            subject("root", &manifest.root.blob),
            subject("main.efi", &manifest.ukis.main),
            subject("recovery.efi", &manifest.ukis.recovery),
            subject("live.efi", &manifest.ukis.live),
        ];
        let mut settings =
            serde_json::to_value(&self.forge).context("cannot write the project's description")?;
        without_credentials(&mut settings);
        let dependencies: Vec<Value> =
            self.inputs.iter().map(input).chain(self.tools.iter().map(tool)).collect();
        Ok(json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects,
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": "urn:edgeforge:build:1",
                    "externalParameters": { "forge": settings },
                    "internalParameters": {
                        "created": manifest.created,
                        "rootHash": manifest.root.root_hash.to_string(),
                    },
                    "resolvedDependencies": dependencies,
                },
                "runDetails": {
                    "builder": {
                        "id": "urn:edgeforge:builder",
                        "version": { "edgeforge": env!("CARGO_PKG_VERSION") },
                    },
                },
            },
        }))
    }
}

/// The document is passed on with the image: names and passwords in addresses stay behind.
fn without_credentials(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((scheme, rest)) = text.split_once("://")
                && let Some((credentials, place)) = rest.split_once('@')
                && !credentials.contains('/')
            {
                *text = format!("{scheme}://{place}");
            }
        }
        Value::Array(values) => values.iter_mut().for_each(without_credentials),
        Value::Object(fields) => fields.values_mut().for_each(without_credentials),
        _ => {}
    }
}

fn input(input: &Input) -> Value {
    let mut value = json!({ "name": input.name, "uri": input.uri });
    if let Some(digest) = &input.sha256 {
        value["digest"] = json!({ "sha256": hex(digest) });
    }
    value
}

fn tool(tool: &Package) -> Value {
    json!({ "name": tool.name, "uri": tool.purl, "annotations": { "role": "tool", "version": tool.version } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_passwords_only() {
        let mut value = json!({ "a": ["https://me:secret@m.example/x", "https://m.example/a@b", "a@b"] });
        without_credentials(&mut value);
        assert_eq!(value, json!({ "a": ["https://m.example/x", "https://m.example/a@b", "a@b"] }));
    }
}
