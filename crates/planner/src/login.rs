//! Logins: whether a password fits, how long the next try must wait, and what an account may do.

use std::collections::BTreeMap;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use edge_model::api::access::Role;

use edge_model::user_data::edge::LocalUiLogin;
use sha_crypt::ShaCrypt;
use sha_crypt::password_hash::PasswordVerifier;
use yescrypt::Yescrypt;

use crate::host_kind::HostKind;

/// Members of these groups are administrators, of the others operators; every other account only looks.
const ADMIN_GROUPS: [&str; 3] = ["sudo", "admin", "edge-admin"];
const OPERATOR_GROUPS: [&str; 1] = ["edge-operator"];
/// Longer passwords are not hashed: hashing takes time that a stranger would decide about.
const LONGEST_PASSWORD: usize = 1024;
/// Names that fail are remembered; strangers may invent any number of them.
const NAMES_REMEMBERED: usize = 256;

/// Whether a password opens an account with this entry of `/etc/shadow`. A locked or empty entry opens to nothing.
pub fn password_fits(entry: &str, password: &str) -> bool {
    if password.is_empty() || password.len() > LONGEST_PASSWORD {
        return false;
    }
    let bytes = password.as_bytes();
    match entry.split('$').nth(1) {
        Some("5") => ShaCrypt::SHA256.verify_password(bytes, entry).is_ok(),
        Some("6") => ShaCrypt::SHA512.verify_password(bytes, entry).is_ok(),
        Some("y") => Yescrypt::default().verify_password(bytes, entry).is_ok(),
        Some(kind) if kind.starts_with("argon2") => {
            PasswordHash::new(entry).is_ok_and(|hash| Argon2::default().verify_password(bytes, &hash).is_ok())
        }
        _ => false,
    }
}

/// Whether an entry of `/etc/shadow` is one that a password can open.
pub fn has_password(entry: &str) -> bool {
    entry.starts_with('$')
}

/// What the members of these groups may do.
pub fn role_of(name: &str, groups: &[String]) -> Role {
    let in_one_of = |names: &[&str]| groups.iter().any(|group| names.contains(&group.as_str()));
    if name == "root" || in_one_of(&ADMIN_GROUPS) {
        Role::Admin
    } else if in_one_of(&OPERATOR_GROUPS) {
        Role::Operator
    } else {
        Role::Viewer
    }
}

/// Seconds after power-on in which a first password can be set: who has just installed a host is there, and somebody who
/// comes by later is not.
const FIRST_PASSWORD_WITHIN: u64 = 3600;

/// What decides whether somebody at the console may give the operator a first password.
#[derive(Debug, Clone, Copy)]
pub struct FirstPassword<'a> {
    pub kind: HostKind,
    /// Name of the configured operator.
    pub operator: Option<&'a str>,
    /// This boot began before the host was claimed.
    pub is_first_boot: bool,
    /// Seconds since power-on.
    pub up_time: u64,
    pub somebody_can_log_in: bool,
    /// `disablePasswordUpdate`: the site wants no passwords.
    pub is_forbidden: bool,
}

impl<'a> FirstPassword<'a> {
    /// The account that may be given one now.
    pub fn account(&self) -> Option<&'a str> {
        let is_open = self.kind == HostKind::Appliance
            && self.is_first_boot
            && self.up_time < FIRST_PASSWORD_WITHIN
            && !self.somebody_can_log_in
            && !self.is_forbidden;
        self.operator.filter(|_| is_open)
    }
}

/// How many wrong passwords are too many. The defaults are those of Palette's local interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub enabled: bool,
    pub free_attempts: u32,
    pub attempts_before_lockout: u32,
    /// Seconds.
    pub lockout: u64,
}

impl Limits {
    pub fn of(settings: Option<&LocalUiLogin>) -> Self {
        let settings = settings.cloned().unwrap_or_default();
        Self {
            enabled: !settings.disable_rate_limiting,
            free_attempts: settings.attempts_before_exponential_delay_starts.unwrap_or(3),
            attempts_before_lockout: settings.max_failed_attempts_before_lockout.unwrap_or(5).max(1),
            lockout: u64::from(settings.lockout_duration_in_minutes.unwrap_or(15)) * 60,
        }
    }
}

/// What failed lately, by account. Times are seconds of a clock that never jumps.
#[derive(Debug, Clone, Default)]
pub struct LoginGuard {
    failures: BTreeMap<String, Failures>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: u64,
    /// No try is looked at before this.
    closed_until: u64,
}

impl LoginGuard {
    /// Whether a password may be tried now.
    ///
    /// # Errors
    /// The seconds to wait.
    pub fn may_try(&self, name: &str, now: u64) -> Result<(), u64> {
        match self.failures.get(name) {
            Some(failures) if failures.closed_until > now => Err(failures.closed_until - now),
            _ => Ok(()),
        }
    }

