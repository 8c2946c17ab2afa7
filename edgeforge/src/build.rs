//! The build: each step is cached by the hash of its inputs, and the output folder is replaced as a whole.

use std::fs;
use std::path::{Path, PathBuf};

use edge_host::sandbox::Sandbox;
use edge_model::forge::{Envelope, Forge, SizeBudgets};
use edge_model::ids::RootHash;
use edge_model::{Context, Error, Result};

use crate::apt::Archives;
use crate::cache::{Cache, Cached, Key};
use crate::envelopes::container;
use crate::kernel::Kernel;
use crate::normalise::{self, PROGRAMS};
use crate::progress::Progress;
use crate::project::Project;
use crate::provider_image::{self, Image};
use crate::recipe::Recipe;
use crate::root_image::{self, BuiltRoot};
use crate::tools::{self, Purpose};
use crate::tree::Tree;
use crate::{clock, envelopes, initrd, push, sbom, uki};

const LOADER: &str = "usr/lib/systemd/boot/efi/systemd-bootx64.efi";
const INIT: &str = "edge-init";

#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) no_cache: bool,
    pub(crate) push: Option<String>,
    pub(crate) push_container: Option<String>,
    pub(crate) plain_http: bool,
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
}

/// What all steps share.
struct Builder<'a> {
    project: &'a Project,
    content: envelopes::Content,
    recipe: Recipe,
    cache: Cache,
    tools: Sandbox,
    programs: PathBuf,
    progress: &'a Progress,
}

/// Builds a project into its `build/` folder.
///
/// # Errors
/// Those of the steps; the folder then is as it was.
pub(crate) fn build(project: &Project, options: &Options, progress: &Progress) -> Result<Summary> {
    let content = envelopes::Content::find(project)?;
    let cache = Cache::open(!options.no_cache)?;
    let base = project.forge.base();
    let tools = tools::prepare(&cache, &base, Purpose::Builder, progress)?.share(&project.directory);
    let programs = programs_folder()?;
    let recipe = Recipe::load()?;
    let builder = Builder { project, content, recipe, cache, tools, programs, progress };
    let staging = staging_folder(project);
    remove_folder(&staging)?;
    fs::create_dir_all(&staging).with_context(|| format!("cannot create {}", staging.display()))?;
    let made = builder.run(&staging);
    let (root_hash, signed) = made.inspect_err(|_| drop(remove_folder(&staging)))?;
    publish(&staging, &project.output())?;
    for (layout, reference) in [("oci", &options.push), ("container", &options.push_container)] {
        if let Some(reference) = reference {
            let layout = project.output().join(layout);
            progress.step("push", || push::push(&layout, reference, options.plain_http))?;
        }
    }
    let name = project.forge.artifact_name();
    let iso = project.output().join(format!("{name}.iso"));
    let iso_size = fs::metadata(&iso).context("cannot look at the ISO")?.len();
    let outputs = envelopes::list(&project.output(), &name)?;
    Ok(Summary { iso, iso_size, root_hash, signed, outputs })
}

/// The part of `forge.yaml` that root and UKIs depend on: who asks for one more envelope waits for that alone.
fn shaping_keys(forge: &Forge) -> Result<Vec<u8>> {
    let shaping = Forge {
        registries: Vec::new(),
        keys: None,
        envelopes: Vec::new(),
        content: Vec::new(),
        cluster_definition: None,
        size_budgets: SizeBudgets::default(),
        lint_ignore: Vec::new(),
        ..forge.clone()
    };
    serde_json::to_vec(&shaping).context("cannot write the project's description")
}

/// Where the output grows until it is whole.
pub(crate) fn staging_folder(project: &Project) -> PathBuf {
    project.directory.join(".build.part")
}

