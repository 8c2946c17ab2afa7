//! Logins of browsers. A browser holds a number that says nothing; the agent's token stays here.
//!
//! Cookies are shared by all ports of a host name (RFC 6265 §8.5), so a workload on another port is given ours. A session is bound to
//! the browser's address: what the workload has been given opens nothing from anywhere else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use edge_client::Speaker;
use edge_model::api::access::Role;
use edge_model::ids::to_hex;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::limits::Origin;

/// However busy somebody is. The agent's own session, an extended one, lasts longer.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
const MOST: usize = 256;

/// Somebody who has logged in with a browser.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) role: Role,
    token: String,
    origin: Origin,
    /// A person has done something, and not a page by itself.
    is_act: bool,
    began: Instant,
    last_act: Instant,
    /// Signs what forms bring back.
    key: [u8; 32],
}

impl Login {
    /// For a request from this address.
    pub(crate) fn speaker(&self, browser: IpAddr) -> Speaker {
        Speaker { token: Some(self.token.clone()), browser: Some(browser), by_itself: !self.is_act }
    }

    /// What a form of this login carries: it proves that the form is ours, and makes two clicks one act.
    pub(crate) fn form_token(&self) -> String {
        let nonce = to_hex(&random::<12>());
        format!("{nonce}{}", self.signature(&nonce))
    }

    pub(crate) fn made(&self, form_token: &str) -> bool {
        let Some((nonce, signature)) = form_token.split_at_checked(24) else { return false };
        let expected = self.signature(nonce);
        // Neither is a secret that is worth the time of a comparison in constant time, but it costs nothing.
        let differs =
            expected.bytes().zip(signature.bytes()).fold(0, |differs, (one, other)| differs | (one ^ other));
        expected.len() == signature.len() && differs == 0
    }

    fn signature(&self, nonce: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
        to_hex(&hmac::sign(&key, nonce.as_bytes()).as_ref()[..16])
    }
}

#[derive(Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<String, Login>>);

impl Sessions {
    fn by_id(&self) -> MutexGuard<'_, BTreeMap<String, Login>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session, and gives what the browser holds. The one that rests longest gives way to one too many.
    pub(crate) fn begin(
        &self,
        user: &str,
        role: Role,
        token: String,
        origin: Origin,
        now: Instant,
    ) -> String {
        let login = Login {
            user: user.to_owned(),
            role,
            token,
            origin,
            is_act: true,
            began: now,
            last_act: now,
            key: random(),
        };
        let mut sessions = self.by_id();
        if sessions.len() >= MOST {
            let oldest = sessions.iter().min_by_key(|(_, login)| login.last_act).map(|(id, _)| id.clone());
            oldest.and_then(|oldest| sessions.remove(&oldest));
        }
        let id = to_hex(&random::<32>());
        sessions.insert(id.clone(), login);
        id
    }

    /// The login of a browser at this address. What a person does keeps it alive; what a page does by itself does not.
    pub(crate) fn find(
        &self,
        id: &str,
        origin: Origin,
        idle: Duration,
        act: bool,
        now: Instant,
    ) -> Option<Login> {
        let mut sessions = self.by_id();
        let login = sessions.get_mut(id)?;
        if now.duration_since(login.began) > LONGEST || now.duration_since(login.last_act) > idle {
            sessions.remove(id);
            return None;
        }
        if login.origin != origin {
            return None;
        }
        if act {
            login.last_act = now;
        }
        Some(Login { is_act: act, ..login.clone() })
    }

    pub(crate) fn end(&self, id: &str) {
        self.by_id().remove(id);
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The kernel's randomness does not fail once it was there, and the host needed it to come so far.
    #[allow(clippy::expect_used)]
    SystemRandom::new().fill(&mut bytes).expect("the kernel gives random numbers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(900);

    fn origin(last: u8) -> Origin {
        Origin::of(std::net::IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_session_ends_by_rest_by_age_and_by_hand() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let id = sessions.begin("site", Role::Operator, "token".into(), origin(1), now);
        let at = |seconds: u64| now + Duration::from_secs(seconds);
        assert!(sessions.find(&id, origin(1), IDLE, true, at(800)).is_some());
        assert!(sessions.find(&id, origin(1), IDLE, false, at(1600)).is_some(), "a page looks by itself");
        assert!(sessions.find(&id, origin(1), IDLE, false, at(1701)).is_none(), "looking is no act");
        let id = sessions.begin("site", Role::Operator, "token".into(), origin(1), now);
        for minute in 0..720 {
            assert!(sessions.find(&id, origin(1), IDLE, true, at(minute * 60)).is_some());
        }
        assert!(sessions.find(&id, origin(1), IDLE, true, at(12 * 3600 + 1)).is_none());
        let id = sessions.begin("site", Role::Operator, "token".into(), origin(1), now);
        sessions.end(&id);
        assert!(sessions.find(&id, origin(1), IDLE, true, now).is_none());
    }

    #[test]
    fn a_stolen_number_opens_nothing_elsewhere_and_ends_nothing() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let id = sessions.begin("site", Role::Operator, "token".into(), origin(1), now);
        assert!(sessions.find(&id, origin(2), IDLE, true, now).is_none());
        assert!(sessions.find(&id, origin(1), IDLE, true, now).is_some());
    }

    #[test]
    fn a_form_belongs_to_its_login() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let login = |user: &str| {
            let id = sessions.begin(user, Role::Operator, "token".into(), origin(1), now);
            sessions.find(&id, origin(1), IDLE, true, now).unwrap()
        };
        let (one, other) = (login("one"), login("other"));
        let token = one.form_token();
        assert!(one.made(&token) && !other.made(&token) && !one.made("") && !one.made(&token[1..]));
        assert_ne!(token, one.form_token());
    }

    #[test]
    fn logins_do_not_pile_up() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        for number in 0..1000 {
            sessions.begin("site", Role::Viewer, "t".into(), origin(1), now + Duration::from_secs(number));
        }
        assert_eq!(sessions.by_id().len(), MOST);
    }
}
