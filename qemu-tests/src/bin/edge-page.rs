//! What runs in a pod of demo and tests: serves a page that says where it runs. `ask URL` is a client inside the cluster.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const ADDRESS: &str = "0.0.0.0:8080";
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_REQUEST: u64 = 16 << 10;
const LONGEST_ANSWER: u64 = 1 << 20;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ask", url] => ask(url).map(|answer| print!("{answer}")),
        [] => serve(),
        _ => Err(std::io::Error::other("usage: edge-page [ask URL]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> std::io::Result<()> {
    let started = Instant::now();
    let listener = TcpListener::bind(ADDRESS)?;
    for connection in listener.incoming().flatten() {
        std::thread::spawn(move || {
            // Whoever asked may have gone.
            let _ = answer(&connection, started);
        });
    }
    Ok(())
}

fn answer(mut connection: &TcpStream, started: Instant) -> std::io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut request = BufReader::new(connection.take(LONGEST_REQUEST)).lines();
    while request.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let page = page(started.elapsed().as_secs());
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
        page.len()
    )
}

fn page(seconds: u64) -> String {
    let escaped =
        |name: &str| std::env::var(name).unwrap_or_default().replace('&', "&amp;").replace('<', "&lt;");
    let (pod, node) = (escaped("HOSTNAME"), escaped("NODE_NAME"));
    format!(
        "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>EdgeForge</title>
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<style>body{{font:18px/1.5 sans-serif;max-width:36em;margin:4em auto;padding:0 1em}}dt{{color:#555}}dd{{margin:0 0 .7em}}</style>
</head><body>
<h1>This page is served by a pod</h1>
<p>on an appliance that was installed from one medium, made its cluster by itself, and asked nobody on a network.</p>
<dl><dt>Pod</dt><dd>{pod}</dd><dt>Node</dt><dd>{node}</dd><dt>Seconds since it started</dt><dd>{seconds}</dd></dl>
</body></html>
"
    )
}

/// `http://HOST:PORT/PATH`.
fn ask(url: &str) -> std::io::Result<String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| std::io::Error::other("only http:// is asked"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let with_port = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let mut connection = TcpStream::connect(&with_port)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    write!(connection, "GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.take(LONGEST_ANSWER).read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 2") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(format!(
            "{url} answered: {}",
            answer.lines().next().unwrap_or_default()
        ))),
    }
}