impl Builder<'_> {
    fn run(&self, staging: &Path) -> Result<(RootHash, bool)> {
        let base_key = self.base_key()?;
        let base = self.step("packages", "base", base_key.clone(), |output| self.install_packages(output))?;
        let mut tree = Tree::read(&base.path)?;
        let created = match clock::source_date_epoch()? {
            Some(seconds) => seconds,
            None => normalise::newest_package(&tree).ok_or_else(|| {
                Error::environment("the base system does not tell the times of its packages")
            })?,
        };
        let kernel = Kernel::find(&tree, &self.recipe)?;
        let initrd = self.initrd(&base_key, &tree, &kernel)?;
        let sbom = sbom::spdx(
            &tree,
            &self.project.forge.name,
            &self.project.forge.version,
            &clock::rfc3339(created)?,
        )?;
        let inputs = normalise::Inputs {
            project: self.project,
            recipe: &self.recipe,
            programs: &self.programs,
            loader: self.tools.root().join(LOADER),
        };
        let tree_key = self.tree_key(&base_key, created)?;
        let image_step = self.step("root image", "image", tree_key.clone(), |output| {
            normalise::normalise(&mut tree, &inputs, created)?;
            fs::create_dir_all(output).context("cannot create a folder")?;
            let archive = output.join("tree.tar");
            tree.write(&archive, created)?;
            root_image::build(&archive, created, &self.tools, output)?;
            fs::remove_file(archive).context("cannot remove a temporary file")
        })?;
        let root = BuiltRoot::open(&image_step.path)?;
        let container = self.container(tree_key, &root, created, || {
            if !image_step.fresh {
                normalise::normalise(&mut tree, &inputs, created)?;
            }
            Ok(&tree)
        })?;
        let ukis = self.ukis(&root, &initrd.path, &kernel)?;
        let image = Image::assemble(&provider_image::Parts {
            name: &self.project.forge.name,
            version: &self.project.forge.version,
            created,
            kernel_release: &kernel.release,
            root: &root,
            ukis: &ukis.path,
            key: self.project.signing_key.as_ref(),
        })?;
        self.write_outputs(staging, &image, &root, container.as_ref(), &sbom)?;
        Ok((root.description.root_hash, image.signature.is_some()))
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

    fn suite(&self) -> &str {
        "trixie"
    }

    fn archives(&self) -> Result<Archives> {
        Archives::find(&self.project.forge.base(), self.suite())
    }

    fn packages(&self) -> Vec<String> {
        let mut packages = [&self.recipe.packages, self.project.forge.packages.added()].concat();
        packages.sort();
        packages.dedup();
        packages
    }

    /// The same archives in the same state and the same list give the same packages. Without a network the
    /// last known state is taken.
    fn base_key(&self) -> Result<Key> {
        let archives = self.archives()?;
        let lines = archives.source_lines().join("\n");
        let remembered = self.cache.root().join(format!(
            "archive-state-{}",
            &edge_model::ids::to_hex(&edge_slot_image::sha256(lines.as_bytes()).0)[..24]
        ));
        let scratch = tempfile::tempdir_in(self.cache.root()).context("cannot create a temporary folder")?;
        let _lock = self.cache.lock("archive-state")?;
        let state = match archives.state(scratch.path()) {
            Ok(state) => {
                edge_host::files::write_durably(&remembered, state.to_string().as_bytes(), 0o644)?;
                state.to_string()
            }
            Err(error) => {
                let last = edge_host::files::read_text_if_there(&remembered)?.ok_or(error)?;
                self.progress.say("the package archive cannot be reached: its last known state is used");
                last
            }
        };
        Ok(Key::of("base-1")
            .with(lines.as_bytes())
            .with(state.as_bytes())
            .with(self.packages().join(" ").as_bytes())
            .with(self.recipe.without.join(" ").as_bytes()))
    }

    /// The tools shape the result; their tree is named by its own inputs.
    fn with_tools(&self, key: Key) -> Key {
        key.with(self.tools.root().as_os_str().as_encoded_bytes())
    }

    fn install_packages(&self, output: &Path) -> Result<()> {
        let packages = self.packages();
        tools::bootstrap(&self.archives()?, self.suite(), &packages, &self.recipe.without, output)
    }

    fn initrd(&self, base_key: &Key, tree: &Tree, kernel: &Kernel) -> Result<Cached> {
        let modules = kernel.initrd_modules(&self.recipe.initrd)?;
        let init = self.programs.join(INIT);
        let entries: Vec<_> = modules.iter().map(|module| &module.entry).collect();
        let list = serde_json::to_vec(&entries).context("cannot write the list of modules")?;
        let key = base_key.clone().with(b"initrd-1").with(&list).with_file(&init)?;
        self.step("initrd", "initrd", key, |output| {
            fs::create_dir_all(output).context("cannot create a folder")?;
            let scratch =
                tempfile::tempdir_in(self.cache.root()).context("cannot create a temporary folder")?;
            fs::write(output.join("vmlinuz"), tree.read_file(&kernel.image_path())?)
                .context("cannot write the kernel")?;
            initrd::build(tree, &modules, &init, &self.tools, scratch.path(), &output.join("initrd"))
        })
    }

    /// Everything that [`normalise::normalise`] and mkfs.erofs look at.
    fn tree_key(&self, base_key: &Key, created: u64) -> Result<Key> {
        let forge = shaping_keys(&self.project.forge)?;
        let recipe = format!("{:?}", self.recipe);
        let mut key = self
            .with_tools(base_key.clone())
            .with_file(&self.tools.root().join(LOADER))?
            .with(b"image-1")
            .with(&forge)
            .with(recipe.as_bytes())
            .with(&created.to_le_bytes());
        for (path, content) in Recipe::files() {
            key = key.with(path.as_bytes()).with(&content);
        }
        for (name, _) in PROGRAMS {
            key = key.with_file(&self.programs.join(name))?;
        }
        if let Some(trusted) = self.project.trusted_key() {
            key = key.with(trusted.to_text().as_bytes());
        }
        for (path, source) in &self.project.overlay {
            use std::os::unix::fs::PermissionsExt;
            let metadata = fs::symlink_metadata(source)
                .with_context(|| format!("cannot look at {}", source.display()))?;
            key = key.with(path.as_bytes()).with(&metadata.permissions().mode().to_le_bytes());
            key = if metadata.is_symlink() {
                let target = fs::read_link(source).context("cannot read a link")?;
                key.with(target.as_os_str().as_encoded_bytes())
            } else {
                key.with_file(source)?
            };
        }
        Ok(key)
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
        let key = tree_key.with(b"container-1").with(&root_hash.0);
        self.step("container image", "container", key, |output| container::build(tree()?, &about, output))
            .map(Some)
    }

    fn write_outputs(
        &self,
        staging: &Path,
        image: &Image,
        root: &BuiltRoot,
        container: Option<&Cached>,
        sbom: &serde_json::Value,
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
                .context("cannot write the manifest")?;
            let sbom = serde_json::to_vec_pretty(sbom).context("cannot write the list of packages")?;
            fs::write(staging.join("sbom.spdx.json"), sbom).context("cannot write the list of packages")
        })?;
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
        envelopes::write(&parts, staging, self.progress)
    }
}

fn publish(staging: &Path, output: &Path) -> Result<()> {
    let old = output.with_file_name(".build.old");
    remove_folder(&old)?;
    if output.exists() {
        fs::rename(output, &old).with_context(|| format!("cannot replace {}", output.display()))?;
    }
    fs::rename(staging, output).with_context(|| format!("cannot write {}", output.display()))?;
    remove_folder(&old)
}

pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The programs that go into images are in `host/` beside this program.
fn programs_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find the path of this program")?;
    let folder = own.parent().unwrap_or(Path::new("/")).join("host");
    let missing =
        PROGRAMS.iter().map(|(name, _)| *name).chain([INIT]).find(|name| !folder.join(name).exists());
    match missing {
        None => Ok(folder),
        Some(name) => Err(Error::environment(format!("{} has no {name}", folder.display()))
            .help("run `make build`, and keep edgeforge together with its folder host/")),
    }
}
