//! Which packages a request means: apt decides, in folders of its own, and nothing of the machine's is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_model::ids::{Digest, from_hex};
use edge_model::{Context, Error, Result};
use serde::{Deserialize, Serialize};

use super::{Archives, Distribution, Pinned, Pool};
use crate::cache::Key;

const DEADLINE: Duration = Duration::from_secs(600);
/// Most packages of one answer.
const MOST_PACKAGES: usize = 20_000;

/// What is wanted on top of what is there.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    pub(crate) packages: &'a [String],
    /// Packages that must not come.
    pub(crate) without: &'a [String],
    pub(crate) installed: Installed<'a>,
}

/// What is there already.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Installed<'a> {
    /// A whole system is asked for.
    Nothing,
    /// dpkg's record of a base.
    Record(&'a [u8]),
    /// A system that will be made of these packages, which are on this machine.
    System(&'a Pinned),
}

impl Request<'_> {
    /// What names the request: whoever asks the same archives for the same has the same answer.
    pub(super) fn identity(&self, (distribution, suite): (Distribution, &str)) -> Digest {
        let key = Key::of("request-2")
            .with(suite.as_bytes())
            .with(format!("{distribution:?}").as_bytes())
            .with(self.packages.join(" ").as_bytes())
            .with(self.without.join(" ").as_bytes());
        match self.installed {
            Installed::Nothing => key,
            Installed::Record(record) => key.with(record),
            Installed::System(packages) => packages.key(key.with(b"system")),
        }
        .digest()
    }
}

/// One package, pinned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    /// Which archive has it: the first part of its address is that of each machine's own mirror.
    pub(crate) archive: Archive,
    pub(crate) path: String,
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Archive {
    Main,
    Security,
}

impl Package {
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when the digest is none.
    pub(crate) fn digest(&self) -> Result<Digest> {
        let bytes = from_hex(&self.sha256).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Digest).ok_or_else(|| Error::invalid(format!("{} has no right SHA-256 digest", self.name)))
    }
}

/// Asks apt, with fresh lists of the archives.
///
/// # Errors
/// [`edge_model::Class::Environment`] when an archive cannot be reached, [`edge_model::Class::InvalidInput`] when it
/// has no such package or packages exclude each other.
pub(super) fn resolve(
    archives: &Archives,
    request: &Request<'_>,
    pool: &Pool,
    scratch: &Path,
) -> Result<Vec<Package>> {
    let record = match request.installed {
        Installed::Nothing => Vec::new(),
        Installed::Record(record) => record.to_vec(),
        Installed::System(pinned) => pool.record(&pinned.packages)?,
    };
    let apt = PrivateApt::prepare(archives, &record, scratch)?;
    apt.get(&["update"])
        .context("cannot read the package archive")
        .map_err(|error| error.help("check the network"))?;
    let mut arguments = vec!["--yes".to_owned(), "--print-uris".into(), "install".into()];
    if matches!(request.installed, Installed::Nothing) {
        arguments.extend(["?essential".to_owned(), "apt".into()]);
    }
    arguments.extend(request.packages.iter().cloned());
    arguments.extend(request.without.iter().map(|package| format!("{package}-")));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = apt.get(&arguments).map_err(|error| {
        Error::invalid(error.to_string())
            .context("the packages cannot be chosen")
            .help("check the package names in forge.yaml")
    })?;
    parse(&String::from_utf8_lossy(&output), archives)
}

struct PrivateApt {
    configuration: PathBuf,
}

impl PrivateApt {
    fn prepare(archives: &Archives, record: &[u8], root: &Path) -> Result<Self> {
        let context = || format!("cannot write to {}", root.display());
        for folder in
            ["state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d", "log"]
        {
            fs::create_dir_all(root.join(folder)).with_context(context)?;
        }
        fs::write(root.join("state/status"), record).with_context(context)?;
        fs::write(root.join("sources.list"), archives.source_lines().join("\n") + "\n")
            .with_context(context)?;
        let shown = root.display();
        let text = format!(
            "Dir \"{shown}/\";\nDir::State \"state/\";\nDir::State::status \"{shown}/state/status\";\n\
             Dir::Cache \"cache/\";\nDir::Etc \"etc/\";\nDir::Etc::sourcelist \"{shown}/sources.list\";\n\
             Dir::Etc::sourceparts \"/dev/null\";\nDir::Etc::trusted \"/dev/null\";\n\
             Dir::Etc::trustedparts \"/etc/apt/trusted.gpg.d/\";\nDir::Log \"log/\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\n\
             APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
             Acquire::ForceHash \"sha256\";\n"
        );
        let configuration = root.join("apt.conf");
        fs::write(&configuration, text).with_context(context)?;
        Ok(Self { configuration })
    }

    fn get(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        Child::new("apt-get")
            .env("APT_CONFIG", &self.configuration)
            .args(["--quiet", "--quiet"])
            .args(arguments)
            .deadline(DEADLINE)
            .run()
    }
}

/// Lines of `--print-uris`: `'URI' NAME SIZE SHA256:DIGEST`.
fn parse(output: &str, archives: &Archives) -> Result<Vec<Package>> {
    let mut packages = Vec::new();
    for line in output.lines().filter(|line| line.starts_with('\'')).take(MOST_PACKAGES) {
        let damaged = || Error::environment(format!("apt's answer cannot be read: {line}"));
        let (uri, rest) = line[1..].split_once("' ").ok_or_else(damaged)?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let [name, size, hash] = words[..] else { return Err(damaged()) };
        let name = name.strip_suffix(".deb").ok_or_else(damaged)?;
        let parts: Vec<&str> = name.split('_').collect();
        let [name, version, architecture] = parts[..] else { return Err(damaged()) };
        let (archive, path) = archives.place(uri).ok_or_else(damaged)?;
        packages.push(Package {
            name: name.to_owned(),
            version: version.replace("%3a", ":"),
            architecture: architecture.to_owned(),
            archive,
            path: path.to_owned(),
            size: size.parse().map_err(|_| damaged())?,
            sha256: hash.strip_prefix("SHA256:").ok_or_else(damaged)?.to_owned(),
        });
    }
    packages.sort();
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::forge::Base;
    use proptest::prelude::*;

    fn archives() -> Archives {
        let base = Base { mirror: Some("http://mirror.example/debian".into()), ..Base::default() };
        Archives::choose(&[], &base).unwrap()
    }

    #[test]
    fn answers_of_apt_are_read() {
        let digest = "a".repeat(64);
        let line = format!(
            "Reading lists\n'http://mirror.example/debian/pool/main/o/openssh/openssh-server_10.0p1-7%2bdeb13u4_amd64.deb' \
             openssh-server_1%3a10.0p1-7+deb13u4_amd64.deb 602372 SHA256:{digest}\n"
        );
        let packages = parse(&line, &archives()).unwrap();
        let [package] = &packages[..] else { panic!("{packages:?}") };
        assert_eq!(
            (package.name.as_str(), package.version.as_str()),
            ("openssh-server", "1:10.0p1-7+deb13u4")
        );
        assert_eq!(package.path, "pool/main/o/openssh/openssh-server_10.0p1-7%2bdeb13u4_amd64.deb");
        assert!(parse("'http://other.example/x_1_all.deb' x_1_all.deb 1 SHA256:aa", &archives()).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_panics(text in "['a-z:/_. 0-9\n]{0,200}") {
            let _ = parse(&text, &archives());
        }
    }
}
