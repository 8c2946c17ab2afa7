//! The build: each step is cached by the hash of its inputs, and the output folder is replaced as a whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_host::sandbox::Sandbox;
use edge_model::cluster::CarriedKubernetes;
use edge_model::forge::{Base as From, Envelope, Forge, SizeBudgets};
use edge_model::ids::RootHash;
use edge_model::{Context, Error, Result};

use crate::adapt::Origin;
use crate::apt::{self, Lookup};
use crate::cache::{Cache, Cached, Key};
use crate::component::images::{self, Carried};
use crate::customise::{self, Changes};
use crate::envelopes::container;
use crate::inputs::{Finder, FoundBase, Freshness, Inputs};
use crate::kernel::Kernel;
use crate::lock::{Lock, LockedComponent};
use crate::normalise;
use crate::oci::Endpoint;
use crate::output::{alone, publish, remove_folder, staging_folder};
use crate::packages::Licences;
use crate::programs::{INIT, Programs};
use crate::progress::{Progress, Taken, peak_memory};
use crate::project::Project;
use crate::provider_image::{self, Image};
use crate::recipe::{KairosTable, Recipe};
use crate::root_image::{self, BuiltRoot};
use crate::tools::{self, Purpose};
use crate::tree::{Content, Tree};
use crate::{
    adapt, clock, component, envelopes, erofs, initrd, inputs, keymaps, lint, packages, push, sbom, uki,
};

const LOADER: &str = "usr/lib/systemd/boot/efi/systemd-bootx64.efi";
/// Beside a root image: what was found out while it was made.
const MADE: &str = "made.json";

#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) no_cache: bool,
    /// Nothing is fetched.
    pub(crate) offline: bool,
    /// What `forge.lock` says must be what is found.
    pub(crate) locked: bool,
    pub(crate) push: Option<String>,
    pub(crate) push_container: Option<String>,
    /// The root is written as a container image, too.
    pub(crate) container: bool,
}

/// What a finished build tells.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Summary {
    pub(crate) iso: PathBuf,
    /// Bytes.
    pub(crate) iso_size: u64,
    pub(crate) root_hash: RootHash,
    pub(crate) signed: bool,
    pub(crate) outputs: Vec<envelopes::Output>,
    pub(crate) steps: Vec<Taken>,
    /// Bytes of memory of this program at most, without the tools that it ran.
    pub(crate) peak_memory: u64,
}

/// A root before it becomes an appliance's.
struct Base {
    tree: Tree,
    /// Names the tree.
    key: Key,
    /// Seconds since 1970: the time of the image.
    created: u64,
    /// What came with packages that were added, and with the project's commands.
    commands: BTreeSet<String>,
}

/// What is known of a root image after it was made.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Made {
    /// The paths that the project added.
    added: BTreeSet<String>,
    kubernetes: Option<CarriedKubernetes>,
}

/// Where the parts of an image come from.
struct Origins<'a> {
    licences: &'a Licences,
    ours: &'a sbom::OurPaths,
    lock: &'a Lock,
}

/// What all steps share.
struct Builder<'a> {
    project: &'a Project,
    content: envelopes::Content,
    recipe: Recipe,
    cache: Cache,
    tools: Sandbox,
    programs: Programs,
    progress: &'a Progress,
    offline: bool,
}

/// Builds a project into its `build/` folder.
///
/// # Errors
/// Those of the steps; the folder then is as it was.
pub(crate) fn build(project: &Project, options: &Options, progress: &Progress) -> Result<Summary> {
    lint::check_ignored(&project.forge.lint_ignore)?;
    let _alone = alone(project)?;
    let cache = Cache::open(!options.no_cache)?;
    let built = build_with(cache.clone(), project, options, progress);
    // Also after a failure, which may have filled the cache.
    let pruned = cache.prune();
    built.and_then(|built| pruned.map(|()| built))
}

