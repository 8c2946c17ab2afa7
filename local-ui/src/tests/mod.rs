//! The whole program with a fake agent behind it: who gets what, and what every answer says.

mod fake_agent;
mod transport;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use edge_model::api::WebSettings;
use tower::ServiceExt;

use crate::App;
use crate::accept::Ends;
use crate::router::router;
use fake_agent::FakeAgent;

const OWN: &str = "192.0.2.17:5080";
const PAGES: [&str; 22] = [
    "/",
    "/network",
    "/network/interface/enp1s0",
    "/names",
    "/system",
    "/system/rollback",
    "/cluster",
    "/cluster/new",
    "/cluster/delete",
    "/content",
    "/content/remove?digest=sha256:a1",
    "/work",
    "/work/1",
    "/diagnosis",
    "/logs",
    "/bundle",
    "/boots",
    "/configuration",
    "/audit",
    "/account",
    "/power",
    "/help",
];

struct Site {
    agent: FakeAgent,
    router: Router,
}

/// What somebody asks, from where.
struct Ask<'a> {
    method: Method,
    path: &'a str,
    cookie: Option<&'a str>,
    from: IpAddr,
    host: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: String,
}

fn get(path: &str) -> Ask<'_> {
    Ask {
        method: Method::GET,
        path,
        cookie: None,
        from: IpAddr::from([192, 0, 2, 50]),
        host: OWN,
        headers: Vec::new(),
        body: String::new(),
    }
}

fn post<'a>(path: &'a str, body: &str) -> Ask<'a> {
    Ask {
        method: Method::POST,
        body: body.to_owned(),
        headers: vec![("sec-fetch-site", "same-origin")],
        ..get(path)
    }
}

impl Site {
    fn new() -> Self {
        let agent = FakeAgent::start();
        let settings = WebSettings {
            port: 5080,
            host_name: "shop-17".into(),
            host_id: "edge-4c4c".into(),
            names: Vec::new(),
            idle_minutes: 15,
        };
        let app = Arc::new(App::new(agent.socket(), settings, b""));
        Self { router: router(&app), agent }
    }

