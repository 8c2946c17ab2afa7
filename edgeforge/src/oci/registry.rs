//! A registry that is not trusted: sizes, times and redirects are limited, and nothing is believed but digests.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md>

use std::path::Path;
use std::time::Duration;

use edge_model::error::chain;
use edge_model::forge::Registry as Settings;
use edge_model::ids::Digest;
use edge_model::registry::Trouble;
use edge_model::{Context, Error, Result};
use edge_slot_image::sha256;
use futures_util::{StreamExt, TryStreamExt};
use oci_client::Reference;
use oci_client::secrets::RegistryAuth;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, RANGE, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode};
use tokio::sync::Mutex;

use super::credentials;
use super::download;
use super::image::{
    self, Contents, DOCUMENT_LIMIT, Descriptor, Document, Image, Layer, MANIFEST_TYPES, Stored,
};
use crate::contents;
use crate::progress::Progress;

/// Blobs that are fetched at the same time.
const PARALLEL: usize = 4;
/// Tries of a request that gets no answer at all.
const SENDINGS: u32 = 3;
/// A registry sends to a storage, and that perhaps to a cache.
const MOST_REDIRECTS: usize = 5;
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// Most bytes of a token, or of an error's text.
const ANSWER_LIMIT: u64 = 64 << 10;

/// How long a registry may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    /// Without a byte.
    pub(crate) silence: Duration,
    /// In each `window` at least `least` bytes must come.
    pub(crate) window: Duration,
    pub(crate) least: u64,
    /// Before a broken download is tried again; doubled each time.
    pub(crate) pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            window: Duration::from_secs(60),
            least: 64 << 10,
            pause: Duration::from_secs(1),
        }
    }
}

/// Everything about how to reach registries.
#[derive(Debug)]
pub(crate) struct Endpoint<'a> {
    pub(crate) settings: &'a [Settings],
    /// Paths in the settings are relative to it, and its folder `certs/` counts for all registries.
    pub(crate) project: Option<&'a Path>,
    pub(crate) patience: Patience,
}

/// The certificates of a bundle in PEM form, one by one: libraries take them so.
fn pem_blocks(bundle: &[u8]) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(bundle);
    let blocks = text.split_inclusive(END).filter(|block| block.ends_with(END));
    blocks.filter_map(|block| Some(block[block.find("-----BEGIN")?..].to_owned())).collect()
}

impl<'a> Endpoint<'a> {
    pub(crate) fn of_project(settings: &'a [Settings], project: &'a Path) -> Self {
        Self { settings, project: Some(project), patience: Patience::default() }
    }

    /// For registries that belong to no project.
    pub(crate) fn alone(settings: &'a [Settings]) -> Self {
        Self { settings, project: None, patience: Patience::default() }
    }

    pub(crate) fn of(&self, host: &str) -> Settings {
        let found = self.settings.iter().find(|settings| settings.host == host);
        found.cloned().unwrap_or_else(|| Settings { host: host.to_owned(), ..Settings::default() })
    }

    /// Certificates, beside the usual ones, that a registry may prove itself with: of its own CA, and those of the
    /// project, whose network may have a proxy that looks into connections.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when there are none where some should be.
    pub(crate) fn certificates(&self, settings: &Settings) -> Result<Vec<String>> {
        let mut found = Vec::new();
        if let (Some(ca), Some(project)) = (&settings.ca, self.project) {
            found = pem_blocks(&edge_host::files::read(&project.join(ca), ANSWER_LIMIT * 16)?);
            if found.is_empty() {
                return Err(Error::invalid(format!("the CA of {} has no certificate", settings.host))
                    .help("give a file with certificates in PEM form"));
            }
        }
        if let Some(project) = self.project {
            let own = contents::certificates(project)?;
            found.extend(own.iter().flat_map(|(_, bytes)| pem_blocks(bytes)));
        }
        Ok(found)
    }