fn build_with(cache: Cache, project: &Project, options: &Options, progress: &Progress) -> Result<Summary> {
    let content = envelopes::Content::find(project)?;
    let recipe = Recipe::load()?;
    let programs = Programs::find()?;
    let mut lookup = Lookup::new(&cache, progress, options.offline);
    lookup.strict = options.locked;
    let freshness = Freshness::Locked;
    let finder = Finder {
        project,
        content: &content,
        recipe: &recipe,
        programs: &programs,
        lookup: &lookup,
        freshness,
    };
    let inputs = find_inputs(&finder, options)?;
    let tools = tools::prepare(&lookup, &project.forge.base(), Purpose::Builder, &inputs.lock.tools)?;
    let tools = tools.share(&project.directory);
    let builder =
        Builder { project, content, recipe, cache, tools, programs, progress, offline: options.offline };
    let staging = staging_folder(project);
    remove_folder(&staging)?;
    fs::create_dir_all(&staging).with_context(|| format!("cannot create {}", staging.display()))?;
    let made = builder.run(inputs, &staging);
    let (root_hash, signed) = made.inspect_err(|_| drop(remove_folder(&staging)))?;
    publish(&staging, &project.output())?;
    for (layout, reference) in [("oci", &options.push), ("container", &options.push_container)] {
        if let Some(reference) = reference {
            let layout = project.output().join(layout);
            let endpoint = Endpoint::of_project(&project.forge.registries, &project.directory);
            progress.step("push", || push::push(&layout, reference, &endpoint))?;
        }
    }
    let name = project.forge.artifact_name();
    let iso = project.output().join(format!("{name}.iso"));
    let iso_size = fs::metadata(&iso).context("cannot look at the ISO")?.len();
    let outputs = envelopes::list(&project.output(), &name)?;
    let (steps, peak_memory) = (progress.taken(), peak_memory());
    Ok(Summary { iso, iso_size, root_hash, signed, outputs, steps, peak_memory })
}

/// The part of `forge.yaml` that root and UKIs depend on: who asks for one more envelope waits for that alone.
fn shaping_keys(forge: &Forge) -> Result<Vec<u8>> {
    let mut shaping = Forge {
        registries: Vec::new(),
        keys: None,
        envelopes: Vec::new(),
        content: Vec::new(),
        cluster_definition: None,
        size_budgets: SizeBudgets::default(),
        lint_ignore: Vec::new(),
        ..forge.clone()
    };
    // Nor on the mirrors: packages are known by their digests.
    shaping.set_base(From { from: forge.base().from, ..From::default() });
    serde_json::to_vec(&shaping).context("cannot write the project's description")
}

/// Finds the inputs, and keeps `forge.lock` true.
fn find_inputs(finder: &Finder<'_>, options: &Options) -> Result<Inputs> {
    let project = finder.project;
    let locked = Lock::load(&project.lock())?;
    if options.locked && locked.is_none() {
        return Err(Error::rejected("the project has no forge.lock").help("edgeforge update writes one"));
    }
    let from = project.forge.base().from.to_string();
    if let Some(old) = locked.as_ref().filter(|old| options.locked && old.base.from != from) {
        return Err(Error::rejected(format!("the base is {from}, and forge.lock has {}", old.base.from))
            .help("take the change with `edgeforge update`"));
    }
    let inputs = finder.find(locked.as_ref())?;
    match &locked {
        Some(old) if *old == inputs.lock => {}
        Some(old) if options.locked => {
            let drift = old.drift(&inputs.lock).join("\n  ");
            return Err(Error::rejected(format!("the project is not what forge.lock says:\n  {drift}"))
                .help("look at the changes, and take them with `edgeforge update`"));
        }
        _ => inputs.lock.store(&project.lock())?,
    }
    Ok(inputs)
}

