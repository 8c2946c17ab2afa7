//! The agent as a registry for this host's container runtime: on loopback and read-only. What is not on this host comes through it from
//! where it is, if the site allows that, or is answered with 404 and a line in the log.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, RANGE,
};
use axum::http::{Method, Request, Response, StatusCode, Uri};
use edge_model::ids::Digest;
use edge_model::{Class, Context, Result, paths};
use edge_registry::Body as FromUpstream;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::shelf::{Absent, Content, Given, Shelf};
use super::upstream::Upstream;

const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// The runtime opens a few for each image that it pulls.
const CONNECTIONS: usize = 64;
const AFTER_TROUBLE: Duration = Duration::from_secs(1);
/// kubelet asks again and again: one line an hour is enough.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(3600);
const MOST_SAID: usize = 256;
const PIECE: usize = 256 << 10;
const OCTETS: &str = "application/octet-stream";
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Serves until the agent ends.
///
/// # Errors
/// When the port is taken.
pub(crate) async fn serve(shelf: Arc<Shelf>, upstream: Arc<Upstream>) -> Result<()> {
    let listener = TcpListener::bind(paths::CONTENT_REGISTRY)
        .await
        .context("cannot listen for the container runtime")?;
    tracing::info!("content: {} container images are on this host", shelf.count());
    let (places, log) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(Log::default()));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("content: a connection was not taken: {error}");
                tokio::time::sleep(AFTER_TROUBLE).await;
                continue;
            }
        };
        let sources = Sources { shelf: shelf.clone(), upstream: upstream.clone(), log: log.clone() };
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let sources = sources.clone();
                async move { Ok::<_, std::convert::Infallible>(reply(&sources, &request).await) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS_WITHIN)
                .serve_connection(TokioIo::new(stream), answer);
            // Whoever is at the other end may leave at any time.
            let _ = served.await;
            drop(place);
        });
    }
}

/// Where answers come from.
#[derive(Clone)]
struct Sources {
    shelf: Arc<Shelf>,
    upstream: Arc<Upstream>,
    log: Arc<Log>,
}

/// What was said to be missing, so that it is not said with every try.
#[derive(Debug, Default)]
struct Log(Mutex<BTreeMap<String, Instant>>);

impl Log {
    fn say(&self, line: String) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(&line).is_some_and(|when| when.elapsed() < SAID_AGAIN_AFTER) {
            return;
        }
        tracing::info!("content: {line}");
        if said.len() >= MOST_SAID {
            said.clear();
        }
        said.insert(line, Instant::now());
    }
}

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// Whether this is a registry.
    Base,
    Tag {
        name: String,
        tag: String,
    },
    Manifest {
        name: String,
        digest: Digest,
    },
    Blob {
        name: String,
        digest: Digest,
    },
    Nothing,
}

impl Wanted {
    fn of(path: &str) -> Self {
        let Some(rest) = path.strip_prefix("/v2") else { return Self::Nothing };
        if matches!(rest, "" | "/") {
            return Self::Base;
        }
        let Some(rest) = rest.strip_prefix('/') else { return Self::Nothing };
        for kind in ["/manifests/", "/blobs/"] {
            if let Some((name, reference)) = rest.rsplit_once(kind) {
                let name = name.to_owned();
                return match (reference.parse::<Digest>(), kind) {
                    (Ok(digest), "/blobs/") => Self::Blob { name, digest },
                    (Ok(digest), _) => Self::Manifest { name, digest },
                    (Err(_), "/manifests/") if !reference.contains('/') => {
                        Self::Tag { name, tag: reference.to_owned() }
                    }
                    (Err(_), _) => Self::Nothing,
                };
            }
        }
        Self::Nothing
    }
}

/// The registry that the image's name has: containerd says it to mirrors, with its colon written as `%3A`.
fn registry_of(address: &Uri) -> Option<String> {
    let Query(mut words) = Query::<BTreeMap<String, String>>::try_from_uri(address).ok()?;
    words.remove("ns").filter(|registry| !registry.is_empty())
}

