//! `edgeforge inspect`: what is in an image, without starting it.

mod accounts;
mod fat;
mod iso9660;
pub(crate) mod kernel;
mod privileges;
mod subject;
mod text;
mod uki;
pub(crate) mod units;

pub(crate) mod diff;

use edge_cli::Reader;
use edge_model::cluster::ImageKubernetes;
use edge_model::{Result, paths};
use edge_slot_image::signing::Provenance;
use edge_slot_image::signing::{self, TrustedKey};
use serde::Serialize;

use crate::packages;
use crate::tree::Tree;
pub(crate) use accounts::{Account, Password, accounts};
use kernel::{Driver, Kernel, PciId};
pub(crate) use privileges::{Privileged, privileged};
pub(crate) use subject::{Form, Sizes, Subject, as_base, project_file, resolve};
pub(crate) use text::megabytes;
pub(crate) use uki::Uki;
use units::{Enabled, Listener};

/// Everything that is shown about an image.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) source: String,
    pub(crate) form: Form,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    /// RFC 3339.
    pub(crate) created: Option<String>,
    /// `None` for a container image.
    pub(crate) root_hash: Option<String>,
    pub(crate) signature: Signed,
    /// What the image says about the Kubernetes in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kubernetes: Option<ImageKubernetes>,
    pub(crate) kernels: Vec<Kernel>,
    /// The main image's; `None` when the form does not carry it.
    pub(crate) command_line: Option<String>,
    /// Modules in the initrd; `None` when the form does not carry it.
    pub(crate) initrd_modules: Option<Vec<String>>,
    pub(crate) sizes: Sizes,
    pub(crate) packages: PackageList,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drivers: Option<Vec<Driver>>,
    pub(crate) units: Vec<Enabled>,
    pub(crate) masked: Vec<String>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) privileged: Vec<Privileged>,
    /// Devices, pipes and sockets.
    pub(crate) special: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Signed {
    /// By a key that the image itself trusts: its hosts accept an upgrade that is signed the same way.
    ByTrustedKey(String),
    /// By a key that the image does not carry.
    ByOtherKey(String),
    Unsigned,
    /// This form does not carry the manifest.
    Unknown,
}

/// The packages, or why they are not known.
#[derive(Debug, Serialize)]
pub(crate) struct PackageList {
    pub(crate) form: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_known: Option<String>,
    /// The largest first.
    pub(crate) packages: Vec<PackageSize>,
    /// Files that no package contains, and their bytes.
    pub(crate) other_files: usize,
    pub(crate) other_size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PackageSize {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    /// Bytes of its files that are in the image.
    pub(crate) size: u64,
}

/// What a report is asked for.
#[derive(Debug, Default)]
pub(crate) struct Question {
    pub(crate) pci: Option<PciId>,
    /// How many packages the text shows.
    pub(crate) top: usize,
}

/// Looks at an image and prints what is in it.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn run(name: &str, plain_http: bool, question: &Question, reader: Reader) -> Result<()> {
    let report = report(&resolve(name, plain_http)?, question.pci)?;
    reader.tell(&report, |report| print!("{}", text::render(report, question.top)))
}

fn report(subject: &Subject, pci: Option<PciId>) -> Result<Report> {
    let tree = &subject.tree;
    let identity = identity(subject);
    let modules = subject.uki.as_ref().map(|uki| uki.modules.as_slice());
    Ok(Report {
        source: subject.source.display().to_string(),
        form: subject.form,
        name: identity.name,
        version: identity.version,
        created: identity.created.map(crate::clock::rfc3339).transpose()?,
        root_hash: subject.root_hash.map(|hash| hash.to_string()),
        signature: signature(subject)?,
        kubernetes: kubernetes(tree),
        kernels: kernel::kernels(tree),
        command_line: subject.uki.as_ref().map(|uki| uki.command_line.clone()),
        initrd_modules: modules
            .map(|list| list.iter().map(|entry| entry.file.trim_end_matches(".ko").to_owned()).collect()),
        sizes: subject.sizes,
        packages: package_list(tree)?,
        drivers: pci.map(|id| kernel::drivers(tree, id, modules)),
        units: units::enabled(tree),
        masked: units::masked(tree),
        accounts: accounts(tree),
        listeners: units::listeners(tree),
        privileged: privileged(tree),
        special: subject.special.clone(),
    })
}

/// A damaged description says nothing.
fn kubernetes(tree: &Tree) -> Option<ImageKubernetes> {
    serde_json::from_str(&tree.text(&paths::IMAGE_KUBERNETES[1..], 1 << 20)?).ok()
}

/// What the manifest says, or else the image about itself.
#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct Identity {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) created: Option<u64>,
}

pub(crate) fn identity(subject: &Subject) -> Identity {
    if let Some(described) = &subject.described {
        let manifest = &described.manifest;
        return Identity {
            name: Some(manifest.name.clone()),
            version: Some(manifest.version.clone()),
            created: Some(manifest.created),
        };
    }
    let own = subject.tree.text(&paths::IMAGE_DESCRIPTION[1..], 1 << 20);
    own.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn signature(subject: &Subject) -> Result<Signed> {
    let Some(described) = &subject.described else { return Ok(Signed::Unknown) };
    let Some(signature) = &described.signature else { return Ok(Signed::Unsigned) };
    let keys = subject.tree.below(&paths::IMAGE_KEYS[1..]);
    let keys = keys.filter_map(|(path, _)| TrustedKey::parse(&subject.tree.text(path, 1 << 16)?).ok());
    let keys: Vec<TrustedKey> = keys.collect();
    let all = signature.all();
    if !all.iter().any(|one| keys.iter().any(|key| key.id() == one.key)) {
        let others: Vec<String> = all.iter().map(|one| one.key.to_string()).collect();
        return Ok(Signed::ByOtherKey(others.join(", ")));
    }
    match signing::check_signature(&described.bytes, Some(signature), &keys)? {
        Provenance::Signed(key) => Ok(Signed::ByTrustedKey(key.to_string())),
        Provenance::Unsigned => Ok(Signed::Unsigned),
    }
}

fn package_list(tree: &Tree) -> Result<PackageList> {
    let (database, not_known) = match packages::database(tree) {
        Ok(database) => (database, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let packages = database.map(|database| database.packages(tree)).transpose()?.unwrap_or_default();
    let owners = packages::Owners::of(&packages);
    let other = tree.iter().filter(|(path, node)| node.is_file() && owners.owner(path).is_none());
    let (other_files, other_size) =
        other.fold((0, 0), |(files, size), (path, _)| (files + 1, size + tree.size(path)));
    let mut sizes: Vec<PackageSize> = packages
        .into_iter()
        .map(|package| PackageSize {
            name: package.name,
            version: package.version,
            architecture: package.architecture,
            size: package.size,
        })
        .collect();
    sizes.sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.name.cmp(&other.name)));
    Ok(PackageList {
        form: database.map(|database| database.form()),
        not_known,
        packages: sizes,
        other_files,
        other_size,
    })
}
