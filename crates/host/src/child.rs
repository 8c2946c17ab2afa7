//! The one way to start a child process: no terminal input, `LC_ALL=C`, a deadline, the command and the end
//! of its error output in the error, and nobody left behind when we end.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use edge_model::{Context, Error, Result};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit, test_kill_process_group};

use crate::faults::effect;
use crate::patience::Patience;
use crate::sandbox::Sandbox;

/// How much of a child's standard output is kept, in bytes, unless it is said.
const OUTPUT_LIMIT: u64 = 64 << 20;
/// How much of the end of a child's error output is shown.
const ERROR_TAIL: usize = 2000;
const DEFAULT_DEADLINE: Duration = Duration::from_secs(120);

/// Variables of ours that a child sees; everything else, tokens of services among it, stays here.
const PASSED_ON: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "NO_COLOR",
    "SOURCE_DATE_EPOCH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "DISPLAY",
    "WAYLAND_DISPLAY",
];
/// Beginnings of names of our own and of the user's folders.
const PASSED_ON_BEGINNINGS: [&str; 2] = ["EDGE", "XDG_"];

fn is_passed_on(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    PASSED_ON.contains(&&*name) || PASSED_ON_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// What a child may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of its address space.
    pub memory: u64,
    pub processor_seconds: u64,
}

impl Limits {
    /// From outside, a moment after the start: no code of ours runs between fork and exec for it.
    fn set(self, id: u32) -> std::io::Result<()> {
        let Some(id) = Pid::from_raw(id as i32) else { return Ok(()) };
        for (resource, most) in [(Resource::As, self.memory), (Resource::Cpu, self.processor_seconds)] {
            prlimit(Some(id), resource, Rlimit { current: Some(most), maximum: Some(most) })?;
        }
        Ok(())
    }
}

/// A child process to be started.
#[derive(Debug)]
pub struct Child {
    command: Command,
    shown: Vec<OsString>,
    deadline: Duration,
    by_the_clock: bool,
    /// Ends when we end.
    bound: bool,
    /// What the child reads from its standard input.
    input: Option<Vec<u8>>,
    /// How much of its standard output is kept, in bytes.
    output_limit: u64,
    shows_errors: bool,
    limits: Option<Limits>,
}

/// How a child ended.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// A child that runs beside us. It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: std::process::Child,
    shown: String,
}

