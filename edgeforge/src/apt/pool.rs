//! Packages on this machine, by their digests: what was fetched once serves every project, also without a network.

use std::fs;
use std::io::{Read, Write};
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

    /// The file of a package, which is what it should be.
    ///
    /// # Errors
    /// [`edge_model::Class::Integrity`] when it went bad; then it is removed, and fetched again next time.
    pub(crate) fn checked(&self, package: &Package) -> Result<PathBuf> {
        let path = self.path(package);
        if edge_host::files::digest(&path)?.0 == package.digest()? {
            return Ok(path);
        }
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        Err(Error::integrity(format!("the cache's copy of {} {} is damaged", package.name, package.version))
            .help("it was removed: build again where there is a network"))
    }

    /// Those that are not here. The others count as used.
    pub(super) fn missing<'p>(&self, packages: &'p [Package]) -> Vec<&'p Package> {
        packages.iter().for_each(|package| crate::cache::touch(&self.path(package)));
        let has = |package: &&Package| {
            fs::metadata(self.path(package)).is_ok_and(|metadata| metadata.len() == package.size)
        };
        packages.iter().filter(|package| !has(package)).collect()
    }

    /// Fetches what is missing.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when a package cannot be fetched.
    pub(super) fn fill(&self, missing: &[&Package], archives: &Archives, progress: &Progress) -> Result<()> {
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

    /// What a package says about itself.
    fn control(&self, package: &Package) -> Result<String> {
        let control = Child::new("dpkg-deb").arg("--field").arg(self.path(package)).run()?;
        Ok(String::from_utf8_lossy(&control).trim_end().to_owned())
    }

    /// dpkg's record of a system that has these packages.
    ///
    /// # Errors
    /// When a package cannot be read.
    pub(super) fn record(&self, packages: &[Package]) -> Result<Vec<u8>> {
        let mut record = String::new();
        for package in packages {
            record += &format!("{}\nStatus: install ok installed\n\n", self.control(package)?);
        }
        Ok(record.into_bytes())
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
            let path = self.checked(package)?;
            let name = format!("{}_{}.deb", package.name, &package.sha256[..16]);
            writeln!(
                index,
                "{}\nFilename: ./{name}\nSize: {}\nSHA256: {}\n",
                self.control(package)?,
                package.size,
                package.sha256
            )
            .with_context(context)?;
            if fs::hard_link(&path, folder.join(&name)).is_err() {
                fs::copy(&path, folder.join(&name)).with_context(context)?;
            }
            fs::set_permissions(folder.join(&name), fs::Permissions::from_mode(0o644))
                .with_context(context)?;
        }
        let release = format!(
            "Suite: {suite}\nCodename: {suite}\nArchitectures: amd64\nDate: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n {} {} Packages\n",
            edge_model::ids::to_hex(&sha256(&index).0),
            index.len()
        );
        for (name, bytes) in [("Packages", index), ("Release", release.into_bytes())] {
            fs::write(folder.join(name), bytes).with_context(context)?;
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o644))
                .with_context(context)?;
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).with_context(context)
    }
}

/// When a package was made, in seconds since 1970.
///
/// # Errors
/// [`edge_model::Class::Integrity`] when it is not a Debian package.
///
/// <https://manpages.debian.org/trixie/dpkg-dev/deb.5.en.html>
pub(crate) fn time_of(package: &Path) -> Result<u64> {
    // A magic line, and the header of the first member: its name in 16 bytes, its time in 12.
    let mut beginning = [0; 36];
    let read = fs::File::open(package).and_then(|mut file| file.read_exact(&mut beginning));
    read.with_context(|| format!("cannot read {}", package.display()))?;
    let time =
        beginning.strip_prefix(b"!<arch>\n").and_then(|header| std::str::from_utf8(&header[16..]).ok());
    time.and_then(|time| time.trim_end().parse().ok())
        .ok_or_else(|| Error::integrity(format!("{} is not a Debian package", package.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_package_is_that_of_its_first_member() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.deb");
        fs::write(&path, "!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\n")
            .unwrap();
        assert_eq!(time_of(&path).unwrap(), 1_700_000_000);
        fs::write(&path, [b'x'; 100]).unwrap();
        assert_eq!(time_of(&path).unwrap_err().class, edge_model::Class::Integrity);
    }
}
