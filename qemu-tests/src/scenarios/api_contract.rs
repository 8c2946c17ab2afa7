//! The API of a running host against its document: every route with every role, with what fits and with what does not.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use edge_model::{Context, Error, Result};
use qemu_tests::bench_ground::Ground;
use qemu_tests::ssh::Ssh;
use qemu_tests::tunnel::{Answer, Tunnel};
use serde_json::{Value as Json, json};

use super::ensure;

const PASSWORD: &str = "a long password";
const OPERATION_WITHIN: Duration = Duration::from_secs(600);
const ROLES: [&str; 3] = ["viewer", "operator", "admin"];
/// What well-meant calls would take away from the rest of the story, and what never ends.
const NOT_CALLED: [&str; 5] = ["reboot", "shutdown", "openShell", "eventStream", "logout"];
const BODIES: [&str; 5] =
    ["", "{", "[]", "{\"a\": [1, null]}", "{\"operation\":\"dance\",\"name\":7,\"text\":\"\\u0000\"}"];

/// One operation of the document.
struct Operation {
    method: String,
    path: String,
    id: String,
    role: Option<usize>,
    needs_login: bool,
    /// For the host's own console; an ssh session is none.
    is_for_the_console: bool,
    document: Json,
}

/// Accounts are made, logged in, and every route is called as each of them and as nobody.
pub(super) fn api_contract(ground: &Ground) -> Result<()> {
    let path = ground.root.join("docs/openapi.json");
    let text = std::fs::read_to_string(&path).context("cannot read the API's document")?;
    let document: Json = serde_json::from_str(&text).context("the API's document cannot be read")?;
    let (machine, _powered) = ground.healthy_copy("api-contract")?;
    let ssh = ground.ssh(&machine);
    make_accounts(ground, &ssh)?;
    let tunnel = Tunnel::open(&ssh, ground.patience(60))?;
    wrong_passwords_are_slowed_down(&tunnel)?;
    let mut tokens: Vec<Option<String>> = vec![None];
    for role in ROLES {
        tokens.push(Some(log_in(&tunnel, role)?));
    }
    let operations = operations(&document);
    ensure(operations.len() > 50, || format!("the document has only {} operations", operations.len()))?;
    for operation in &operations {
        for (rank, token) in tokens.iter().enumerate() {
            check(&tunnel, &document, operation, rank, token.as_deref())?;
        }
    }
    let admin = tokens[3].clone().unwrap_or_default();
    stories(&tunnel, &admin)?;
    a_shell_opens_where_the_image_allows_it(ground, &ssh, &tunnel, &admin)?;
    let admin = sessions_end(&tunnel, &admin)?;
    audit_knows(&tunnel, Some(&admin))
}

fn make_accounts(ground: &Ground, ssh: &Ssh<'_>) -> Result<()> {
    let mut script = String::from("sudo groupadd -f edge-operator");
    for (role, groups) in [("viewer", "users"), ("operator", "edge-operator"), ("admin", "sudo")] {
        script.push_str(&format!(
            " && sudo useradd -m -s /bin/bash -G {groups} {role}-1 && echo '{role}-1:{PASSWORD}' | sudo chpasswd -c SHA512"
        ));
    }
    ssh.run(&script, ground.patience(60)).map(drop)
}

fn log_in(tunnel: &Tunnel, user: &str) -> Result<String> {
    let body = json!({ "username": format!("{user}-1"), "password": PASSWORD }).to_string();
    let answer = tunnel.call("POST", "/v1/users/default/login", None, Some(&body))?;
    let token = answer.json()?["Token"]["Authorization"].as_str().map(str::to_owned);
    token.ok_or_else(|| Error::integrity(format!("{user} cannot log in: {}", text(&answer))))
}

fn text(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}

/// Of many wrong passwords the later ones wait, and then nobody is let in under that name.
fn wrong_passwords_are_slowed_down(tunnel: &Tunnel) -> Result<()> {
    let body = json!({ "username": "nobody-here", "password": "wrong" }).to_string();
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(tunnel.call("POST", "/v1/users/default/login", None, Some(&body))?.status);
    }
    ensure(seen[0] == 401 && seen.contains(&429), || format!("wrong passwords were answered with {seen:?}"))
}

fn operations(document: &Json) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let described = operation["description"].as_str().unwrap_or_default();
            let role = ROLES.iter().position(|role| described.contains(&format!("the role {role}")));
            found.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                id: operation["operationId"].as_str().unwrap_or_default().to_owned(),
                role: role.map(|role| role + 1),
                needs_login: described.contains("Takes a login"),
                is_for_the_console: described.contains("in front of the host"),
                document: operation.clone(),
            });
        }
    }
    found
}

