//! Everything that a build takes from outside its project, found, pinned and on this machine.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use edge_model::forge::{Base, Forge, Source};
use edge_model::ids::Digest;
use edge_model::{Class, Context, Error, Result};
use edge_slot_image::sha256;

use crate::adapt::{self, Origin, PackageDatabase};
use crate::apt::{Archives, Distribution, Installed, Lookup, Pinned, Pool, Request};
use crate::cache::Key;
use crate::envelopes::Content;
use crate::lock::{Lock, LockedBase, LockedComponent};
use crate::oci::{self, Contents, Endpoint, Image};
use crate::programs::Programs;
use crate::project::Project;
use crate::recipe::{self, KairosTable, Recipe};
use crate::tools::{self, Purpose};
use crate::tree::Tree;
use crate::{component, contents, inspect};

/// How inputs may be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// What the lock says, as long as the project asks for the same.
    Locked,
    /// The newest that there is.
    Newest,
}

/// Finds the inputs of one project.
pub(crate) struct Finder<'a> {
    pub(crate) project: &'a Project,
    /// What the project brings for its medium.
    pub(crate) content: &'a Content,
    pub(crate) recipe: &'a Recipe,
    pub(crate) programs: &'a Programs,
    pub(crate) lookup: &'a Lookup<'a>,
    pub(crate) freshness: Freshness,
}

/// What was found.
pub(crate) struct Inputs {
    pub(crate) base: FoundBase,
    /// Packages in files, to be added to the base.
    pub(crate) packages: Vec<PathBuf>,
    /// The component's name and file.
    pub(crate) kubernetes: Option<(&'static str, PathBuf)>,
    pub(crate) lock: Lock,
}

/// The base, as it came.
pub(crate) enum FoundBase {
    /// A system of this suite is made from packages.
    Packages(String),
    /// A root from elsewhere, taken over already.
    Root(Box<Root>),
}

pub(crate) struct Root {
    pub(crate) tree: Tree,
    /// Names the tree.
    pub(crate) digest: Digest,
    pub(crate) origin: Origin,
}

impl Finder<'_> {
    fn forge(&self) -> &Forge {
        &self.project.forge
    }

    /// Finds everything, fetching what is missing.
    ///
    /// # Errors
    /// Those of registries and archives; [`edge_model::Class::Environment`] when something is missing and the
    /// network may not be used.
    pub(crate) fn find(&self, locked: Option<&Lock>) -> Result<Inputs> {
        let base = self.forge().base();
        let locked = locked.filter(|_| self.freshness == Freshness::Locked);
        let tools = tools::pin(self.lookup, &base, Purpose::Builder, locked.map(|lock| &lock.tools))?;
        let (found, mut lock) = if let Some((_, suite)) = Distribution::of(&base.from) {
            let system = self.system(&base, locked)?;
            let added = self.sorted(self.added().cloned().collect());
            let there = Installed::System(&system);
            let packages = self.packages(&base, &added, there, locked.map(|lock| &lock.packages))?;
            let from = LockedBase { from: base.from.to_string(), digest: None };
            (FoundBase::Packages(suite.to_owned()), Lock::new(from, system, packages, tools))
        } else {
            let mut root = self.root(&base.from, locked)?;
            self.take_over(&mut root)?;
            let packages = self.packages_for(&root, &base, locked)?;
            let from = LockedBase { from: base.from.to_string(), digest: Some(root.digest) };
            (FoundBase::Root(Box::new(root)), Lock::new(from, Pinned::nothing(), packages, tools))
        };
        let kubernetes = self.kubernetes(locked)?;
        lock.kubernetes = kubernetes.as_ref().map(|(_, _, locked)| locked.clone());
        lock.commands_with_network =
            self.forge().run.iter().filter(|run| run.network()).map(|run| run.command().to_owned()).collect();
        lock.builder = self.builder()?;
        lock.files = files_of(self.project)?;
        lock.medium = medium_files(self.project, self.content)?;
        let pool = Pool::open(self.lookup.cache.root())?;
        Ok(Inputs {
            base: found,
            packages: lock
                .packages
                .packages
                .iter()
                .map(|package| pool.checked(package))
                .collect::<Result<_>>()?,
            kubernetes: kubernetes.map(|(name, path, _)| (name, path)),
            lock,
        })
    }