    fn client(&self, settings: &Settings) -> Result<Client> {
        let plain_http = settings.plain_http;
        let policy = Policy::custom(move |attempt| {
            if attempt.previous().len() > MOST_REDIRECTS {
                attempt.error("the registry redirects without end")
            } else if attempt.url().scheme() != "https" && !plain_http {
                attempt.error("the registry redirects to an address without TLS")
            } else {
                attempt.follow()
            }
        });
        let mut builder = Client::builder()
            .user_agent(concat!("edgeforge/", env!("CARGO_PKG_VERSION")))
            .redirect(policy)
            .connect_timeout(self.patience.connect)
            .read_timeout(self.patience.silence);
        let certificates = self.certificates(settings)?;
        let certificates = certificates.iter().map(|pem| Certificate::from_pem(pem.as_bytes()));
        let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| {
            Error::invalid(format!("a certificate for {} cannot be used: {error}", settings.host))
        })?;
        builder = builder.tls_certs_merge(certificates);
        builder.build().map_err(|error| {
            Error::environment(format!("cannot prepare for talking to a registry: {}", chain(&error)))
        })
    }
}

fn parse(reference: &str) -> Result<Reference> {
    reference
        .parse()
        .map_err(|error| Error::invalid(format!("{reference:?} is not an image reference: {error}")))
}

/// What every fetch needs: the network's runtime, and a folder for what comes.
fn prepare(blobs: &Path) -> Result<tokio::runtime::Runtime> {
    std::fs::create_dir_all(blobs).with_context(|| format!("cannot create {}", blobs.display()))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the network runtime")
}

/// Fetches an image by the digest that is pinned, or else by its name; one that is here already needs no network.
///
/// # Errors
/// Those of [`pull`]; [`edge_model::Class::Environment`] when the image is not here and the network may not be used.
pub(crate) fn pull_pinned(
    reference: &str,
    pinned: Option<Digest>,
    endpoint: &Endpoint<'_>,
    blobs: &Path,
    offline: bool,
    progress: &Progress,
) -> Result<Image> {
    let parsed = parse(reference)?;
    let pinned = pinned.or_else(|| parsed.digest().and_then(|digest| digest.parse().ok()));
    if let Some(image) = pinned.map(|digest| super::archive::from_blobs(blobs, digest)).and_then(Result::ok) {
        return Ok(image);
    }
    if offline {
        return Err(Error::environment(format!("{reference} is not on this machine"))
            .help("run `edgeforge fetch` where there is a network"));
    }
    match pinned {
        Some(digest) => {
            let name = format!("{}/{}@{digest}", parsed.registry(), parsed.repository());
            pull(&name, endpoint, blobs, progress)
        }
        None => pull(reference, endpoint, blobs, progress),
    }
}

/// Fetches an image; blobs that are in `blobs` already, in their whole length, are not fetched again.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] for a wrong reference or an image of another architecture,
/// [`edge_model::Class::Environment`] when the registry cannot be reached or does not behave,
/// [`edge_model::Class::Integrity`] when it gives other bytes than it promised.
pub(crate) fn pull(
    reference: &str,
    endpoint: &Endpoint<'_>,
    blobs: &Path,
    progress: &Progress,
) -> Result<Image> {
    let parsed = parse(reference)?;
    let runtime = prepare(blobs)?;
    let settings = endpoint.of(parsed.registry());
    let mut failures: Vec<Error> = Vec::new();
    for host in settings.mirrors.iter().map(String::as_str).chain([parsed.resolve_registry()]) {
        let fetched = Registry::open(endpoint, &settings, host, parsed.repository())
            .and_then(|registry| runtime.block_on(registry.fetch(&parsed, blobs, progress)));
        match fetched {
            Ok(image) => return Ok(image),
            Err(error) => {
                if host != parsed.resolve_registry() {
                    progress.say(&format!("the mirror {host} was of no use: {error}"));
                }
                failures.push(error);
            }
        }
    }
    let last = failures.pop().unwrap_or_else(|| Error::internal("no registry was asked"));
    let error = last.context(format!("cannot fetch {reference}"));
    Err(if error.help.is_some() {
        error
    } else {
        error.help(
            "check the reference and the network; what was fetched is kept, and a new try goes on from there",
        )
    })
}

/// One repository of a registry.
#[derive(Debug)]
pub(super) struct Registry {
    client: Client,
    /// `https://HOST/v2/REPOSITORY`
    base: String,
    repository: String,
    login: RegistryAuth,
    /// What the registry wants to see in the header, once it has said so.
    authorization: Mutex<Option<String>>,
    pub(super) patience: Patience,
}

impl Registry {
    fn open(endpoint: &Endpoint<'_>, settings: &Settings, host: &str, repository: &str) -> Result<Self> {
        let scheme = if settings.plain_http { "http" } else { "https" };
        Ok(Self {
            client: endpoint.client(settings)?,
            base: format!("{scheme}://{host}/v2/{repository}"),
            repository: repository.to_owned(),
            login: credentials::of(host)?,
            authorization: Mutex::new(None),
            patience: endpoint.patience,
        })
    }

