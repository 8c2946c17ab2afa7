//! Where content bundles are found: a file, a stick, or the medium of an installation. Large ones come in several files.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use edge_host::mount::ScopedMount;
use edge_host::{files, sticks};
use edge_model::content::BUNDLE_SUFFIX;
use edge_model::{Context, Error, Result, paths};
use edge_planner::content::{BundleFile, bundle_files};

/// Folders of a stick that are looked into.
const ON_STICKS: [&str; 3] = ["", "content", paths::MEDIUM_CONTENT];

/// A bundle that can be read.
#[derive(Debug, Clone)]
pub(super) struct BundleAt {
    /// As it is called when it does not say so itself.
    pub(super) title: String,
    /// Where it is, for people.
    pub(super) origin: String,
    pub(super) parts: Vec<PathBuf>,
    /// Compressed bytes.
    pub(super) size: u64,
}

impl BundleAt {
    fn new(folder: &Path, file: &BundleFile, origin: &str) -> Result<Self> {
        let parts: Vec<PathBuf> = file.parts.iter().map(|part| folder.join(part)).collect();
        let mut size = 0;
        for part in &parts {
            let found = fs::metadata(part).with_context(|| format!("cannot open {}", part.display()))?;
            // A pipe would be waited for without an end.
            if !found.is_file() {
                return Err(Error::invalid(format!("{} is not a file", part.display())));
            }
            size += found.len();
        }
        Ok(Self { title: file.title().to_owned(), origin: format!("{origin}{}", file.name), parts, size })
    }

    pub(super) fn open(&self) -> Parts {
        Parts { left: self.parts.clone(), current: None }
    }
}

/// All files of a bundle, one after the other.
#[derive(Debug)]
pub(super) struct Parts {
    left: Vec<PathBuf>,
    current: Option<File>,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if let Some(file) = &mut self.current {
                let length = file.read(buffer)?;
                if length > 0 || buffer.is_empty() {
                    return Ok(length);
                }
                self.current = None;
            }
            if self.left.is_empty() {
                return Ok(0);
            }
            let mut file = files::open_of_stranger(&self.left.remove(0)).map_err(std::io::Error::other)?;
            file.rewind()?;
            self.current = Some(file);
        }
    }
}

/// Bundles, and what has to stay mounted while they are read.
#[derive(Debug)]
pub(super) struct Found {
    bundles: Vec<BundleAt>,
    _mount: Option<ScopedMount>,
}

impl Found {
    pub(super) fn bundles(&self) -> &[BundleAt] {
        &self.bundles
    }
}

/// Opens `file:PATH` or `stick:`.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] for another form, and when there is no bundle.
pub(super) fn open(source: &str, own_disk: &str) -> Result<Found> {
    match source.split_once(':') {
        Some(("file", path)) => Ok(Found { bundles: vec![file(Path::new(path))?], _mount: None }),
        Some(("stick", "")) => stick(own_disk),
        _ => Err(Error::invalid(format!("{source:?} is not a source of content bundles"))
            .help("use file:PATH or stick:")),
    }
}

/// A bundle by the path of its file, or of its first part.
fn file(path: &Path) -> Result<BundleAt> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let wanted = name.rsplit_once("_part").map_or(name.as_str(), |(whole, _)| whole);
    if !wanted.ends_with(BUNDLE_SUFFIX) {
        return Err(Error::invalid(format!("{} is not a content bundle", path.display()))
            .help(format!("the name of a bundle ends with {BUNDLE_SUFFIX}")));
    }
    let is_part = |other: &String| *other == name || other.starts_with(&format!("{wanted}_part"));
    let names: Vec<String> = list(folder)?.into_iter().filter(is_part).collect();
    let found = bundle_files(&names)?;
    let none = || Error::invalid(format!("cannot open {}: there is no such file", path.display()));
    BundleAt::new(folder, found.first().ok_or_else(none)?, "")
}

fn stick(own_disk: &str) -> Result<Found> {
    let mut unread = Vec::new();
    for volume in sticks::removable(own_disk)? {
        let mount = match sticks::look_at(&volume) {
            Ok(mount) => mount,
            Err(error) => {
                unread.push(error.to_string());
                continue;
            }
        };
        let mut bundles = Vec::new();
        for folder in ON_STICKS {
            let folder = mount.path().join(folder);
            if folder.is_dir() {
                bundles.extend(of_folder(&folder, "USB stick: ")?);
            }
        }
        if !bundles.is_empty() {
            return Ok(Found { bundles, _mount: Some(mount) });
        }
    }
    let unread = if unread.is_empty() { String::new() } else { format!(" ({})", unread.join("; ")) };
    Err(Error::environment(format!("no stick holds a content bundle{unread}"))
        .help("copy NAME.tar.zst of edgeforge bundle build to a stick with FAT32, exFAT or ext4"))
}

/// The bundles of an installation medium.
///
/// # Errors
/// When a part of one is missing.
pub(super) fn in_folder(folder: &Path) -> Result<Vec<BundleAt>> {
    of_folder(folder, "installation medium: ")
}

fn of_folder(folder: &Path, origin: &str) -> Result<Vec<BundleAt>> {
    let found = bundle_files(&list(folder)?)?;
    found.iter().map(|file| BundleAt::new(folder, file, origin)).collect()
}

fn list(folder: &Path) -> Result<Vec<String>> {
    let context = || format!("cannot list {}", folder.display());
    let entries = fs::read_dir(folder).with_context(context)?;
    let names =
        entries.map(|entry| Ok(entry.with_context(context)?.file_name().to_string_lossy().into_owned()));
    names.collect()
}
