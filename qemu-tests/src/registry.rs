//! Debian's docker-registry on the loopback interface.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use edge_host::child::{Child, Running};
use edge_model::{Context, Error, Result};

use crate::lab::Lab;
use crate::machine::free_port;

const START_WITHIN: Duration = Duration::from_secs(20);

/// A registry that runs. Dropping it stops it; its content stays.
#[derive(Debug)]
pub struct Registry {
    process: Running,
    port: u16,
    folder: PathBuf,
}

impl Registry {
    /// Removes what earlier runs pushed: every image is pushed by the scenario that pulls it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(lab: &Lab) -> Result<()> {
        let folder = lab.work().join("registry");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        Ok(())
    }

    /// # Errors
    /// When it does not start.
    pub fn start(lab: &Lab) -> Result<Self> {
        Self::start_at(lab, free_port()?)
    }

    /// Starts the registry on a given port, with the content it had before.
    ///
    /// # Errors
    /// As [`Registry::start`].
    pub fn start_at(lab: &Lab, port: u16) -> Result<Self> {
        Self::launch(lab, port, |tool| tool)
    }

    /// Starts a registry that may outlive this program; see [`Registry::detach`].
    ///
    /// # Errors
    /// As [`Registry::start`].
    pub fn start_independent(lab: &Lab, port: u16) -> Result<Self> {
        Self::launch(lab, port, Child::independent)
    }

    fn launch(lab: &Lab, port: u16, prepare: impl FnOnce(Child) -> Child) -> Result<Self> {
        let folder = lab.work().join("registry");
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let configuration = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            folder.join("content").display()
        );
        let file = folder.join(format!("config-{port}.yml"));
        fs::write(&file, configuration).context("cannot write the registry's configuration")?;
        let process = prepare(lab.tool("docker-registry")?)
            .arg("serve")
            .arg(&file)
            .spawn(&folder.join(format!("log-{port}")))?;
        let mut registry = Self { process, port, folder };
        registry.wait()?;
        Ok(registry)
    }

    fn wait(&mut self) -> Result<()> {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if self.process.ended()?.is_some() || started.elapsed() > START_WITHIN {
                let log =
                    fs::read_to_string(self.folder.join(format!("log-{}", self.port))).unwrap_or_default();
                return Err(Error::environment(format!("the registry did not start: {log}")));
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The reference of an image as this machine pushes it.
    pub fn reference(&self, tag: &str) -> String {
        format!("127.0.0.1:{}/edge/appliance:{tag}", self.port)
    }

    /// The same reference as a guest pulls it: 10.0.2.2 is this machine.
    pub fn guest_reference(&self, tag: &str) -> String {
        format!("10.0.2.2:{}/edge/appliance:{tag}", self.port)
    }

    /// Leaves the registry running when this program ends; returns its process identifier.
    pub fn detach(self) -> u32 {
        self.process.detach()
    }
}
