//! Registries that do not behave, played by a server in this process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use edge_model::forge::Registry as Settings;
use edge_model::{Class, Result};
use edge_slot_image::sha256;

use super::{Endpoint, Image, Patience, pull};
use crate::progress::Progress;

const LAYER_SIZE: usize = 300_000;

/// What is asked for: path, and the first byte of a range.
struct Request {
    path: String,
    from: Option<usize>,
    authorization: Option<String>,
}

/// A small image and a server that gives it.
struct Served {
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Served {
    fn new() -> Self {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(LAYER_SIZE as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, "etc/file", std::io::repeat(7).take(LAYER_SIZE as u64)).unwrap();
        let layer = builder.into_inner().unwrap();
        let diff_id = sha256(&layer);
        let config = format!(
            "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{{\"diff_ids\":[\"{diff_id}\"]}}}}"
        );
        let config = config.into_bytes();
        let blob =
            |bytes: &[u8]| serde_json::json!({ "digest": sha256(bytes).to_string(), "size": bytes.len() });
        let manifest = serde_json::json!({ "config": blob(&config), "layers": [blob(&layer)] });
        Self { layer, config, manifest: manifest.to_string().into_bytes() }
    }

    /// The honest answer to a request.
    fn answer(&self, request: &Request, stream: &mut TcpStream) -> std::io::Result<()> {
        let bytes = self.bytes(request);
        match (bytes, request.from) {
            (None, _) => write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            (Some(bytes), Some(from)) => {
                let (all, rest) = (bytes.len(), &bytes[from..]);
                let head = format!(
                    "Content-Range: bytes {from}-{}/{all}\r\nContent-Length: {}",
                    all - 1,
                    rest.len()
                );
                write!(stream, "HTTP/1.1 206 Partial Content\r\n{head}\r\n\r\n")?;
                stream.write_all(rest)
            }
            (Some(bytes), None) => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
                stream.write_all(bytes)
            }
        }
    }

    fn bytes(&self, request: &Request) -> Option<&[u8]> {
        let ends = |bytes: &[u8]| request.path.ends_with(&sha256(bytes).to_string());
        if request.path.contains("/manifests/") {
            Some(&self.manifest)
        } else {
            [&self.layer, &self.config].into_iter().find(|bytes| ends(bytes)).map(Vec::as_slice)
        }
    }

    fn is_layer(&self, request: &Request) -> bool {
        request.path.ends_with(&sha256(&self.layer).to_string())
    }
}

/// Answers every request on its own connection with `handle`, as long as the process lives. Gives the host.
fn serve<F>(handle: F) -> String
where
    F: Fn(&Served, &Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let shared = Arc::new((Served::new(), handle));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = shared.clone();
            std::thread::spawn(move || {
                let mut stream = stream;
                if let Some(request) = read_request(&stream) {
                    // The other side may have gone: that is often the point.
                    let _ = (shared.1)(&shared.0, &request, &mut stream);
                }
            });
        }
    });
    host
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(std::result::Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| {
        headers
            .iter()
            .find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)))
    };
    let from =
        header("range").and_then(|(_, range)| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    Some(Request { path, from, authorization: header("authorization").map(|(_, value)| value.to_owned()) })
}

/// Impatient with registries that drip; a loaded machine alone must not look like one.
const IMPATIENT: Patience = Patience {
    connect: Duration::from_secs(15),
    silence: Duration::from_secs(30),
    window: Duration::from_millis(300),
    least: 10_000,
    pause: Duration::from_millis(10),
};

fn fetch(host: &str, mirrors: &[&str], folder: &Path, patience: Patience) -> Result<Image> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = [Settings {
        host: host.to_owned(),
        plain_http: true,
        mirrors: mirrors.iter().map(|mirror| (*mirror).to_owned()).collect(),
        ca: None,
    }];
    let endpoint = Endpoint { settings: &settings, project: Some(folder), patience };
    pull(&format!("{host}/edge/image:1"), &endpoint, folder, &Progress::new())
}

fn expect_refusal(class: Class, words: &str, host: &str) {
    expect_refusal_with(Patience { window: Duration::from_secs(60), ..IMPATIENT }, class, words, host);
}

fn expect_refusal_with(patience: Patience, class: Class, words: &str, host: &str) {
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(host, &[], folder.path(), patience).unwrap_err();
    assert_eq!(error.class, class, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    let kept = std::fs::read_dir(folder.path()).unwrap().flatten();
    let whole: Vec<_> =
        kept.filter(|entry| entry.file_name().to_string_lossy().starts_with("sha256-")).collect();
    let layer = sha256(&Served::new().layer).to_string().replace(':', "-");
    assert!(!whole.iter().any(|entry| *entry.file_name() == *layer), "a blob was kept that is not right");
}

#[test]
fn an_honest_registry_is_read_also_from_where_it_broke_off() {
    let broken = AtomicUsize::new(0);
    let host = serve(move |served, request, stream| {
        if served.is_layer(request) && broken.fetch_add(1, Ordering::SeqCst) == 0 {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", served.layer.len())?;
            return stream.write_all(&served.layer[..100_000]);
        }
        if served.is_layer(request) {
            assert!(request.from.is_some_and(|from| from > 0), "it begins at the start again");
        }
        served.answer(request, stream)
    });
    let folder = tempfile::tempdir().unwrap();
    let image = fetch(&host, &[], folder.path(), Patience::default()).unwrap();
    image.layers().unwrap()[0].write_archive(&folder.path().join("layer.tar")).unwrap();
    assert_eq!(std::fs::read(folder.path().join("layer.tar")).unwrap(), Served::new().layer);
}

#[test]
fn a_blob_that_went_bad_is_fetched_again() {
    let host = serve(|served, request, stream| served.answer(request, stream));
    let folder = tempfile::tempdir().unwrap();
    let image = fetch(&host, &[], folder.path(), Patience::default()).unwrap();
    let kept = sha256(&Served::new().layer).to_string().replace(':', "-");
    let damaged = vec![0; Served::new().layer.len()];
    std::fs::write(folder.path().join(kept), damaged).unwrap();
    let target = folder.path().join("layer.tar");
    let error = image.layers().unwrap()[0].write_archive(&target).unwrap_err();
    assert_eq!(error.class, Class::Integrity);
    crate::oci::forget_damaged(folder.path(), image.digest).unwrap();
    let again = fetch(&host, &[], folder.path(), Patience::default()).unwrap();
    again.layers().unwrap()[0].write_archive(&target).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), Served::new().layer);
}

