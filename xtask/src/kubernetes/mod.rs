//! A Kubernetes for tests and the demo: upstream's own programs, compiled from Go modules that `xtask/kubernetes` pins, or
//! given by a person, and the container images that a cluster does not start without. One archive, as
//! `kubernetes: {kubeadm: {file: …}}` of `forge.yaml` takes it.

mod images;
mod programs;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use edge_model::ids::to_hex;
use edge_model::{Context, Error, Result};
use edge_slot_image::Hasher;

use crate::root;
use programs::Programs;

/// Files that a person gives instead: an archive of the component, or a folder of programs.
const GIVEN: &str = "KUBE_COMPONENT";
/// Pinned modules.
const SOURCES: &str = "xtask/kubernetes";
/// The same for the release before: a person's archive or folder.
const GIVEN_BEFORE: &str = "KUBE_COMPONENT_BEFORE";
/// Changes when the same programs give another archive.
const RECIPE: &str = "component-3";

/// Two minor releases that follow each other, each with the etcd of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    Current,
    Before,
}

impl Release {
    fn given(self) -> Option<PathBuf> {
        let variable = match self {
            Release::Current => GIVEN,
            Release::Before => GIVEN_BEFORE,
        };
        std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
    }
}

/// A component that is there.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    pub(crate) archive: PathBuf,
    /// With `v`.
    pub(crate) version: String,
}

/// Makes the component, or finds it in the cache, and says where it is.
///
/// # Errors
/// When something is missing, or a program does not compile.
pub(crate) fn command(release: Release) -> Result<()> {
    let component = prepare(release)?;
    println!("{}", component.archive.display());
    Ok(())
}

/// Why the component cannot be made on this machine, if it cannot.
pub(crate) fn missing(release: Release) -> Option<String> {
    release.given().is_none().then(|| programs::compiler().err().map(|error| error.to_string()))?
}

/// Whether nothing has to be compiled.
pub(crate) fn is_here(release: Release) -> bool {
    release.given().is_some()
        || compiled_folder(release).and_then(|folder| kept(&folder)).is_ok_and(|kept| kept.is_some())
}

/// Where the component of this machine's compiler is kept.
fn compiled_folder(release: Release) -> Result<PathBuf> {
    let compiler = programs::compiler()?;
    cache_folder(&key(&[RECIPE.as_bytes(), compiler.as_bytes()], release, &root().join(SOURCES), &page()?)?)
}

/// containerd's own client, which no image carries: `xtask bench` imports images with it.
///
/// # Errors
/// When it does not compile.
pub(crate) fn compile_ctr(output: &Path) -> Result<()> {
    programs::compile_ctr(&root().join(SOURCES), output)
}

/// The component of this machine: given, from the cache, or made now.
///
/// # Errors
/// As [`command`].
pub(crate) fn prepare(release: Release) -> Result<Component> {
    // Of its tools trees comes what the proxy's image has beside the proxy.
    crate::packages::for_builder()?;
    if let Some(path) = release.given() {
        let path =
            path.canonicalize().with_context(|| format!("a component: cannot open {}", path.display()))?;
        return if path.is_dir() { of_folder(&path, release) } else { of_archive(path) };
    }
    let folder = compiled_folder(release)?;
    if let Some(component) = kept(&folder)? {
        return Ok(component);
    }
    eprintln!("compiling Kubernetes from Go modules: about 25 processor minutes, once on this machine...");
    let started = Instant::now();
    let objects = folder.join("objects");
    let programs = Programs::compile(release, &root().join(SOURCES), &objects, &folder.join("bin"))?;
    let component = pack(&programs, &folder)?;
    // Gigabytes that nothing needs any more: the archive is what is kept.
    fs::remove_dir_all(&objects).context("cannot remove what the compiler kept")?;
    eprintln!("Kubernetes {}: {} s", component.version, started.elapsed().as_secs());
    Ok(component)
}

/// Programs that a person brought, upstream's own for example.
fn of_folder(given: &Path, release: Release) -> Result<Component> {
    let folder = cache_folder(&key(&[RECIPE.as_bytes()], release, given, &page()?)?)?;
    match kept(&folder)? {
        Some(component) => Ok(component),
        None => pack(&Programs::find(given, &root().join(SOURCES), &folder.join("bin"))?, &folder),
    }
}

/// `kubernetes-v1.37.2-amd64.tar`; its name tells the version.
fn of_archive(archive: PathBuf) -> Result<Component> {
    let name = archive.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let version = name.split('-').find(|part| edge_model::document::format::is_kubernetes_version(part));
    let version = version
        .map(str::to_owned)
        .ok_or_else(|| Error::invalid(format!("{GIVEN}: the name {name:?} does not tell the version")))
        .map_err(|error| error.help("name it like kubernetes-v1.37.2-amd64.tar"))?;
    Ok(Component { archive, version })
}

fn kept(folder: &Path) -> Result<Option<Component>> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?.flatten()
    {
        if entry.path().extension().is_some_and(|extension| extension == "tar") {
            return of_archive(entry.path()).map(Some);
        }
    }
    Ok(None)
}

fn pack(programs: &Programs, folder: &Path) -> Result<Component> {
    let version = programs.kubernetes_version()?;
    let archive = folder.join(format!("kubernetes-{version}-amd64.tar"));
    images::write(programs, &page()?, &archive)?;
    // The archive has them all.
    fs::remove_dir_all(folder.join("bin")).context("cannot remove programs that are packed")?;
    Ok(Component { archive, version })
}

/// The program of the page that pods of tests and demo serve; [`crate::build::build`] has made it.
fn page() -> Result<PathBuf> {
    let page = crate::build::program("edge-page", false);
    if page.exists() { Ok(page) } else { Err(Error::environment("edge-page is missing").help("make build")) }
}

/// Names everything that the archive is made of.
fn key(words: &[&[u8]], release: Release, sources: &Path, page: &Path) -> Result<String> {
    let mut hasher = Hasher::default();
    let mut files = vec![page.to_owned()];
    let mut folders = vec![sources.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry.context("cannot list sources")?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    // What only the other release is made of changes nothing of this one.
    files.retain(|file| release == Release::Before || !programs::is_of_before(file));
    files.sort();
    words.iter().for_each(|word| hasher.update(word));
    for file in files {
        let name = file.strip_prefix(sources).unwrap_or(Path::new("page"));
        hasher.update(name.as_os_str().as_encoded_bytes());
        hasher.update(&edge_host::files::digest(&file)?.0.0);
    }
    Ok(to_hex(&hasher.finish().0)[..24].to_owned())
}

/// Outside the checkout, so that a fresh clone finds it.
fn cache_folder(key: &str) -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || std::env::home_dir().unwrap_or_else(|| "/var/tmp".into()).join(".cache");
    let folder = base.unwrap_or_else(home).join("edgeforge-kubernetes").join(key);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}