impl Child {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        #[allow(clippy::disallowed_methods)] // this is the helper that everything else must use
        let mut command = Command::new(program.as_ref());
        command.stdin(Stdio::null()).process_group(0).env_clear();
        command.envs(std::env::vars_os().filter(|(name, _)| is_passed_on(name))).env("LC_ALL", "C");
        if std::env::var_os("PATH").is_none() {
            // The kernel starts PID 1 without one.
            command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        }
        Self {
            command,
            shown: vec![program.as_ref().to_owned()],
            deadline: DEFAULT_DEADLINE,
            by_the_clock: false,
            bound: true,
            input: None,
            output_limit: OUTPUT_LIMIT,
            shows_errors: false,
            limits: None,
        }
    }

    /// This very program, for work that may have to be ended.
    pub fn ourselves() -> Self {
        Self::new("/proc/self/exe")
    }

    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg.as_ref());
        self.shown.push(arg.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        for arg in args {
            self = self.arg(arg);
        }
        self
    }

    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// The child sees all our variables: for compilers and the like, which a developer sets up so.
    #[must_use]
    pub fn with_whole_environment(mut self) -> Self {
        self.command.envs(std::env::vars_os().filter(|(name, _)| name != "LC_ALL"));
        self
    }

    /// A variable of this program that the child shall not see.
    #[must_use]
    pub fn without_env(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    #[must_use]
    pub fn directory(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Time without a sign of life on a disk after which the child and its process group are killed; see [`Patience`].
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Like [`Child::deadline`], whatever the child moves: for work whose length somebody counts on.
    #[must_use]
    pub fn deadline_by_the_clock(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self.by_the_clock = true;
        self
    }

    /// How much of the child's standard output is kept, in bytes; the rest is read and let go.
    #[must_use]
    pub fn output_limit(mut self, bytes: u64) -> Self {
        self.output_limit = bytes;
        self
    }

    /// The child is ended when it takes more.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// What the child says of its work goes to our error output at once, for a person who waits.
    #[must_use]
    pub fn shows_errors(mut self) -> Self {
        self.shows_errors = true;
        self
    }

    /// Runs the child with another root directory, in a user namespace.
    ///
    /// # Errors
    /// When the sandbox cannot be prepared.
    pub fn inside(mut self, sandbox: &Sandbox) -> Result<Self> {
        sandbox.attach(&mut self.command)?;
        Ok(self)
    }

    /// The child may outlive us; see [`Running::detach`].
    #[must_use]
    pub fn independent(mut self) -> Self {
        self.bound = false;
        self
    }

    /// What the child reads from its standard input.
    #[must_use]
    pub fn input(mut self, bytes: Vec<u8>) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = Some(bytes);
        self
    }

    fn start(&mut self) -> Result<std::process::Child> {
        let shown = self.shown();
        if self.bound {
            set_parent_death_signal(&mut self.command);
        }
        let started =
            effect("run", Path::new(self.command.get_program())).and_then(|()| self.command.spawn());
        let mut child = started.with_context(|| format!("cannot start `{shown}`"))?;
        if self.bound {
            bound_groups().insert(child.id());
        }
        if let Some(limits) = self.limits
            && let Err(error) = limits.set(child.id())
        {
            kill_group(&mut child);
            return Err(error).with_context(|| format!("cannot limit `{shown}`"));
        }
        Ok(child)
    }

    fn shown(&self) -> String {
        self.shown.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    /// Runs to the end and returns standard output.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when it cannot start, exceeds its deadline or fails.
    pub fn run(self) -> Result<Vec<u8>> {
        let shown = self.shown();
        let outcome = self.outcome()?;
        if outcome.status.success() {
            return Ok(outcome.stdout);
        }
        let (stderr, stdout) = (outcome.stderr.trim(), String::from_utf8_lossy(&outcome.stdout));
        // Our own programs tell their errors in the answer when they are asked for JSON.
        let said = match stdout.trim() {
            answer if stderr.is_empty() || answer.starts_with("{\"error\":") => format!("{stderr}\n{answer}"),
            _ => stderr.to_owned(),
        };
        let said = said.trim();
        let tail = said.char_indices().rev().nth(ERROR_TAIL).map_or(0, |(at, _)| at);
        Err(Error::environment(format!("{}: {}", describe(outcome.status), said[tail..].trim()))
            .context(format!("`{shown}` failed")))
    }

    fn patience(&self) -> Patience {
        if self.by_the_clock { Patience::by_the_clock(self.deadline) } else { Patience::new(self.deadline) }
    }

    /// Runs to the end, whatever the exit status.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when it cannot start or exceeds its deadline.
    pub fn outcome(mut self) -> Result<Outcome> {
        let shown = self.shown();
        let patience = self.patience();
        self.command.stdout(Stdio::piped());
        self.command.stderr(if self.shows_errors { Stdio::inherit() } else { Stdio::piped() });
        let mut child = self.start()?;
        if let (Some(bytes), Some(mut pipe)) = (self.input.take(), child.stdin.take()) {
            // A child that does not read all of it says so by its exit status.
            thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let stdout = collect(child.stdout.take(), self.output_limit);
        let stderr = collect(child.stderr.take(), self.output_limit);
        let status = wait_for(&mut child, patience).with_context(|| format!("`{shown}` did not finish"))?;
        if self.bound {
            // Who is left behind holds our pipes, and would be waited for without an end.
            kill_group(&mut child);
        }
        let joined = |handle: thread::JoinHandle<Vec<u8>>| handle.join().unwrap_or_default();
        let stdout = joined(stdout);
        Ok(Outcome { status, stdout, stderr: String::from_utf8_lossy(&joined(stderr)).into_owned() })
    }

    /// Like [`Child::outcome`], while a person reads along: standard output is repeated on ours, and the error
    /// output goes there at once.
    ///
    /// # Errors
    /// As [`Child::outcome`].
    pub fn outcome_shown(mut self) -> Result<Outcome> {
        let shown = self.shown();
        let patience = self.patience();
        self.command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = self.start()?;
        let stdout = collect(child.stdout.take().map(Echo), self.output_limit);
        let status = wait_for(&mut child, patience).with_context(|| format!("`{shown}` did not finish"))?;
        Ok(Outcome { status, stdout: stdout.join().unwrap_or_default(), stderr: String::new() })
    }

    /// Runs to the end on our own terminal, without a deadline: for work that a person watches or takes part in.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when it cannot start or fails.
    pub fn run_on_terminal(self) -> Result<()> {
        let shown = self.shown();
        let status = self.status_on_terminal()?;
        if status.success() {
            return Ok(());
        }
        Err(Error::environment(format!("`{shown}` failed: {}", describe(status))))
    }

    /// Like [`Child::run_on_terminal`], where how it ends is the person's own doing.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when it cannot start.
    pub fn status_on_terminal(mut self) -> Result<ExitStatus> {
        let shown = self.shown();
        self.command.stdin(Stdio::inherit()).process_group(rustix::process::getpgrp().as_raw_nonzero().get());
        self.start()?.wait().with_context(|| format!("cannot wait for `{shown}`"))
    }

    /// Starts the child beside us, with all its output in `log`.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when it cannot start.
    pub fn spawn(mut self, log: &Path) -> Result<Running> {
        let shown = self.shown();
        let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let errors = file.try_clone().context("cannot share a log file")?;
        self.command.stdout(file).stderr(errors);
        let child = self.start()?;
        Ok(Running { child, shown })
    }
}

/// Replaces the present process. Returns only on failure.
pub fn become_program(program: &str, args: &[&str]) -> Error {
    #[allow(clippy::disallowed_methods)] // no child is made
    let error = Command::new(program).args(args).exec();
    Error::environment(error.to_string()).context(format!("cannot start {program}"))
}

impl Running {
    /// Process identifier.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the child has ended.
    ///
    /// # Errors
    /// When the child cannot be waited for.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot wait for `{}`", self.shown))
    }

    /// Ends the child at once.
    pub fn kill(&mut self) {
        kill_group(&mut self.child);
    }

    /// Lets the child outlive us; returns its process identifier.
    pub fn detach(self) -> u32 {
        let id = self.child.id();
        std::mem::forget(self);
        id
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

/// Repeats on standard output what is read.
struct Echo<R>(R);

impl<R: Read> Read for Echo<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.0.read(buffer)?;
        let mut out = std::io::stdout();
        out.write_all(&buffer[..length])?;
        out.flush()?;
        Ok(length)
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>, limit: u64) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            let _ = pipe.by_ref().take(limit).read_to_end(&mut bytes);
            // Beyond the limit the child must still be able to write.
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        bytes
    })
}

