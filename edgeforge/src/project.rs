//! A project folder: `forge.yaml`, the documents for the medium, overlays and keys.

use std::fs;
use std::path::{Path, PathBuf};

use edge_host::files;
use edge_model::forge::Forge;
use edge_model::{Context, Error, Result};
use edge_planner::configuration::Form;
use edge_slot_image::signing::{Signer, SigningKey, TrustedKey};

use crate::{documents, recipe};

pub(crate) const PRIVATE_KEY: &str = "image-signing.key";
pub(crate) const PUBLIC_KEY: &str = "image-signing.pub";
/// Characters of an image's name at most.
const LONGEST_NAME: usize = 40;
/// The line of the template that carries the name.
const NAME_OF_THE_TEMPLATE: &str = "name: edge-appliance\n";

/// A project whose documents have been read and checked.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) directory: PathBuf,
    pub(crate) forge: Forge,
    pub(crate) user_data: String,
    pub(crate) unattended: String,
    /// Files added to the root: path in the root and on this machine.
    pub(crate) overlay: Vec<(String, PathBuf)>,
    /// Files added to the root of the medium.
    pub(crate) medium_overlay: Vec<(String, PathBuf)>,
    pub(crate) signer: Option<Box<dyn Signer>>,
    /// Where the build puts its results.
    pub(crate) output: PathBuf,
    /// Holds files of the overlay that the folder itself does not have.
    pub(crate) generated: Option<tempfile::TempDir>,
}

impl Project {
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] naming the file and the place, before anything is built.
    pub(crate) fn load(directory: &Path) -> Result<Self> {
        let directory = directory
            .canonicalize()
            .with_context(|| format!("cannot open the project folder {}", directory.display()))?;
        let forge_path = directory.join("forge.yaml");
        if !forge_path.exists() {
            return Err(Error::invalid(format!(
                "{} is not a project: it has no forge.yaml",
                directory.display()
            ))
            .help("make one with `edgeforge init DIR`; a CanvOS folder has an .arg"));
        }
        let (forge, warnings) = Forge::parse_with_warnings("forge.yaml", &files::read_text(&forge_path)?)?;
        warnings.iter().for_each(|warning| eprintln!("{warning}"));
        let user_data = files::read_text_if_there(&directory.join("user-data"))?.unwrap_or_default();
        let unattended = files::read_text_if_there(&directory.join("unattended.yaml"))?.unwrap_or_default();
        Self::assemble(directory, forge, user_data, unattended)
    }

    /// A project from its documents and the other files of its folder.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn assemble(
        directory: PathBuf,
        forge: Forge,
        user_data: String,
        unattended: String,
    ) -> Result<Self> {
        documents::check(Form::UserData, "user-data", &user_data)?;
        documents::check(Form::Unattended, "unattended.yaml", &unattended)?;
        let keys = forge.keys.as_ref().map(|keys| load_key(&directory.join(keys))).transpose()?;
        Ok(Self {
            overlay: files_below(&directory.join("overlay/files"))?,
            medium_overlay: files_below(&directory.join("overlay/files-iso"))?,
            output: directory.join("build"),
            generated: None,
            directory,
            forge,
            user_data,
            unattended,
            signer: keys.map(|key| Box::new(key) as Box<dyn Signer>),
        })
    }

    /// Where the inputs are pinned. A folder that gives several images has a lock for each.
    pub(crate) fn lock(&self) -> PathBuf {
        self.directory.join(if self.generated.is_some() {
            format!("forge-{}.lock", self.forge.version)
        } else {
            "forge.lock".to_owned()
        })
    }

    pub(crate) fn trusted_key(&self) -> Option<TrustedKey> {
        self.signer.as_ref().map(|signer| signer.public())
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.output.clone()
    }
}

/// Only a key that is not there asks for a new one: who replaces one that cannot be read locks installed hosts out.
pub(crate) fn load_key(folder: &Path) -> Result<SigningKey> {
    let path = folder.join(PRIVATE_KEY);
    let text = files::read_text_if_there(&path)
        .map_err(|error| error.help("the user that builds must be allowed to read it"))?;
    let text = text.ok_or_else(|| {
        Error::invalid(format!("there is no key {}", path.display())).help(format!(
            "make a key pair with `edgeforge keys generate {}`, or remove `keys` from forge.yaml",
            folder.display()
        ))
    })?;
    SigningKey::parse(&text).with_context(|| format!("{} cannot be used", path.display()))
}

