//! Who is at the other end of the socket, and what they may do.

use edge_model::api::access::{CONSOLE_UID, LOCAL_UI_UID, Role};
use std::net::IpAddr;

use edge_model::api::routes::{Access, Route};
use edge_model::api::{Actor, Surface};
use edge_model::{Class, Error, Result};
use edge_planner::host_kind::HostKind;

use crate::access::sessions::{Entrance, Session};
use crate::accounts::PEOPLE;

/// What the kernel says about the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    pub(crate) pid: Option<i32>,
}

/// Somebody who calls, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) peer: Peer,
    pub(crate) session: Option<Session>,
    /// The token of the session.
    pub(crate) token: Option<String>,
    pub(crate) role: Option<Role>,
    /// Where the browser is that the web page speaks for.
    pub(crate) browser: Option<IpAddr>,
    /// What the caller calls this call.
    pub(crate) order: Option<String>,
}

/// What decides about a caller besides itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct House {
    pub(crate) kind: HostKind,
    pub(crate) view_without_login: bool,
    pub(crate) somebody_can_log_in: bool,
}

/// The most that somebody with this number can be, however they log in: services that have nothing to do with the
/// host's care cannot use a password that they have learnt.
fn ceiling(uid: u32) -> Role {
    let cares = uid == 0 || uid == CONSOLE_UID || uid == LOCAL_UI_UID || PEOPLE.contains(&uid);
    if cares { Role::Admin } else { Role::Viewer }
}

/// The role of a caller: that of its session, else what its number is worth by itself.
pub(crate) fn role_of(peer: Peer, session: Option<&Session>, house: House) -> Option<Role> {
    let own = match session {
        Some(session) => Some(session.role),
        None if peer.uid == 0 => Some(Role::Admin),
        // Whoever is in front of a machine that boots from a medium can do anything with it.
        None if peer.uid == CONSOLE_UID && house.kind == HostKind::Installer => Some(Role::Admin),
        // A host that has lost its accounts can still be looked into, restarted and switched off by hand.
        None if peer.uid == CONSOLE_UID && house.kind == HostKind::Recovery && !house.somebody_can_log_in => {
            Some(Role::Operator)
        }
        // Behind the web page is the whole network.
        None if peer.uid == LOCAL_UI_UID => None,
        None => house.view_without_login.then_some(Role::Viewer),
    };
    own.map(|role| role.min(ceiling(peer.uid)))
}

impl Caller {
    /// How audit records and "busy" answers call this caller.
    pub(crate) fn name(&self) -> String {
        match &self.session {
            Some(session) => session.user.clone(),
            None => match self.peer.uid {
                0 => "root".into(),
                CONSOLE_UID => "console".into(),
                LOCAL_UI_UID => "web page".into(),
                uid => crate::accounts::name_of(uid),
            },
        }
    }

    pub(crate) fn actor(&self) -> Actor {
        let surface = match self.peer.uid {
            CONSOLE_UID => Surface::Console,
            LOCAL_UI_UID => Surface::Web,
            uid if uid == 0 || PEOPLE.contains(&uid) => Surface::CommandLine,
            _ => Surface::Service,
        };
        Actor { order: self.order.clone(), ..Actor::new(surface, self.name()) }
    }

    /// # Errors
    /// [`Class::Unauthenticated`] where a login would help, [`Class::Forbidden`] where it would not.
    pub(crate) fn may_call(&self, route: &Route) -> Result<()> {
        match (route.access, self.role) {
            (Access::Anybody, _) => Ok(()),
            (Access::AtLeast(needed), Some(role)) if role >= needed => Ok(()),
            (Access::Console, _) if matches!(self.peer.uid, 0 | CONSOLE_UID) => Ok(()),
            (Access::Console, _) => {
                Err(Error::new(Class::Forbidden, "this is for whoever stands in front of the host"))
            }
            (Access::Session, _) if self.session.is_some() && self.may_hold_a_session() => Ok(()),
            (Access::Session, _) if !self.may_hold_a_session() => {
                Err(Error::new(Class::Forbidden, "this service cannot speak for anybody"))
            }
            (Access::AtLeast(needed), _) if self.session.is_some() || ceiling(self.peer.uid) < needed => {
                Err(Error::new(Class::Forbidden, format!("this takes the role {needed}"))
                    .help("an account's groups decide about its role: sudo makes an administrator, edge-operator an operator"))
            }
            (Access::AtLeast(_) | Access::Session, _) => {
                Err(Error::new(Class::Unauthenticated, "this takes a login")
                    .help("log in first; on the host itself, as root: sudo edge-agent …"))
            }
        }
    }

