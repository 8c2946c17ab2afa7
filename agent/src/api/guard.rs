//! What every call passes on its way in and out: size and rate limits, the role, the idempotency key, the audit record.
//! Handlers are reached only through here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use edge_model::api::access::{BROWSER_HEADER, BY_ITSELF_HEADER, LOCAL_UI_UID, Role};
use edge_model::api::audit::{AuditRecord, Outcome};
use edge_model::api::routes::Route;
use edge_model::{Class, Error, Result};
use edge_slot_image::sha256;

use super::answer::{AuditDetail, Refusal};
use super::caller::{Caller, Peer, role_of};
use super::{BODY_LIMIT, Door};
use crate::daemon::notices::Said;
use crate::{clock, facts};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const LONGEST_KEY: usize = 128;
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// Refused calls of those who have not logged in are written down at most so often: on the host itself, and from the network, where
/// strangers would wash everything else out of the record.
const REFUSALS: usize = 20;
const OF_THE_HOST: Duration = Duration::from_secs(60);
const OF_THE_NETWORK: Duration = Duration::from_secs(3600);
/// Answers that are kept for repeated requests.
const ANSWERS_KEPT: usize = 128;
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// An answer that is longer is not one of a changing call.
const ANSWER_LIMIT: usize = 256 << 10;
/// Calls that one user may make at once, and each second after that. The host's own root is not limited.
const BURST: f64 = 200.0;
const EACH_SECOND: f64 = 50.0;

#[derive(Clone)]
struct KeptAnswer {
    request: [u8; 32],
    status: StatusCode,
    body: Bytes,
    at: Instant,
}

/// Whose calls are counted together: an account's, and of the web page's those of each browser.
type Bucket = (u32, Option<IpAddr>);
/// As many as are remembered before old ones are looked for.
const BUCKETS: usize = 1024;

#[derive(Default)]
pub(crate) struct Limits {
    answers: Mutex<VecDeque<((String, String), KeptAnswer)>>,
    /// Keys whose requests are being done now.
    begun: Mutex<BTreeSet<(String, String)>>,
    buckets: Mutex<BTreeMap<Bucket, (f64, Instant)>>,
    /// When refusals of strangers were written down: of the host, of the network.
    refusals: Mutex<[VecDeque<Instant>; 2]>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limits {
    fn admit(&self, bucket: Bucket, now: Instant) -> Result<()> {
        if bucket.0 == 0 {
            return Ok(());
        }
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= BUCKETS {
            // Whoever has not called for so long has a full one again.
            buckets.retain(|_, (_, at)| now.duration_since(*at).as_secs_f64() * EACH_SECOND < BURST);
        }
        // More at one time than there are browsers at a site share one.
        let is_new = !buckets.contains_key(&bucket);
        let bucket = if is_new && buckets.len() >= BUCKETS { (bucket.0, None) } else { bucket };
        let (left, at) = buckets.entry(bucket).or_insert((BURST, now));
        *left = (*left + now.duration_since(*at).as_secs_f64() * EACH_SECOND).min(BURST);
        *at = now;
        if *left < 1.0 {
            return Err(Error::new(Class::TooMany, "too many calls").help("try again in a second"));
        }
        *left -= 1.0;
        Ok(())
    }

    fn may_record_refusal(&self, uid: u32, now: Instant) -> bool {
        let from_network = uid == LOCAL_UI_UID;
        let window = if from_network { OF_THE_NETWORK } else { OF_THE_HOST };
        let refusals = &mut lock(&self.refusals)[usize::from(from_network)];
        while refusals.front().is_some_and(|at| now.duration_since(*at) > window) {
            refusals.pop_front();
        }
        let may = refusals.len() < REFUSALS;
        if may {
            refusals.push_back(now);
        }
        may
    }

    /// The answer that was given to this key before.
    ///
    /// # Errors
    /// When the key came with another request.
    fn repeated(&self, key: &(String, String), request: &[u8; 32]) -> Result<Option<Response>> {
        let mut answers = lock(&self.answers);
        answers.retain(|(_, answer)| answer.at.elapsed() < KEPT_FOR);
        let Some((_, answer)) = answers.iter().find(|(kept, _)| kept == key) else { return Ok(None) };
        if answer.request != *request {
            return Err(Error::rejected("this idempotency key came with another request before")
                .help("use a new key for each request"));
        }
        let body = answer.body.clone();
        Ok(Some((answer.status, [(header::CONTENT_TYPE, "application/json")], body).into_response()))
    }

    /// # Errors
    /// While a request with this key is being done.
    fn begin(&self, key: &(String, String)) -> Result<()> {
        if lock(&self.begun).insert(key.clone()) {
            return Ok(());
        }
        Err(Error::rejected("a request with this idempotency key is being done")
            .help("ask again in a moment"))
    }

    fn keep(&self, key: (String, String), answer: KeptAnswer) {
        let mut answers = lock(&self.answers);
        answers.push_back((key, answer));
        if answers.len() > ANSWERS_KEPT {
            answers.pop_front();
        }
    }
}

/// The middleware of one route.
pub(super) async fn guard(
    door: Arc<Door>,
    route: &'static Route,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return Refusal(Error::internal("a connection without a peer")).into_response();
    };
    let browser = browser_of(peer, request.headers());
    if let Err(error) = door.limits.admit((peer.uid, browser), Instant::now()) {
        return Refusal(error).into_response();
    }
    let caller = identify(&door, peer, browser, request.headers());
    if let Err(error) = caller.may_call(route) {
        let response = Refusal(error).into_response();
        return record(&door, route, &caller, response).await;
    }
    // What a page asks by itself is no work of a person.
    let by_itself = peer.uid == LOCAL_UI_UID && request.headers().contains_key(BY_ITSELF_HEADER);
    if !by_itself && (caller.session.is_some() || caller.peer.uid == 0) {
        door.shared.somebody_works();
    }
    request.extensions_mut().insert(caller.clone());
    if !route.changes() {
        return next.run(request).await;
    }
    match repeatable(&door, route, &caller, request).await {
        Ok(Repeatable::Answered(response)) => response,
        Ok(Repeatable::New(request, key)) => {
            // Whoever hangs up does not stop what was begun, and is written down all the same.
            let obeyed = tokio::spawn(obey(door, route, caller, next, request, key)).await;
            obeyed.unwrap_or_else(|error| Refusal(Error::internal(error.to_string())).into_response())
        }
        Err(error) => Refusal(error).into_response(),
    }
}