/// Fetches everything that a build needs, and writes `forge.lock`. Gives what is different from the old one.
///
/// # Errors
/// Those of registries and archives.
pub(crate) fn fetch(
    project: &Project,
    freshness: Freshness,
    dry_run: bool,
    progress: &Progress,
) -> Result<Vec<String>> {
    let content = envelopes::Content::find(project)?;
    let cache = Cache::open(true)?;
    let (recipe, programs) = (Recipe::load()?, Programs::find()?);
    let old = match Lock::load(&project.lock()) {
        Err(error) if freshness == Freshness::Newest => {
            progress.say(&format!("a new forge.lock is written: {error}"));
            None
        }
        old => old?,
    };
    let lookup = Lookup::new(&cache, progress, false);
    let finder = Finder {
        project,
        content: &content,
        recipe: &recipe,
        programs: &programs,
        lookup: &lookup,
        freshness,
    };
    let inputs = finder.find(old.as_ref())?;
    if !dry_run {
        tools::prepare(&lookup, &project.forge.base(), Purpose::Builder, &inputs.lock.tools)?;
        inputs.lock.store(&project.lock())?;
    }
    Ok(old.map_or_else(
        || vec![format!("{} packages are locked", inputs.lock.packages_of_the_image().count())],
        |old| old.drift(&inputs.lock),
    ))
}

