//! Images that demo and tests need, built by the real builder from real projects.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_model::{Context, Error, Result};

use crate::lab::Lab;
use crate::ssh::OPERATOR;

const BUILD_DEADLINE: Duration = Duration::from_secs(1800);

/// What distinguishes one image from another.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    pub version: String,
    /// Debian packages added to the image.
    pub packages: Vec<String>,
    /// Debian packages that the image does without.
    pub removed: Vec<String>,
    /// Added to the kernel command line.
    pub kernel_arguments: Vec<String>,
    /// Files of the root: path, content, whether it is a program.
    pub files: Vec<(String, String, bool)>,
    /// Key pair other than the common one.
    pub keys: Option<PathBuf>,
    pub unsigned: bool,
    /// Forms in which the image is written, if not the usual ones.
    pub envelopes: Option<Vec<String>>,
    /// Content bundles for the medium.
    pub content: Vec<PathBuf>,
    /// Archive of a Kubernetes component, named after its version.
    pub kubernetes: Option<PathBuf>,
    /// `cluster.yaml` for the medium.
    pub cluster: Option<String>,
    /// How long a host has to be healthy before a trial ends; the product's own time when there is none.
    pub soak_seconds: Option<u64>,
}

/// Enough to see that something fails just after its first good moment, and no more: each boot of a test takes so long.
const SOAK_IN_TESTS: u64 = 2;

/// Where the bundle of [`Recipe::every_envelope`] is on the medium.
pub const CONTENT_ON_THE_MEDIUM: &str = "/opt/spectrocloud/content/bundle.tar.zst";

impl Recipe {
    pub fn version(version: &str) -> Self {
        Self { version: version.into(), soak_seconds: Some(SOAK_IN_TESTS), ..Self::default() }
    }

    /// An image in every form that there is, with the bundles of a folder on its medium.
    pub fn every_envelope(version: &str, bundles: &Path) -> Self {
        let envelopes = ["raw", "raw-zst", "qcow2", "vmdk", "container"].map(str::to_owned).into();
        Self { envelopes: Some(envelopes), content: vec![bundles.to_owned()], ..Self::version(version) }
    }

    /// An image with Kubernetes; its medium brings the definition of a cluster.
    pub fn with_cluster(version: &str, kubernetes: &Path, cluster: &str) -> Self {
        Self {
            kubernetes: Some(kubernetes.to_owned()),
            cluster: Some(cluster.into()),
            envelopes: Some(Vec::new()),
            ..Self::version(version)
        }
    }

    #[must_use]
    pub fn file(mut self, path: &str, content: &str, program: bool) -> Self {
        self.files.push((path.into(), content.into(), program));
        self
    }

    #[must_use]
    pub fn kernel_argument(mut self, argument: &str) -> Self {
        self.kernel_arguments.push(argument.into());
        self
    }
}

/// What the medium of an image says about the installation.
#[derive(Debug, Clone)]
pub struct Site {
    pub operator_key: String,
    /// For the console; without one nobody can change anything there.
    pub password: Option<String>,
    pub after: &'static str,
    pub wipe: bool,
    /// The medium asks the person in front of the machine where to install.
    pub asks: bool,
    pub user_data: String,
}

/// A project that has been built.
#[derive(Debug, Clone)]
pub struct Built {
    pub folder: PathBuf,
    pub version: String,
    pub root_hash: String,
}

impl Built {
    /// The output whose name ends so.
    pub fn output(&self, suffix: &str) -> PathBuf {
        self.folder.join("build").join(format!("edge-appliance-{}-amd64{suffix}", self.version))
    }

    pub fn iso(&self) -> PathBuf {
        self.output(".iso")
    }

    pub fn uki(&self) -> PathBuf {
        self.output(".efi")
    }

    pub fn raw(&self) -> PathBuf {
        self.output(".raw")
    }

    pub fn archive(&self) -> PathBuf {
        self.output(".oci.tar")
    }

    /// Removes what a registry has now; the manifest stays.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn keep_only_manifest(&self) -> Result<()> {
        let context = "cannot remove an image that was published";
        for path in [self.iso(), self.raw(), self.archive()] {
            fs::remove_file(path).context(context)?;
        }
        fs::remove_dir_all(self.layout()).context(context)
    }

    pub fn layout(&self) -> PathBuf {
        self.folder.join("build/oci")
    }
}

/// Builds a project in `work/projects/NAME`.
///
/// # Errors
/// When the builder fails.
pub fn build(lab: &Lab, name: &str, recipe: &Recipe, site: &Site, push: Option<&str>) -> Result<Built> {
    build_in(lab, &lab.work().join("projects").join(name), recipe, site, push, false)
}

/// Like [`build`], in a given folder, and without results of earlier builds if asked.
///
/// # Errors
/// When the builder fails.
pub fn build_in(
    lab: &Lab,
    folder: &Path,
    recipe: &Recipe,
    site: &Site,
    push: Option<&str>,
    no_cache: bool,
) -> Result<Built> {
    build_by(&lab.edgeforge(), lab, folder, recipe, site, push, no_cache)
}

