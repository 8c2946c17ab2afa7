//! Packages on this machine, by their digests: what was fetched once serves every project, also without a network.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_model::{Context, Error, Result};
use edge_slot_image::sha256;

use super::Archives;
use super::resolve::Package;
use crate::progress::Progress;

const DEADLINE: Duration = Duration::from_secs(3600);
/// Packages in one call of apt's helper: its command line is limited.
const AT_ONCE: usize = 200;

/// The folder with all packages.
#[derive(Debug)]
pub(crate) struct Pool {
    folder: PathBuf,
}

impl Pool {
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn open(cache: &Path) -> Result<Self> {
        let folder = cache.join("packages");
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self { folder })
    }

    pub(crate) fn path(&self, package: &Package) -> PathBuf {
        self.folder.join(format!("{}.deb", package.sha256))
    }

    /// Fetches what is missing; with `offline` that is an error.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when a package cannot be fetched.
    pub(crate) fn fill(
        &self,
        packages: &[Package],
        archives: &Archives,
        offline: bool,
        progress: &Progress,
    ) -> Result<()> {
        let has = |package: &&Package| {
            fs::metadata(self.path(package)).is_ok_and(|metadata| metadata.len() == package.size)
        };
        packages.iter().for_each(|package| crate::cache::touch(&self.path(package)));
        let missing: Vec<&Package> = packages.iter().filter(|package| !has(package)).collect();
        let Some(first) = missing.first() else { return Ok(()) };
        if offline {
            return Err(Error::environment(format!(
                "{} packages are not on this machine, {} among them",
                missing.len(),
                first.name
            ))
            .help("run `edgeforge fetch` where there is a network, or build without --offline"));
        }
        let bytes: u64 = missing.iter().map(|package| package.size).sum();
        progress.say(&format!("{} packages, {:.1} MiB", missing.len(), bytes as f64 / f64::from(1 << 20)));
        let scratch = tempfile::tempdir_in(&self.folder).context("cannot create a temporary folder")?;
        for some in missing.chunks(AT_ONCE) {
            let mut helper =
                Child::new("/usr/lib/apt/apt-helper").args(["-q", "download-file"]).deadline(DEADLINE);
            for package in some {
                helper = helper
                    .arg(archives.address(package)?)
                    .arg(scratch.path().join(&package.sha256))
                    .arg(format!("SHA256:{}", package.sha256));
            }
            helper.run().map_err(|error| {
                error
                    .context("cannot fetch packages")
                    .help("check the network; if the archive has newer versions by now: edgeforge update")
            })?;
        }
        for package in missing {
            let fetched = scratch.path().join(&package.sha256);
            if edge_host::files::digest(&fetched)?.0 != package.digest()? {
                return Err(Error::integrity(format!("{} is not what the archive promised", package.name)));
            }
            fs::rename(&fetched, self.path(package)).context("cannot keep a package")?;
        }
        Ok(())
    }

    /// Lays packages out as an archive of its own for `suite`, readable by everybody.
    ///
    /// # Errors
    /// When a package cannot be read or the folder not written.
    pub(crate) fn lay_out(&self, packages: &[Package], suite: &str, folder: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let context = || format!("cannot write to {}", folder.display());
        let mut index = Vec::new();
        for package in packages {
            let path = self.path(package);
            let name = format!("{}_{}.deb", package.name, &package.sha256[..16]);
            let control = Child::new("dpkg-deb").arg("--field").arg(&path).run()?;
            let control = String::from_utf8_lossy(&control);
            writeln!(
                index,
                "{}\nFilename: ./{name}\nSize: {}\nSHA256: {}\n",
                control.trim_end(),
                package.size,
                package.sha256
            )
            .with_context(context)?;
            if fs::hard_link(&path, folder.join(&name)).is_err() {
                fs::copy(&path, folder.join(&name)).with_context(context)?;
            }
        }
        let release = format!(
            "Suite: {suite}\nCodename: {suite}\nArchitectures: amd64\nDate: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n {} {} Packages\n",
            edge_model::ids::to_hex(&sha256(&index).0),
            index.len()
        );
        fs::write(folder.join("Packages"), index).with_context(context)?;
        fs::write(folder.join("Release"), release).with_context(context)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).with_context(context)
    }
}
