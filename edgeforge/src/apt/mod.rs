//! Where packages come from: the machine's own apt configuration, with the suite exchanged.

mod lookup;
mod pool;
mod resolve;

pub(crate) use lookup::{Lookup, Pinned};
pub(crate) use pool::{Pool, time_of};
pub(crate) use resolve::{Installed, Package, Request};

use std::fs;
use std::path::Path;

use edge_host::child::Child;
use edge_host::files;
use edge_model::forge::{Base, Source as From};
use edge_model::ids::Digest;
use edge_model::{Context, Error, Result};
use edge_slot_image::Hasher;

const LISTS: &str = "/etc/apt/sources.list.d";
const LIST: &str = "/etc/apt/sources.list";

/// One line of an apt source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    suite: String,
    components: Vec<String>,
}

/// The archives that a tree is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Archives {
    distribution: Distribution,
    main: String,
    security: Option<String>,
    suite: String,
}

/// Whose packages they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distribution {
    Debian,
    Ubuntu,
}

const DEBIAN_SUITES: [&str; 9] =
    ["bullseye", "bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable", "oldstable"];
const UBUNTU_SUITES: [&str; 4] = ["focal", "jammy", "noble", "resolute"];

impl Distribution {
    /// Distribution and suite of a base that is made from packages.
    pub(crate) fn of(base: &From) -> Option<(Self, &str)> {
        match base {
            From::Debian(suite) => Some((Self::Debian, suite)),
            From::Ubuntu(suite) => Some((Self::Ubuntu, suite)),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Debian => "Debian",
            Self::Ubuntu => "Ubuntu",
        }
    }

    /// Those whose names are known: an archive that is named may have others.
    pub(crate) fn suites(self) -> &'static [&'static str] {
        match self {
            Self::Debian => &DEBIAN_SUITES,
            Self::Ubuntu => &UBUNTU_SUITES,
        }
    }

    /// Beyond what is always there.
    fn components(self) -> &'static str {
        match self {
            Self::Debian => "main",
            Self::Ubuntu => "main universe",
        }
    }

    /// Keys that the archive is signed with, where the machine has them.
    fn keyring(self) -> &'static str {
        match self {
            Self::Debian => "/usr/share/keyrings/debian-archive-keyring.gpg",
            Self::Ubuntu => "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
        }
    }

    /// The usual kernel.
    pub(crate) fn kernel(self) -> &'static str {
        match self {
            Self::Debian => "linux-image-amd64",
            Self::Ubuntu => "linux-image-generic",
        }
    }
}

impl Archives {
    /// # Errors
    /// [`edge_model::Class::Environment`] when this machine's apt knows no mirror and `base` names none.
    pub(crate) fn find(base: &Base) -> Result<Self> {
        Self::choose(&configured_sources(), base)
    }

    fn choose(configured: &[Source], base: &Base) -> Result<Self> {
        let (distribution, suite) = Distribution::of(&base.from)
            .ok_or_else(|| Error::internal(format!("{} is not made from packages", base.from)))?;
        let fits = |source: &&Source| {
            distribution.suites().contains(&source.suite.as_str())
                && source.components.iter().any(|name| name == "main")
        };
        let of_suites = |suite: &str| distribution.suites().iter().any(|name| suite.starts_with(name));
        let security = |source: &&Source| {
            (source.suite.ends_with("-security") || source.suite.ends_with("/updates"))
                && of_suites(&source.suite)
        };
        let uri = |source: &Source| source.uri.trim_end_matches('/').to_owned();
        let main =
            base.mirror.clone().or_else(|| configured.iter().find(fits).map(uri)).ok_or_else(|| {
                Error::environment(format!(
                    "this machine's apt configuration names no {} mirror",
                    distribution.name()
                ))
                .help("give one: --mirror, or base.mirror in forge.yaml")
            })?;
        let security = base.security_mirror.clone().or_else(|| {
            // A mirror of one's own usually stands alone: the machine's security archive is not mixed in.
            base.mirror.is_none().then(|| configured.iter().find(security).map(uri)).flatten()
        });
        let main = main.trim_end_matches('/').to_owned();
        Ok(Self { distribution, main, security, suite: suite.to_owned() })
    }

    /// In the form of `sources.list`.
    pub(crate) fn source_lines(&self) -> Vec<String> {
        let (suite, components) = (&self.suite, self.distribution.components());
        let keyring = Path::new(self.distribution.keyring());
        let options =
            if keyring.exists() { format!("[signed-by={}] ", keyring.display()) } else { String::new() };
        let mut lines = vec![
            format!("deb {options}{} {suite} {components}", self.main),
            format!("deb {options}{} {suite}-updates {components}", self.main),
        ];
        lines.extend(
            self.security
                .iter()
                .map(|security| format!("deb {options}{security} {suite}-security {components}")),
        );
        lines
    }