async fn reply<B>(sources: &Sources, request: &Request<B>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "this registry can only be read");
    }
    let wanted = Wanted::of(request.uri().path());
    match wanted {
        Wanted::Base => return with_type(Response::new(Body::from("{}")), "application/json"),
        Wanted::Nothing => return refusal(StatusCode::NOT_FOUND, "UNSUPPORTED", "there is no such path"),
        _ => {}
    }
    let registry = registry_of(request.uri());
    let asked = Asked { range: range_asked(request), head: request.method() == Method::HEAD };
    let what = wanted.describe(registry.as_deref());
    let absent = match on_this_host(sources, registry.clone(), wanted.clone()).await {
        Ok(given) => return give(given, &asked).await,
        Err(absent) => absent,
    };
    // What is damaged here may be whole where it came from.
    let passes_on = matches!(absent, Absent::Unknown | Absent::Damaged);
    let mut why = absent.describe(&what);
    let mut status = StatusCode::NOT_FOUND;
    if let Some(registry) = registry.as_deref().filter(|_| passes_on) {
        match from_upstream(&sources.upstream, registry, &wanted, &asked).await {
            Ok(Some(response)) => return response,
            Ok(None) => {}
            Err(error) => {
                if error.class == Class::Environment {
                    status = StatusCode::BAD_GATEWAY;
                }
                why = format!("{why}, and not to be had from its registry: {error}");
            }
        }
    }
    sources.log.say(why.clone());
    refusal(status, absent.code(), &why)
}

/// How it is wanted.
struct Asked {
    range: Option<String>,
    head: bool,
}

fn range_asked<B>(request: &Request<B>) -> Option<String> {
    request.headers().get(RANGE).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

impl Wanted {
    fn describe(&self, registry: Option<&str>) -> String {
        let place = registry.map(|registry| format!("{registry}/")).unwrap_or_default();
        match self {
            Wanted::Tag { name, tag } => format!("{place}{name}:{tag}"),
            Wanted::Manifest { name, digest } | Wanted::Blob { name, digest } => {
                format!("{place}{name}@{digest}")
            }
            Wanted::Base | Wanted::Nothing => String::new(),
        }
    }
}

impl Absent {
    fn code(&self) -> &'static str {
        match self {
            Absent::Unknown => "MANIFEST_UNKNOWN",
            Absent::Ambiguous => "NAME_INVALID",
            Absent::FileSystem(_) | Absent::Damaged => "BLOB_UNKNOWN",
        }
    }

    fn describe(&self, what: &str) -> String {
        match self {
            Absent::Unknown => format!("{what} is not on this host"),
            Absent::Ambiguous => format!("{what} is the name of several images"),
            Absent::FileSystem(image) => {
                format!("{what}, a layer of {image}, is on this host as a file system, not as an archive")
            }
            Absent::Damaged => format!("{what} is damaged on this host"),
        }
    }
}

/// A large blob is read through before it is given the first time: beside the thread that serves.
async fn on_this_host(
    sources: &Sources,
    registry: Option<String>,
    wanted: Wanted,
) -> std::result::Result<Given, Absent> {
    let shelf = sources.shelf.clone();
    let found = tokio::task::spawn_blocking(move || match wanted {
        Wanted::Tag { name, tag } => shelf.tagged(registry.as_deref(), &name, &tag),
        Wanted::Manifest { digest, .. } | Wanted::Blob { digest, .. } => shelf.with_digest(&digest),
        Wanted::Base | Wanted::Nothing => Err(Absent::Unknown),
    });
    found.await.unwrap_or(Err(Absent::Unknown))
}

async fn from_upstream(
    upstream: &Upstream,
    registry: &str,
    wanted: &Wanted,
    asked: &Asked,
) -> Result<Option<Response<Body>>> {
    let (name, reference) = match wanted {
        Wanted::Tag { name, tag } => (name, tag.clone()),
        Wanted::Manifest { name, digest } => (name, digest.to_string()),
        Wanted::Blob { name, digest } => {
            let Some((size, body)) = upstream.blob(registry, name, *digest).await? else { return Ok(None) };
            let body = if asked.head { Body::empty() } else { passing(body) };
            return Ok(Some(whole(body, size, digest, OCTETS)));
        }
        Wanted::Base | Wanted::Nothing => return Ok(None),
    };
    let Some(found) = upstream.manifest(registry, name, &reference).await? else { return Ok(None) };
    let size = found.bytes.len() as u64;
    let body = if asked.head { Body::empty() } else { Body::from(found.bytes) };
    Ok(Some(whole(body, size, &found.digest, &found.media_type)))
}

fn whole(body: Body, size: u64, digest: &Digest, media_type: &str) -> Response<Body> {
    let mut response = with_type(Response::new(body), media_type);
    put(&mut response, CONTENT_LENGTH, &size.to_string());
    put(&mut response, DIGEST, &digest.to_string());
    response
}

/// As it comes; the runtime checks the digest when it has all of it.
fn passing(body: FromUpstream) -> Body {
    Body::from_stream(futures_util::stream::try_unfold(body, |mut body| async move {
        let piece = body.chunk().await.map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok::<_, std::io::Error>(piece.map(|piece| (piece, body)))
    }))
}