    async fn fetch(&self, reference: &Reference, blobs: &Path, progress: &Progress) -> Result<Image> {
        let name = reference.digest().or(reference.tag()).unwrap_or("latest");
        let (mut digest, mut bytes) = self.manifest(name).await?;
        if let Document::Index(manifests) = Document::parse(&bytes)? {
            let chosen = image::for_this_architecture(manifests)?;
            (digest, bytes) = self.manifest(&chosen.digest.to_string()).await?;
        }
        let (config, layers) = match Document::parse(&bytes)? {
            Document::Index(_) => {
                return Err(Error::invalid("an index of the image leads to another index"));
            }
            Document::Provider(layers) => (None, layers),
            Document::Manifest { config, layers } => (Some(config), layers),
        };
        if let Some(config) = config.as_ref().filter(|config| config.size > DOCUMENT_LIMIT) {
            return Err(Error::invalid(format!("the image's configuration has {} bytes", config.size)));
        }
        let total: u64 = layers.iter().map(|layer| layer.size).sum();
        progress.say(&format!("{} layers, {:.1} MiB", layers.len(), total as f64 / f64::from(1 << 20)));
        let stored: Vec<Stored> = futures_util::stream::iter(layers.iter().chain(&config))
            .map(|blob| download::blob(self, blob, blobs))
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        // So that the image is found again without a network.
        let kept = blobs.join(format!("sha256-{}", edge_model::ids::to_hex(&digest.0)));
        edge_host::files::write_durably(&kept, &bytes, 0o644)?;
        let Some((config, stored)) = config.and_then(|_| stored.split_last()) else {
            let blobs = layers.iter().map(|layer| layer.digest).zip(stored);
            return Image::provider(digest, &bytes, blobs.collect());
        };
        let diff_ids = image::diff_ids(&config.document()?, layers.len())?;
        let layers = stored.iter().zip(&layers).zip(diff_ids);
        let layer = |((stored, blob), diff_id): ((&Stored, &Descriptor), Digest)| Layer {
            stored: stored.clone(),
            digest: Some(blob.digest),
            diff_id,
        };
        Ok(Image { digest, contents: Contents::Layers(layers.map(layer).collect()) })
    }

    /// A manifest by tag or digest, with its digest.
    async fn manifest(&self, name: &str) -> Result<(Digest, Vec<u8>)> {
        let response = self.get(&format!("{}/manifests/{name}", self.base), &[]).await?;
        let promised: Option<Digest> = response
            .headers()
            .get("docker-content-digest")
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        let bytes = limited(response, DOCUMENT_LIMIT).await?;
        let digest = sha256(&bytes);
        let wanted = name.parse::<Digest>().ok().or(promised);
        match wanted.filter(|wanted| *wanted != digest) {
            None => Ok((digest, bytes)),
            Some(wanted) => Err(Error::integrity(format!(
                "the manifest is not what was promised: {wanted} was promised, it is {digest}"
            ))),
        }
    }

    /// Asks for a blob from `offset` on.
    pub(super) async fn blob(&self, digest: Digest, offset: u64) -> Result<Response> {
        let range = format!("bytes={offset}-");
        let headers: &[(reqwest::header::HeaderName, &str)] =
            if offset > 0 { &[(RANGE, range.as_str())] } else { &[] };
        self.get(&format!("{}/blobs/{digest}", self.base), headers).await
    }

    async fn get(&self, url: &str, headers: &[(reqwest::header::HeaderName, &str)]) -> Result<Response> {
        // A token may have grown old since it was given.
        for renewed in [false, true] {
            let mut request = self.client.get(url).header(ACCEPT, MANIFEST_TYPES.join(", "));
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            let authorization = self.authorization.lock().await.clone();
            if let Some(authorization) = &authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = self.send(request).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if status != StatusCode::UNAUTHORIZED || renewed {
                let text = limited(response, ANSWER_LIMIT).await.unwrap_or_default();
                return Err(refused(status, &text));
            }
            let answer = self.authorize(response.headers()).await?;
            *self.authorization.lock().await = Some(answer);
        }
        Err(Error::environment("the registry wants a login, and does not take the one it gave"))
    }