    async fn ask(&self, ask: Ask<'_>) -> Response<Body> {
        let own: SocketAddr = OWN.parse().unwrap();
        let mut request = Request::builder().method(ask.method).uri(ask.path).header(header::HOST, ask.host);
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        if let Some(cookie) = ask.cookie {
            request = request.header(header::COOKIE, format!("other=1; __Host-edge={cookie}"));
        }
        let ends = Ends::new(ask.from, own);
        let request = request.extension(ends).body(Body::from(ask.body)).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Logs somebody in, and gives the cookie.
    async fn log_in(&self, name: &str) -> String {
        let answer = self.ask(post("/login", &format!("name={name}&password=right"))).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        cookie.split(';').next().unwrap().split_once('=').unwrap().1.to_owned()
    }

    async fn page(&self, path: &str, cookie: &str) -> (StatusCode, String) {
        let answer = self.ask(Ask { cookie: Some(cookie), ..get(path) }).await;
        (answer.status(), text(answer).await)
    }

    async fn token(&self, cookie: &str) -> String {
        token_of(&self.page("/power", cookie).await.1)
    }
}

async fn text(answer: Response<Body>) -> String {
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn token_of(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"token\" value=\"").expect("a form with a token");
    rest.split('"').next().unwrap().to_owned()
}

fn location(answer: &Response<Body>) -> &str {
    answer.headers().get(header::LOCATION).map_or("", |place| place.to_str().unwrap())
}

#[tokio::test]
async fn a_stranger_is_led_to_the_login_and_sees_nothing_of_the_host() {
    let site = Site::new();
    for path in PAGES {
        for (last, cookie) in [(1, None), (2, Some("0")), (3, Some("../../etc"))] {
            // Each from an address of its own: nobody is held back for asking often.
            let from = IpAddr::from([198, 51, 100, last]);
            let answer = site.ask(Ask { cookie, from, ..get(path) }).await;
            assert_eq!(
                (answer.status(), location(&answer)),
                (StatusCode::SEE_OTHER, "/login"),
                "{path} {cookie:?}"
            );
            assert!(text(answer).await.is_empty());
        }
    }
    let live = site.ask(get("/live?page=home")).await;
    assert_eq!(live.status(), StatusCode::UNAUTHORIZED);
    let login = text(site.ask(get("/login")).await).await;
    assert!(login.contains("shop-17") && !login.contains("edge-4c4c4544") && !login.contains("1.2.0"));
    let alive = text(site.ask(get("/alive")).await).await;
    assert_eq!(alive, r#"{"boot_id":"boot-1","state":"up"}"#);
    assert_eq!(
        site.agent.calls(),
        [("GET".to_owned(), "/v1/ping".to_owned())],
        "a stranger costs no other call"
    );
}

#[tokio::test]
async fn whoever_logs_in_sees_every_page() {
    let site = Site::new();
    let cookie = site.log_in("admin").await;
    for path in PAGES {
        let (status, page) = site.page(path, &cookie).await;
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        assert!(page.contains("shop-17") && !page.contains("token-of-admin"), "{path}");
        assert!(page.len() < 60_000, "{path} has {} bytes", page.len());
    }
    let (_, first) = site.page("/", &cookie).await;
    assert!(first.len() <= 15_000, "{} bytes", first.len());
    assert!(site.agent.browsers().iter().all(|browser| browser == "192.0.2.50"));
}

#[tokio::test]
async fn a_cookie_is_worth_nothing_from_elsewhere_and_after_the_end() {
    let site = Site::new();
    let answer = site.ask(post("/login", "name=admin&password=right")).await;
    let set = answer.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    for attribute in ["__Host-edge=", "; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.contains("token-of-admin") && !set.contains("Max-Age") && !set.contains("Domain"));
    let cookie = site.log_in("admin").await;
    let stolen = Ask { cookie: Some(&cookie), from: IpAddr::from([10, 42, 0, 7]), ..get("/") };
    assert_eq!(location(&site.ask(stolen).await), "/login");
    let token = site.token(&cookie).await;
    let out = Ask { cookie: Some(&cookie), ..post("/logout", &format!("token={token}")) };
    assert_eq!(location(&site.ask(out).await), "/login");
    assert_eq!(location(&site.ask(Ask { cookie: Some(&cookie), ..get("/") }).await), "/login");
}

#[tokio::test]
async fn a_wrong_password_tells_nothing_and_too_many_cost_the_agent_nothing() {
    let site = Site::new();
    for number in 0..30 {
        let answer = site.ask(post("/login", "name=admin&password=wrong")).await;
        let expected = if number < 10 { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(answer.status(), expected, "{number}");
        assert!(answer.headers().get(header::SET_COOKIE).is_none());
    }
    assert_eq!(site.agent.calls().len(), 10);
}

#[tokio::test]
async fn a_change_needs_our_own_form() {
    let site = Site::new();
    let cookie = site.log_in("admin").await;
    let other = site.log_in("site").await;
    let (token, foreign) = (site.token(&cookie).await, site.token(&other).await);
    let order = format!("token={token}");
    let ask = |headers: Vec<(&'static str, &'static str)>, body: &str| Ask {
        cookie: Some(&cookie),
        headers,
        ..post("/power/restart", body)
    };
    for (headers, body) in [
        (vec![("sec-fetch-site", "same-site")], order.as_str()),
        (vec![("sec-fetch-site", "cross-site")], &order),
        (vec![("origin", "https://192.0.2.17:30080")], &order),
        (vec![("sec-fetch-site", "same-origin")], ""),
        (vec![("sec-fetch-site", "same-origin")], "token=0"),
        (vec![("sec-fetch-site", "same-origin")], &format!("token={foreign}")),
        (vec![], ""),
    ] {
        let answer = site.ask(ask(headers.clone(), body)).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{headers:?} {body:?}");
    }
    assert!(!site.agent.calls().iter().any(|(method, path)| method == "POST" && path == "/v1/operations"));
    // An old browser says nothing about where a form comes from, and brings our token.
    let answer = site.ask(ask(vec![], &order)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(text(answer).await.contains("data-seek-boot=\"boot-1\""));
}

#[tokio::test]
async fn two_clicks_are_one_order() {
    let site = Site::new();
    let cookie = site.log_in("admin").await;
    let token = site.token(&cookie).await;
    for body in [format!("token={token}"), format!("token={token}"), format!("token={token}&stick=yes")] {
        let answer = site.ask(Ask { cookie: Some(&cookie), ..post("/bundle", &body) }).await;
        assert_eq!(location(&answer), "/work/1");
    }
    let orders = site.agent.orders();
    assert_eq!(orders.len(), 3);
    assert!(orders[0] == orders[1] && orders[0] != orders[2] && orders[0].starts_with("web-"), "{orders:?}");
}

#[tokio::test]
async fn a_question_that_asks_for_a_word_gets_it() {
    let site = Site::new();
    let cookie = site.log_in("admin").await;
    let (_, page) = site.page("/power/off", &cookie).await;
    assert!(page.contains("Type OFF to go on"));
    let token = token_of(&page);
    let answer = |word: &str| {
        let body = format!("token={token}&word={word}");
        let (site, cookie) = (&site, &cookie);
        async move { site.ask(Ask { cookie: Some(cookie), ..post("/power/off", &body) }).await.status() }
    };
    assert_eq!(answer("off").await, StatusCode::BAD_REQUEST);
    assert!(site.agent.orders().is_empty());
    assert_eq!(answer("OFF").await, StatusCode::OK);
    assert_eq!(site.agent.orders().len(), 1);
}

#[tokio::test]
async fn other_names_are_not_answered_and_every_answer_is_guarded() {
    let site = Site::new();
    let cookie = site.log_in("admin").await;
    for (path, host, status) in [
        ("/", "evil.example", StatusCode::MISDIRECTED_REQUEST),
        ("/login", "192.0.2.18:5080", StatusCode::MISDIRECTED_REQUEST),
        ("/", "shop-17.local:5080", StatusCode::OK),
        ("/nothing", OWN, StatusCode::NOT_FOUND),
        ("/v1/status", OWN, StatusCode::UNAUTHORIZED),
        ("/api", OWN, StatusCode::OK),
    ] {
        let answer = site.ask(Ask { cookie: Some(&cookie), host, ..get(path) }).await;
        assert_eq!(answer.status(), status, "{path} {host}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        for name in
            ["x-content-type-options", "referrer-policy", "cross-origin-opener-policy", "cache-control"]
        {
            assert!(answer.headers().contains_key(name), "{path}: {name}");
        }
        assert!(!answer.headers().contains_key("strict-transport-security"), "it would lock people out");
    }
}

#[tokio::test]
async fn programs_use_tokens_and_cookies_count_for_nothing() {
    let site = Site::new();
    let cookie = site.log_in("admin").await;
    let answer = site.ask(Ask { cookie: Some(&cookie), ..get("/v1/status") }).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let bearer = vec![("authorization", "token-of-admin")];
    let answer = site.ask(Ask { headers: bearer.clone(), ..get("/v1/status") }).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(text(answer).await.contains("shop-17"));
    let answer = site.ask(Ask { headers: bearer.clone(), ..get("/v1/../status") }).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let faked = [bearer, vec![("x-edge-browser", "203.0.113.9")]].concat();
    site.ask(Ask { headers: faked, ..get("/v1/status") }).await;
    assert!(site.agent.browsers().iter().all(|browser| browser == "192.0.2.50"));
}

#[tokio::test]
async fn a_silent_agent_is_said_in_our_own_words() {
    let mut site = Site::new();
    let cookie = site.log_in("admin").await;
    site.agent.stop();
    let (status, page) = site.page("/", &cookie).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.contains("does not answer") && page.contains("http-equiv=\"refresh\""), "{page}");
    assert_eq!(text(site.ask(get("/alive")).await).await, r#"{"state":"starting"}"#);
}

#[tokio::test]
async fn whoever_asks_too_often_waits() {
    let site = Site::new();
    let mut refused = 0;
    for _ in 0..100 {
        refused += u32::from(site.ask(get("/login")).await.status() == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!((20..60).contains(&refused), "{refused}");
    let other = Ask { from: IpAddr::from([192, 0, 2, 51]), ..get("/login") };
    assert_eq!(site.ask(other).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_wrong_with_a_form_is_shown_with_what_was_typed() {
    let site = Site::new();
    let cookie = site.log_in("admin").await;
    let token = site.token(&cookie).await;
    let body = format!("token={token}&kind=static&addresses=&gateway=192.0.2.1");
    let answer = site.ask(Ask { cookie: Some(&cookie), ..post("/network/interface/enp1s0", &body) }).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = text(answer).await;
    assert!(page.contains("An address is needed") && page.contains("value=\"192.0.2.1\""), "{page}");
    let body = format!("token={token}&kind=static&addresses=192.0.2.18/255.255.255.0&gateway=192.0.2.1");
    let answer = site.ask(Ask { cookie: Some(&cookie), ..post("/network/interface/enp1s0", &body) }).await;
    let page = text(answer).await;
    assert!(page.contains("192.0.2.18/24") && page.contains("https://192.0.2.18:5080"), "{page}");
}

#[tokio::test]
async fn text_of_others_is_never_markup() {
    let site = Site::new();
    let cookie = site.log_in("admin").await;
    let (_, page) = site.page("/logs", &cookie).await;
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");
}