/// All regular files and links below a folder, sorted. A folder that does not exist is empty.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(current) = open.pop() {
        let entries = match fs::read_dir(&current) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && current == folder => {
                return Ok(found);
            }
            Err(error) => return Err(error).with_context(|| format!("cannot list {}", current.display())),
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", current.display()))?;
            if entry.file_type().with_context(|| format!("cannot list {}", current.display()))?.is_dir() {
                open.push(entry.path());
                continue;
            }
            let inner = entry.path();
            let inner = inner.strip_prefix(folder).unwrap_or(&inner).to_str();
            let inner = inner.ok_or_else(|| {
                Error::invalid(format!("{} has a name that is not UTF-8", entry.path().display()))
            })?;
            found.push((inner.to_owned(), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Writes a new project that builds as it is, and gives its name: that of the folder, as far as images may be called so.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when the folder holds anything already.
pub(crate) fn scaffold(directory: &Path) -> Result<String> {
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(
            Error::rejected(format!("{} is not empty", directory.display())).help("give a new folder")
        );
    }
    for folder in ["overlay/files", "overlay/files-iso"] {
        let folder = directory.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let whole = directory.canonicalize().with_context(|| format!("cannot open {}", directory.display()))?;
    let name = name_of(&whole);
    for (path, mut content) in recipe::project_files() {
        if path == "forge.yaml" {
            let text = String::from_utf8_lossy(&content);
            content = text.replacen(NAME_OF_THE_TEMPLATE, &format!("name: {name}\n"), 1).into_bytes();
        }
        let path = directory.join(path);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(name)
}

/// Lower-case letters, digits and hyphens, as `name` of `forge.yaml` wants it.
fn name_of(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let allowed =
        |other: char| if other.is_ascii_lowercase() || other.is_ascii_digit() { other } else { '-' };
    let name: String = name.chars().map(allowed).collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-").chars().take(LONGEST_NAME).collect();
    let name = name.trim_end_matches('-');
    if name.is_empty() { "edge-appliance".into() } else { name.into() }
}

/// A new key pair.
#[derive(Debug, serde::Serialize)]
pub(crate) struct KeyPair {
    pub(crate) private: PathBuf,
    pub(crate) public: PathBuf,
}

/// Makes a key pair in a folder.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when there is one already: hosts in the field depend on it.
pub(crate) fn generate_keys(folder: &Path) -> Result<KeyPair> {
    let (private, public) = (folder.join(PRIVATE_KEY), folder.join(PUBLIC_KEY));
    for path in [&private, &public] {
        if path.exists() {
            return Err(Error::rejected(format!("{} exists; installed hosts may trust it", path.display()))
                .help("give another folder for a new pair"));
        }
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let (key, text) = SigningKey::generate()?;
    files::write_durably(&private, text.as_bytes(), 0o600)?;
    files::write_durably(&public, key.public().to_text().as_bytes(), 0o644)?;
    Ok(KeyPair { private, public })
}

/// What `keys` in the `forge.yaml` beside a folder of keys says.
pub(crate) fn keys_as_seen(folder: &Path) -> String {
    folder
        .file_name()
        .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_project_loads_and_a_wrong_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("any name");
        assert_eq!(scaffold(&directory).unwrap(), "any-name");
        let project = Project::load(&directory).unwrap();
        assert_eq!(project.forge.name, "any-name");
        assert!(project.signer.is_none());
        assert!(scaffold(&directory).is_err());
        fs::write(directory.join("unattended.yaml"), "instal: {}\n").unwrap();
        let error = Project::load(&directory).unwrap_err().to_string();
        assert!(error.contains("unattended.yaml") && error.contains("instal"), "{error}");
    }

    #[test]
    fn only_a_missing_key_asks_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let help = |error: Error| error.help.unwrap();
        assert!(help(load_key(folder.path()).unwrap_err()).contains("keys generate"));
        // A folder in its place cannot be read, not even by root.
        fs::create_dir(folder.path().join(PRIVATE_KEY)).unwrap();
        assert!(!help(load_key(folder.path()).unwrap_err()).contains("keys generate"));
    }

    #[test]
    fn folders_of_any_name_give_names_of_images() {
        for (folder, name) in [
            ("/x/shop", "shop"),
            ("/x/Café 7", "caf-7"),
            ("/x/__", "edge-appliance"),
            ("/", "edge-appliance"),
        ] {
            assert_eq!(name_of(Path::new(folder)), name);
        }
    }

    #[test]
    fn keys_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        generate_keys(folder.path()).unwrap();
        assert!(generate_keys(folder.path()).is_err());
    }
}