#[test]
fn a_login_is_asked_for_where_the_registry_says() {
    let host = serve(|served, request, stream| {
        let own = stream.local_addr()?;
        if request.path.starts_with("/token") {
            assert!(request.path.contains("scope=repository%3Aedge%2Fimage%3Apull"), "{}", request.path);
            let body = "{\"token\":\"secret\"}";
            return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
        if request.authorization.as_deref() != Some("Bearer secret") {
            let challenge = format!("Bearer realm=\"http://{own}/token\",service=\"test\"");
            return write!(
                stream,
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n"
            );
        }
        served.answer(request, stream)
    });
    let folder = tempfile::tempdir().unwrap();
    fetch(&host, &[], folder.path(), Patience::default()).unwrap();
}

#[test]
fn a_mirror_is_asked_first_and_need_not_be_there() {
    let mirror = serve(Served::answer);
    let host = serve(|_, _, _| panic!("the mirror has everything"));
    let folder = tempfile::tempdir().unwrap();
    fetch(&host, &[&mirror], folder.path(), Patience::default()).unwrap();
    let host = serve(Served::answer);
    let folder = tempfile::tempdir().unwrap();
    fetch(&host, &["127.0.0.1:1"], folder.path(), Patience::default()).unwrap();
}

#[test]
fn wrong_bytes_are_refused() {
    let host = serve(|served, request, stream| {
        if !served.is_layer(request) {
            return served.answer(request, stream);
        }
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", served.layer.len())?;
        stream.write_all(&vec![1; served.layer.len()])
    });
    expect_refusal(Class::Integrity, "was promised", &host);
}

#[test]
fn endless_answers_are_cut() {
    let endless = |stream: &mut TcpStream| {
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        loop {
            stream.write_all(&[b' '; 65_536])?;
        }
    };
    let blob = serve(
        move |served, request, stream| {
            if served.is_layer(request) { endless(stream) } else { served.answer(request, stream) }
        },
    );
    expect_refusal(Class::Integrity, "more bytes than it promised", &blob);
    expect_refusal(Class::Environment, "longer than", &serve(move |_, _, stream| endless(stream)));
}

#[test]
fn redirects_end() {
    let host = serve(|_, request, stream| {
        write!(
            stream,
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: {}x\r\nContent-Length: 0\r\n\r\n",
            request.path
        )
    });
    expect_refusal(Class::Environment, "redirects without end", &host);
}

#[test]
fn a_registry_without_ranges_begins_again() {
    let asked = AtomicUsize::new(0);
    let host = serve(move |served, request, stream| {
        if !served.is_layer(request) {
            return served.answer(request, stream);
        }
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", served.layer.len())?;
                stream.write_all(&served.layer[..100_000])
            }
            1 => write!(stream, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n"),
            _ => served.answer(request, stream),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    fetch(&host, &[], folder.path(), Patience { window: Duration::from_secs(60), ..IMPATIENT }).unwrap();
}

#[test]
fn ranges_that_were_not_asked_for_are_refused() {
    let broken = AtomicUsize::new(0);
    let host = serve(move |served, request, stream| {
        if !served.is_layer(request) {
            return served.answer(request, stream);
        }
        if broken.fetch_add(1, Ordering::SeqCst) == 0 {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", served.layer.len())?;
            return stream.write_all(&served.layer[..100_000]);
        }
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\nabcde"
        )
    });
    expect_refusal(Class::Integrity, "and gives bytes 5-9/10", &host);
}

#[test]
fn a_registry_that_drips_or_falls_silent_is_given_up() {
    let drips = |pause: u64| {
        serve(move |served, request, stream| {
            if !served.is_layer(request) {
                return served.answer(request, stream);
            }
            // It gives nothing new on later tries, so that the puller sees no progress.
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", served.layer.len())?;
            for byte in &served.layer {
                stream.write_all(&[*byte])?;
                std::thread::sleep(Duration::from_millis(pause));
            }
            Ok(())
        })
    };
    expect_refusal_with(IMPATIENT, Class::Environment, "bytes in 0 seconds", &drips(20));
    let silence = Duration::from_millis(300);
    let patience = Patience { silence, window: Duration::from_secs(60), ..IMPATIENT };
    expect_refusal_with(patience, Class::Environment, "timed out", &drips(60_000));
}

#[test]
fn other_manifests_than_promised_are_refused() {
    let host = serve(|served, request, stream| {
        if request.path.contains("/manifests/") {
            let other = sha256(b"other");
            let length = served.manifest.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nDocker-Content-Digest: {other}\r\nContent-Length: {length}\r\n\r\n"
            )?;
            return stream.write_all(&served.manifest);
        }
        served.answer(request, stream)
    });
    expect_refusal(Class::Integrity, "manifest is not what was promised", &host);
}
