//! Sessions: who has logged in, until when, and with which role. They live in memory and end with the agent.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edge_host::gpt::random_bytes;
use edge_model::api::access::Role;
use edge_model::ids::to_hex;
use edge_model::{Class, Error, Result};
use edge_planner::login::{Limits, LoginGuard, has_password, password_fits, role_of};

use crate::accounts::{self, Person};

const SESSION: Duration = Duration::from_secs(2 * 3600);
const EXTENDED_SESSION: Duration = Duration::from_secs(24 * 3600);
/// More than people and surfaces of one host need.
const SESSIONS: usize = 64;
/// More than one person needs. One more ends the oldest of the same account, and nobody else's.
const SESSIONS_OF_ONE: usize = 8;
/// A hash of nothing, so that a name that is not there takes as long as a wrong password.
const NOBODY: &str = "$6$0000000000000000$00000000000000000000000000000000000000000000000000000000000000000000000000000000000000";

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) user: String,
    pub(crate) role: Role,
    /// Seconds of the clock that never jumps.
    pub(crate) ends: u64,
    lasts: Duration,
}

#[derive(Default)]
pub(crate) struct Sessions {
    by_token: Mutex<BTreeMap<String, Session>>,
    guards: Mutex<Guards>,
    /// One hash at a time: each may take 16 MiB, and tries must be counted before the next one is looked at.
    hashing: Mutex<()>,
}

/// Where somebody comes in. Wrong passwords from elsewhere never close the console to whoever stands in front of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    Console,
    /// The web page: the whole network.
    Web,
    Elsewhere,
}

/// What failed lately, by entrance.
#[derive(Debug, Default)]
struct Guards {
    console: LoginGuard,
    web: LoginGuard,
    elsewhere: LoginGuard,
}

impl Guards {
    fn of(&mut self, entrance: Entrance) -> &mut LoginGuard {
        match entrance {
            Entrance::Console => &mut self.console,
            Entrance::Web => &mut self.web,
            Entrance::Elsewhere => &mut self.elsewhere,
        }
    }
}

/// What a login gives.
pub(crate) struct LoggedIn {
    pub(crate) token: String,
    pub(crate) role: Role,
    pub(crate) expires_in: u64,
}

