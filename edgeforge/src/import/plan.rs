//! What a CanvOS checkout becomes, decided from plain data: the text of `forge.yaml`, files, and what changed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use edge_model::document::{Severity, tree};
use edge_model::forge::{Forge, Source};
use edge_model::{Context, Error, Result, paths};
use edge_planner::configuration::{self, Form};
use serde::Serialize;

use super::folder::CanvosFolder;
use super::local_ui;
use super::variants::{Variant, Variants, image_version, usual_name};
use crate::project::{PRIVATE_KEY, PUBLIC_KEY};

/// A project made from a checkout.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) forge: Forge,
    pub(crate) forge_text: String,
    /// Answers for the installer, unless the folder has some.
    pub(crate) unattended: Option<String>,
    /// Files of the project beside these, in order.
    pub(crate) files: Vec<PlannedFile>,
    pub(crate) changes: Vec<Change>,
    /// Keys of `.arg` that nothing acts on.
    pub(crate) warning: Option<String>,
}

/// A file of the project, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PlannedFile {
    pub(crate) path: String,
    pub(crate) from: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// A file of the checkout.
    Folder(String),
    /// All of `local-ui.tar` is unpacked; this is one of its files.
    LocalUi(String),
}

impl PlannedFile {
    /// Whether the checkout has it in its place already.
    pub(crate) fn stays(&self) -> bool {
        matches!(&self.from, Origin::Folder(path) if *path == self.path)
    }
}

/// One line of what changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// What it is in the checkout.
    pub(crate) from: String,
    pub(crate) to: String,
    /// Somebody has to do or decide something.
    pub(crate) attention: bool,
}

impl std::fmt::Display for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = if self.attention { "! " } else { "  " };
        write!(formatter, "{mark}{} → {}", self.from, self.to)
    }
}

/// Files of a medium that the build writes itself.
const RESERVED_ON_MEDIUM: [&str; 3] = [paths::MEDIUM_USER_DATA, paths::MEDIUM_UNATTENDED, "edge"];

/// Plans the project for one of the images that the checkout makes.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] when the checkout asks for what cannot be built.
pub(crate) fn plan(folder: &CanvosFolder, variants: &Variants, variant: &Variant) -> Result<Plan> {
    let mut planner =
        Planner { folder, variant, text: String::new(), files: BTreeMap::new(), changes: Vec::new() };
    planner.identity();
    planner.base()?;
    planner.packages();
    planner.kernel_arguments();
    planner.hardening();
    planner.kubernetes(variants);
    planner.content();
    planner.overlay();
    planner.medium_overlay();
    planner.certificates();
    planner.signing_key();
    planner.local_ui();
    planner.user_data();
    let unattended = planner.answers();
    planner.keys();
    let Planner { text, files, changes, .. } = planner;
    check_places(&files)?;
    let files = files.into_iter().map(|(path, from)| PlannedFile { path, from }).collect();
    let forge_text = format!("{HEADER}\n{text}");
    let forge = Forge::parse("forge.yaml", &forge_text).context("this folder cannot become a project")?;
    Ok(Plan { forge, forge_text, unattended, files, changes, warning: folder.arguments.warning() })
}

const HEADER: &str =
    "# Made by `edgeforge import` from a CanvOS folder. What the keys mean: docs/build.md.\n";
const KEYS: &str = "keys";

/// Nothing may be written through a link of the overlay.
fn check_places(files: &BTreeMap<String, Origin>) -> Result<()> {
    for path in files.keys() {
        let parents = Path::new(path).ancestors().skip(1).filter_map(Path::to_str);
        if let Some(parent) = parents.into_iter().find(|parent| files.contains_key(*parent)) {
            let message = format!("{path} lies below {parent}, which is no folder");
            return Err(Error::invalid(message).help("rename one of them"));
        }
    }
    Ok(())
}

struct Planner<'a> {
    folder: &'a CanvosFolder,
    variant: &'a Variant,
    text: String,
    /// By path: what is planned later wins, as in CanvOS.
    files: BTreeMap<String, Origin>,
    changes: Vec<Change>,
}

