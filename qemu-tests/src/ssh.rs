//! Commands on a machine, the way an operator gives them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::{Duration, Instant};

use edge_host::child::{Child, Outcome, Running};
use edge_model::{Context, Error, Result, paths};

use crate::lab::Lab;

pub const OPERATOR: &str = "site";
/// Exit status of ssh when the connection failed, before the command or during it.
const UNREACHABLE: i32 = 255;
/// What ssh says when the command was not even sent.
const NOT_REACHED: [&str; 3] = ["banner exchange", "Connection refused", "kex_exchange_identification"];

/// An operator's key pair.
#[derive(Debug, Clone)]
pub struct Key {
    private: PathBuf,
    pub public: String,
}

impl Key {
    /// Makes a key pair, or finds the one that is there.
    ///
    /// # Errors
    /// When ssh-keygen fails.
    pub fn prepare(lab: &Lab) -> Result<Self> {
        let private = lab.work().join("operator");
        let public = lab.work().join("operator.pub");
        if !public.exists() {
            lab.tool("ssh-keygen")?
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f"])
                .arg(&private)
                .run()?;
        }
        let public = fs::read_to_string(&public).context("cannot read the operator's key")?.trim().to_owned();
        Ok(Self { private, public })
    }
}

/// A way to one machine.
#[derive(Debug)]
pub struct Ssh<'a> {
    pub lab: &'a Lab,
    pub key: &'a Key,
    pub port: u16,
}

impl Ssh<'_> {
    /// ssh or scp with this machine's key and port.
    fn client(&self, program: &str, port_option: &str) -> Result<Child> {
        Ok(self
            .lab
            .tool(program)?
            .arg("-i")
            .arg(&self.key.private)
            .args([port_option, &self.port.to_string()])
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
                "-o",
                "LogLevel=ERROR",
            ])
            .args(["-o", "ConnectTimeout=20", "-o", "IdentitiesOnly=yes"]))
    }

    fn address() -> String {
        format!("{OPERATOR}@127.0.0.1")
    }

    /// A shell for the person at our terminal; how it ended is theirs to know.
    ///
    /// # Errors
    /// When the machine cannot be reached.
    pub fn shell(&self) -> Result<ExitStatus> {
        self.client("ssh", "-p")?.arg("-t").arg(Self::address()).status_on_terminal()
    }

    /// Runs a shell command once; returns how it ended. To reach the machine may take some tries while it starts.
    ///
    /// # Errors
    /// When ssh itself cannot be started or takes longer than `within`.
    pub fn outcome(&self, command: &str, within: Duration) -> Result<Outcome> {
        let started = Instant::now();
        loop {
            let outcome = self
                .client("ssh", "-p")?
                .args(["-o", "BatchMode=yes"])
                .arg(Self::address())
                .arg(command)
                .deadline(within)
                .outcome()?;
            let not_reached = NOT_REACHED.iter().any(|sign| outcome.stderr.contains(sign));
            if outcome.status.code() != Some(UNREACHABLE) || !not_reached || started.elapsed() > within {
                return Ok(outcome);
            }
            sleep(Duration::from_secs(1));
        }
    }

    /// Opens a port of ours that leads to the machine's agent, as long as the result lives; it ends by itself where the
    /// machine does not answer in time.
    ///
    /// # Errors
    /// When ssh itself cannot be started.
    pub fn forward(&self, port: u16) -> Result<Running> {
        self.forward_to(port, paths::AGENT_SOCKET)
    }

    /// Like [`Ssh::forward`], to something else of the machine.
    ///
    /// # Errors
    /// As [`Ssh::forward`].
    pub fn forward_to(&self, port: u16, target: &str) -> Result<Running> {
        self.client("ssh", "-p")?
            .args(["-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-N", "-L"])
            .arg(format!("127.0.0.1:{port}:{target}"))
            .arg(Self::address())
            .spawn(&self.forward_log(port))
    }

    /// What the client behind a port of [`Ssh::forward`] said last.
    pub fn said_about(&self, port: u16) -> String {
        let text = fs::read_to_string(self.forward_log(port)).unwrap_or_default();
        text.lines().last().unwrap_or("ssh says nothing").to_owned()
    }

    fn forward_log(&self, port: u16) -> PathBuf {
        self.lab.work().join(format!("forward-{port}.log"))
    }

    /// Copies a file of this machine to a path on the other.
    ///
    /// # Errors
    /// When it cannot be copied in time.
    pub fn copy(&self, source: &Path, target: &str, within: Duration) -> Result<()> {
        let target = format!("{}:{target}", Self::address());
        self.client("scp", "-P")?.arg("-q").arg(source).arg(target).deadline(within).run().map(drop)
    }

    /// Runs a shell command that must succeed; returns its output. The connection may take some tries while
    /// the machine starts.
    ///
    /// # Errors
    /// When the command fails or the machine cannot be reached in time.
    pub fn run(&self, command: &str, within: Duration) -> Result<String> {
        let started = Instant::now();
        loop {
            let outcome = self.outcome(command, within)?;
            match outcome.status.code() {
                Some(0) => return Ok(String::from_utf8_lossy(&outcome.stdout).trim().to_owned()),
                Some(UNREACHABLE) if started.elapsed() < within => sleep(Duration::from_secs(1)),
                code => {
                    return Err(Error::environment(format!(
                        "`{command}` ended with {code:?}: {}{}",
                        String::from_utf8_lossy(&outcome.stdout),
                        outcome.stderr
                    )));
                }
            }
        }
    }
}
