//! The tools that virtual machines need, and where everything is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_host::sandbox::Sandbox;
use edge_model::{Context, Error, Result};

const TOOLS_DEADLINE: Duration = Duration::from_secs(1800);

/// Emulator, firmware and registry, in a tree that edgeforge makes.
#[derive(Debug, Clone)]
pub struct Lab {
    tools: Sandbox,
    builder_tools: Sandbox,
    /// The checkout.
    root: PathBuf,
    /// Folder for disks, logs and sockets.
    work: PathBuf,
    /// Somebody waits for each build, and sees how far it is.
    pub(crate) shows_builds: bool,
}

impl Lab {
    /// Prepares the lab for files below `work`.
    ///
    /// # Errors
    /// When the tools cannot be installed or `make build` has not been run.
    pub fn open(root: &Path, work: &Path) -> Result<Self> {
        let edgeforge = root.join("dist/edgeforge");
        if !edgeforge.exists() {
            return Err(Error::environment("dist/edgeforge is missing").help("make build"));
        }
        std::fs::create_dir_all(work).with_context(|| format!("cannot create {}", work.display()))?;
        let work = work.canonicalize().with_context(|| format!("cannot open {}", work.display()))?;
        let tree = |arguments: &[&str]| -> Result<Sandbox> {
            let tools = Child::new(&edgeforge).args(arguments).deadline(TOOLS_DEADLINE).shows_errors();
            let answer = tools.run()?;
            let tree = PathBuf::from(String::from_utf8_lossy(&answer).trim());
            Ok(Sandbox::new(&tree).share(&work).share(root))
        };
        let (tools, builder_tools) = (tree(&["tools", "--lab"])?, tree(&["tools"])?);
        Ok(Self { tools, builder_tools, root: root.to_owned(), work, shows_builds: false })
    }

    /// For a person who waits.
    #[must_use]
    pub fn showing_builds(mut self) -> Self {
        self.shows_builds = true;
        self
    }

    pub fn work(&self) -> &Path {
        &self.work
    }

    /// The builder's cache, which holds the trees of tools too.
    pub fn cache(&self) -> PathBuf {
        self.tools.root().parent().unwrap_or(&self.work).to_owned()
    }

    pub fn edgeforge(&self) -> PathBuf {
        self.root.join("dist/edgeforge")
    }

    /// A program of the tools tree.
    ///
    /// # Errors
    /// When the sandbox cannot be prepared.
    pub fn tool(&self, program: &str) -> Result<Child> {
        Child::new(program).inside(&self.tools)
    }

    /// A program of the builder's tools tree.
    ///
    /// # Errors
    /// When the sandbox cannot be prepared.
    pub fn builder_tool(&self, program: &str) -> Result<Child> {
        Child::new(program).inside(&self.builder_tools)
    }

    /// A file of the tools tree, as seen from this machine.
    pub fn tool_file(&self, path: &str) -> PathBuf {
        self.tools.root().join(path.trim_start_matches('/'))
    }
}