    /// Sends a request without a body that is a stream; a connection that the other side closed meanwhile is no
    /// answer yet.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        for _ in 1..SENDINGS {
            let Some(copy) = request.try_clone() else { break };
            match copy.send().await {
                Ok(response) => return Ok(response),
                Err(error) if error.is_redirect() || error.is_builder() => return Err(unreachable(&error)),
                Err(_) => tokio::time::sleep(self.patience.pause).await,
            }
        }
        request.send().await.map_err(|error| unreachable(&error))
    }

    /// <https://distribution.github.io/distribution/spec/auth/token/>
    async fn authorize(&self, headers: &HeaderMap) -> Result<String> {
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenge = challenges
            .map(Challenge::parse)
            .max_by_key(|challenge| matches!(challenge, Some(Challenge::Bearer { .. })))
            .flatten();
        match challenge {
            Some(Challenge::Basic) => match &self.login {
                RegistryAuth::Basic(user, password) => Ok(basic(user, password)),
                _ => Err(Trouble::Login.error()),
            },
            Some(Challenge::Bearer { realm, service }) => self.token(&realm, service.as_deref()).await,
            None => Err(Error::environment("the registry wants a login of a kind that is not known")),
        }
    }

    async fn token(&self, realm: &str, service: Option<&str>) -> Result<String> {
        #[derive(serde::Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        if self.base.starts_with("https:") && !realm.starts_with("https:") {
            return Err(Error::environment("the registry sends the login to an address without TLS"));
        }
        let scope = format!("repository:{}:pull", self.repository);
        let mut pairs = vec![("scope", scope.as_str())];
        pairs.extend(service.map(|service| ("service", service)));
        let mut url = reqwest::Url::parse(realm)
            .map_err(|error| Error::environment(format!("the registry's login has no address: {error}")))?;
        let request = match &self.login {
            RegistryAuth::Bearer(identity) => {
                pairs.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "edgeforge"),
                    ("refresh_token", identity),
                ]);
                let mut form = url.clone();
                form.query_pairs_mut().clear().extend_pairs(&pairs);
                let body = form.query().unwrap_or_default().to_owned();
                self.client
                    .post(url)
                    .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(body)
            }
            login => {
                url.query_pairs_mut().extend_pairs(&pairs);
                let request = self.client.get(url);
                match login {
                    RegistryAuth::Basic(user, password) => {
                        request.header(AUTHORIZATION, basic(user, password))
                    }
                    _ => request,
                }
            }
        };
        let response = self.send(request).await?;
        let status = response.status();
        let body = limited(response, ANSWER_LIMIT).await?;
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        let answer: Answer = serde_json::from_slice(&body).context("the registry's token cannot be read")?;
        let token = answer.token.or(answer.access_token);
        Ok(format!("Bearer {}", token.ok_or_else(|| Error::environment("the registry gave no token"))?))
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes()))
}

fn refused(status: StatusCode, text: &[u8]) -> Error {
    let text: String =
        String::from_utf8_lossy(text).chars().filter(|character| !character.is_control()).take(300).collect();
    Trouble::of_status(status.as_u16(), &text).error()
}

pub(super) fn unreachable(error: &reqwest::Error) -> Error {
    Trouble::silence(error).error()
}

/// A whole answer, if it is short and comes soon.
async fn limited(response: Response, limit: u64) -> Result<Vec<u8>> {
    tokio::time::timeout(ANSWER_WITHIN, collect(response, limit))
        .await
        .map_err(|_| Error::environment("the registry's answer does not end"))?
}

async fn collect(mut response: Response, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if (bytes.len() + piece.len()) as u64 > limit {
            return Err(Error::environment(format!("the registry's answer is longer than {limit} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// How a registry wants to know who asks.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, mut rest) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        while let Some((key, value)) = rest.split_once('=') {
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => value.split_once(',').unwrap_or((value, "")),
            };
            match key.trim_matches([' ', ',']).to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value.to_owned()),
                "service" => service = Some(value.to_owned()),
                _ => {}
            }
            rest = after;
        }
        Some(Self::Bearer { realm: realm?, service })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_challenge_panics(text in ".{0,100}") {
            let _ = Challenge::parse(&text);
        }
    }

    #[test]
    fn challenges_are_understood() {
        let text = "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"a:b,c\"";
        let expected = Challenge::Bearer {
            realm: "https://auth.example/token".into(),
            service: Some("registry.example".into()),
        };
        assert_eq!(Challenge::parse(text), Some(expected));
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Negotiate"), None);
    }
}