/// Like [`build_in`], by a given builder.
///
/// # Errors
/// When it fails.
pub fn build_by(
    builder: &Path,
    lab: &Lab,
    folder: &Path,
    recipe: &Recipe,
    site: &Site,
    push: Option<&str>,
    no_cache: bool,
) -> Result<Built> {
    write_project(lab, folder, recipe, site)?;
    let mut command = Child::new(builder)
        .with_whole_environment()
        .arg("build")
        .arg(folder)
        .arg("--json")
        .deadline(BUILD_DEADLINE);
    if no_cache {
        command = command.arg("--no-cache");
    }
    if let Some(reference) = push {
        command = command.args(["--push", reference, "--plain-http"]);
    }
    if lab.shows_builds {
        command = command.shows_errors();
    }
    let answer: serde_json::Value =
        serde_json::from_slice(&command.run()?).context("edgeforge's answer cannot be read")?;
    let root_hash = answer["root_hash"].as_str().unwrap_or_default().to_owned();
    Ok(Built { folder: folder.to_owned(), version: recipe.version.clone(), root_hash })
}

/// Writes a project as engineers would, without building it.
///
/// # Errors
/// When files cannot be written.
pub fn write_project(lab: &Lab, folder: &Path, recipe: &Recipe, site: &Site) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let keys = match &recipe.keys {
        Some(keys) => keys.clone(),
        None => lab.work().join("keys"),
    };
    if !keys.join("image-signing.key").exists() {
        Child::new(lab.edgeforge()).args(["keys", "generate"]).arg(&keys).run()?;
    }
    Child::new(lab.edgeforge()).arg("init").arg(folder).run()?;
    let list = |words: &[String]| serde_json::to_string(words).context("cannot write forge.yaml");
    let arguments = list(&recipe.kernel_arguments)?;
    let packages = format!("{{ add: {}, remove: {} }}", list(&recipe.packages)?, list(&recipe.removed)?);
    let mut forge = format!(
        "name: edge-appliance\nversion: \"{}\"\nkernel-arguments: {arguments}\npackages: {packages}\n",
        recipe.version
    );
    if let Some(envelopes) = &recipe.envelopes {
        forge.push_str(&format!("envelopes: {}\n", list(envelopes)?));
    }
    if !recipe.content.is_empty() {
        let bundles: Vec<String> = recipe.content.iter().map(|path| path.display().to_string()).collect();
        forge.push_str(&format!("content: {}\n", list(&bundles)?));
    }
    if let Some(archive) = &recipe.kubernetes {
        let version = kubernetes_version(archive)?;
        let archive = archive.display();
        forge.push_str(&format!("kubernetes: {{kubeadm: {{version: {version}, file: {archive}}}}}\n"));
    }
    if recipe.cluster.is_some() {
        forge.push_str("cluster-definition: cluster.yaml\n");
    }
    if !recipe.unsigned {
        forge.push_str(&format!("keys: {}\n", keys.display()));
    }
    let put = |name: &str, content: &str, program: bool| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))
            .and_then(|()| fs::write(&path, content))
            .and_then(|()| {
                fs::set_permissions(&path, fs::Permissions::from_mode(if program { 0o755 } else { 0o644 }))
            })
            .with_context(|| format!("cannot write {}", path.display()))
    };
    put("forge.yaml", &forge, false)?;
    put("unattended.yaml", &unattended(site), false)?;
    put("user-data", &site.user_data, false)?;
    if let Some(cluster) = &recipe.cluster {
        put("cluster.yaml", cluster, false)?;
    }
    if let Some(seconds) = recipe.soak_seconds {
        let soak = format!("edge: {{health: {{soakSeconds: {seconds}}}}}\n");
        put("overlay/files/system/oem/05_soak.yaml", &soak, false)?;
    }
    for (path, content, program) in &recipe.files {
        put(&format!("overlay/files/{path}"), content, *program)?;
    }
    Ok(())
}

fn unattended(site: &Site) -> String {
    let mut text = format!("operator:\n  name: {OPERATOR}\n  sshKeys:\n  - {}\n", site.operator_key);
    if let Some(password) = &site.password {
        text.push_str(&format!("  password: {password}\n"));
    }
    if !site.asks {
        text.push_str(&format!(
            "interactive: never\nhostName: edge-demo\ninstall:\n  wipe: {}\n  after: {}\n",
            if site.wipe { "everything" } else { "never" },
            site.after
        ));
    }
    text
}

/// `kubernetes-v1.37.2-amd64.tar`: the name tells the version.
fn kubernetes_version(archive: &Path) -> Result<String> {
    let name = archive.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let version = name.split('-').find(|part| edge_model::document::format::is_kubernetes_version(part));
    version.map(str::to_owned).ok_or_else(|| Error::invalid(format!("{name} does not tell its version")))
}