/// `rank` is 0 for nobody, else one more than the place of the role.
fn check(
    tunnel: &Tunnel,
    document: &Json,
    operation: &Operation,
    rank: usize,
    token: Option<&str>,
) -> Result<()> {
    // Everybody on the host looks.
    let allowed = match operation.role {
        _ if operation.is_for_the_console => false,
        Some(needed) => rank.max(1) >= needed,
        None => !operation.needs_login || rank > 0,
    };
    if allowed && NOT_CALLED.contains(&operation.id.as_str()) {
        return Ok(());
    }
    let changes = operation.method != "GET";
    // A body that fits would be obeyed: routes that need none are called by the stories below.
    let bodies =
        if changes && operation.document.get("requestBody").is_some() { &BODIES[..] } else { &BODIES[..1] };
    if allowed && changes && bodies.len() == 1 && operation.id != "renewToken" && operation.role.is_some() {
        return refused_or_obeyed(tunnel, operation, token);
    }
    for body in bodies {
        let path = operation.path.replace("{id}", "1").replace("{name}", "eth%2F9");
        if operation.id == "renewToken" && allowed {
            return Ok(());
        }
        let answer = tunnel.call(&operation.method, &(path + &query(operation)), token, Some(body))?;
        let what = || format!("{} {} as {rank}: {}", operation.method, operation.path, text(&answer));
        if !allowed {
            ensure(matches!(answer.status, 401 | 403), what)?;
        } else {
            ensure(!matches!(answer.status, 401 | 403), what)?;
        }
        conforms(document, operation, &answer)?;
    }
    Ok(())
}

/// Routes without a body that would change something: they are called in a state in which the host refuses them.
fn refused_or_obeyed(tunnel: &Tunnel, operation: &Operation, token: Option<&str>) -> Result<()> {
    if operation.id == "generateLogs" {
        return Ok(());
    }
    let path = operation.path.replace("{id}", "1").replace("{name}", "");
    let answer = tunnel.call(&operation.method, &path, token, None)?;
    ensure(matches!(answer.status, 200 | 202 | 400 | 404 | 409), || {
        format!("{}: {}", operation.path, text(&answer))
    })
}