async fn obey(
    door: Arc<Door>,
    route: &'static Route,
    caller: Caller,
    next: Next,
    request: Request,
    key: Option<((String, String), [u8; 32])>,
) -> Response {
    let response = record(&door, route, &caller, next.run(request).await).await;
    match key {
        Some((key, digest)) => keep_answer(&door, key, digest, response).await,
        None => response,
    }
}

/// What the web page says about who is behind it; others may say what they want.
fn browser_of(peer: Peer, headers: &HeaderMap) -> Option<IpAddr> {
    let said = headers.get(BROWSER_HEADER).filter(|_| peer.uid == LOCAL_UI_UID)?;
    said.to_str().ok()?.parse().ok()
}

fn identify(door: &Door, peer: Peer, browser: Option<IpAddr>, headers: &HeaderMap) -> Caller {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.strip_prefix("Bearer ").unwrap_or(value).to_owned());
    let session = token.as_deref().and_then(|token| door.sessions.find(token, clock::seconds()));
    let order = headers.get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok()).map(str::to_owned);
    Caller { role: role_of(peer, session.as_ref(), door.house()), peer, session, token, browser, order }
}

enum Repeatable {
    /// The same request was answered before.
    Answered(Response),
    New(Request, Option<((String, String), [u8; 32])>),
}

/// Reads the whole request, which is small, and looks for an earlier answer to it.
async fn repeatable(door: &Door, route: &Route, caller: &Caller, request: Request) -> Result<Repeatable> {
    let (parts, body) = request.into_parts();
    let whole = tokio::time::timeout(BODY_WITHIN, to_bytes(body, BODY_LIMIT)).await;
    let body =
        whole.map_err(|_| Error::invalid("the request did not come to its end"))?.map_err(|_| too_large())?;
    let Some(key) = parts.headers.get(IDEMPOTENCY_KEY) else {
        return Ok(Repeatable::New(Request::from_parts(parts, Body::from(body)), None));
    };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= LONGEST_KEY);
    let key =
        key.ok_or_else(|| Error::invalid("the idempotency key is not a text of up to 128 characters"))?;
    let key = (caller.name(), key.to_owned());
    let mut whole = format!("{} {}\n", route.method.name(), parts.uri).into_bytes();
    whole.extend_from_slice(&body);
    let digest = sha256(&whole).0;
    if let Some(response) = door.limits.repeated(&key, &digest)? {
        return Ok(Repeatable::Answered(response));
    }
    door.limits.begin(&key)?;
    Ok(Repeatable::New(Request::from_parts(parts, Body::from(body)), Some((key, digest))))
}

fn too_large() -> Error {
    Error::invalid(format!("the request is larger than {} MiB", BODY_LIMIT >> 20))
}

async fn keep_answer(door: &Door, key: (String, String), request: [u8; 32], response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_LIMIT).await;
    lock(&door.limits.begun).remove(&key);
    let Ok(body) = body else {
        return Refusal(Error::internal("an answer was too large to be kept")).into_response();
    };
    // What failed may be tried again.
    if parts.status.is_success() {
        door.limits
            .keep(key, KeptAnswer { request, status: parts.status, body: body.clone(), at: Instant::now() });
    }
    Response::from_parts(parts, Body::from(body))
}

