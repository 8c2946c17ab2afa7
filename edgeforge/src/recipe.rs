//! Recipes: data in `images/`, embedded in this program.

use std::collections::BTreeMap;

use edge_model::ids::Digest;
use edge_model::{Context, Error, Result, document};
use rust_embed::RustEmbed;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::cache::Key;

#[derive(RustEmbed)]
#[folder = "../images/"]
struct Images;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Recipe {
    /// Beside a kernel.
    pub(crate) packages: Vec<String>,
    /// Added to an image with Kubernetes.
    pub(crate) kubernetes_packages: Vec<String>,
    /// By suite: packages that it has within others.
    pub(crate) absent: BTreeMap<String, Vec<String>>,
    /// Packages that must not be installed although others recommend them.
    pub(crate) without: Vec<String>,
    pub(crate) drop: Vec<String>,
    pub(crate) directories: Vec<String>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) mask: Vec<String>,
    pub(crate) mask_generators: Vec<String>,
    pub(crate) disable: Vec<String>,
    pub(crate) enable: Vec<EnabledUnit>,
    /// Kernel configuration and what it is for.
    pub(crate) kernel_features: BTreeMap<String, String>,
    pub(crate) initrd: InitrdModules,
    /// Places of what an appliance cannot be without, and what it is.
    pub(crate) needs: BTreeMap<String, String>,
}

/// What becomes of the parts of a Kairos base.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KairosTable {
    pub(crate) units: BTreeMap<String, KairosPart>,
    /// Files of /system/oem, without their ending.
    pub(crate) oem: BTreeMap<String, KairosPart>,
    pub(crate) programs: BTreeMap<String, KairosPart>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KairosPart {
    pub(crate) fate: Fate,
    pub(crate) why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    Keep,
    Mask,
    Remove,
    Replace,
}

impl Fate {
    pub(crate) fn done(self) -> &'static str {
        match self {
            Self::Keep => "kept",
            Self::Mask => "masked",
            Self::Remove => "removed",
            Self::Replace => "replaced",
        }
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) id: u32,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnabledUnit {
    pub(crate) unit: String,
    pub(crate) target: String,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct InitrdModules {
    pub(crate) always: Vec<String>,
    /// What a module asks the kernel for by name, which no dependency shows.
    pub(crate) asked_for: BTreeMap<String, String>,
    pub(crate) hardware: Vec<String>,
    pub(crate) without_watchdog: Vec<String>,
}

/// Packages of the tools tree.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tools {
    pub(crate) suite: String,
    pub(crate) builder: Vec<String>,
    pub(crate) lab: Vec<String>,
}

edge_model::document!(Recipe);
edge_model::document!(Tools);
edge_model::document!(KairosTable);

fn text(path: &str) -> Result<String> {
    let file = Images::get(path).ok_or_else(|| Error::internal(format!("images/{path} is not embedded")))?;
    String::from_utf8(file.data.into_owned())
        .map_err(|_| Error::internal(format!("images/{path} is not text")))
}

impl Recipe {
    /// # Errors
    /// [`edge_model::Class::Internal`] when the embedded recipe is damaged.
    pub(crate) fn load() -> Result<Self> {
        document::parse("images/appliance/recipe.yaml", &text("appliance/recipe.yaml")?)
            .context("the embedded recipe is damaged")
    }

    /// The packages by the names that a suite knows.
    pub(crate) fn packages_in(&self, suite: &str) -> impl Iterator<Item = &String> {
        let absent = self.absent.get(suite).map(Vec::as_slice).unwrap_or_default();
        self.packages.iter().filter(move |package| !absent.contains(package))
    }

    /// Files that the recipe adds to the root: path and content.
    pub(crate) fn files() -> Vec<(String, Vec<u8>)> {
        below("appliance/files/")
    }
}

/// Names everything here that shapes an image.
pub(crate) fn identity() -> Digest {
    let files = ["appliance/", "cis/", "kairos/", "kubernetes/"].into_iter().flat_map(below);
    files.fold(Key::of("images-1"), |key, (path, content)| key.with(path.as_bytes()).with(&content)).digest()
}

/// Files that a Kairos base keeps its contract with: path and content.
pub(crate) fn kairos_files() -> Vec<(String, Vec<u8>)> {
    below("kairos/files/")
}

/// Files of an image whose Kubernetes is run by the agent: path and content.
pub(crate) fn kubernetes_files() -> Vec<(String, Vec<u8>)> {
    below("kubernetes/files/")
}

/// Files for `cis-hardening`: path and content.
pub(crate) fn cis_files() -> Vec<(String, Vec<u8>)> {
    below("cis/files/")
}

impl KairosTable {
    /// # Errors
    /// [`edge_model::Class::Internal`] when the table is not embedded.
    pub(crate) fn text() -> Result<String> {
        text("kairos/table.yaml")
    }

    /// # Errors
    /// [`edge_model::Class::Internal`] when the embedded table is damaged.
    pub(crate) fn load() -> Result<Self> {
        document::parse("images/kairos/table.yaml", &Self::text()?).context("the embedded table is damaged")
    }
}

/// Files of a new project: path and content.
pub(crate) fn project_files() -> Vec<(String, Vec<u8>)> {
    below("project/")
}

impl Tools {
    pub(crate) fn load() -> Result<Self> {
        document::parse("images/tools.yaml", &text("tools.yaml")?)
            .context("the embedded list of tools is damaged")
    }
}

fn below(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = Images::iter()
        .filter_map(|path| {
            let inner = path.strip_prefix(prefix)?.to_owned();
            Some((inner, Images::get(&path)?.data.into_owned()))
        })
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_embedded_can_be_read() {
        let recipe = Recipe::load().unwrap();
        assert!(!recipe.packages.iter().any(|package| package.starts_with("linux-image")));
        assert!(recipe.packages_in("trixie").any(|package| package == "systemd-resolved"));
        assert!(!recipe.packages_in("jammy").any(|package| package == "systemd-resolved"));
        assert!(Recipe::files().iter().any(|(path, _)| path == "usr/lib/edge/cos-layout.env"));
        let console = recipe.accounts.iter().find(|account| account.name == "edge-tui").unwrap();
        assert_eq!(console.id, edge_model::api::access::CONSOLE_UID);
        let page = recipe.accounts.iter().find(|account| account.name == "edge-local-ui").unwrap();
        assert_eq!(page.id, edge_model::api::access::LOCAL_UI_UID);
        assert!(!Tools::load().unwrap().builder.is_empty());
        let forge = project_files().into_iter().find(|(path, _)| path == "forge.yaml").unwrap().1;
        edge_model::forge::Forge::parse("forge.yaml", &String::from_utf8(forge).unwrap()).unwrap();
    }
}