fn query(operation: &Operation) -> String {
    let needed = operation.document["parameters"].as_array().into_iter().flatten();
    let pairs: Vec<String> = needed
        .filter(|parameter| parameter["in"] == "query" && parameter["required"] == true)
        .map(|parameter| format!("{}=localhost", parameter["name"].as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// The answer is one that the document describes. A host without the network that was asked for is no defect (503).
fn conforms(document: &Json, operation: &Operation, answer: &Answer) -> Result<()> {
    let what = || format!("{} {}: {}", operation.method, operation.path, text(answer));
    ensure(answer.status < 500 || answer.status == 503, what)?;
    let responses = &operation.document["responses"];
    let response = responses.get(answer.status.to_string()).unwrap_or(&responses["default"]);
    let Some(content) = response.get("content").and_then(Json::as_object) else {
        return ensure(answer.body.is_empty(), what);
    };
    let media = answer.media.split(';').next().unwrap_or_default();
    let described = content
        .get(media)
        .ok_or_else(|| Error::integrity(format!("{media} is not described: {}", what())))?;
    let Some(schema) = described.get("schema") else { return Ok(()) };
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    let validator =
        jsonschema::validator_for(&schema).map_err(|error| Error::integrity(error.to_string()))?;
    let body = answer.json()?;
    let problems: Vec<String> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
    ensure(problems.is_empty(), || format!("{}\n{}", problems.join("; "), what()))
}

/// What people do: change a setting, make a bundle and fetch it.
fn stories(tunnel: &Tunnel, admin: &str) -> Result<()> {
    let call = |method: &str, path: &str, body: &str| tunnel.call(method, path, Some(admin), Some(body));
    let changed = call("PATCH", "/v1/configuration/site", "{\"ntpServers\":[\"10.0.2.2\"]}")?;
    ensure(changed.status == 202, || text(&changed))?;
    finished(tunnel, admin, &changed)?;
    let site = call("GET", "/v1/configuration/site", "")?.json()?;
    ensure(site["ntpServers"] == json!(["10.0.2.2"]), || format!("the time servers were not taken: {site}"))?;
    let bundle = call("POST", "/v1/edge-mgmt/edgehosts/current/generate-logs", "")?;
    ensure(bundle.status == 202, || text(&bundle))?;
    finished(tunnel, admin, &bundle)?;
    let download = call("GET", "/v1/edge-mgmt/edgehosts/current/download-logs", "")?;
    // <https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1>
    let is_zstd = download.body.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    ensure(download.status == 200 && is_zstd && download.body.len() > 10_000, || {
        format!("the bundle has {} bytes", download.body.len())
    })
}

/// The first image allows none, until its mark is there.
fn a_shell_opens_where_the_image_allows_it(
    ground: &Ground,
    ssh: &Ssh<'_>,
    tunnel: &Tunnel,
    admin: &str,
) -> Result<()> {
    let refused = tunnel.call("POST", "/v1/shell", Some(admin), None)?;
    ensure(refused.status == 409, || text(&refused))?;
    ssh.run(
        "sudo mount -t tmpfs none /usr/lib/edge && sudo touch /usr/lib/edge/console-shell",
        ground.patience(60),
    )?;
    let end = Instant::now() + ground.patience(60);
    // The agent looks every few seconds.
    while tunnel.call("POST", "/v1/shell", Some(admin), None)?.status != 200 {
        ensure(Instant::now() < end, || "no shell is opened".into())?;
        sleep(Duration::from_secs(1));
    }
    let command = "until systemctl is-active --quiet edge-shell@admin-1; do sleep 1; done; sudo fgconsole";
    let console = ssh.run(command, ground.patience(60))?;
    ensure(console == "2", || format!("the shell is there, and the screen shows console {console}"))?;
    // A login prompt on the same console would hang the shell up.
    let prompts = ssh.run("systemctl list-units --no-legend 'autovt@*' 'getty@*'", ground.patience(60))?;
    ensure(prompts.trim().is_empty(), || format!("there are login prompts beside the shell: {prompts}"))
}

/// A renewed session goes on under its new token, and ends when it is told to.
fn sessions_end(tunnel: &Tunnel, admin: &str) -> Result<String> {
    let call = |method: &str, path: &str, token: &str| tunnel.call(method, path, Some(token), None);
    let renewed = call("POST", "/v1/users/default/token/renewal", admin)?;
    let token = renewed.json()?["Authorization"].as_str().unwrap_or_default().to_owned();
    let old = call("GET", "/v1/users/current", admin)?;
    let new = call("GET", "/v1/users/current", &token)?;
    ensure((old.status, new.status) == (401, 200), || format!("{} / {}", text(&old), text(&new)))?;
    let out = call("POST", "/v1/users/default/logout", &token)?;
    let after = call("GET", "/v1/users/current", &token)?;
    ensure((out.status, after.status) == (204, 401), || format!("{} / {}", text(&out), text(&after)))?;
    log_in(tunnel, "admin")
}

/// Waits for the end of an operation.
fn finished(tunnel: &Tunnel, token: &str, begun: &Answer) -> Result<()> {
    let path = format!("/v1/operations/{}", begun.json()?["id"]);
    let end = Instant::now() + OPERATION_WITHIN;
    loop {
        let now = tunnel.call("GET", &path, Some(token), None)?.json()?;
        match now["state"]["state"].as_str() {
            Some("running") if Instant::now() < end => sleep(Duration::from_millis(500)),
            Some("done") => return Ok(()),
            _ => return Err(Error::integrity(format!("the operation failed: {now}"))),
        }
    }
}

/// Who did what was written down, also what was refused.
fn audit_knows(tunnel: &Tunnel, admin: Option<&str>) -> Result<()> {
    let page = tunnel.call("GET", "/v1/edge-mgmt/edgehosts/current/audits/download", admin, None)?;
    let lines = String::from_utf8_lossy(&page.body).into_owned();
    let records: Vec<Json> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for record in &records {
        *counts.entry(record["actor"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let accepted = |actor: &str, action: &str| {
        records.iter().any(|record| {
            record["actor"] == actor
                && record["action"] == action
                && record["outcome"]["result"] == "accepted"
        })
    };
    ensure(
        accepted("admin-1", "PATCH /v1/configuration/site")
            && counts.get("viewer-1").is_some_and(|count| *count > 10),
        || format!("the audit record does not know what happened: {counts:?}"),
    )?;
    ensure(!lines.contains(PASSWORD), || "a password is in the audit record".into())
}
