//! The tools tree: a Debian chroot of our own, so that the engineer's machine needs only a handful of packages
//! and the versions of everything that shapes an image do not drift.

use std::path::Path;
use std::time::Duration;

use edge_host::child::Child;
use edge_host::sandbox::Sandbox;
use edge_model::forge::{Base, Source};
use edge_model::{Context, Error, Result};

use crate::apt::{Archives, Distribution, Installed, Lookup, Package, Pinned, Pool, Request};
use crate::cache::{Cache, Key};
use crate::clock;
use crate::recipe;
use crate::scratch::Scratch;

const DEADLINE: Duration = Duration::from_secs(1800);

/// What the tree is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Builder,
    /// Virtual machines, firmware, registry: for demo and tests.
    Lab,
}

impl Purpose {
    fn packages(self, tools: &recipe::Tools) -> &[String] {
        match self {
            Self::Builder => &tools.builder,
            Self::Lab => &tools.lab,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Builder => "tools",
            Self::Lab => "lab",
        }
    }
}

/// Where the tools' packages come from: a mirror that the project names for a Debian base serves them, too.
fn archives(base: &Base, tools: &recipe::Tools) -> Result<Archives> {
    let own_mirror = matches!(base.from, Source::Debian(_)) && base.tools_mirror.is_none();
    let from = Source::Debian(tools.suite.clone());
    if own_mirror {
        return Archives::find(&Base { from, ..base.clone() });
    }
    let found = Archives::find(&Base { from, mirror: base.tools_mirror.clone(), ..Base::default() });
    found.map_err(|error| {
        error
            .context("the builder's tools are made of Debian packages")
            .help("give a Debian mirror: --tools-mirror, or base.tools-mirror in forge.yaml")
    })
}

/// Whether mirrors are known for a base and for the tools.
///
/// # Errors
/// [`edge_model::Class::Environment`] when one is not.
pub(crate) fn check_archives(base: &Base) -> Result<()> {
    if Distribution::of(&base.from).is_some() {
        Archives::find(base)?;
    }
    archives(base, &recipe::Tools::load()?).map(drop)
}

/// Which packages the tools tree is made of.
///
/// # Errors
/// Those of [`Lookup::pin`].
pub(crate) fn pin(
    lookup: &Lookup<'_>,
    base: &Base,
    purpose: Purpose,
    locked: Option<&Pinned>,
) -> Result<Pinned> {
    let tools = recipe::Tools::load()?;
    let request = Request { packages: purpose.packages(&tools), without: &[], installed: Installed::Nothing };
    let of = (Distribution::Debian, tools.suite.as_str());
    lookup.pin(of, &request, locked, || archives(base, &tools))
}

/// Makes the tools tree of these packages, or finds it in the cache.
///
/// # Errors
/// When packages cannot be fetched or the machine lacks mmdebstrap or newuidmap.
pub(crate) fn prepare(
    lookup: &Lookup<'_>,
    base: &Base,
    purpose: Purpose,
    pinned: &Pinned,
) -> Result<Sandbox> {
    let tools = recipe::Tools::load()?;
    let (name, cache) = (purpose.name(), lookup.cache);
    let key = pinned.key(Key::of("tools-2").with(tools.suite.as_bytes()));
    let made = lookup.progress.step(&format!("{name} tree"), || {
        cache.reusing().step(name, key, |target| {
            lookup.fetch(pinned, || archives(base, &tools))?;
            let archive = target.with_extension("tar");
            install(cache, &pinned.packages, &tools.suite, &archive)?;
            unpack(&archive, target)?;
            std::fs::remove_file(&archive).context("cannot remove a temporary file")
        })
    })?;
    Ok(Sandbox::new(&made.path).share(cache.root()))
}

/// A new system of packages that are on this machine, as a tar archive.
///
/// # Errors
/// When a needed program is missing or a package cannot be installed.
pub(crate) fn install(cache: &Cache, packages: &[Package], suite: &str, output: &Path) -> Result<()> {
    check_machine()?;
    // Not in the cache, which others may not read: mmdebstrap works as another user.
    let scratch = Scratch::new()?;
    let folder = scratch.path().join("packages");
    std::fs::create_dir(&folder).context("cannot create a temporary folder")?;
    Pool::open(cache.root())?.lay_out(packages, suite, &folder)?;
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let made = Child::new("mmdebstrap")
        .env("TMPDIR", scratch.path())
        // The times of a base are those of its packages: whose epoch it is, no key of the cache knows.
        .without_env(clock::SOURCE_DATE_EPOCH)
        .args(["--quiet", "--mode=unshare", "--variant=apt", "--format=tar"])
        .arg(format!("--include={}", names.join(",")))
        .arg(suite)
        .arg(output)
        .arg(format!("deb [trusted=yes] copy:{}/ ./", folder.display()))
        .deadline(DEADLINE)
        .run();
    made.map(drop).map_err(|error| {
        error
            .context("cannot install Debian packages into a new tree")
            .help("look at what the packages' own scripts said")
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

/// The tools that shape an image and are this machine's own, with their versions: they make the tools tree, too.
///
/// # Errors
/// When one is missing.
pub(crate) fn of_the_machine() -> Result<Vec<String>> {
    check_machine()?;
    let version = |program: &str| -> Result<String> {
        let said = Child::new(program).arg("--version").run()?;
        Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned())
    };
    ["mmdebstrap", "apt-get"].into_iter().map(version).collect()
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
