//! Random bytes for everything that reads bytes of others, for as long as somebody likes.

use std::path::PathBuf;
use std::time::Duration;

use edge_host::child::Child;
use edge_model::{Context, Error, Result};

use crate::root;

/// Coverage for libFuzzer and the address sanitizer, as cargo-fuzz sets them; it is no tool of ours for that.
/// <https://llvm.org/docs/LibFuzzer.html>, <https://doc.rust-lang.org/nightly/unstable-book/compiler-flags/sanitizer.html>
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table -Zsanitizer=address \
                     --cfg getrandom_backend=\"linux_getrandom\"";
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// An input that takes longer is a finding.
const SECONDS_FOR_ONE: u64 = 10;
const MEMORY_MIB: u64 = 2048;
const LONGEST_INPUT: usize = 16 << 10;
const COMPILE_WITHIN: Duration = Duration::from_secs(3600);

/// Why nothing can be fuzzed here.
pub(crate) fn missing() -> Option<String> {
    let nightly = cargo().args(["--version"]).outcome();
    let is_there = nightly.is_ok_and(|outcome| outcome.status.success());
    (!is_there).then(|| "there is no nightly compiler: rustup toolchain install nightly".to_owned())
}

/// Compiles the targets and runs them one after the other; all of them when none is named.
///
/// # Errors
/// When there is no nightly compiler, or one of them finds something.
pub(crate) fn command(named: Vec<String>, seconds: u64) -> Result<()> {
    if let Some(why) = missing() {
        return Err(Error::environment(why));
    }
    build()?;
    let wanted = if named.is_empty() { targets()? } else { named };
    wanted.iter().try_for_each(|name| run(name, seconds))
}

/// The targets, by their names.
///
/// # Errors
/// When the folder cannot be listed.
pub(crate) fn targets() -> Result<Vec<String>> {
    let folder = folder().join("targets");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| stem(entry.path())).collect();
    names.sort();
    Ok(names)
}

/// Compiles all targets.
///
/// # Errors
/// When they do not compile.
pub(crate) fn build() -> Result<()> {
    cargo()
        .args(["build", "--quiet", "--release", "--target", TARGET, "--manifest-path"])
        .arg(folder().join("Cargo.toml"))
        .env("RUSTFLAGS", FLAGS)
        .deadline(COMPILE_WITHIN)
        .run_on_terminal()
}

/// Runs one target. What it finds is kept in `fuzz/found`, and the inputs that led further in `fuzz/target`.
///
/// # Errors
/// When it finds something.
pub(crate) fn run(name: &str, seconds: u64) -> Result<()> {
    let (grown, found) = (folder().join("target/corpus").join(name), folder().join("found"));
    for folder in [&grown, &found] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let program = folder().join("target").join(TARGET).join("release").join(name);
    let outcome = Child::new(program)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={SECONDS_FOR_ONE}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-max_len={LONGEST_INPUT}"))
        .arg(format!("-artifact_prefix={}/{name}-", found.display()))
        .arg("-print_final_stats=1")
        .args([&grown, &folder().join("corpus").join(name)])
        .deadline_by_the_clock(Duration::from_secs(seconds * 2 + 300))
        .outcome()?;
    let of = |key: &str| {
        let line = outcome.stderr.lines().find(|line| line.contains(key));
        line.and_then(|line| line.rsplit(' ').next()).unwrap_or("?").to_owned()
    };
    if outcome.status.success() {
        eprintln!("fuzz {name}: {} inputs in {seconds} s", of("number_of_executed_units"));
        return Ok(());
    }
    Err(Error::rejected(format!("{name} found something: {}", outcome.stderr.trim()))
        .help(format!("the input is in {}", found.display())))
}

fn folder() -> PathBuf {
    root().join("fuzz")
}

fn cargo() -> Child {
    Child::new("cargo").with_whole_environment().env("RUSTUP_TOOLCHAIN", "nightly").directory(&folder())
}