impl Planner<'_> {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn changed(&mut self, from: impl Into<String>, to: impl Into<String>) {
        self.changes.push(Change { from: from.into(), to: to.into(), attention: false });
    }

    fn attention(&mut self, from: impl Into<String>, to: impl Into<String>) {
        self.changes.push(Change { from: from.into(), to: to.into(), attention: true });
    }

    fn keep(&mut self, path: &str) {
        self.files.insert(path.to_owned(), Origin::Folder(path.to_owned()));
    }

    fn list(&mut self, key: &str, items: &[String]) {
        if !items.is_empty() {
            self.line(format!("{key}:"));
            items.iter().for_each(|item| self.line(format!("  - {}", quoted(item))));
        }
    }

    fn identity(&mut self) {
        let given = self.folder.arguments.iso_name();
        let name = image_name(given);
        let version = image_version(self.folder, self.variant);
        self.line(format!("name: {}", quoted(&name)));
        self.line(format!("version: {}", quoted(&version)));
        let rule = if name == given {
            ""
        } else {
            ", as names of images have lower-case letters, digits and hyphens"
        };
        self.changed("ISO_NAME", format!("name: {name}{rule}. The ISO is build/{name}-{version}-amd64.iso"));
        self.changed("the tag", format!("version: {version}"));
    }

    fn base(&mut self) -> Result<()> {
        let base = self.folder.arguments.base()?;
        self.line(format!("base: {}", quoted(&base.to_string())));
        let keys = match base {
            Source::Registry(_) => "BASE_IMAGE",
            _ => "OS_DISTRIBUTION, OS_VERSION",
        };
        self.changed(keys, format!("base: {base}"));
        Ok(())
    }

    fn packages(&mut self) {
        let dockerfile = &self.folder.dockerfile;
        if dockerfile.removed.is_empty() {
            self.list("packages", &dockerfile.added);
        } else {
            self.line("packages:");
            self.list("  add", &dockerfile.added);
            self.list("  remove", &dockerfile.removed);
        }
        let names = |packages: &[String]| packages.join(", ");
        if !dockerfile.added.is_empty() {
            self.changed("Dockerfile", format!("packages: {}", names(&dockerfile.added)));
        }
        if !dockerfile.removed.is_empty() {
            self.changed("Dockerfile", format!("packages.remove: {}", names(&dockerfile.removed)));
        }
        for (line, instruction) in &dockerfile.other {
            let advice = "write it as `run`, `files` or `users`, or give the image that the Dockerfile makes as `base`";
            self.attention(format!("Dockerfile:{line}"), format!("not done: {instruction} ({advice})"));
        }
    }

    fn kernel_arguments(&mut self) {
        let words = self.folder.arguments.kernel_arguments();
        self.list("kernel-arguments", &words);
        if !words.is_empty() {
            self.changed("CMDLINE", format!("kernel-arguments: {}", words.join(" ")));
        }
    }

    fn hardening(&mut self) {
        if self.folder.arguments.cis_hardening() {
            self.line("cis-hardening: true");
            self.changed("CIS_HARDENING", "cis-hardening: true");
        }
    }

    fn kubernetes(&mut self, variants: &Variants) {
        let (name, asked) = (self.variant.distribution.name(), &variants.without_file);
        let keys = "K8S_DISTRIBUTION, K8S_VERSION";
        let Some(kubernetes) = &self.variant.kubernetes else {
            let version = asked.last().map_or("VERSION", String::as_str);
            let file = usual_name(self.variant.distribution, version);
            let whole = self.folder.arguments.component_version(self.variant.distribution, version);
            let _ = write!(
                self.text,
                "\n# Kubernetes: put the file into this folder and take the # away. Without it the image has none.\n\
                 # kubernetes:\n#   {name}: {{version: {}, file: {}}}\n\n",
                quoted(&whole),
                quoted(&file)
            );
            let to =
                format!("the image has no Kubernetes, as CanvOS' files name no address of it: give {file}");
            return self.attention(keys, to);
        };
        let version = self.folder.arguments.component_version(self.variant.distribution, &kubernetes.version);
        let file = kubernetes.file.clone();
        self.line("kubernetes:");
        self.line(format!("  {name}: {{version: {}, file: {}}}", quoted(&version), quoted(&file)));
        self.keep(&file);
        self.changed(keys, format!("kubernetes.{name}: {version} from {file}"));
        if !asked.is_empty() {
            let to = format!(
                "not built, as there is no file like {}: {}",
                usual_name(self.variant.distribution, &asked[0]),
                asked.join(", ")
            );
            self.attention("K8S_VERSION", to);
        }
    }

    fn content(&mut self) {
        let is_bundle =
            |path: &&String| path.starts_with("content-") && path.contains('/') && path.ends_with(".zst");
        let bundles: Vec<String> = self.folder.files.iter().filter(is_bundle).cloned().collect();
        self.list("content", &bundles);
        for bundle in &bundles {
            self.keep(bundle);
            self.changed(bundle.as_str(), "content: goes to the medium");
        }
        let definition = self.folder.arguments.cluster_definition();
        if self.folder.files.contains(definition) {
            self.line(format!("cluster-definition: {}", quoted(definition)));
            self.keep(definition);
            self.changed("CLUSTERCONFIG", format!("cluster-definition: {definition} goes to the medium"));
        }
    }

    fn overlay(&mut self) {
        let (image, installer): (Vec<&str>, Vec<&str>) =
            self.folder.below("overlay/files").partition(|path| path.starts_with("etc/"));
        for path in image.iter().chain(&installer) {
            self.keep(&format!("overlay/files/{path}"));
        }
        if !image.is_empty() {
            self.changed("overlay/files/etc", format!("the image, as in CanvOS ({})", count(image.len())));
        }
        for path in installer {
            let to =
                "the image too: installer and host run the same one, CanvOS puts it into the installer only";
            self.changed(format!("overlay/files/{path}"), to);
        }
    }

    fn medium_overlay(&mut self) {
        for path in self.folder.below("overlay/files-iso") {
            let from = format!("overlay/files-iso/{path}");
            let first = path.split('/').next().unwrap_or(path);
            if RESERVED_ON_MEDIUM.contains(&first) {
                self.attention(from, "left out: the build writes this file of the medium itself");
                continue;
            }
            self.keep(&from);
            match path {
                "config.yaml" => self.attention(from, "nothing reads it: user data is the file user-data"),
                path if path.starts_with("boot/grub") => {
                    self.changed(from, "kept on the medium, and nothing reads it: there is no GRUB");
                }
                _ => self.changed(from, "the medium, as in CanvOS"),
            }
        }
    }

    fn certificates(&mut self) {
        let is_certificate =
            |path: &&str| !path.contains('/') && (path.ends_with(".pem") || path.ends_with(".crt"));
        let (certificates, others): (Vec<&str>, Vec<&str>) =
            self.folder.below("certs").partition(is_certificate);
        for path in certificates {
            self.keep(&format!("certs/{path}"));
            self.changed(format!("certs/{path}"), "trusted by the image");
        }
        let is_page = |path: &&str| path.starts_with('.') || path.starts_with("README");
        for path in others.into_iter().filter(|path| !is_page(path)) {
            self.attention(
                format!("certs/{path}"),
                "left out: certificates lie in certs/ itself, with names that end in .pem or .crt",
            );
        }
    }

    fn signing_key(&mut self) {
        let file = self.folder.arguments.edge_custom_config();
        if self.folder.files.contains(file) {
            let path = format!("overlay/files{}", paths::IMAGE_CUSTOM_CONFIG);
            self.files.insert(path, Origin::Folder(file.to_owned()));
            let on_the_medium = format!("overlay/files-iso/{}", paths::MEDIUM_EDGE_CUSTOM_CONFIG);
            self.files.insert(on_the_medium, Origin::Folder(file.to_owned()));
            let to = format!(
                "{} in the image, /{} on the medium; signatures of content are not checked yet",
                paths::IMAGE_CUSTOM_CONFIG,
                paths::MEDIUM_EDGE_CUSTOM_CONFIG
            );
            self.changed(file, to);
        }
    }

    fn local_ui(&mut self) {
        for path in &self.folder.local_ui {
            let place = format!("overlay/files/{}/{path}", local_ui::PLACE);
            self.files.insert(place, Origin::LocalUi(path.clone()));
        }
        if !self.folder.local_ui.is_empty() {
            let count = count(self.folder.local_ui.len());
            let to = format!("/{} in the image ({count}); nothing of ours reads it yet", local_ui::PLACE);
            self.changed(local_ui::FILE, to);
        }
    }

    fn keys(&mut self) {
        let pair = [PRIVATE_KEY, PUBLIC_KEY].map(|name| format!("{KEYS}/{name}"));
        let pair: Vec<String> = pair.into_iter().filter(|path| self.folder.files.contains(path)).collect();
        if pair.iter().any(|path| path.ends_with(PRIVATE_KEY)) {
            self.line(format!("keys: {KEYS}"));
            pair.iter().for_each(|path| self.keep(path));
            return self.changed(KEYS, "keys: sign the image");
        }
        self.line("\n# Folder with the key pair that signs the image; make one with `edgeforge keys generate keys`.");
        self.line("# Without it the image is unsigned, and hosts accept it only where their configuration allows that.");
        self.line(format!("# keys: {KEYS}"));
    }

    fn user_data(&mut self) {
        let Some(text) = &self.folder.user_data else { return };
        self.keep("user-data");
        self.changed("user-data", "kept as it is");
        for problem in configuration::examine(Form::UserData, "user-data", text, None) {
            if problem.severity == Severity::Error {
                self.attention("user-data", format!("must be mended before a build: {problem}"));
            }
        }
    }

    /// CanvOS' medium installs by itself and stays on its last screen; ours does what the answers say.
    fn answers(&mut self) -> Option<String> {
        if self.folder.has_answers {
            self.keep("unattended.yaml");
            self.changed("unattended.yaml", "kept as it is");
            return None;
        }
        let says = |path: &str| {
            let node = tree::read("user-data", self.folder.user_data.as_deref().unwrap_or_default()).ok();
            node.is_some_and(|node| node.find(path).and_then(|node| node.scalar()) == Some("true"))
        };
        let header =
            "# Made by `edgeforge import` from a CanvOS folder. What the keys mean: docs/unattended.md.\n";
        let key = "FORCE_INTERACTIVE_INSTALL";
        if self.folder.arguments.interactive() {
            if says("install.auto") {
                self.attention(
                    key,
                    "user-data says install.auto, so the medium installs without asking: remove one of them",
                );
            } else {
                self.changed(key, "unattended.yaml has no `install`: the medium asks");
            }
            return Some(format!(
                "{header}# Without a section `install` the medium asks.\ninteractive: ask\n"
            ));
        }
        let ends = says("install.reboot") || says("install.poweroff");
        let (install, end) = if ends {
            ("install: {}\n", "restarts or switches off as user-data says")
        } else {
            (
                "install:\n  after: nothing\n",
                "stays on its last screen, as user-data says neither reboot nor poweroff",
            )
        };
        let wipe = "a disk that holds data is refused unless `install.wipe` allows it";
        self.changed(key, format!("unattended.yaml: the medium installs by itself and {end}; {wipe}"));
        Some(format!("{header}{install}"))
    }
}

fn count(files: usize) -> String {
    if files == 1 { "1 file".into() } else { format!("{files} files") }
}

/// As YAML reads it back.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name that images can have.
fn image_name(given: &str) -> String {
    let lower = given.to_lowercase();
    let words: Vec<&str> = lower
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let name: String = words.join("-").chars().take(100).collect();
    if name.is_empty() { "installer".into() } else { name }
}
