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
    let ends = request.extensions().get::<Ends>().cloned();
    let refused = ends.as_ref().and_then(|ends| {
        ends.asks();
        refusal(&app, &request, ends)
    });
    let response = match (ends, refused) {
        (None, _) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        (_, Some(refused)) => refused,
        (Some(_), None) => next.run(request).await,
    };
    with_headers(response)
}

fn refusal(app: &App, request: &Request<Body>, ends: &Ends) -> Option<Response> {
    let plain = |status: StatusCode, title: &str, text: &str| {
        Some((status, ui::bare(title, &maud::html! { p { (text) } })).into_response())
    };
    if !app.limits.may_ask(ends.origin()) {
        return plain(StatusCode::TOO_MANY_REQUESTS, words::TOO_OFTEN, words::TOO_OFTEN_TEXT);
    }
    let host = host_of(request);
    if !is_own_name(host.as_deref().unwrap_or_default(), &app.settings, ends.own.ip().to_canonical()) {
        let names = known_names(&app.settings, ends.own.ip().to_canonical());
        return plain(StatusCode::MISDIRECTED_REQUEST, words::OTHER_NAME, &words::other_name(&names));
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let is_login = request.uri().path() == "/login";
    if !is_welcome(request.headers(), host.as_deref().unwrap_or_default(), changes, is_login) {
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
        let named = |name: &String| name.parse::<IpAddr>().is_ok_and(|named| named == address);
        return address.to_canonical() == own || settings.names.iter().any(named);
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

/// Browsers say where a request comes from. A change of a browser that says nothing has to bring the form's own token, which is looked at
/// later; a login has none. What another page has in it, a picture or a stream, is not given either: it would keep a login alive.
fn is_welcome(headers: &HeaderMap, host: &str, changes: bool, is_login: bool) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin")) {
        (Some("same-origin" | "none"), _) => true,
        (Some(_), _) if changes => false,
        // Somebody has followed a link.
        (Some(_), _) => {
            text("sec-fetch-mode") == Some("navigate") && text("sec-fetch-dest") == Some("document")
        }
        (None, Some(origin)) if changes => {
            origin.strip_prefix("https://").is_some_and(|from| from.eq_ignore_ascii_case(host))
        }
        // The oldest browsers say at least which page they come from.
        (None, None) if changes => {
            let ours = format!("https://{host}/");
            !is_login
                || text("referer").is_some_and(|page| page.to_lowercase().starts_with(&ours.to_lowercase()))
        }
        (None, _) => true,
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
            names: vec!["till.shop.example".into(), "203.0.113.5".into()],
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
            ("203.0.113.5:5080", true),
            ("", false),
            ("[::ffff:192.0.2.17]:5080", true),
            ("[fd00::1]:5080", false),
        ] {
            assert_eq!(is_own_name(host, &settings(), own), expected, "{host}");
        }
        assert!(is_own_name("[fd00::1]:5080", &settings(), "fd00::1".parse().unwrap()));
    }

    fn welcome(said: &[(&'static str, &'static str)], changes: bool, is_login: bool) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        is_welcome(&headers, "192.0.2.17:5080", changes, is_login)
    }

    #[test]
    fn a_change_comes_from_our_own_pages() {
        for (said, expected) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "none")], true),
            // Another port of this address.
            (&[("sec-fetch-site", "same-site"), ("origin", "https://192.0.2.17:30080")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://192.0.2.17:5080")], false),
            (&[("origin", "https://192.0.2.17:5080")], true),
            (&[("origin", "https://192.0.2.17:30080")], false),
            (&[("origin", "http://192.0.2.17:5080")], false),
            (&[("origin", "null")], false),
            (&[], true),
        ] {
            assert_eq!(welcome(said, true, false), expected, "{said:?}");
        }
        assert!(!welcome(&[], true, true), "a login has no token that would prove it");
        assert!(welcome(&[("referer", "https://192.0.2.17:5080/login")], true, true));
        assert!(!welcome(&[("referer", "https://192.0.2.17:30080/")], true, true));
    }

    #[test]
    fn what_another_page_has_in_it_is_not_given() {
        let link = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert!(welcome(&link, false, false));
        let picture =
            [("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")];
        assert!(!welcome(&picture, false, false));
        let frame =
            [("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        assert!(!welcome(&frame, false, false));
        assert!(welcome(&[], false, false), "an old browser, or a program");
    }
}
