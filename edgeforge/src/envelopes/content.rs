//! What a medium carries beside the image: content bundles and a cluster definition.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use edge_model::{Context, Error, Result, paths};

use edge_planner::cluster::check;

use crate::component;
use crate::project::Project;

/// Larger bundles are split: some programs that read an ISO take no file of 4 GiB.
const PART_SIZE: u64 = 3_000_000_000;
/// Parts are numbered with two digits.
const MOST_PARTS: u64 = 100;

const ZSTD: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// A frame that a reader passes over; some programs begin an archive with one. Its lowest four bits vary.
const ZSTD_SKIPPABLE: [u8; 4] = 0x184D_2A50_u32.to_le_bytes();
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The content of a medium.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// Path on the medium and absolute path here, of files as they are before they are split.
    sources: Vec<(String, PathBuf)>,
    files: Vec<MediumFile>,
}

/// One file of the medium.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MediumFile {
    /// Relative to the root of the medium.
    pub(super) path: String,
    pub(super) source: PathBuf,
    /// First byte and number of bytes of a part; `None` for the whole source.
    pub(super) range: Option<(u64, u64)>,
}

impl Content {
    /// Finds and checks what the project names.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] naming the file that is missing or of another kind.
    pub(crate) fn find(project: &Project) -> Result<Self> {
        let mut content = Self::default();
        for named in &project.forge.content {
            for bundle in bundles(&project.directory.join(named))? {
                content.add_bundle(bundle)?;
            }
        }
        if let Some(named) = &project.forge.cluster_definition {
            let source = existing(&project.directory.join(named), "cluster-definition")?;
            let path = cluster_definition(project, named, &source)?;
            content.add(path.into(), source, None);
        }
        content.check_names()?;
        Ok(content)
    }

    fn add_bundle(&mut self, source: PathBuf) -> Result<()> {
        check_kind(&source, "a zstd archive", |start| {
            let skippable =
                start.len() == 4 && start[0] & 0xf0 == ZSTD_SKIPPABLE[0] && start[1..] == ZSTD_SKIPPABLE[1..];
            skippable || start.starts_with(&ZSTD)
        })?;
        let name = source.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        check_bundle_name(name)?;
        let path = format!("{}/{name}", paths::MEDIUM_CONTENT);
        let size = size_of(&source)?;
        let parts = split(size).ok_or_else(|| {
            Error::invalid(format!("content: {} is too large: {size} bytes", source.display()))
                .help(format!("the limit is {} bytes", MOST_PARTS * PART_SIZE))
        })?;
        match parts[..] {
            [_] => self.add(path, source, None),
            _ => {
                self.sources.push((path.clone(), source.clone()));
                for (number, range) in parts.into_iter().enumerate() {
                    let path = format!("{path}_part{number:02}");
                    self.files.push(MediumFile { path, source: source.clone(), range: Some(range) });
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, source: PathBuf, range: Option<(u64, u64)>) {
        self.sources.push((path.clone(), source.clone()));
        self.files.push(MediumFile { path, source, range });
    }

    fn check_names(&self) -> Result<()> {
        let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
        for (path, source) in &self.sources {
            if let Some(first) = seen.insert(path, source) {
                return Err(Error::invalid(format!(
                    "content: {} and {} have the same name",
                    first.display(),
                    source.display()
                )));
            }
        }
        Ok(())
    }

    pub(super) fn files(&self) -> &[MediumFile] {
        &self.files
    }

    /// Path on the medium and path here, of whole files.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, &PathBuf)> {
        self.sources.iter().map(|(path, source)| (path.as_str(), source))
    }

    /// The source of what is at a path of the medium.
    pub(super) fn source_of(&self, path: &str) -> Option<&Path> {
        self.sources.iter().find(|(on_medium, _)| on_medium == path).map(|(_, source)| source.as_path())
    }

    /// Folders that hold the sources.
    pub(super) fn folders(&self) -> BTreeSet<&Path> {
        self.sources.iter().filter_map(|(_, source)| source.parent()).collect()
    }
}

/// Where a cluster definition goes: Palette's export as it is, and a document of ours when it is right and fits the image.
fn cluster_definition(project: &Project, name: &str, source: &Path) -> Result<&'static str> {
    if starts_with(source, &GZIP)? {
        return Ok(paths::MEDIUM_CLUSTER_DEFINITION);
    }
    let text = edge_host::files::read_text(source)?;
    let definition = check::parse(name, &text).context("cluster-definition is wrong")?;
    let Some((kind, component)) = project.forge.kubernetes.as_ref().and_then(component::chosen) else {
        return Err(Error::invalid("cluster-definition: the image has no Kubernetes to make a cluster with")
            .help("add kubernetes: {kubeadm: …} to forge.yaml"));
    };
    let wanted = definition.distribution.map_or(kind, |distribution| distribution.name());
    let version = format!("v{}", component.version.trim_start_matches('v'));
    if wanted != kind || definition.exact_version().is_some_and(|wanted| wanted != version) {
        return Err(Error::invalid(format!(
            "cluster-definition: {name} wants {wanted} {}, and the image has {kind} {version}",
            definition.exact_version().unwrap_or_default()
        ))
        .help("write `version: image`"));
    }
    Ok(paths::MEDIUM_CLUSTER)
}

fn starts_with(path: &Path, magic: &[u8]) -> Result<bool> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(magic.len() as u64).read_to_end(&mut start))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(start == magic)
}

/// Bytes of a file.
pub(super) fn size_of(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?.len())
}