impl Sessions {
    fn by_token(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guards(&self) -> MutexGuard<'_, Guards> {
        self.guards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks a password and begins a session. Takes as long as hashing does: not for the serving thread.
    ///
    /// # Errors
    /// [`Class::Unauthenticated`] for a wrong name or password, [`Class::TooMany`] while tries must wait.
    pub(crate) fn log_in(
        &self,
        user: &str,
        password: &str,
        extended: bool,
        (entrance, limits): (Entrance, &Limits),
        now: u64,
    ) -> Result<LoggedIn> {
        self.check(user, password, (entrance, limits), now)?;
        self.open(user, extended, now)
    }

    /// Begins a session of somebody who is known to be the one.
    ///
    /// # Errors
    /// When the account is gone, or there is no randomness.
    pub(crate) fn open(&self, user: &str, extended: bool, now: u64) -> Result<LoggedIn> {
        let person = account(user)?.ok_or_else(wrong)?;
        let lasts = if extended { EXTENDED_SESSION } else { SESSION };
        let role = role_of(user, &person.groups);
        let token =
            self.begin(Session { user: user.to_owned(), role, ends: now + lasts.as_secs(), lasts }, now)?;
        Ok(LoggedIn { token, role, expires_in: lasts.as_secs() })
    }

    /// Whether a password opens an account now; wrong ones are counted.
    ///
    /// # Errors
    /// As [`Sessions::log_in`].
    pub(crate) fn check(
        &self,
        user: &str,
        password: &str,
        (entrance, limits): (Entrance, &Limits),
        now: u64,
    ) -> Result<()> {
        let _one_at_a_time = self.hashing.lock().unwrap_or_else(PoisonError::into_inner);
        let person = account(user)?;
        let counted = if person.is_some() { user } else { "" };
        self.guards().of(entrance).may_try(counted, now).map_err(|wait| {
            Error::new(Class::TooMany, format!("too many wrong passwords for {user:?}"))
                .help(format!("try again in {}", duration(wait)))
        })?;
        let entry = person.as_ref().map_or(NOBODY, |person| &person.password);
        let fits = password_fits(entry, password);
        if fits && person.as_ref().is_some_and(Person::may_log_in) {
            self.guards().of(entrance).succeeded(user);
            return Ok(());
        }
        // Names that nobody has count as one: they push out none that somebody has.
        self.guards().of(entrance).failed(counted, limits, now);
        Err(wrong())
    }

    fn begin(&self, session: Session, now: u64) -> Result<String> {
        let token = to_hex(&random_bytes::<32>()?);
        let mut sessions = self.by_token();
        sessions.retain(|_, session| session.ends > now);
        let own = sessions.iter().filter(|(_, other)| other.user == session.user);
        let oldest = own.clone().min_by_key(|(_, other)| other.ends).map(|(token, _)| token.clone());
        match oldest {
            Some(oldest) if own.count() >= SESSIONS_OF_ONE => drop(sessions.remove(&oldest)),
            _ if sessions.len() >= SESSIONS => {
                return Err(Error::new(Class::TooMany, "too many people are logged in")
                    .help("log out elsewhere; sessions end by themselves"));
            }
            _ => {}
        }
        sessions.insert(token.clone(), session);
        Ok(token)
    }

    /// A session as it is worth now: an account that was closed ends it, and one that has lost a role speaks with less.
    pub(crate) fn find(&self, token: &str, now: u64) -> Option<Session> {
        let session = self.by_token().get(token).filter(|session| session.ends > now).cloned()?;
        // Accounts that cannot be read now end nobody's session.
        let Some(person) = person_of(&session).ok()?.filter(Person::may_log_in) else {
            self.end(token);
            return None;
        };
        Some(Session { role: role_of(&session.user, &person.groups).min(session.role), ..session })
    }

    /// A new token for a session; the old one ends.
    ///
    /// # Errors
    /// When there is no randomness, or the session has ended.
    pub(crate) fn renew(&self, token: &str, now: u64) -> Result<String> {
        let ended = || Error::new(Class::Unauthenticated, "the session has ended");
        let session = self.by_token().remove(token).filter(|session| session.ends > now).ok_or_else(ended)?;
        // An account that was closed or has lost a role since ends here.
        let person = person_of(&session)?.filter(Person::may_log_in).ok_or_else(ended)?;
        let session = Session { role: role_of(&session.user, &person.groups).min(session.role), ..session };
        let ends = now + session.lasts.as_secs();
        self.begin(Session { ends, ..session }, now)
    }

    pub(crate) fn end(&self, token: &str) {
        self.by_token().remove(token);
    }

    /// Ends all sessions of an account, but for one.
    pub(crate) fn end_others(&self, user: &str, but: &str) {
        self.by_token().retain(|token, session| session.user != user || token == but);
    }
}

/// Whether anybody on this host could log in with a password.
pub(crate) fn somebody_can_log_in() -> bool {
    accounts::people()
        .is_ok_and(|people| people.iter().any(|person| person.may_log_in() && has_password(&person.password)))
}

/// The account behind a session, as it is now.
#[cfg(not(test))]
fn person_of(session: &Session) -> Result<Option<Person>> {
    account(&session.user)
}

/// Tests have no accounts, and whoever has a session in one is an administrator.
#[cfg(test)]
fn person_of(session: &Session) -> Result<Option<Person>> {
    Ok(Some(Person::of_test(&session.user)))
}

#[cfg(not(test))]
fn account(name: &str) -> Result<Option<Person>> {
    accounts::person(name)
}

#[cfg(test)]
fn account(_: &str) -> Result<Option<Person>> {
    Ok(None)
}

fn wrong() -> Error {
    Error::new(Class::Unauthenticated, "wrong name or password")
}

fn duration(seconds: u64) -> String {
    if seconds < 120 { format!("{seconds} seconds") } else { format!("{} minutes", seconds.div_ceil(60)) }
}

#[cfg(test)]
impl Session {
    pub(crate) fn of_test(role: Role) -> Self {
        Self { user: "somebody".into(), role, ends: u64::MAX, lasts: SESSION }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_are_renewed_and_do_not_pile_up() {
        let sessions = Sessions::default();
        let session = |ends| Session { ends, ..Session::of_test(Role::Operator) };
        let token = sessions.begin(session(100), 0).unwrap();
        assert!(sessions.find(&token, 99).is_some());
        assert!(sessions.find(&token, 100).is_none());
        let renewed = sessions.renew(&token, 50).unwrap();
        assert!(sessions.find(&token, 50).is_none() && sessions.find(&renewed, 200).is_some());
        sessions.end(&renewed);
        assert!(sessions.find(&renewed, 60).is_none());
        for ends in 1000..1200 {
            sessions.begin(session(ends), 0).unwrap();
        }
        assert_eq!(sessions.by_token().len(), SESSIONS_OF_ONE, "the oldest of an account give way");
    }

    #[test]
    fn nobody_ends_the_sessions_of_others() {
        let sessions = Sessions::default();
        let of = |user: &str| Session { user: user.into(), ..Session::of_test(Role::Operator) };
        let first = sessions.begin(of("first"), 0).unwrap();
        let mut refused = 0;
        for number in 0..200 {
            refused += usize::from(sessions.begin(of(&format!("user-{number}")), 0).is_err());
        }
        assert_eq!(refused, 200 - (SESSIONS - 1));
        assert!(sessions.find(&first, 1).is_some());
        sessions.begin(of("first"), 0).unwrap_err();
    }

    #[test]
    fn wrong_passwords_from_elsewhere_leave_the_console_open() {
        let (sessions, limits) = (Sessions::default(), Limits::of(None));
        let wrong = |entrance, now| {
            sessions.check("nobody-has-this", "x", (entrance, &limits), now).unwrap_err().class
        };
        for now in 0..20 {
            wrong(Entrance::Elsewhere, now * 1000);
        }
        for _ in 0..5 {
            wrong(Entrance::Elsewhere, 20_000);
        }
        assert_eq!(wrong(Entrance::Elsewhere, 20_000), Class::TooMany);
        assert_eq!(wrong(Entrance::Console, 20_000), Class::Unauthenticated);
    }
}
