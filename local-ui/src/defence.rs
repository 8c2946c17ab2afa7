//! What every request passes: how often it asks, which name it uses, where it comes from; and what every answer says.
//!
//! `same-site` is not trusted: a workload on another port of this address is of the same site, and must get nothing.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use edge_model::api::WebSettings;
use edge_words::web as words;

use crate::App;
use crate::accept::Ends;
use crate::ui;

/// <https://developer.mozilla.org/en-US/docs/Web/HTTP/Guides/CSP>
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The middleware of all paths.
pub(crate) async fn defend(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let ends = request.extensions().get::<Ends>().copied();
    let refused = ends.and_then(|ends| refusal(&app, &request, ends));
    let response = match (ends, refused) {
        (None, _) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        (_, Some(refused)) => refused,
        (Some(_), None) => next.run(request).await,
    };
    with_headers(response)
}

fn refusal(app: &App, request: &Request<Body>, ends: Ends) -> Option<Response> {
    let plain = |status: StatusCode, title: &str, text: &str| {
        Some((status, ui::bare(title, &maud::html! { p { (text) } })).into_response())
    };
    if !app.limits.may_ask(ends.browser) {
        return plain(StatusCode::TOO_MANY_REQUESTS, words::TOO_OFTEN, words::TOO_OFTEN_TEXT);
    }
    let host = host_of(request);
    if !is_own_name(host.as_deref().unwrap_or_default(), &app.settings, ends.own.ip().to_canonical()) {
        let names = known_names(&app.settings, ends.own.ip().to_canonical());
        return plain(StatusCode::MISDIRECTED_REQUEST, words::OTHER_NAME, &words::other_name(&names));
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !is_from_here(request.headers(), host.as_deref().unwrap_or_default()) {
        return plain(StatusCode::FORBIDDEN, words::FROM_ELSEWHERE, words::FROM_ELSEWHERE_TEXT);
    }
    None
}

/// HTTP/2 has it in the address.
fn host_of(request: &Request<Body>) -> Option<String> {
    let header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    request.uri().authority().map(|authority| authority.as_str().to_owned()).or(header)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

/// Whoever was led here under another name has not asked for this host.
fn is_own_name(host: &str, settings: &WebSettings, own: IpAddr) -> bool {
    let name = without_port(host).trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    if let Ok(address) = name.parse::<IpAddr>() {
        return address.to_canonical() == own;
    }
    known_names(settings, own).iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn known_names(settings: &WebSettings, own: IpAddr) -> Vec<String> {
    let mut names =
        vec![own.to_string(), settings.host_name.clone(), format!("{}.local", settings.host_name)];
    names.push(settings.host_id.clone());
    names.extend(settings.names.iter().cloned());
    names.retain(|name| !name.is_empty());
    names
}

/// Browsers say where a request comes from. Who says nothing has to bring the form's own token, which is looked at later.
fn is_from_here(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            origin.strip_prefix("https://").is_some_and(|from| from.eq_ignore_ascii_case(host))
        }
        (None, None) => true,
    }
}

fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set("content-security-policy", POLICY);
    set("x-content-type-options", "nosniff");
    set("referrer-policy", "same-origin");
    set("cross-origin-opener-policy", "same-origin");
    set("cross-origin-resource-policy", "same-origin");
    set("permissions-policy", "camera=(), microphone=(), geolocation=()");
    if !response.headers().contains_key(header::CACHE_CONTROL) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> WebSettings {
        WebSettings {
            port: 5080,
            host_name: "till".into(),
            host_id: "edge-4c4c".into(),
            names: vec!["till.shop.example".into()],
            idle_minutes: 15,
        }
    }

    #[test]
    fn only_our_own_names_are_answered() {
        let own = IpAddr::from([192, 0, 2, 17]);
        for (host, expected) in [
            ("192.0.2.17:5080", true),
            ("192.0.2.17", true),
            ("192.0.2.18:5080", false),
            ("till:5080", true),
            ("TILL.local", true),
            ("till.local.:5080", true),
            ("edge-4c4c", true),
            ("till.shop.example:5080", true),
            ("till.shop.example.evil.example", false),
            ("evil.example", false),
            ("", false),
            ("[::ffff:192.0.2.17]:5080", true),
            ("[fd00::1]:5080", false),
        ] {
            assert_eq!(is_own_name(host, &settings(), own), expected, "{host}");
        }
        assert!(is_own_name("[fd00::1]:5080", &settings(), "fd00::1".parse().unwrap()));
    }

    #[test]
    fn a_change_comes_from_our_own_pages() {
        let host = "192.0.2.17:5080";
        for (site, origin, expected) in [
            (Some("same-origin"), None, true),
            (Some("none"), None, true),
            // Another port of this address.
            (Some("same-site"), Some("https://192.0.2.17:30080"), false),
            (Some("cross-site"), Some("https://192.0.2.17:5080"), false),
            (None, Some("https://192.0.2.17:5080"), true),
            (None, Some("https://192.0.2.17:30080"), false),
            (None, Some("http://192.0.2.17:5080"), false),
            (None, Some("null"), false),
            (None, None, true),
        ] {
            let mut headers = HeaderMap::new();
            site.map(|site| headers.insert("sec-fetch-site", HeaderValue::from_static(site)));
            origin.map(|origin| headers.insert("origin", HeaderValue::from_static(origin)));
            assert_eq!(is_from_here(&headers, host), expected, "{site:?} {origin:?}");
        }
    }
}
