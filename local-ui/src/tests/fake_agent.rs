//! An agent that is none: it knows two accounts, answers with what real hosts have said, and remembers what it was asked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

#[derive(Default)]
struct Seen {
    calls: Vec<(String, String)>,
    browsers: Vec<String>,
    orders: Vec<String>,
}

pub(super) struct FakeAgent {
    folder: tempfile::TempDir,
    socket: PathBuf,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl FakeAgent {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let router = Router::new().fallback(answer).with_state(seen.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { folder, socket, seen, task }
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Nothing answers any more.
    pub(super) fn stop(&mut self) {
        self.task.abort();
        std::fs::remove_file(self.folder.path().join("agent.sock")).unwrap();
    }

    pub(super) fn calls(&self) -> Vec<(String, String)> {
        self.seen.lock().unwrap().calls.clone()
    }

    pub(super) fn browsers(&self) -> Vec<String> {
        self.seen.lock().unwrap().browsers.clone()
    }

    /// Idempotency keys of operations.
    pub(super) fn orders(&self) -> Vec<String> {
        self.seen.lock().unwrap().orders.clone()
    }
}

async fn answer(State(seen): State<Arc<Mutex<Seen>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path().to_owned();
    let method = parts.method.as_str().to_owned();
    let header = |headers: &HeaderMap, name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    {
        let mut seen = seen.lock().unwrap();
        seen.calls.push((method.clone(), path.clone()));
        let browser = header(&parts.headers, "x-edge-browser");
        if path != "/v1/ping" {
            seen.browsers.push(browser);
        }
        if method == "POST" && path == "/v1/operations" {
            seen.orders.push(header(&parts.headers, "idempotency-key"));
        }
    }
    let knows = header(&parts.headers, "authorization").starts_with("token-of-");
    let said = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    match (path.as_str(), knows) {
        ("/v1/ping", _) => axum::Json(json!({ "msg": "pong", "boot_id": "boot-1" })).into_response(),
        ("/v1/users/default/login", _) => login(&said),
        (_, false) => error(StatusCode::UNAUTHORIZED, "unauthenticated", "this takes a login"),
        ("/v1/operations", true) if method == "GET" => {
            axum::Json(json!([known("/v1/operations/1")])).into_response()
        }
        (path, true) => match known(path) {
            Some(value) => axum::Json(value).into_response(),
            None => error(StatusCode::NOT_FOUND, "not-found", "there is no such path"),
        },
    }
}

fn error(status: StatusCode, class: &str, message: &str) -> Response {
    (status, axum::Json(json!({ "class": class, "message": message }))).into_response()
}

fn login(said: &Value) -> Response {
    if said["password"] != "right" {
        return error(StatusCode::UNAUTHORIZED, "unauthenticated", "wrong name or password");
    }
    let (name, role) = match said["username"].as_str() {
        Some("admin") => ("admin", "admin"),
        _ => ("site", "operator"),
    };
    let token = json!({ "Authorization": format!("token-of-{name}") });
    axum::Json(json!({ "Token": token, "IsFirstLogin": false, "role": role, "expiresIn": 7200 }))
        .into_response()
}

fn known(path: &str) -> Option<Value> {
    let interface = json!({ "name": "enp1s0", "kind": "physical", "mac": "52:54:00:12:34:56", "carrier": true,
        "addresses": ["192.0.2.17/24"], "gateway": "192.0.2.1", "configured": null });
    let operation = json!({ "id": 1, "operation": "verify", "started_by": "site", "surface": "web", "started_at": 1_772_366_400,
        "state": { "state": "running" }, "step": "Read the booted image", "done": 4, "total": 10,
        "steps": [{ "title": "Read the booted image", "after_seconds": 0 }] });
    Some(match path {
        "/v1/status" => status(),
        "/v1/metrics" => {
            serde_json::from_str(include_str!("../../../tui/tests/console/records/metrics.json")).unwrap()
        }
        "/v1/operations" | "/v1/operations/1" => operation,
        "/v1/edge-mgmt/network/interfaces" => json!([interface]),
        "/v1/edge-mgmt/network/interfaces/enp1s0" => interface,
        "/v1/configuration/site" => json!({ "hostName": "shop-17", "ntpServers": ["192.0.2.1"] }),
        "/v1/ledger" => json!({}),
        "/v1/cluster" => json!({ "status": null, "pods": [] }),
        "/v1/content" => json!({
            "of_image": ["registry.k8s.io/pause:3.10"], "free_bytes": 1 << 30, "upstream": false,
            "bundles": [{ "name": "shop", "digest": "sha256:a1", "images": ["r.example/till:1"], "bytes": 1 << 20,
                "installed_at": 1_772_366_400, "signed": true, "origin": "USB stick: shop.tar.zst", "damaged": [] }],
        }),
        "/v1/black-box" => json!({ "boots": [] }),
        "/v1/configuration" => json!({ "local": "#cloud-config\n", "effective": ["a = b"], "findings": [] }),
        "/v1/logs" => json!({ "lines": ["an agent said <script>alert(1)</script>"] }),
        "/v1/users/current" => {
            json!({ "userName": "admin", "role": "admin", "sshKeys": [], "disablePasswordUpdate": false })
        }
        "/v1/edge-mgmt/edgehosts/current/audits" => json!({ "items": [] }),
        "/v1/edge-mgmt/edgehosts/current/generate-logs-status" => json!({ "status": "Completed" }),
        "/v1/users/default/logout" => Value::Null,
        _ => return None,
    })
}

/// As a real host has said it, with what the pages need.
pub(super) fn status() -> Value {
    let text = include_str!("../../../tui/tests/console/records/status.json");
    let mut status: Value = serde_json::from_str(text).unwrap();
    for (key, value) in
        [("host_name", json!("shop-17")), ("boot_id", json!("boot-1")), ("web_ui", Value::Null)]
    {
        status[key] = value;
    }
    status["possible"] = json!([
        "upgrade",
        "rollback",
        "verify",
        "configure",
        "support-bundle",
        "reboot",
        "reboot-into-recovery",
        "power-off",
        "refresh-recovery",
        "fsck",
        "reset",
        "create-cluster",
        "delete-cluster",
        "restore-configuration",
        "import-content"
    ]);
    status
}
