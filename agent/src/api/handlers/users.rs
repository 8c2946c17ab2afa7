//! Logins and one's own account.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use edge_model::api::access::{
    CurrentUser, FirstPassword, LoginAnswer, LoginRequest, PasswordChange, Token, UserChange,
};
use edge_model::{Class, Error};
use edge_planner::login::Limits;

use super::{blocking, parse, parse_secret};
use crate::access::sessions::LoggedIn;
use crate::accounts::{self, Configured};
use crate::api::Door;
use crate::api::answer::{Answer, AuditDetail, nothing, ok, with_detail};
use crate::api::caller::Caller;
use crate::clock;

fn limits(door: &Door) -> Limits {
    let settings = door.shared.settings();
    Limits::of(settings.edge().local_ui.as_ref().and_then(|surface| surface.login.as_ref()))
}

fn configured(door: &Door) -> Option<Configured> {
    Configured::of(door.shared.settings().edge().operator.as_ref())
}

pub(super) async fn log_in(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    let request: LoginRequest = parse_secret(&body)?;
    if !caller.may_hold_a_session() {
        return Err(Error::new(Class::Forbidden, "this service cannot log anybody in").into());
    }
    let detail = AuditDetail { actor: printable(&request.username), ..AuditDetail::default() };
    let (entrance, limits) = (caller.entrance(), limits(&door));
    let logged_in = blocking(move || {
        let (user, password) = (&request.username, request.password.reveal());
        let by = (entrance, &limits);
        door.sessions.log_in(user, password, request.extended_session, by, clock::seconds())
    })
    .await
    .map_err(|mut refusal| {
        refusal.0.message = format!("{} ({})", refusal.0.message, detail.actor);
        refusal
    })?;
    with_detail(ok(answer_of(logged_in, false)), detail)
}

fn answer_of(logged_in: LoggedIn, is_first_login: bool) -> LoginAnswer {
    LoginAnswer {
        token: Token { authorization: logged_in.token },
        is_first_login,
        role: logged_in.role,
        expires_in: logged_in.expires_in,
    }
}

/// Two people at two consoles: the first one wins.
static FIRST: Mutex<()> = Mutex::new(());

pub(super) async fn first_password(State(door): State<Arc<Door>>, body: Bytes) -> Answer {
    let wanted: FirstPassword = parse_secret(&body)?;
    let (user, logged_in) = blocking(move || {
        let _one_at_a_time = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
        let user = door.shared.first_password().ok_or_else(|| {
            Error::rejected("no first password can be set on this host now").help(
                "this is open for the first hour after the installation, while no account has a password",
            )
        })?;
        accounts::set_password(&user, wanted.new_password.reveal(), configured(&door))?;
        door.shared.refresh();
        let logged_in = door.sessions.open(&user, false, clock::seconds())?;
        Ok((user, logged_in))
    })
    .await?;
    let detail = AuditDetail { resource_name: user, ..AuditDetail::default() };
    with_detail(ok(answer_of(logged_in, true)), detail)
}

/// A name that somebody typed, as far as a record can hold it.
fn printable(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(64).collect()
}

pub(super) async fn log_out(State(door): State<Arc<Door>>, Extension(caller): Extension<Caller>) -> Answer {
    door.sessions.end(&caller.token.unwrap_or_default());
    nothing()
}

pub(super) async fn renew(State(door): State<Arc<Door>>, Extension(caller): Extension<Caller>) -> Answer {
    let authorization = door.sessions.renew(&caller.token.unwrap_or_default(), clock::seconds())?;
    ok(Token { authorization })
}

pub(super) async fn reset_password(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    let change: PasswordChange = parse_secret(&body)?;
    let user = caller.session()?.user.clone();
    let (entrance, limits) = (caller.entrance(), limits(&door));
    let name = user.clone();
    blocking(move || {
        let old = change.old_password.reveal();
        door.sessions.check(&name, old, (entrance, &limits), clock::seconds()).map_err(|error| {
            // The session is a good one: only the old password is not.
            if error.class == Class::Unauthenticated {
                Error::rejected("the old password is wrong")
            } else {
                error
            }
        })?;
        accounts::set_password(&name, change.new_password.reveal(), configured(&door))?;
        door.sessions.end_others(&name, &caller.token.unwrap_or_default());
        Ok(())
    })
    .await?;
    with_detail(nothing(), AuditDetail { resource_name: user, ..AuditDetail::default() })
}

pub(super) async fn current(State(door): State<Arc<Door>>, Extension(caller): Extension<Caller>) -> Answer {
    ok(describe(&door, &caller)?)
}

fn describe(door: &Door, caller: &Caller) -> edge_model::Result<CurrentUser> {
    let session = caller.session()?;
    Ok(CurrentUser {
        user_name: session.user.clone(),
        role: caller.role.unwrap_or(session.role),
        ssh_keys: accounts::ssh_keys(&session.user),
        disable_password_update: door.shared.settings().edge().disable_password_update.unwrap_or(false),
    })
}

pub(super) async fn change(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Answer {
    let change: UserChange = parse(&body)?;
    let user = caller.session()?.user.clone();
    let before = accounts::ssh_keys(&user).len();
    let after = change.ssh_keys.len();
    let name = user.clone();
    let configured = configured(&door);
    blocking(move || accounts::set_ssh_keys(&name, &change.ssh_keys, configured)).await?;
    let detail = AuditDetail {
        resource_name: user,
        before: Some(format!("{before} SSH keys")),
        after: Some(format!("{after} SSH keys")),
        ..AuditDetail::default()
    };
    with_detail(ok(describe(&door, &caller)?), detail)
}