    /// A system that is made from nothing but packages: the same for all projects, until they ask for another kernel
    /// or for less.
    fn system(&self, base: &Base, locked: Option<&Lock>) -> Result<Pinned> {
        let (distribution, suite) = suite_of(base)?;
        let kernel = self.forge().kernel.clone().unwrap_or_else(|| distribution.kernel().to_owned());
        // Without what the project does not want; what no appliance can be without is looked for in the result.
        let removed = self.forge().packages.removed();
        let recipe = self.recipe.packages_in(suite).filter(|package| !removed.contains(package));
        let wanted = self.sorted(recipe.cloned().chain([kernel]).collect());
        self.packages(base, &wanted, Installed::Nothing, locked.map(|lock| &lock.system))
    }

    fn sorted(&self, mut packages: Vec<String>) -> Vec<String> {
        packages.sort();
        packages.dedup();
        packages
    }

    /// What the project adds, and what its Kubernetes needs.
    fn added(&self) -> impl Iterator<Item = &String> {
        let of_kubernetes = self.forge().kubernetes.iter().flat_map(|_| &self.recipe.kubernetes_packages);
        self.forge().packages.added().iter().chain(of_kubernetes)
    }

    fn without(&self) -> Vec<String> {
        [&self.recipe.without[..], self.forge().packages.removed()].concat()
    }

    /// The packages of a request, in the pool. Without a network, and with all of them locked or looked up before, no
    /// archive needs to be known.
    fn packages(
        &self,
        base: &Base,
        wanted: &[String],
        installed: Installed<'_>,
        locked: Option<&Pinned>,
    ) -> Result<Pinned> {
        if wanted.is_empty() {
            return Ok(Pinned::nothing());
        }
        let request = Request { packages: wanted, without: &self.without(), installed };
        let pinned = self.lookup.pin(suite_of(base)?, &request, locked, || Archives::find(base))?;
        self.lookup.fetch(&pinned, || Archives::find(base))?;
        Ok(pinned)
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::of_project(&self.forge().registries, &self.project.directory)
    }

    /// An image from a registry; one that is locked or named by its digest needs no network when it is here.
    fn pull(&self, reference: &str, locked: Option<Digest>) -> Result<Image> {
        let blobs = self.lookup.cache.root().join("blobs");
        oci::pull_pinned(
            reference,
            locked,
            &self.endpoint(),
            &blobs,
            self.lookup.offline,
            self.lookup.progress,
        )
    }

    fn root(&self, from: &Source, locked: Option<&Lock>) -> Result<Root> {
        let project = &self.project.directory;
        let image = match from {
            Source::Registry(reference) => {
                let pinned = locked
                    .filter(|lock| lock.base.from == from.to_string())
                    .and_then(|lock| lock.base.digest);
                self.pull(reference, pinned)?
            }
            Source::Layout(place) => oci::from_layout(project, place)?,
            Source::DockerArchive(file) => oci::from_archive(&project.join(file))?,
            Source::Directory(folder) => {
                let tree = Tree::from_directory(&project.join(folder))?;
                let digest = tree.identity()?;
                return Ok(Root { origin: Origin::of(&tree)?, tree, digest });
            }
            Source::Debian(_) | Source::Ubuntu(_) => {
                return Err(Error::internal("a suite is not an image"));
            }
        };
        let tree = match &image.contents {
            Contents::Layers(_) => self.unfold(&image),
            Contents::Provider(layout) => inspect::as_base(layout),
        };
        let tree = tree.map_err(|error| match from {
            Source::Registry(_) => self.forget(&image, error),
            _ => error,
        })?;
        Ok(Root { origin: Origin::of(&tree)?, tree, digest: image.digest })
    }

