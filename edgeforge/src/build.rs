//! The build: each step is cached by the hash of its inputs, and the output folder is replaced as a whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edge_host::sandbox::Sandbox;
use edge_model::ids::RootHash;
use edge_model::{Context, Error, Result};

use crate::apt::Archives;
use crate::cache::{Cache, Cached, Key};
use crate::kernel::Kernel;
use crate::normalise::{self, PROGRAMS};
use crate::packages::Licences;
use crate::progress::Progress;
use crate::project::Project;
use crate::provider_image::{self, Image};
use crate::recipe::Recipe;
use crate::root_image::{self, BuiltRoot};
use crate::tools::{self, Purpose};
use crate::tree::Tree;
use crate::{clock, erofs, initrd, lint, media, packages, push, sbom, uki};

const LOADER: &str = "usr/lib/systemd/boot/efi/systemd-bootx64.efi";
const INIT: &str = "edge-init";

#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) no_cache: bool,
    pub(crate) push: Option<String>,
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
}

/// What all steps share.
struct Builder<'a> {
    project: &'a Project,
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
    lint::check_ignored(&project.forge.lint_ignore)?;
    let cache = Cache::open(!options.no_cache)?;
    let base = project.forge.base();
    let tools = tools::prepare(&cache, &base, Purpose::Builder, progress)?.share(&project.directory);
    let programs = programs_folder()?;
    let builder = Builder { project, recipe: Recipe::load()?, cache, tools, programs, progress };
    let staging = staging_folder(project);
    remove_folder(&staging)?;
    fs::create_dir_all(&staging).with_context(|| format!("cannot create {}", staging.display()))?;
    let made = builder.run(&staging);
    let (root_hash, signed) = made.inspect_err(|_| drop(remove_folder(&staging)))?;
    publish(&staging, &project.output())?;
    if let Some(reference) = &options.push {
        progress.step("push", || push::push(&project.output().join("oci"), reference, options.plain_http))?;
    }
    let iso = project.output().join(format!("{}.iso", project.forge.artifact_name()));
    let iso_size = fs::metadata(&iso).context("cannot look at the ISO")?.len();
    Ok(Summary { iso, iso_size, root_hash, signed })
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
        let licences = packages::licences(&tree);
        let inputs = normalise::Inputs {
            project: self.project,
            recipe: &self.recipe,
            programs: &self.programs,
            loader: self.tools.root().join(LOADER),
        };
        let tree_key = self.tree_key(&base_key, created)?;
        let image_step = self.step("root image", "image", tree_key, |output| {
            normalise::normalise(&mut tree, &inputs, created)?;
            fs::create_dir_all(output).context("cannot create a folder")?;
            let archive = output.join("tree.tar");
            tree.write(&archive, created)?;
            root_image::build(&archive, created, &self.tools, output)?;
            fs::remove_file(archive).context("cannot remove a temporary file")
        })?;
        let root = BuiltRoot::open(&image_step.path)?;
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
        self.write_outputs(staging, &image, &root, &licences)?;
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
        let forge =
            serde_json::to_vec(&self.project.forge).context("cannot write the project's description")?;
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
        let forge =
            serde_json::to_vec(&self.project.forge).context("cannot write the project's description")?;
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

    fn write_outputs(
        &self,
        staging: &Path,
        image: &Image,
        root: &BuiltRoot,
        licences: &Licences,
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
        self.progress.step("bill of materials", || self.describe(staging, image, &tree, licences))?;
        let scratch = tempfile::tempdir_in(self.cache.root()).context("cannot create a temporary folder")?;
        let loader = self.tools.root().join(LOADER);
        let parts = media::Parts {
            project: self.project,
            image,
            root,
            loader: &loader,
            tools: &self.tools,
            scratch: scratch.path(),
        };
        self.progress
            .step("installer ISO", || media::write_iso(&parts, &staging.join(format!("{name}.iso"))))?;
        self.progress.step("raw disk", || media::write_raw(&parts, &staging.join(format!("{name}.raw"))))?;
        self.lint(staging, image, &tree)?;
        self.progress.step("checksums", || write_checksums(staging))
    }

    /// What is in the image and what it was made from.
    fn describe(&self, staging: &Path, image: &Image, tree: &Tree, licences: &Licences) -> Result<()> {
        const STATUS: &str = "var/lib/dpkg/status";
        let status = edge_host::files::read(&self.tools.root().join(STATUS), 64 << 20)?;
        let status = String::from_utf8_lossy(&status);
        let init = edge_host::files::digest(&self.programs.join(INIT))?.0;
        let mut components = sbom::components(tree, init, &status)?;
        components.extend(sbom::kubernetes(&self.project.forge));
        let inputs = vec![sbom::Input {
            name: "packages".into(),
            uri: self.project.forge.base().from.to_string(),
            sha256: Some(tree.digest(STATUS)?),
        }];
        let written = sbom::write(
            staging,
            &sbom::Inputs {
                manifest: &image.manifest,
                tree,
                licences,
                components: &components,
                ours: &sbom::OurPaths::of(self.project, &self.recipe),
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

/// In the form of sha256sum, for the files that are passed on. The raw disk is left out: it is mostly holes, and
/// it is checked by its hash tree when it boots.
fn write_checksums(folder: &Path) -> Result<()> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).context("cannot list the output")? {
        let path = entry.context("cannot list the output")?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_file() && !name.ends_with(".raw") {
            let (digest, _) = edge_host::files::digest(&path)?;
            lines.push(format!("{}  {name}\n", edge_model::ids::to_hex(&digest.0)));
        }
    }
    lines.sort_by(|one, other| one[66..].cmp(&other[66..]));
    fs::write(folder.join("SHA256SUMS"), lines.concat()).context("cannot write SHA256SUMS")
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