fn wait_for(child: &mut std::process::Child, mut patience: Patience) -> Result<ExitStatus> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a child process")? {
            bound_groups().remove(&child.id());
            return Ok(status);
        }
        if patience.is_over(child.id()) {
            kill_group(child);
            return Err(Error::environment("it exceeded its deadline and was stopped"));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn kill_group(child: &mut std::process::Child) {
    bound_groups().remove(&child.id());
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // The group may be gone already, which is what we want.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

/// Process groups of children that must not outlive us.
static BOUND: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn bound_groups() -> MutexGuard<'static, BTreeSet<u32>> {
    BOUND.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends all children that run now, for a program that is interrupted: they get `grace` to clean up.
pub fn stop_all(grace: Duration) {
    let groups: Vec<Pid> =
        bound_groups().iter().filter_map(|id| Pid::from_raw(i32::try_from(*id).ok()?)).collect();
    let signal = |signal| {
        for group in &groups {
            // It may have ended by itself.
            let _ = kill_process_group(*group, signal);
        }
    };
    signal(Signal::TERM);
    let end = Instant::now() + grace;
    while Instant::now() < end && groups.iter().any(|group| test_kill_process_group(*group).is_ok()) {
        thread::sleep(Duration::from_millis(50));
    }
    signal(Signal::KILL);
}

#[allow(unsafe_code)]
fn set_parent_death_signal(command: &mut Command) {
    // SAFETY: prctl is async-signal-safe and the closure allocates nothing.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(Into::into)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_takes_more_than_its_limits_is_ended() {
        use std::os::unix::process::ExitStatusExt;
        let limits = Limits { memory: 64 << 20, processor_seconds: 1 };
        let busy = Child::new("sh").args(["-c", "while :; do :; done"]).limits(limits).outcome().unwrap();
        assert!(busy.status.signal().is_some(), "{busy:?}");
        let large = "x=x; while :; do x=$x$x; done";
        let large = Child::new("sh").args(["-c", large]).limits(limits).outcome().unwrap();
        assert!(!large.status.success(), "{large:?}");
        assert!(Child::new("true").limits(limits).outcome().unwrap().status.success());
    }

    #[test]
    fn failures_say_what_ran_and_why() {
        let error = Child::new("sh").args(["-c", "echo sorry >&2; exit 3"]).run().unwrap_err().to_string();
        assert!(
            error.contains("sh -c") && error.contains("exit status 3") && error.contains("sorry"),
            "{error}"
        );
        assert!(Child::new("/nonexistent/tool").run().unwrap_err().to_string().contains("/nonexistent/tool"));
    }

    #[test]
    fn deadlines_end_the_whole_group() {
        let started = Instant::now();
        let error = Child::new("sh")
            .args(["-c", "sleep 60 & wait"])
            .deadline(Duration::from_millis(100))
            .run()
            .unwrap_err();
        assert!(error.to_string().contains("deadline") && started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_child_sees_what_it_needs_and_nothing_else() {
        let seen = String::from_utf8(Child::new("env").env("EXTRA", "1").run().unwrap()).unwrap();
        let names: Vec<&str> = seen.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(
            names.contains(&"PATH") && names.contains(&"EXTRA") && names.contains(&"LC_ALL"),
            "{names:?}"
        );
        // Cargo gives this one to tests.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some() && !names.contains(&"CARGO_MANIFEST_DIR"));
        let seen = Child::new("env").with_whole_environment().run().unwrap();
        assert!(String::from_utf8_lossy(&seen).contains("CARGO_MANIFEST_DIR="));
    }

    #[test]
    fn output_comes_back() {
        assert_eq!(Child::new("echo").arg("hello").run().unwrap(), b"hello\n");
        assert_eq!(Child::new("echo").arg("hello").output_limit(4).run().unwrap(), b"hell");
    }
}