impl Builder<'_> {
    fn run(&self, inputs: Inputs, staging: &Path) -> Result<(RootHash, bool)> {
        let Base { mut tree, key: base_key, created, commands } = self.base(&inputs)?;
        let kernel = Kernel::find(&tree, &self.recipe)?;
        let initrd = self.initrd(&tree, &kernel)?;
        let licences = packages::licences(&tree);
        let scratch = tempfile::tempdir_in(self.cache.root()).context("cannot create a temporary folder")?;
        let kubernetes = inputs.kubernetes.as_ref().map(|(_, path)| path.as_path());
        let kubernetes = kubernetes.zip(inputs.lock.kubernetes.as_ref());
        let key = self.with_tools(Key::of("keymaps-1")).with(&keymaps::list());
        let make = |output: &Path| keymaps::build(&self.tools, output);
        let keymaps = self.step("keyboard layouts", "keymaps", key, make)?;
        let parts = normalise::Inputs {
            project: self.project,
            recipe: &self.recipe,
            programs: &self.programs,
            loader: self.tools.root().join(LOADER),
            kernel: &kernel,
            kubernetes,
            images: None,
            keymaps: &keymaps.path,
            licences: &licences,
            kairos: matches!(&inputs.base, FoundBase::Root(root) if root.origin.kairos),
            scratch: scratch.path(),
        };
        let finish = |tree: &mut Tree| -> Result<Made> {
            let images = self.images(kubernetes, scratch.path())?;
            let parts = normalise::Inputs { images: images.as_ref(), ..parts.clone() };
            let added = normalise::normalise(tree, &parts, created)?;
            Ok(Made {
                added,
                kubernetes: kubernetes.map(|(_, locked)| component::carried(locked, images.as_ref())),
            })
        };
        let tree_key = self.tree_key(&base_key, &inputs.lock, created)?;
        let image_step = self.step("root image", "image", tree_key.clone(), |output| {
            let made = finish(&mut tree)?;
            fs::create_dir_all(output).context("cannot create a folder")?;
            let made = serde_json::to_vec(&made).context("cannot write what was found out")?;
            fs::write(output.join(MADE), made).context("cannot write what was found out")?;
            let archive = output.join("tree.tar");
            tree.write(&archive, created)?;
            self.check_unchanged(&inputs)?;
            root_image::build(&archive, created, &self.tools, output)?;
            fs::remove_file(archive).context("cannot remove a temporary file")
        })?;
        let root = BuiltRoot::open(&image_step.path)?;
        let container = self.container(tree_key, &root, created, || {
            if !image_step.fresh {
                finish(&mut tree)?;
            }
            // Another image may be made from this one, and then it needs the kernel, which hosts have in the UKI.
            let path = format!("usr/lib/modules/{}/vmlinuz", kernel.release);
            tree.put(&path, 0o644, Content::File(initrd.path.join("vmlinuz")));
            Ok(&tree)
        })?;
        // The container's step has read them again.
        self.check_unchanged(&inputs)?;
        let ukis = self.ukis(&root, &initrd.path, &kernel)?;
        let made = edge_host::files::read(&image_step.path.join(MADE), 64 << 20)?;
        let made: Made = serde_json::from_slice(&made).context("a file of the cache is damaged")?;
        let image = Image::assemble(&provider_image::Parts {
            name: &self.project.forge.name,
            version: &self.project.forge.version,
            created,
            kernel_release: &kernel.release,
            root: &root,
            ukis: &ukis.path,
            signer: self.project.signer.as_deref(),
            kubernetes: made.kubernetes,
        })?;
        let mut ours = sbom::OurPaths::of(self.project, &self.recipe, &KairosTable::load()?);
        ours.project.extend(made.added);
        ours.commands = commands;
        ours.generated.insert(format!("usr/lib/modules/{}/config", kernel.release));
        let origins = Origins { licences: &licences, ours: &ours, lock: &inputs.lock };
        self.write_outputs(staging, &image, &root, container.as_ref(), &origins)?;
        Ok((root.description.root_hash, image.signature.is_some()))
    }

    /// The container images that the Kubernetes of the image starts from.
    fn images(
        &self,
        kubernetes: Option<(&Path, &LockedComponent)>,
        scratch: &Path,
    ) -> Result<Option<Carried>> {
        let Some((file, locked)) = kubernetes.filter(|(_, locked)| locked.name != "k3s") else {
            return Ok(None);
        };
        let archive = component::unpacked(&locked.name, file, scratch)?;
        images::prepare(&archive, &locked.version, &self.cache, &self.tools, self.progress).map(Some)
    }

    /// The project's files may have been written to since their digests were taken, and the image is named by those.
    fn check_unchanged(&self, inputs: &Inputs) -> Result<()> {
        let mut changed = inputs.lock.files != inputs::files_of(self.project)?;
        if let (Some((_, path)), Some(locked)) = (&inputs.kubernetes, &inputs.lock.kubernetes)
            && !path.starts_with(self.cache.root())
        {
            changed |= edge_host::files::digest(path)?.0 != locked.digest;
        }
        if changed {
            return Err(Error::rejected("files of the project changed during the build").help("build again"));
        }
        Ok(())
    }

    /// The base with its packages added and the project's commands run, and what names it.
    fn base(&self, inputs: &Inputs) -> Result<Base> {
        let lock = &inputs.lock;
        let key = Key::of("base-5").with(lock.base.from.as_bytes());
        let key = tools::of_the_machine()?.iter().fold(key, |key, tool| key.with(tool.as_bytes()));
        let key = lock.system.key(key);
        let mut changes = Changes {
            install: inputs.packages.clone(),
            remove: Vec::new(),
            run: self.project.forge.run.clone(),
        };
        match &inputs.base {
            FoundBase::Packages(suite) => {
                let key = key.with(&lock.system.request.0);
                let base = self.step("packages", "base", key.clone(), |output| {
                    tools::install(&self.cache, &lock.system.packages, suite, output)
                })?;
                let base = self.changed(Tree::read(&base.path)?, key, &changes, lock)?;
                adapt::check(&base.tree, &self.recipe, &Origin::of(&base.tree)?)?;
                Ok(base)
            }
            FoundBase::Root(root) => {
                let key = key.with(&root.digest.0).with(KairosTable::text()?.as_bytes());
                let status = root.tree.read_file("var/lib/dpkg/status").unwrap_or_default();
                let status = String::from_utf8_lossy(&status).into_owned();
                let installed = adapt::installed(&status);
                let unwanted = self.project.forge.packages.removed();
                let (removed, said) = adapt::removable(unwanted, &root.origin, &installed)?;
                changes.remove = removed;
                said.iter().for_each(|line| self.progress.say(line));
                let base = self.changed(root.tree.clone(), key, &changes, lock)?;
                adapt::check(&base.tree, &self.recipe, &root.origin)?;
                Ok(base)
            }
        }
    }

    fn changed(&self, tree: Tree, key: Key, changes: &Changes, lock: &Lock) -> Result<Base> {
        let created = created(&tree, &changes.install)?;
        if changes.is_empty() {
            return Ok(Base { tree, key, created, commands: BTreeSet::new() });
        }
        let key = lock
            .packages
            .key(key.with(b"changed-2"))
            .with(format!("{:?}{:?}", changes.remove, changes.run).as_bytes());
        let changed = self.step("changes of the base", "changed", key.clone(), |output| {
            if let Some(run) = changes.run.iter().find(|run| run.network() && self.offline) {
                return Err(Error::environment(format!("{:?} needs the network", run.command()))
                    .help("build once where there is one: the result is kept"));
            }
            customise::customise(&tree, changes, output)
        })?;
        let changed = Tree::read(&changed.path)?;
        let new = changed.iter().map(|(path, _)| path.to_owned()).filter(|path| !tree.contains(path));
        Ok(Base { commands: new.collect(), tree: changed, key, created })
    }

    fn step(
        &self,
        title: &str,
        name: &str,
        key: Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Cached> {
        self.progress.step(title, || self.cache.step(name, key, make))
    }

    /// The tools shape the result; their tree is named by its own inputs.
    fn with_tools(&self, key: Key) -> Key {
        key.with(self.tools.root().as_os_str().as_encoded_bytes())
    }

    fn initrd(&self, tree: &Tree, kernel: &Kernel) -> Result<Cached> {
        let modules = kernel.initrd_modules(&self.recipe.initrd)?;
        let init = self.programs.path(INIT);
        let entries: Vec<_> = modules.iter().map(|module| &module.entry).collect();
        let list = serde_json::to_vec(&entries).context("cannot write the list of modules")?;
        // Not of the whole base: another package leaves the kernel and its modules as they are.
        let mut key = Key::of("initrd-3").with(&list).with_file(&init)?;
        for path in modules.iter().map(|module| module.source.as_str()).chain([kernel.image_path()]) {
            key = key.with(path.as_bytes()).with(&tree.read_file(path)?);
        }
        self.step("initrd", "initrd", self.with_tools(key), |output| {
            fs::create_dir_all(output).context("cannot create a folder")?;
            let scratch =
                tempfile::tempdir_in(self.cache.root()).context("cannot create a temporary folder")?;
            fs::write(output.join("vmlinuz"), tree.read_file(kernel.image_path())?)
                .context("cannot write the kernel")?;
            initrd::build(tree, &modules, &init, &self.tools, scratch.path(), &output.join("initrd"))
        })
    }

    /// Everything that [`normalise::normalise`] and mkfs.erofs look at.
    fn tree_key(&self, base_key: &Key, lock: &Lock, created: u64) -> Result<Key> {
        let forge = shaping_keys(&self.project.forge)?;
        let mut lock = Lock { medium: Default::default(), ..lock.clone() };
        // It is in the initrd alone.
        lock.builder.remove(INIT);
        Ok(self
            .with_tools(base_key.clone())
            .with_file(&self.tools.root().join(LOADER))?
            .with(b"image-6")
            .with(&keymaps::list())
            .with(&forge)
            .with(&lock.bytes()?)
            .with(&created.to_le_bytes()))
    }

    fn ukis(&self, root: &BuiltRoot, initrd: &Path, kernel: &Kernel) -> Result<Cached> {
        let forge = shaping_keys(&self.project.forge)?;
        let (kernel_file, initrd_file) = (initrd.join("vmlinuz"), initrd.join("initrd"));
        let key = self
            .with_tools(Key::of("uki-1"))
            .with(&root.description.root_hash.0)
            .with(&forge)
            .with(edge_model::cmdline::FIXED.as_bytes())
            .with_file(&kernel_file)?
            .with_file(&initrd_file)?;
        self.step("unified kernel images", "uki", key, |output| {
            let parts = uki::Parts {
                forge: &self.project.forge,
                kernel: &kernel_file,
                kernel_release: &kernel.release,
                initrd: &initrd_file,
                root: &root.description,
            };
            uki::build(&parts, &self.tools, output)
        })
    }

    /// The same tree as a container image, when the project asks for it.
    fn container<'t>(
        &self,
        tree_key: Key,
        root: &BuiltRoot,
        created: u64,
        tree: impl FnOnce() -> Result<&'t Tree>,
    ) -> Result<Option<Cached>> {
        let forge = &self.project.forge;
        if !forge.envelopes.contains(&Envelope::Container) {
            return Ok(None);
        }
        let root_hash = root.description.root_hash;
        let about = container::About { name: &forge.name, version: &forge.version, created, root_hash };
        let key = tree_key.with(b"container-3").with(&root_hash.0);
        self.step("container image", "container", key, |output| container::build(tree()?, &about, output))
            .map(Some)
    }

    fn write_outputs(
        &self,
        staging: &Path,
        image: &Image,
        root: &BuiltRoot,
        container: Option<&Cached>,
        origins: &Origins<'_>,
    ) -> Result<()> {
        let name = self.project.forge.artifact_name();
        let created = image.manifest.created;
        self.progress.step("provider image", || {
            let layout = staging.join("oci");
            image.write_layout(&layout)?;
            provider_image::pack_layout(&layout, created, &staging.join(format!("{name}.oci.tar")))?;
            for mode in uki::MODES {
                let suffix =
                    if mode == edge_model::cmdline::Mode::Main { String::new() } else { format!("-{mode}") };
                let target = staging.join(format!("{name}{suffix}.efi"));
                fs::copy(image.uki(mode), target).context("cannot copy a UKI")?;
            }
            fs::write(staging.join("manifest.json"), &image.manifest_bytes)
                .context("cannot write the manifest")
        })?;
        let tree =
            erofs::read(&Arc::new(fs::File::open(root.image()).context("cannot open the image")?), 0)?.tree;
        self.progress.step("bill of materials", || self.describe(staging, image, &tree, origins))?;
        let scratch = tempfile::tempdir_in(self.cache.root()).context("cannot create a temporary folder")?;
        let loader = self.tools.root().join(LOADER);
        let parts = envelopes::Parts {
            project: self.project,
            content: &self.content,
            image,
            root,
            container: container.map(|container| container.path.as_path()),
            loader: &loader,
            tools: &self.tools,
            scratch: scratch.path(),
        };
        envelopes::write(&parts, staging, self.progress)?;
        self.lint(staging, image, &tree)
    }

    /// What is in the image and what it was made from.
    fn describe(&self, staging: &Path, image: &Image, tree: &Tree, origins: &Origins<'_>) -> Result<()> {
        const STATUS: &str = "var/lib/dpkg/status";
        let status = edge_host::files::read(&self.tools.root().join(STATUS), 64 << 20)?;
        let status = String::from_utf8_lossy(&status);
        let init = edge_host::files::digest(&self.programs.path(INIT))?.0;
        let components = sbom::components(tree, init, &status)?;
        let inputs = sbom::Provenance::inputs(self.project, origins.lock)?;
        let written = sbom::write(
            staging,
            &sbom::Inputs {
                manifest: &image.manifest,
                tree,
                licences: origins.licences,
                components: &components,
                ours: origins.ours,
                provenance: &sbom::Provenance::new(&self.project.forge, inputs, &status),
            },
        )?;
        self.progress.say(&written.to_string());
        Ok(())
    }

    /// The checks of `edgeforge lint`, with the sizes of what was written.
    fn lint(&self, staging: &Path, image: &Image, tree: &Tree) -> Result<()> {
        let iso = staging.join(format!("{}.iso", self.project.forge.artifact_name()));
        let uki = edge_host::files::read(&image.uki(edge_model::cmdline::Mode::Main), 1 << 30)?;
        let iso = fs::metadata(iso).context("cannot look at the ISO")?.len();
        let facts = lint::Facts::of_build(&self.project.forge, &image.manifest, &uki, iso)?;
        lint::require(&lint::check_tree(tree, &facts))
    }
}

/// The time of the newest input. What the project's commands write has the time of the build, which must not count.
fn created(base: &Tree, added: &[PathBuf]) -> Result<u64> {
    if let Some(seconds) = clock::source_date_epoch()? {
        return Ok(seconds);
    }
    let base = normalise::newest_input(base)
        .ok_or_else(|| Error::environment("the base system does not tell the times of its files"))?;
    added.iter().try_fold(base, |newest, package| Ok(newest.max(apt::time_of(package)?)))
}
