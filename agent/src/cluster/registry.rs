//! The agent as a registry for this host's container runtime: on loopback, read-only, and with nothing behind it. What is
//! not on this host is answered with 404 and a line in the log.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Query;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, RANGE,
};
use axum::http::{Method, Request, Response, StatusCode, Uri};
use edge_model::ids::Digest;
use edge_model::{Context, Result, paths};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::content::{Absent, Content, Document};

const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// The runtime opens a few for each image that it pulls.
const CONNECTIONS: usize = 64;
const AFTER_TROUBLE: Duration = Duration::from_secs(1);
/// kubelet asks again and again: one line an hour is enough.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(3600);
const MOST_SAID: usize = 256;
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Serves until the agent ends.
///
/// # Errors
/// When the port is taken.
pub(super) async fn serve(content: Arc<Content>) -> Result<()> {
    let listener = TcpListener::bind(paths::CONTENT_REGISTRY)
        .await
        .context("cannot listen for the container runtime")?;
    tracing::info!("content: {} container images are on this host", content.names());
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
        let (content, log) = (content.clone(), log.clone());
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let reply = reply(&content, &log, &request);
                async move { Ok::<_, std::convert::Infallible>(reply) }
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
enum Wanted<'p> {
    /// Whether this is a registry.
    Base,
    Tag {
        name: &'p str,
        tag: &'p str,
    },
    Digest {
        name: &'p str,
        digest: Digest,
    },
    Nothing,
}

impl<'p> Wanted<'p> {
    fn of(path: &'p str) -> Self {
        let Some(rest) = path.strip_prefix("/v2") else { return Self::Nothing };
        if matches!(rest, "" | "/") {
            return Self::Base;
        }
        let Some(rest) = rest.strip_prefix('/') else { return Self::Nothing };
        for kind in ["/manifests/", "/blobs/"] {
            if let Some((name, reference)) = rest.rsplit_once(kind) {
                return match reference.parse::<Digest>() {
                    Ok(digest) => Self::Digest { name, digest },
                    Err(_) if kind == "/manifests/" && !reference.contains('/') => {
                        Self::Tag { name, tag: reference }
                    }
                    Err(_) => Self::Nothing,
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

fn reply<B>(content: &Content, log: &Log, request: &Request<B>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "this registry can only be read");
    }
    let registry = registry_of(request.uri());
    let registry = registry.as_deref();
    let (found, what) = match Wanted::of(request.uri().path()) {
        Wanted::Base => return with_type(Response::new(Body::from("{}")), "application/json"),
        Wanted::Nothing => return refusal(StatusCode::NOT_FOUND, "UNSUPPORTED", "there is no such path"),
        Wanted::Tag { name, tag } => (
            content.tagged(registry, name, tag),
            format!("{}{name}:{tag}", registry.map(|registry| format!("{registry}/")).unwrap_or_default()),
        ),
        Wanted::Digest { name, digest } => (content.document(&digest), format!("{name}@{digest}")),
    };
    match found {
        Ok(document) => give(document, request),
        Err(absent) => {
            let (code, why) = match absent {
                Absent::Unknown => ("MANIFEST_UNKNOWN", format!("{what} is not on this host")),
                Absent::Ambiguous => ("NAME_INVALID", format!("{what} is the name of several images")),
                Absent::FileSystem(image) => (
                    "BLOB_UNKNOWN",
                    format!(
                        "{what}, a layer of {image}, is on this host as a file system, not as an archive"
                    ),
                ),
                Absent::Damaged => ("BLOB_UNKNOWN", format!("{what} is damaged on this host")),
            };
            log.say(why.clone());
            refusal(StatusCode::NOT_FOUND, code, &why)
        }
    }
}

fn give<B>(document: Document, request: &Request<B>) -> Response<Body> {
    let length = document.bytes.len() as u64;
    let range = request.headers().get(RANGE).and_then(|value| value.to_str().ok());
    let range = range.map(|range| range_of(range, length));
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
    let part = document.bytes.get(first as usize..last as usize).unwrap_or_default().to_vec();
    let size = part.len();
    let body = if request.method() == Method::HEAD { Body::empty() } else { Body::from(part) };
    let mut response = with_type(Response::new(body), &document.media_type);
    *response.status_mut() = status;
    put(&mut response, CONTENT_LENGTH, &size.to_string());
    put(&mut response, DIGEST, &document.digest.to_string());
    put(&mut response, ACCEPT_RANGES, "bytes");
    if status == StatusCode::PARTIAL_CONTENT {
        put(&mut response, CONTENT_RANGE, &format!("bytes {first}-{}/{length}", last - 1));
    }
    response
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
    use super::super::content::tests::folder;
    use super::*;
    use edge_slot_image::sha256;
    use proptest::prelude::*;

    fn ask(
        content: &Content,
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
        let response = reply(content, &Log::default(), &request);
        (response.status(), response)
    }

    fn body(response: Response<Body>) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(axum::body::to_bytes(response.into_body(), 1 << 20)).unwrap().to_vec()
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
        let content = Content::of_image(folder.path());
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
        let content = Content::of_image(folder.path());
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
            let content = Content::of_image(folder.path());
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