async fn give(given: Given, asked: &Asked) -> Response<Body> {
    let length = match &given.content {
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::File { size, .. } => *size,
    };
    let range = asked.range.as_deref().map(|range| range_of(range, length));
    let (status, first, last) = match range {
        None => (StatusCode::OK, 0, length),
        Some(Some((first, last))) => (StatusCode::PARTIAL_CONTENT, first, last + 1),
        Some(None) => {
            let mut refused =
                refusal(StatusCode::RANGE_NOT_SATISFIABLE, "UNSUPPORTED", "there is no such range");
            put(&mut refused, CONTENT_RANGE, &format!("bytes */{length}"));
            return refused;
        }
    };
    let body = match given.content {
        _ if asked.head => Body::empty(),
        Content::Bytes(bytes) => {
            Body::from(bytes.get(first as usize..last as usize).unwrap_or_default().to_vec())
        }
        Content::File { path, .. } => match part_of_file(&path, first, last).await {
            Ok(body) => body,
            Err(error) => {
                return refusal(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", &error.to_string());
            }
        },
    };
    let media_type = if given.media_type.is_empty() { OCTETS } else { &given.media_type };
    let mut response = whole(body, last - first, &given.digest, media_type);
    *response.status_mut() = status;
    put(&mut response, ACCEPT_RANGES, "bytes");
    if status == StatusCode::PARTIAL_CONTENT {
        put(&mut response, CONTENT_RANGE, &format!("bytes {first}-{}/{length}", last - 1));
    }
    response
}

/// Piece by piece: a layer may be larger than the agent's memory should be.
async fn part_of_file(path: &std::path::Path, first: u64, last: u64) -> Result<Body> {
    let context = || format!("cannot open {}", path.display());
    let mut file = tokio::fs::File::open(path).await.with_context(context)?;
    file.seek(std::io::SeekFrom::Start(first)).await.with_context(context)?;
    let pieces = futures_util::stream::try_unfold(file.take(last - first), |mut file| async move {
        let mut piece = vec![0; PIECE];
        let length = file.read(&mut piece).await?;
        piece.truncate(length);
        Ok::<_, std::io::Error>((length > 0).then(|| (Bytes::from(piece), file)))
    });
    Ok(Body::from_stream(pieces))
}

/// First and last byte of a range that is wholly or partly there.
fn range_of(range: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = length.checked_sub(1)?;
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last && first <= end => Some((first, last.min(end))),
        (Ok(first), Err(_)) if last.is_empty() && first <= end => Some((first, end)),
        (Err(_), Ok(count)) if first.is_empty() && count > 0 => Some((length - count.min(length), end)),
        _ => None,
    }
}

fn with_type(mut response: Response<Body>, media_type: &str) -> Response<Body> {
    put(&mut response, CONTENT_TYPE, media_type);
    response
}

