//! Where packages come from: the machine's own apt configuration, with the suite exchanged.

use std::fs;
use std::path::Path;

use edge_host::child::Child;
use edge_host::files;
use edge_model::forge::Base;
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
    main: String,
    security: Option<String>,
    suite: String,
}

const CODENAMES: [&str; 9] =
    ["bullseye", "bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable", "oldstable"];

impl Archives {
    /// # Errors
    /// [`edge_model::Class::Environment`] when this machine's apt knows no Debian mirror and `base` names none.
    pub(crate) fn find(base: &Base, suite: &str) -> Result<Self> {
        let configured = configured_sources();
        Self::choose(&configured, base, suite)
    }

    fn choose(configured: &[Source], base: &Base, suite: &str) -> Result<Self> {
        let debian = |source: &&Source| {
            CODENAMES.contains(&source.suite.as_str()) && source.components.iter().any(|name| name == "main")
        };
        let security =
            |source: &&Source| source.suite.ends_with("-security") || source.suite.ends_with("/updates");
        let uri = |source: &Source| source.uri.trim_end_matches('/').to_owned();
        let main =
            base.mirror.clone().or_else(|| configured.iter().find(debian).map(uri)).ok_or_else(|| {
                Error::environment("this machine's apt configuration names no Debian mirror")
                    .help("set base.mirror in forge.yaml")
            })?;
        let security = base.security_mirror.clone().or_else(|| {
            // A mirror of one's own usually stands alone: the machine's security archive is not mixed in.
            base.mirror.is_none().then(|| configured.iter().find(security).map(uri)).flatten()
        });
        Ok(Self { main, security, suite: suite.to_owned() })
    }

    /// In the form of `sources.list`.
    pub(crate) fn source_lines(&self) -> Vec<String> {
        let suite = &self.suite;
        let mut lines = vec![
            format!("deb {} {suite} main", self.main),
            format!("deb {} {suite}-updates main", self.main),
        ];
        lines.extend(self.security.iter().map(|security| format!("deb {security} {suite}-security main")));
        lines
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
        let archives = Archives::choose(&sources, &Base::default(), "trixie").unwrap();
        assert_eq!(
            archives.source_lines(),
            [
                "deb http://mirror.example/debian trixie main",
                "deb http://mirror.example/debian trixie-updates main",
                "deb http://mirror.example/security trixie-security main",
            ]
        );
    }

    #[test]
    fn a_machine_without_a_debian_mirror_is_told_what_to_do() {
        let error = Archives::choose(&[], &Base::default(), "trixie").unwrap_err();
        assert!(error.help.unwrap().contains("base.mirror"));
        let base = Base { mirror: Some("http://mine.example".into()), ..Base::default() };
        assert_eq!(Archives::choose(&parse_deb822(DEB822), &base, "trixie").unwrap().security, None);
    }
}
