//! The server on a real socket, without a host behind it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use edge_client::Client;
use edge_model::api::EventKind;
use edge_model::api::routes::{Method, ROUTES};
use edge_model::{Class, Error};
use edge_planner::host_kind::HostKind;
use proptest::prelude::*;

use super::*;
use crate::daemon::notices::Said;

struct Server {
    socket: PathBuf,
    shared: Arc<Shared>,
    _folder: tempfile::TempDir,
}

fn serve_in_background(kind: HostKind) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let shared = Shared::of_test(kind, &folder.path().join("audit.jsonl"));
    let door = Arc::new(Door::new(shared.clone()));
    let (ready, wait) = std::sync::mpsc::channel();
    let path = socket.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = listen(&path).unwrap();
            ready.send(()).unwrap();
            serve_on(listener, &door).await.unwrap();
        });
    });
    wait.recv().unwrap();
    Server { socket, shared, _folder: folder }
}

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends bytes; returns status and everything that comes back until the server closes.
fn exchange(socket: &Path, request: &[u8]) -> (u16, String) {
    let mut stream = connect(socket);
    // The server need not read all of what it refuses.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text)
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Routes that are safe to call on the machine that runs the tests: they answer before anything is done.
fn with_bodies() -> Vec<&'static edge_model::api::routes::Route> {
    let takes_json = |route: &&edge_model::api::routes::Route| {
        matches!(route.request, edge_model::api::routes::Body::Json(_)) && route.method != Method::Get
    };
    ROUTES.iter().filter(takes_json).collect()
}

#[test]
fn two_hundred_readers_hear_the_news_while_some_sleep_and_some_leave() {
    let server = serve_in_background(HostKind::Installer);
    let ask = b"GET /v1/events HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut readers: Vec<UnixStream> = (0..200).map(|_| connect(&server.socket)).collect();
    for reader in &mut readers {
        reader.write_all(ask).unwrap();
        let mut head = [0; 12];
        reader.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    let vanished: Vec<UnixStream> = readers.drain(..50).collect();
    drop(vanished);
    // More than any reader's buffers hold: those that sleep must cost nothing.
    for _ in 0..20_000 {
        server.shared.events.emit(EventKind::Unknown);
    }
    server.shared.notice(Said::info("the end of the story"));
    for reader in readers.iter_mut().take(20) {
        let mut seen = String::new();
        let mut piece = vec![0; 64 << 10];
        while !seen.contains("the end of the story") {
            let length = reader.read(&mut piece).unwrap();
            assert!(length > 0, "the stream ended");
            seen.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    }
    let client = Client::at(&server.socket).unwrap();
    assert_eq!(client.ping().unwrap().msg, "pong");
}

#[test]
fn a_reader_resumes_and_is_told_what_it_missed() {
    let server = serve_in_background(HostKind::Installer);
    let client = Client::at(&server.socket).unwrap();
    server.shared.events.emit(EventKind::Unknown);
    let mut events = client.events(None).unwrap();
    server.shared.events.emit(EventKind::Missed);
    let seen = events.next_event().unwrap().sequence;
    server.shared.notice(Said::info("while nobody listened"));
    let next = client.events(Some(seen)).unwrap().next_event().unwrap();
    assert_eq!(next.sequence, seen + 1);
    assert!(matches!(next.kind, EventKind::Status { .. }), "{next:?}");
    assert_eq!(client.events(Some(1)).unwrap().next_event().unwrap().kind, EventKind::Missed);
}

#[test]
fn what_is_wrong_is_said_in_one_form() {
    let server = serve_in_background(HostKind::Appliance);
    let socket = &server.socket;
    let cases: [(&str, &str, &str, u16); 8] = [
        ("GET", "/v2/status", "", 404),
        ("DELETE", "/v1/status", "", 404),
        ("GET", "/v1/logs?colour=red", "", 400),
        ("GET", "/v1/operations/999", "", 404),
        ("GET", "/v1/operations/x", "", 404),
        ("POST", "/v1/operations", "{\"operation\":\"dance\"}", 400),
        ("POST", "/v1/users/default/logout", "", 401),
        ("GET", "/v1/installer/disks", "", 409),
    ];
    for (method, path, body, expected) in cases {
        let (status, text) = exchange(socket, &request(method, path, body));
        assert_eq!(status, expected, "{method} {path}: {text}");
        let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
        let error: Error = serde_json::from_str(body).unwrap();
        assert_eq!(error.class.http_status(), expected);
    }
    let large = request("POST", "/v1/configuration/check", &"x".repeat(3 << 20));
    assert_eq!(exchange(socket, &large).0, 400);
    let headers = format!("GET /v1/ping HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let mut stream = connect(socket);
    // The server stops reading and closes.
    let _ = stream.write_all(headers.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 431"), "too many headers are refused");
}

#[test]
fn the_same_key_gives_the_same_answer() {
    let server = serve_in_background(HostKind::Appliance);
    let call = |body: &str| {
        let text = format!(
            "POST /v1/configuration/check HTTP/1.1\r\nhost: a\r\nconnection: close\r\nidempotency-key: k\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(&server.socket, text.as_bytes())
    };
    let document = r##"{"name":"a","text":"#cloud-config\nhostname: a\n"}"##;
    let (first, again) = (call(document), call(document));
    assert_eq!((first.0, again.0), (200, 200), "{}", first.1);
    assert_eq!(first.1.split("\r\n\r\n").nth(1), again.1.split("\r\n\r\n").nth(1));
    assert_eq!(call(r#"{"name":"b","text":""}"#).0, 409);
}

#[test]
fn changing_calls_are_written_down_also_when_they_are_refused() {
    let server = serve_in_background(HostKind::Appliance);
    let client = Client::at(&server.socket).unwrap();
    let refused = client.restore_network().unwrap_err();
    assert_eq!(refused.class, Class::Rejected, "{refused}");
    let record = &client.audits().unwrap().items[0];
    assert_eq!(record.action, "POST /v1/configuration/restore");
    assert_eq!(record.resource_kind, "restore");
    assert!(matches!(record.outcome, edge_model::api::audit::Outcome::Refused { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever comes as a body: an answer, never a failure of the agent, and nothing is done.
    #[test]
    fn no_body_breaks_the_agent(body in ".{0,200}", route in 0..100usize) {
        use std::sync::OnceLock;
        static SERVER: OnceLock<Server> = OnceLock::new();
        let server = SERVER.get_or_init(|| serve_in_background(HostKind::Appliance));
        let routes = with_bodies();
        let route = routes[route % routes.len()];
        let path = route.path.replace("{name}", "eth9").replace("{id}", "1");
        let (status, text) = exchange(&server.socket, &request(route.method.name(), &path, &body));
        prop_assert!((400..500).contains(&status), "{} {path}: {text}", route.method.name());
    }
}