    /// A password was wrong: later tries wait 1, 2, 4… seconds, and at last as long as a lockout.
    pub fn failed(&mut self, name: &str, limits: &Limits, now: u64) {
        if !limits.enabled {
            return;
        }
        // What lies back longer than a lockout is forgiven.
        self.failures.retain(|_, failures| failures.last + limits.lockout.max(60) > now);
        if self.failures.len() >= NAMES_REMEMBERED && !self.failures.contains_key(name) {
            // Never one that is closed: whoever invents names would open it again.
            let open = self.failures.iter().filter(|(_, failures)| failures.closed_until <= now);
            let oldest = open.min_by_key(|(_, failures)| failures.last).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| self.failures.remove(&oldest));
        }
        if self.failures.len() >= NAMES_REMEMBERED && !self.failures.contains_key(name) {
            return;
        }
        let failures =
            self.failures.entry(name.to_owned()).or_insert(Failures { count: 0, last: now, closed_until: 0 });
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        failures.closed_until = if failures.count >= limits.attempts_before_lockout {
            now + limits.lockout
        } else if failures.count >= limits.free_attempts {
            now + (1 << (failures.count - limits.free_attempts).min(10))
        } else {
            0
        };
    }

    pub fn succeeded(&mut self, name: &str) {
        self.failures.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_kind_of_hash_is_understood() {
        let ours = crate::accounts::hash_password("secret", b"saltsaltsalt").unwrap();
        // Made by libxcrypt and by the argon2 program.
        let others = [
            "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$GmcwIgvdUC9qLWcKCi6gklUa1dM3ziD43YxYNURLKy0",
            "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
            "$argon2id$v=19$m=4096,t=2,p=1$c2FsdHNhbHRzYWx0$4Ez6TmL0LNAaYIVQYfmYb5V6rp5vpwWdrxyFMKb1Tp8",
        ];
        for entry in others.into_iter().chain([ours.as_str()]) {
            assert!(password_fits(entry, "secret"), "{entry}");
            assert!(!password_fits(entry, "Secret"), "{entry}");
        }
        for entry in ["", "!", "*", "!$6$x$y", "$6$", "$y$", "$argon2id$", "x", "$1$a$b"] {
            assert!(!password_fits(entry, "secret"), "{entry}");
            assert!(!password_fits(entry, ""), "{entry}");
        }
    }

    #[test]
    fn groups_decide() {
        let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(role_of("site", &groups(&["users", "sudo"])), Role::Admin);
        assert_eq!(role_of("clerk", &groups(&["edge-operator"])), Role::Operator);
        assert_eq!(role_of("guest", &groups(&["users"])), Role::Viewer);
        assert_eq!(role_of("root", &[]), Role::Admin);
    }

    #[test]
    fn a_first_password_is_set_once_soon_and_by_nobody_else() {
        let open = FirstPassword {
            kind: HostKind::Appliance,
            operator: Some("site"),
            is_first_boot: true,
            up_time: 300,
            somebody_can_log_in: false,
            is_forbidden: false,
        };
        assert_eq!(open.account(), Some("site"));
        for closed in [
            FirstPassword { kind: HostKind::Recovery, ..open },
            FirstPassword { operator: None, ..open },
            FirstPassword { is_first_boot: false, ..open },
            FirstPassword { up_time: FIRST_PASSWORD_WITHIN, ..open },
            FirstPassword { somebody_can_log_in: true, ..open },
            FirstPassword { is_forbidden: true, ..open },
        ] {
            assert_eq!(closed.account(), None, "{closed:?}");
        }
    }

    #[test]
    fn tries_slow_down_and_stop() {
        let limits = Limits::of(None);
        let mut guard = LoginGuard::default();
        for _ in 0..2 {
            guard.failed("site", &limits, 100);
            assert_eq!(guard.may_try("site", 100), Ok(()));
        }
        guard.failed("site", &limits, 100);
        assert_eq!(guard.may_try("site", 100), Err(1));
        guard.failed("site", &limits, 101);
        assert_eq!(guard.may_try("site", 101), Err(2));
        guard.failed("site", &limits, 103);
        assert_eq!(guard.may_try("site", 103), Err(15 * 60));
        assert_eq!(guard.may_try("other", 103), Ok(()));
        assert_eq!(guard.may_try("site", 103 + 15 * 60), Ok(()));
        guard.succeeded("site");
        assert_eq!(guard.may_try("site", 104), Ok(()));
    }

    proptest! {
        #[test]
        fn no_text_panics(entry in ".{0,80}", password in ".{0,40}") {
            prop_assert!(!password_fits(&entry, &password));
        }

        #[test]
        fn names_do_not_pile_up(names in prop::collection::vec("[a-z]{1,8}", 0..600)) {
            let mut guard = LoginGuard::default();
            for (now, name) in names.iter().enumerate() {
                guard.failed(name, &Limits::of(None), now as u64);
            }
            prop_assert!(guard.failures.len() <= NAMES_REMEMBERED);
        }
    }
}