/// Writes a changing call down, whether it was obeyed or refused.
async fn record(door: &Arc<Door>, route: &Route, caller: &Caller, mut response: Response) -> Response {
    let status = response.status();
    tracing::debug!(actor = %caller.actor(), status = status.as_u16(), "{} {}", route.method.name(), route.path);
    let detail = response.extensions_mut().remove::<AuditDetail>().unwrap_or_default();
    if !route.changes() {
        return response;
    }
    let is_stranger = caller.session.is_none() && caller.role < Some(Role::Admin);
    if is_stranger && !status.is_success() && !door.limits.may_record_refusal(caller.peer.uid, Instant::now())
    {
        return response;
    }
    let outcome = if status.is_success() {
        Outcome::Accepted { status: status.as_u16() }
    } else {
        Outcome::Refused { status: status.as_u16(), reason: detail.reason }
    };
    let actor = caller.actor();
    let record = AuditRecord {
        sequence: 0,
        at: facts::now(),
        clock_is_set: clock::is_set(),
        edge_host_id: facts::host_id(),
        actor: if detail.actor.is_empty() { actor.subject } else { detail.actor },
        surface: actor.surface,
        order: actor.order.filter(|order| order.len() <= LONGEST_KEY),
        actor_type: caller.role.map_or_else(|| "nobody".into(), |role| role.to_string()),
        from: match (caller.browser, caller.peer.pid) {
            (Some(address), _) => address.to_string(),
            (None, Some(pid)) => format!("uid {} pid {pid}", caller.peer.uid),
            (None, None) => format!("uid {}", caller.peer.uid),
        },
        action: format!("{} {}", route.method.name(), route.path),
        resource_kind: resource_kind(route),
        resource_id: detail.resource_id,
        resource_name: detail.resource_name,
        content_msg: if detail.message.is_empty() { route.summary.to_owned() } else { detail.message },
        before: detail.before,
        after: detail.after,
        outcome,
    };
    let log = door.clone();
    // The disk may be slow; the serving thread is not.
    let written = tokio::task::spawn_blocking(move || log.shared.audit.append(record)).await;
    if let Ok(Err(error)) = written {
        door.shared.notice(Said::failed("an audit record was not written", &error));
    }
    response
}

/// The part of a path that names what is changed.
fn resource_kind(route: &Route) -> String {
    let mut segments =
        route.path.split('/').filter(|segment| !segment.is_empty() && !segment.starts_with('{'));
    let passed_over = ["v1", "edge-mgmt", "current", "default", "config", "actions"];
    segments.rfind(|segment| !passed_over.contains(segment)).unwrap_or("host").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_calls_too_often_waits_and_root_does_not() {
        let limits = Limits::default();
        let now = Instant::now();
        let admitted = (0..1000).filter(|_| limits.admit((1000, None), now).is_ok()).count();
        assert_eq!(admitted, BURST as usize);
        assert!(limits.admit((1001, None), now).is_ok() && limits.admit((0, None), now).is_ok());
        assert!(limits.admit((1000, None), now + Duration::from_secs(1)).is_ok());
        let browser = |last| (LOCAL_UI_UID, Some(IpAddr::from([192, 0, 2, last])));
        assert_eq!((0..1000).filter(|_| limits.admit(browser(1), now).is_ok()).count(), BURST as usize);
        assert!(limits.admit(browser(2), now).is_ok(), "one browser does not slow down another one");
        for number in 0..5000_u32 {
            let address = IpAddr::from(number.to_be_bytes());
            let _ = limits.admit((LOCAL_UI_UID, Some(address)), now + Duration::from_secs(u64::from(number)));
        }
        assert!(lock(&limits.buckets).len() <= BUCKETS);
    }

    #[test]
    fn strangers_of_the_network_wash_nothing_out_of_the_record() {
        let (limits, now) = (Limits::default(), Instant::now());
        let at = |seconds: u64| now + Duration::from_secs(seconds);
        let of_network =
            (0..3600).filter(|second| limits.may_record_refusal(LOCAL_UI_UID, at(*second))).count();
        assert_eq!(of_network, REFUSALS);
        assert!(limits.may_record_refusal(1000, at(3600)), "who is on the host is still written down");
    }

    #[test]
    fn a_key_belongs_to_one_request() {
        let limits = Limits::default();
        let key = ("site".to_owned(), "k1".to_owned());
        let answer = KeptAnswer {
            request: [1; 32],
            status: StatusCode::ACCEPTED,
            body: Bytes::from_static(b"{}"),
            at: Instant::now(),
        };
        limits.keep(key.clone(), answer);
        assert_eq!(limits.repeated(&key, &[1; 32]).unwrap().unwrap().status(), StatusCode::ACCEPTED);
        assert!(limits.repeated(&key, &[2; 32]).is_err());
        let other = ("site".to_owned(), "k2".to_owned());
        assert!(limits.begin(&other).is_ok() && limits.begin(&other).is_err(), "twice at once");
        assert!(limits.repeated(&("root".into(), "k1".into()), &[1; 32]).unwrap().is_none());
    }
}
