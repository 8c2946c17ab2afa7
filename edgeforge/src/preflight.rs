//! What can be known to fail before the first byte is fetched: names, files, programs, rights, room, and whether the
//! registry answers that the image is pushed to.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use edge_host::files;
use edge_model::forge::{Base, Forge, Source};
use edge_model::{Context, Error, Result};

use crate::apt::Distribution;
use crate::build::Options;
use crate::cache::Cache;
use crate::envelopes::Content;
use crate::oci::Endpoint;
use crate::programs::Programs;
use crate::project::Project;
use crate::tools;

/// A registry, or whatever stands before it, takes a connection within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Bytes without which not even the smallest image has room, beside the content of its medium.
const OUTPUTS: u64 = 1 << 30;
/// The same for what the steps leave in the cache.
const CACHED: u64 = 1 << 30;

/// Checks a project and what is asked for; only what stands in it, when nothing will be built.
///
/// # Errors
/// The first thing that would stop the build later.
pub(crate) fn check(project: &Project, options: &Options, dry_run: bool) -> Result<()> {
    let forge = &project.forge;
    suite_is_known(&forge.base())?;
    for reference in references(forge, options) {
        edge_registry::parse(&reference)?;
    }
    files_are_there(project)?;
    let content = Content::find(project)?;
    if dry_run {
        // Nothing is written, not even for looking.
        return Ok(());
    }
    tools::check_machine()?;
    Programs::find()?;
    may_be_written(&project.directory)?;
    let cache = Cache::open(true)?;
    let on_medium: u64 = content.sources().map(|(_, source)| size_of(source)).sum();
    has_room(&project.directory, OUTPUTS.saturating_add(on_medium))?;
    has_room(cache.root(), CACHED)?;
    for reference in options.push.iter().chain(&options.push_container) {
        answers(reference, &Endpoint::of_project(&forge.registries, &project.directory))?;
    }
    Ok(())
}

/// Names that stand in the project or on the command line.
fn references(forge: &Forge, options: &Options) -> Vec<String> {
    let mut found: Vec<String> = options.push.iter().chain(&options.push_container).cloned().collect();
    if let Source::Registry(reference) = forge.base().from {
        found.push(reference);
    }
    found
}

/// A word that is no suite would be looked for in an archive, and not be found there. A mirror that the project names
/// may have suites of its own.
fn suite_is_known(base: &Base) -> Result<()> {
    let from = &base.from;
    let Some((distribution, suite)) = Distribution::of(from) else { return Ok(()) };
    let known = distribution.suites();
    if base.mirror.is_some() || known.contains(&suite) {
        return Ok(());
    }
    let error = Error::invalid(format!("{from}: {suite:?} is no suite that images can be made of"));
    let near = edge_model::document::check::nearest(suite, known.iter().copied());
    Err(error.help(match near {
        Some(near) => format!("did you mean {near}? There are {}", known.join(", ")),
        None => format!("there are {}", known.join(", ")),
    }))
}

fn files_are_there(project: &Project) -> Result<()> {
    let forge = &project.forge;
    let base = match forge.base().from {
        Source::DockerArchive(path) | Source::Directory(path) => Some(path),
        // A tag may stand behind the folder, whose name may have a colon, too.
        Source::Layout(place) if project.directory.join(&place).exists() => Some(place),
        Source::Layout(place) => Some(place.rsplit_once(':').map_or(place.clone(), |(path, _)| path.into())),
        Source::Debian(_) | Source::Ubuntu(_) | Source::Registry(_) => None,
    };
    let authorities = forge.registries.iter().filter_map(|registry| registry.ca.clone());
    let base = base.map(|path| ("base", path));
    for (key, path) in base.into_iter().chain(authorities.map(|path| ("registries.ca", path))) {
        let whole = project.directory.join(&path);
        std::fs::metadata(&whole)
            .with_context(|| format!("{key} of forge.yaml: cannot open {}", whole.display()))?;
    }
    Ok(())
}

fn may_be_written(folder: &Path) -> Result<()> {
    let probe = tempfile::Builder::new().prefix(".edgeforge-").tempfile_in(folder);
    probe
        .map(drop)
        .with_context(|| format!("cannot write into {}", folder.display()))
        .map_err(|error| error.help("the project's folder must belong to the user that builds it"))
}

fn has_room(folder: &Path, needed: u64) -> Result<()> {
    let free = files::free_bytes(folder)?;
    if free >= needed {
        return Ok(());
    }
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    Err(Error::environment(format!(
        "the disk of {} has {:.1} GiB of free space, and a build needs more than {:.1}",
        folder.display(),
        gib(free),
        gib(needed)
    ))
    .help("remove what is not needed there; EDGEFORGE_CACHE_LIMIT=5G makes the cache smaller after a build"))
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Whether somebody takes connections where an image will be pushed to. With a proxy that is the proxy's business.
fn answers(reference: &str, endpoint: &Endpoint<'_>) -> Result<()> {
    let parsed = edge_registry::parse(reference)?;
    let settings = endpoint.of(parsed.registry());
    if has_proxy() {
        return Ok(());
    }
    let host = parsed.resolve_registry();
    let port = if settings.plain_http { 80 } else { 443 };
    let with_port = if has_port(host) { host.to_owned() } else { format!("{host}:{port}") };
    connect(&with_port)
        .with_context(|| format!("cannot push to {reference}: {with_port} does not answer"))
        .map_err(|error| error.help("check the name and the port; nothing was built yet"))
}

fn has_proxy() -> bool {
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// `[::1]` has colons and no port.
fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn connect(endpoint: &str) -> std::io::Result<()> {
    let mut last = std::io::Error::other("the name has no address");
    for address in endpoint.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ANSWER_WITHIN) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(error: &Error) -> String {
        edge_model::error::render(error)
    }

    #[test]
    fn a_suite_is_known_by_its_name() {
        let base = |suite: &str| Base { from: Source::Debian(suite.into()), ..Base::default() };
        assert!(suite_is_known(&base("trixie")).is_ok());
        let error = said(&suite_is_known(&base("trixi")).unwrap_err());
        assert!(error.contains("did you mean trixie?"), "{error}");
        let mirror = Some("http://mirror.example".to_owned());
        assert!(suite_is_known(&Base { mirror, ..base("own") }).is_ok());
    }

    #[test]
    fn room_names_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert!(has_room(folder.path(), 1).is_ok());
        let error = said(&has_room(folder.path(), u64::MAX).unwrap_err());
        assert!(
            error.contains(&folder.path().display().to_string()) && error.contains("free space"),
            "{error}"
        );
    }

    #[test]
    fn a_registry_that_nobody_runs_is_named_with_its_cause() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = said(&connect(&format!("127.0.0.1:{port}")).context("x").unwrap_err());
        assert!(error.contains("refused"), "{error}");
        assert!(has_port("[::1]:5000") && !has_port("registry.example") && !has_port("[::1]"));
    }

    #[test]
    fn a_missing_file_is_named_before_anything_is_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let text = "name: a\nversion: '1'\nbase: docker-archive:gone.tar\n";
        std::fs::write(folder.path().join("forge.yaml"), text).unwrap();
        let project = Project::load(folder.path()).unwrap();
        let error = said(&files_are_there(&project).unwrap_err());
        assert!(error.contains("gone.tar"), "{error}");
    }
}