    /// When a blob of the cache went bad, the next build fetches it again.
    fn forget(&self, image: &Image, error: Error) -> Error {
        if error.class != Class::Integrity {
            return error;
        }
        match oci::forget_damaged(&self.lookup.cache.root().join("blobs"), image.digest) {
            Ok(()) => {
                error.help("what is damaged was removed from the cache: build again where there is a network")
            }
            Err(other) => {
                error.help(format!("delete the folder blobs of the cache, and build again ({other})"))
            }
        }
    }

    /// Lays all layers of an image over each other.
    fn unfold(&self, image: &Image) -> Result<Tree> {
        let mut tree = Tree::default();
        for layer in image.layers()? {
            let key = Key::of("layer-1").with(&layer.diff_id.0);
            let unfolded = self.lookup.progress.step("layer", || {
                self.lookup.cache.step("layer", key, |output| {
                    std::fs::create_dir_all(output).context("cannot create a folder")?;
                    layer.write_archive(&output.join("layer.tar"))
                })
            })?;
            let scratch = unfolded.path.join("sparse");
            std::fs::create_dir_all(&scratch).context("cannot create a folder")?;
            tree.apply_layer(&unfolded.path.join("layer.tar"), Some(&scratch))
                .with_context(|| format!("the layer {} of the base is refused", layer.diff_id))?;
        }
        Ok(tree)
    }

    fn take_over(&self, root: &mut Root) -> Result<()> {
        if root.origin.kairos {
            let done = adapt::take_over(&mut root.tree, &KairosTable::load()?);
            self.lookup.progress.say(&format!(
                "the base follows the Kairos contract: {} of its parts are replaced",
                done.len()
            ));
            for line in done {
                self.lookup.progress.detail(&line);
            }
        }
        Ok(())
    }

    /// What a root from elsewhere lacks, where its package database lets it be added.
    fn packages_for(&self, root: &Root, base: &Base, locked: Option<&Lock>) -> Result<Pinned> {
        if root.origin.database != PackageDatabase::Dpkg {
            return match self.forge().packages.added() {
                [] => Ok(Pinned::nothing()),
                [first, ..] => Err(Error::rejected(format!("{first} cannot be added: the base has no dpkg"))
                    .help("add it to the base image itself, and remove it from `packages`")),
            };
        }
        let status = root.tree.read_file("var/lib/dpkg/status")?;
        let text = String::from_utf8_lossy(&status).into_owned();
        let installed = adapt::installed(&text);
        let codename = &root.origin.codename;
        let removed = self.forge().packages.removed();
        let recipe = self.recipe.packages_in(codename).filter(|package| !removed.contains(package));
        let mut wanted: Vec<String> = recipe.chain(self.added()).cloned().collect();
        let has_kernel = root.tree.iter().any(|(path, _)| path.ends_with("/modules.dep"));
        let is_ubuntu = root.origin.distribution == "ubuntu";
        match &self.forge().kernel {
            Some(kernel) => wanted.push(kernel.clone()),
            None if !has_kernel => {
                let distribution = if is_ubuntu { Distribution::Ubuntu } else { Distribution::Debian };
                wanted.push(distribution.kernel().to_owned());
            }
            None => {}
        }
        wanted.retain(|package| !installed.contains(&package.as_str()));
        let wanted = self.sorted(wanted);
        if wanted.is_empty() {
            // Before the archive is looked for: such a base needs none.
            return Ok(Pinned::nothing());
        }
        let from = match root.origin.distribution.as_str() {
            "debian" => Source::Debian(codename.clone()),
            "ubuntu" => Source::Ubuntu(codename.clone()),
            other => {
                return Err(Error::rejected(format!(
                    "the base is {other}, whose package archive is not known here, and it lacks {}",
                    wanted.join(", ")
                ))
                .help("add these packages to the base image itself"));
            }
        };
        let base = Base { from, ..base.clone() };
        let there = Installed::Record(&status);
        self.packages(&base, &wanted, there, locked.map(|lock| &lock.packages))
    }

