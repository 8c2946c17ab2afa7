//! The tools tree: a Debian chroot of our own, so that the engineer's machine needs only a handful of packages
//! and the versions of everything that shapes an image do not drift.

use std::path::Path;
use std::time::Duration;

use edge_host::child::Child;
use edge_host::sandbox::Sandbox;
use edge_model::forge::{Base, Source};
use edge_model::{Context, Error, Result};

use crate::apt::Archives;
use crate::cache::{Cache, Key};
use crate::progress::Progress;
use crate::recipe;

const DEADLINE: Duration = Duration::from_secs(1800);

/// What the tree is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Builder,
    /// Virtual machines, firmware, registry: for demo and tests.
    Lab,
}

/// Makes the tools tree, or finds it in the cache.
///
/// # Errors
/// When packages cannot be fetched or the machine lacks mmdebstrap or newuidmap.
pub(crate) fn prepare(
    cache: &Cache,
    base: &Base,
    purpose: Purpose,
    offline: bool,
    progress: &Progress,
) -> Result<Sandbox> {
    let tools = recipe::Tools::load()?;
    let (name, packages) = match purpose {
        Purpose::Builder => ("tools", tools.builder),
        Purpose::Lab => ("lab", tools.lab),
    };
    let key = Key::of("tools-1").with(tools.suite.as_bytes()).with(packages.join(" ").as_bytes());
    let made = progress.step(&format!("{name} tree"), || {
        cache.reusing().step(name, key, |target| {
            if offline {
                return Err(Error::environment("the builder's tools are not on this machine")
                    .help("run `edgeforge fetch` where there is a network"));
            }
            let own_mirror = matches!(base.from, Source::Debian(_));
            let from = Source::Debian(tools.suite.clone());
            let base =
                if own_mirror { Base { from, ..base.clone() } } else { Base { from, ..Base::default() } };
            let archives = Archives::find(&base)?;
            let archive = target.with_extension("tar");
            bootstrap(&archives.source_lines(), &tools.suite, &packages, &archive)?;
            unpack(&archive, target)?;
            std::fs::remove_file(&archive).context("cannot remove a temporary file")
        })
    })?;
    Ok(Sandbox::new(&made.path).share(cache.root()))
}

/// Runs mmdebstrap in its user-namespace mode; the result is a tar archive.
///
/// # Errors
/// When a needed program is missing or a package cannot be fetched.
pub(crate) fn bootstrap(sources: &[String], suite: &str, packages: &[String], output: &Path) -> Result<()> {
    check_machine()?;
    let made = Child::new("mmdebstrap")
        .args(["--quiet", "--mode=unshare", "--variant=apt", "--format=tar"])
        .arg(format!("--include={}", packages.join(",")))
        .arg(suite)
        .arg(output)
        .args(sources)
        .deadline(DEADLINE)
        .run();
    made.map(drop).map_err(|error| {
        error
            .context("cannot install Debian packages into a new tree")
            .help("check the network, and packages in forge.yaml for a name that does not exist")
    })
}

/// # Errors
/// [`edge_model::Class::Environment`] naming the package that this machine lacks.
pub(crate) fn check_machine() -> Result<()> {
    for (program, package) in [("/usr/bin/mmdebstrap", "mmdebstrap"), ("/usr/bin/newuidmap", "uidmap")] {
        if !Path::new(program).exists() {
            return Err(Error::environment(format!("{program} is not installed"))
                .help(format!("sudo apt-get install {package}")));
        }
    }
    Ok(())
}

/// All files belong to the calling user, so that the tree can be removed like any other folder.
fn unpack(archive: &Path, target: &Path) -> Result<()> {
    std::fs::create_dir_all(target).with_context(|| format!("cannot create {}", target.display()))?;
    Child::new("tar")
        .arg("--extract")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(target)
        .args(["--no-same-owner", "--exclude=./dev/*"])
        .deadline(DEADLINE)
        .run()
        .map(drop)
        .context("cannot unpack the tools tree")
}