    /// Whether a password would do this caller any good.
    pub(crate) fn may_hold_a_session(&self) -> bool {
        ceiling(self.peer.uid) == Role::Admin
    }

    /// Root is whoever is at a shell of the host already.
    pub(crate) fn entrance(&self) -> Entrance {
        match self.peer.uid {
            0 | CONSOLE_UID => Entrance::Console,
            LOCAL_UI_UID => Entrance::Web,
            _ => Entrance::Elsewhere,
        }
    }

    /// # Errors
    /// [`Class::Unauthenticated`] without one.
    pub(crate) fn session(&self) -> Result<&Session> {
        self.session.as_ref().ok_or_else(|| Error::new(Class::Unauthenticated, "this takes a login"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::api::routes::ROUTES;

    const HOUSE: House =
        House { kind: HostKind::Appliance, view_without_login: true, somebody_can_log_in: true };

    fn caller(uid: u32, session: Option<Role>, house: House) -> Caller {
        let session = session.map(Session::of_test);
        let peer = Peer { uid, pid: None };
        let role = role_of(peer, session.as_ref(), house);
        Caller { role, peer, session, token: None, browser: None, order: None }
    }

    /// Every route for every role, over every kind of peer.
    #[test]
    fn the_matrix_of_routes_and_roles_holds() {
        for route in ROUTES {
            for (uid, most) in [
                (0, Role::Admin),
                (CONSOLE_UID, Role::Admin),
                (LOCAL_UI_UID, Role::Admin),
                (1000, Role::Admin),
                (33, Role::Viewer),
            ] {
                for role in Role::ALL {
                    let allowed = caller(uid, Some(role), HOUSE).may_call(route).is_ok();
                    let expected = match route.access {
                        Access::Anybody => true,
                        Access::Session => most == Role::Admin,
                        Access::Console => matches!(uid, 0 | CONSOLE_UID),
                        Access::AtLeast(needed) => role.min(most) >= needed,
                    };
                    assert_eq!(allowed, expected, "{} {} uid {uid} {role}", route.method.name(), route.path);
                }
                let without = caller(uid, None, HOUSE).may_call(route);
                let expected = match route.access {
                    Access::Anybody => true,
                    Access::Session => false,
                    Access::Console => matches!(uid, 0 | CONSOLE_UID),
                    Access::AtLeast(needed) => uid == 0 || (needed == Role::Viewer && uid != LOCAL_UI_UID),
                };
                assert_eq!(without.is_ok(), expected, "{} {} uid {uid}", route.method.name(), route.path);
            }
        }
    }

    #[test]
    fn looking_can_be_forbidden_and_the_installer_trusts_its_console() {
        let closed = House { view_without_login: false, ..HOUSE };
        assert_eq!(caller(CONSOLE_UID, None, closed).role, None);
        assert_eq!(caller(1000, None, closed).role, None);
        assert_eq!(caller(0, None, closed).role, Some(Role::Admin));
        let live = House { kind: HostKind::Installer, ..HOUSE };
        assert_eq!(caller(CONSOLE_UID, None, live).role, Some(Role::Admin));
        assert_eq!(caller(1000, None, live).role, Some(Role::Viewer));
        let recovery = House { kind: HostKind::Recovery, ..HOUSE };
        assert_eq!(caller(CONSOLE_UID, None, recovery).role, Some(Role::Viewer));
        let without_accounts = House { somebody_can_log_in: false, ..recovery };
        assert_eq!(caller(CONSOLE_UID, None, without_accounts).role, Some(Role::Operator));
        assert_eq!(caller(1000, None, without_accounts).role, Some(Role::Viewer));
    }
}