    fn kubernetes(&self, locked: Option<&Lock>) -> Result<Option<(&'static str, PathBuf, LockedComponent)>> {
        let chosen = self.forge().kubernetes.as_ref().and_then(component::chosen);
        let Some((name, component)) = chosen else { return Ok(None) };
        if let Some(reference) = &component.oci {
            let same = |locked: &&LockedComponent| {
                locked.source == *reference && locked.version == component.version
            };
            let pinned = locked.and_then(|lock| lock.kubernetes.as_ref()).filter(same).map(|one| one.digest);
            let image = self.pull(reference, pinned)?;
            let name_of_tree = Key::of("component-2").with(&image.digest.0);
            let unfolded = self
                .lookup
                .cache
                .step("component", name_of_tree, |output| self.unfold(&image)?.write(output, 0))
                .map_err(|error| self.forget(&image, error))?;
            let (version, source) = (component.version.clone(), reference.clone());
            let locked = LockedComponent { name: name.to_owned(), version, source, digest: image.digest };
            return Ok(Some((name, unfolded.path, locked)));
        }
        let (path, locked) = component::fetch(
            name,
            component,
            &self.project.directory,
            self.lookup.cache,
            self.lookup.offline,
        )?;
        Ok(Some((name, path, locked)))
    }

    fn builder(&self) -> Result<BTreeMap<String, Digest>> {
        let mut builder = self.programs.digests()?;
        builder.insert("recipes".into(), recipe::identity());
        let key = self.project.trusted_key();
        builder.extend(key.map(|key| ("signing key".into(), sha256(key.to_text().as_bytes()))));
        Ok(builder)
    }
}

fn suite_of(base: &Base) -> Result<(Distribution, &str)> {
    Distribution::of(&base.from)
        .ok_or_else(|| Error::internal(format!("{} is not made from packages", base.from)))
}

/// The project's own files that shape the image.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn files_of(project: &Project) -> Result<BTreeMap<String, Digest>> {
    let mut files = BTreeMap::new();
    let directory = &project.directory;
    for (path, source) in &project.overlay {
        files.insert(format!("overlay/files/{path}"), digest_of(source)?);
    }
    let sources = project.forge.files.iter().filter_map(|file| file.source.as_ref());
    for source in sources {
        // What a link leads to is copied, not the link.
        files.insert(source.clone(), edge_host::files::digest(&directory.join(source))?.0);
    }
    for (name, bytes) in contents::certificates(directory)? {
        files.insert(format!("certs/{name}"), sha256(&bytes));
    }
    Ok(files)
}

/// The project's own files that are on the medium only.
fn medium_files(project: &Project, content: &Content) -> Result<BTreeMap<String, Digest>> {
    let mut files = BTreeMap::from([
        ("user-data".to_owned(), sha256(project.user_data.as_bytes())),
        ("unattended.yaml".to_owned(), sha256(project.unattended.as_bytes())),
    ]);
    for (path, source) in &project.medium_overlay {
        files.insert(format!("overlay/files-iso/{path}"), digest_of(source)?);
    }
    for (path, source) in content.sources() {
        files.insert(path.to_owned(), edge_host::files::digest(source)?.0);
    }
    Ok(files)
}

fn digest_of(path: &Path) -> Result<Digest> {
    let metadata =
        std::fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    if metadata.is_symlink() {
        let target = std::fs::read_link(path).with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(sha256(target.as_os_str().as_encoded_bytes()));
    }
    let (digest, _) = edge_host::files::digest(path)?;
    // Of the mode only this goes into the image.
    let program = metadata.permissions().mode() & 0o100 != 0;
    Ok(Key::of("overlay-1").with(&digest.0).with(&[u8::from(program)]).digest())
}