/// A bundle, or all bundles of a folder.
fn bundles(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![existing(path, "content")?]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", path.display()))?.path();
        if entry.extension().is_some_and(|extension| extension == "zst") {
            found.push(existing(&entry, "content")?);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Error::invalid(format!("content: {} holds no bundle", path.display()))
            .help("a bundle's name ends with .zst"));
    }
    Ok(found)
}

/// The absolute path of a file that must be there.
fn existing(path: &Path, key: &str) -> Result<PathBuf> {
    let absolute = path
        .canonicalize()
        .map_err(|error| Error::invalid(format!("{key}: cannot open {}: {error}", path.display())))?;
    if absolute.is_file() {
        return Ok(absolute);
    }
    Err(Error::invalid(format!("{key}: {} is not a file", path.display())))
}

fn check_kind(path: &Path, kind: &str, is_kind: impl FnOnce(&[u8]) -> bool) -> Result<()> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(4).read_to_end(&mut start))
        .with_context(|| format!("cannot read {}", path.display()))?;
    if is_kind(&start) { Ok(()) } else { Err(Error::invalid(format!("{} is not {kind}", path.display()))) }
}

/// A name that every reader of the medium can handle, and that is taken for a bundle.
fn check_bundle_name(name: &str) -> Result<()> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.+".contains(character);
    if name.chars().all(plain) && name.len() <= 200 && name.ends_with(".zst") {
        return Ok(());
    }
    Err(Error::invalid(format!("content: {name:?} cannot be the name of a bundle"))
        .help("use letters, digits and any of -_.+ and end the name with .zst"))
}

/// First byte and number of bytes of each part; `None` when there would be too many.
fn split(size: u64) -> Option<Vec<(u64, u64)>> {
    let count = size.div_ceil(PART_SIZE).max(1);
    (count <= MOST_PARTS).then(|| {
        (0..count)
            .map(|number| number * PART_SIZE)
            .map(|start| (start, PART_SIZE.min(size - start)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_follow_each_other_and_are_the_whole(size in 0..2 * MOST_PARTS * PART_SIZE) {
            match split(size) {
                Some(parts) => {
                    let end = parts.iter().try_fold(0, |at, (start, length)| {
                        (*start == at && *length <= PART_SIZE).then_some(at + length)
                    });
                    prop_assert_eq!(end, Some(size));
                }
                None => prop_assert!(size > MOST_PARTS * PART_SIZE),
            }
        }
    }

    fn project(folder: &Path, keys: &str) -> Project {
        fs::write(folder.join("forge.yaml"), format!("name: shop\nversion: '1'\n{keys}")).unwrap();
        Project::load(folder).unwrap()
    }

    #[test]
    fn a_large_bundle_is_split_and_small_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let bundles = folder.path().join("content-1");
        fs::create_dir(&bundles).unwrap();
        for (name, size) in [("small.tar.zst", 10), ("large.zst", 2 * PART_SIZE + 7)] {
            fs::write(bundles.join(name), ZSTD).unwrap();
            fs::OpenOptions::new().write(true).open(bundles.join(name)).unwrap().set_len(size).unwrap();
        }
        fs::write(folder.path().join("definition.tgz"), GZIP).unwrap();
        let keys = "content: [content-1]\ncluster-definition: definition.tgz\n";
        let content = Content::find(&project(folder.path(), keys)).unwrap();
        let found: Vec<_> = content.files().iter().map(|file| (file.path.as_str(), file.range)).collect();
        let bundle = "opt/spectrocloud/content/large.zst";
        assert_eq!(
            found,
            [
                (format!("{bundle}_part00").as_str(), Some((0, PART_SIZE))),
                (&format!("{bundle}_part01"), Some((PART_SIZE, PART_SIZE))),
                (&format!("{bundle}_part02"), Some((2 * PART_SIZE, 7))),
                ("opt/spectrocloud/content/small.tar.zst", None),
                ("opt/spectrocloud/clusterconfig/spc.tgz", None),
            ]
        );
    }

    #[test]
    fn what_is_no_bundle_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        put("text.zst", b"text");
        put("with space.zst", &ZSTD);
        put("archive.tar", &ZSTD);
        put("empty/readme", b"");
        put("cluster.yaml", b"kind: Cluster\nname: shop\nversion: v1.36.0\n");
        put("a/same.zst", &ZSTD);
        put("b/same.zst", &ZSTD);
        for (keys, reason) in [
            ("content: [gone.zst]", "gone.zst"),
            ("content: [text.zst]", "not a zstd archive"),
            ("content: [with space.zst]", "with space.zst"),
            ("content: [archive.tar]", "archive.tar"),
            ("content: [empty]", "holds no bundle"),
            ("content: [a, b/same.zst]", "the same name"),
            ("cluster-definition: text.zst", "cluster-definition is wrong"),
            ("cluster-definition: cluster.yaml", "no Kubernetes"),
            (
                "cluster-definition: cluster.yaml\nkubernetes: {kubeadm: {version: '1.37.2', file: k.tar}}",
                "v1.36.0",
            ),
            ("cluster-definition: empty", "not a file"),
        ] {
            let error = Content::find(&project(folder.path(), keys)).unwrap_err().to_string();
            assert!(error.contains(reason), "{keys}: {error}");
        }
        put("plain.yaml", b"name: shop\n");
        let keys = "cluster-definition: plain.yaml\nkubernetes: {kubeadm: {version: v1.37.2, file: k.tar}}";
        let content = Content::find(&project(folder.path(), keys)).unwrap();
        assert_eq!(content.files()[0].path, "edge/cluster.yaml");
        put("a/skippable.zst", &0x184D_2A5F_u32.to_le_bytes());
        assert!(Content::find(&project(folder.path(), "content: [a]")).is_ok());
    }
}