    /// Which archive an address belongs to, and the path in it.
    fn place<'u>(&self, uri: &'u str) -> Option<(resolve::Archive, &'u str)> {
        let below = |archive: &str| uri.strip_prefix(archive)?.strip_prefix('/');
        let security = self.security.as_deref().and_then(below);
        security
            .map(|path| (resolve::Archive::Security, path))
            .or_else(|| below(&self.main).map(|path| (resolve::Archive::Main, path)))
    }

    /// Where a package is fetched from.
    fn address(&self, package: &Package) -> Result<String> {
        let archive = match package.archive {
            resolve::Archive::Main => &self.main,
            resolve::Archive::Security => self.security.as_ref().ok_or_else(|| {
                Error::environment(format!(
                    "{} comes from a security archive, and none is known here",
                    package.name
                ))
                .help("set base.security-mirror in forge.yaml")
            })?,
        };
        Ok(format!("{archive}/{}", package.path))
    }

    fn release_urls(&self) -> Vec<String> {
        let suite = &self.suite;
        let mut urls = vec![
            format!("{}/dists/{suite}/InRelease", self.main),
            format!("{}/dists/{suite}-updates/InRelease", self.main),
        ];
        urls.extend(
            self.security.iter().map(|security| format!("{security}/dists/{suite}-security/InRelease")),
        );
        urls
    }

    /// A digest of the archives' present state: while it stays, the same request gives the same packages.
    ///
    /// # Errors
    /// When the archives cannot be reached.
    pub(crate) fn state(&self, scratch: &Path) -> Result<Digest> {
        let mut hasher = Hasher::default();
        for url in self.release_urls() {
            let target = scratch.join("InRelease");
            Child::new("/usr/lib/apt/apt-helper")
                .args(["-q", "download-file", &url])
                .arg(&target)
                .run()
                .context("cannot ask the package archive for its state")?;
            hasher.update(&files::read(&target, 16 << 20)?);
            fs::remove_file(&target).context("cannot remove a temporary file")?;
        }
        Ok(hasher.finish())
    }
}

fn configured_sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut paths = vec![Path::new(LIST).to_owned()];
    let mut more: Vec<_> = fs::read_dir(LISTS)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    more.sort();
    paths.extend(more);
    for path in paths {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(parse_line)),
            Some("sources") => sources.extend(parse_deb822(&text)),
            _ => {}
        }
    }
    sources
}

fn parse_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source { uri: words.next()?, suite: words.next()?, components: words.collect() })
}

fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza
                .lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map_or("", |(_, value)| value.trim())
        };
        if !field("Types").split_whitespace().any(|kind| kind == "deb") || field("Enabled") == "no" {
            continue;
        }
        let components: Vec<String> = field("Components").split_whitespace().map(str::to_owned).collect();
        for uri in field("URIs").split_whitespace() {
            sources.extend(field("Suites").split_whitespace().map(|suite| Source {
                uri: uri.to_owned(),
                suite: suite.to_owned(),
                components: components.clone(),
            }));
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "# c\nTypes: deb\nURIs: http://mirror.example/debian/\nSuites: bookworm bookworm-updates\n\
                          Components: main contrib\nSigned-By: /k\n\nTypes: deb\nURIs: http://mirror.example/security\n\
                          Suites: bookworm-security\nComponents: main\n";

    #[test]
    fn both_formats_are_understood_and_strangers_passed_over() {
        let mut sources: Vec<Source> =
            ["deb https://other.example nodistro main", "deb [arch=amd64] http://x.example sid main"]
                .into_iter()
                .filter_map(parse_line)
                .collect();
        assert_eq!(sources.len(), 2);
        sources.truncate(1);
        sources.extend(parse_deb822(DEB822));
        let archives = Archives::choose(&sources, &Base::default()).unwrap();
        let lines = archives.source_lines().into_iter().map(|line| match line.split_once("] ") {
            Some((_, rest)) => format!("deb {rest}"),
            None => line,
        });
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [
                "deb http://mirror.example/debian trixie main",
                "deb http://mirror.example/debian trixie-updates main",
                "deb http://mirror.example/security trixie-security main",
            ]
        );
    }

    #[test]
    fn a_machine_without_a_debian_mirror_is_told_what_to_do() {
        let error = Archives::choose(&[], &Base::default()).unwrap_err();
        assert!(error.help.unwrap().contains("base.mirror"));
        let base = Base { mirror: Some("http://mine.example".into()), ..Base::default() };
        assert_eq!(Archives::choose(&parse_deb822(DEB822), &base).unwrap().security, None);
    }
}