fn put(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let body = json!({ "errors": [{ "code": code, "message": message }] }).to_string();
    let mut response = with_type(Response::new(Body::from(body)), "application/json");
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::super::of_image::ImageContent;
    use super::super::of_image::tests::folder;
    use super::super::store::Store;
    use super::*;
    use edge_slot_image::sha256;
    use proptest::prelude::*;

    /// A shelf with an image's content alone, and nobody behind it.
    fn sources(folder: &std::path::Path) -> Sources {
        let shelf = Shelf::new(ImageContent::read(folder), Store::at(&folder.join("none")));
        let upstream = Upstream::new(Box::new(|| None));
        Sources { shelf: Arc::new(shelf), upstream: Arc::new(upstream), log: Arc::default() }
    }

    fn wait<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    fn ask(
        sources: &Sources,
        method: Method,
        uri: &str,
        range: Option<&str>,
    ) -> (StatusCode, Response<Body>) {
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().unwrap();
        if let Some(range) = range {
            request.headers_mut().insert(RANGE, range.parse().unwrap());
        }
        let response = wait(reply(sources, &request));
        (response.status(), response)
    }

    fn body(response: Response<Body>) -> Vec<u8> {
        wait(axum::body::to_bytes(response.into_body(), 1 << 20)).unwrap().to_vec()
    }

    #[test]
    fn a_registry_with_a_port_is_the_one_that_the_image_names() {
        let asked = |address: &'static str| registry_of(&Uri::from_static(address));
        assert_eq!(asked("/v2/a/manifests/1?ns=shop.local%3A5000").as_deref(), Some("shop.local:5000"));
        assert_eq!(asked("/v2/a/manifests/1?ns=docker.io&x=1").as_deref(), Some("docker.io"));
        assert_eq!(asked("/v2/a/manifests/1?ns="), None);
        assert_eq!(asked("/v2/a/manifests/1"), None);
    }

    #[test]
    fn the_runtime_gets_what_it_asks_for() {
        let folder = folder();
        let content = sources(folder.path());
        let uri = "/v2/pause/manifests/3.10?ns=registry.k8s.io";
        let (status, response) = ask(&content, Method::GET, uri, None);
        let digest = response.headers()[DIGEST].to_str().unwrap().to_owned();
        let whole = body(response);
        assert_eq!((status, sha256(&whole).to_string()), (StatusCode::OK, digest.clone()));
        let by_digest = format!("/v2/pause/manifests/{digest}?ns=registry.k8s.io");
        assert_eq!(body(ask(&content, Method::GET, &by_digest, None).1), whole);
        let (status, head) = ask(&content, Method::HEAD, uri, None);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(head.headers()[CONTENT_LENGTH].to_str().unwrap(), whole.len().to_string());
        assert!(body(head).is_empty());
        assert_eq!(ask(&content, Method::GET, "/v2/", None).0, StatusCode::OK);
        for (method, uri, expected) in [
            (Method::GET, "/v2/pause/manifests/9?ns=registry.k8s.io", StatusCode::NOT_FOUND),
            (Method::GET, "/v2/pause/manifests/3.10?ns=docker.io", StatusCode::NOT_FOUND),
            (Method::GET, "/v2/pause/manifests/3.10", StatusCode::NOT_FOUND),
            (Method::GET, "/v2/pause/tags/list", StatusCode::NOT_FOUND),
            (Method::PUT, "/v2/pause/manifests/3.10?ns=registry.k8s.io", StatusCode::METHOD_NOT_ALLOWED),
            (Method::POST, "/v2/pause/blobs/uploads/", StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, "/", StatusCode::NOT_FOUND),
        ] {
            assert_eq!(ask(&content, method, uri, None).0, expected, "{uri}");
        }
        let layer = format!("/v2/pause/blobs/{}", sha256(b"layer"));
        let (status, response) = ask(&content, Method::GET, &layer, None);
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(String::from_utf8(body(response)).unwrap().contains("as a file system"));
    }

    #[test]
    fn parts_are_given_as_asked() {
        let folder = folder();
        let content = sources(folder.path());
        let uri = "/v2/page/manifests/1?ns=edge.local";
        let whole = body(ask(&content, Method::GET, uri, None).1);
        let length = whole.len();
        for (range, expected) in [
            ("bytes=0-3", Some(&whole[..4])),
            ("bytes=5-", Some(&whole[5..])),
            ("bytes=-4", Some(&whole[length - 4..])),
            ("bytes=2-999999", Some(&whole[2..])),
            ("bytes=999999-", None),
            ("bytes=5-2", None),
            ("lines=1-2", None),
        ] {
            let (status, response) = ask(&content, Method::GET, uri, Some(range));
            match expected {
                Some(part) => {
                    assert_eq!((status, body(response)), (StatusCode::PARTIAL_CONTENT, part.to_vec()))
                }
                None => assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_request_panics_and_no_wrong_byte_is_given(
            path in "/[a-z0-9/:._-]{0,40}",
            start in prop_oneof![Just("/v2/pause/manifests/"), Just("/v2/page/blobs/"), Just("/v2"), Just("")],
            query in "[a-z0-9=&./]{0,20}",
            range in proptest::option::of("bytes=[0-9]{0,8}-[0-9]{0,22}"),
            damaged: bool,
        ) {
            let folder = folder();
            let content = sources(folder.path());
            if damaged {
                for blob in std::fs::read_dir(folder.path().join("blobs/sha256")).unwrap().flatten() {
                    std::fs::write(blob.path(), "damaged").unwrap();
                }
            }
            let uri = format!("{start}{path}?{query}");
            let known = format!("/v2/page/manifests/1?ns=edge.local&{query}");
            for uri in [uri, known] {
                if uri.parse::<axum::http::Uri>().is_err() {
                    continue;
                }
                let (status, response) = ask(&content, Method::GET, &uri, range.as_deref());
                if status == StatusCode::OK && response.headers().contains_key(DIGEST) {
                    prop_assert!(!damaged);
                    let digest = response.headers()[DIGEST].to_str().unwrap().to_owned();
                    prop_assert_eq!(sha256(&body(response)).to_string(), digest);
                }
            }
        }
    }
}
