//! The account files of a host as values: read, changed and printed as a whole, so that they are replaced at once.

use std::fmt::Write;

use edge_model::{Error, Result};
use sha_crypt::ShaCrypt;
use sha_crypt::password_hash::PasswordHasher;

/// The four files, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    pub passwd: String,
    pub group: String,
    pub shadow: String,
    pub gshadow: String,
}

/// An account as it shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    /// A hash, or what locks the account. `None` keeps what is there, and locks a new account.
    pub password: Option<String>,
    /// Identifier; without one, that of the owner of the home folder if there is one, else the next that is free.
    pub uid: Option<u32>,
    pub gecos: String,
    pub home: Option<String>,
    pub shell: Option<String>,
    pub primary_group: Option<String>,
    pub groups: Vec<String>,
    pub no_user_group: bool,
    pub system: bool,
    /// Day since 1970 on which the password ends.
    pub expires: Option<u64>,
}

/// What an account got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub uid: u32,
    pub gid: u32,
    pub home: String,
}

const FIRST_UID: u32 = 1000;
const FIRST_SYSTEM_UID: u32 = 500;
const LAST_UID: u32 = 59_999;
const SHELL: &str = "/bin/bash";
/// No password opens the account.
pub const LOCKED: &str = "!";

/// Hashes a password as `/etc/shadow` keeps it.
///
/// # Errors
/// [`edge_model::Class::Internal`] when the salt is not usable.
pub fn hash_password(plain: &str, salt: &[u8; 12]) -> Result<String> {
    ShaCrypt::SHA512
        .hash_password_with_salt(plain.as_bytes(), salt)
        .map(|hash| hash.to_string())
        .map_err(|error| Error::internal(format!("cannot hash a password: {error}")))
}

fn field<'t>(text: &'t str, name: &str, at: usize) -> Option<&'t str> {
    text.lines().find(|line| line.split(':').next() == Some(name))?.split(':').nth(at)
}

/// Fields of a line must not hold what separates them.
pub(crate) fn clean(text: &str) -> String {
    text.replace([':', '\n', '\r'], " ")
}

/// Replaces or appends the line of a name.
pub(crate) fn set_line(text: &mut String, name: &str, line: &str) {
    let mut found = false;
    let mut new = String::with_capacity(text.len() + line.len() + 1);
    for present in text.lines() {
        if present.split(':').next() == Some(name) {
            if !found {
                let _ = writeln!(new, "{line}");
            }
            found = true;
        } else {
            let _ = writeln!(new, "{present}");
        }
    }
    if !found {
        let _ = writeln!(new, "{line}");
    }
    *text = new;
}

pub(crate) fn remove_line(text: &mut String, name: &str) {
    let kept: Vec<&str> = text.lines().filter(|line| line.split(':').next() != Some(name)).collect();
    *text = kept.iter().map(|line| format!("{line}\n")).collect();
}

impl Files {
    pub fn has(&self, name: &str) -> bool {
        field(&self.passwd, name, 0).is_some()
    }

    pub fn ids(&self, name: &str) -> Option<(u32, u32)> {
        Some((field(&self.passwd, name, 2)?.parse().ok()?, field(&self.passwd, name, 3)?.parse().ok()?))
    }

    pub fn group_id(&self, name: &str) -> Option<u32> {
        field(&self.group, name, 2)?.parse().ok()
    }

    pub fn home(&self, name: &str) -> Option<&str> {
        field(&self.passwd, name, 5)
    }

    fn free_id(&self, system: bool) -> u32 {
        let used = |text: &str| -> Vec<u32> {
            text.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect()
        };
        let (users, groups) = (used(&self.passwd), used(&self.group));
        let first = if system { FIRST_SYSTEM_UID } else { FIRST_UID };
        (first..LAST_UID).find(|id| !users.contains(id) && !groups.contains(id)).unwrap_or(LAST_UID)
    }

    /// Makes a group, unless it is there.
    pub fn ensure_group(&mut self, name: &str, wanted: Option<u32>, system: bool) -> u32 {
        if let Some(id) = self.group_id(name) {
            return id;
        }
        let id = wanted.unwrap_or_else(|| self.free_id(system));
        set_line(&mut self.group, name, &format!("{name}:x:{id}:"));
        set_line(&mut self.gshadow, name, &format!("{name}:!::"));
        id
    }

    /// Puts an account into a group, which is made if need be.
    pub fn add_member(&mut self, group: &str, user: &str) {
        self.ensure_group(group, None, true);
        for (text, members_at) in [(&mut self.group, 3), (&mut self.gshadow, 3)] {
            let Some(line) = text.lines().find(|line| line.split(':').next() == Some(group)) else {
                continue;
            };
            let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
            fields.resize(members_at + 1, String::new());
            let members = &mut fields[members_at];
            if !members.split(',').any(|member| member == user) {
                if !members.is_empty() {
                    members.push(',');
                }
                members.push_str(user);
            }
            let line = fields.join(":");
            set_line(text, group, &line);
        }
    }

    /// Makes or changes an account. `home_owner` is the owner of a home folder that is there already.
    pub fn ensure(&mut self, account: &Account, home_owner: Option<u32>) -> Made {
        let name = &account.name;
        let present = self.ids(name);
        let is_free =
            |uid: &u32| !self.passwd.lines().any(|line| line.split(':').nth(2) == Some(&uid.to_string()));
        let uid = present
            .map(|(uid, _)| uid)
            .or(account.uid)
            .or(home_owner.filter(|uid| *uid >= FIRST_UID).filter(is_free))
            .unwrap_or_else(|| self.free_id(account.system));
        let gid = match (&account.primary_group, present) {
            (Some(group), _) => self.ensure_group(group, None, account.system),
            (None, Some((_, gid))) => gid,
            (None, None) if account.no_user_group => self.ensure_group("users", Some(100), true),
            (None, None) => self.ensure_group(name, Some(uid), account.system),
        };
        let old = |at: usize| field(&self.passwd, name, at).map(str::to_owned);
        let home = account.home.clone().or_else(|| old(5)).unwrap_or_else(|| format!("/home/{name}"));
        let shell = account.shell.clone().or_else(|| old(6)).unwrap_or_else(|| SHELL.into());
        let gecos = if account.gecos.is_empty() { old(4).unwrap_or_default() } else { account.gecos.clone() };
        let line = format!("{name}:x:{uid}:{gid}:{}:{}:{}", clean(&gecos), clean(&home), clean(&shell));
        set_line(&mut self.passwd, name, &line);
        let password = account.password.clone().or_else(|| field(&self.shadow, name, 1).map(str::to_owned));
        let password = clean(&password.unwrap_or_else(|| LOCKED.into()));
        let expires = account.expires.map(|day| day.to_string()).unwrap_or_default();
        set_line(&mut self.shadow, name, &format!("{name}:{password}:1:0:99999:7::{expires}:"));
        for group in &account.groups {
            self.add_member(group, name);
        }
        Made { uid, gid, home }
    }

    pub fn remove_group(&mut self, name: &str) {
        remove_line(&mut self.group, name);
        remove_line(&mut self.gshadow, name);
    }

    /// Removes an account and its own group.
    pub fn remove(&mut self, name: &str) {
        remove_line(&mut self.passwd, name);
        remove_line(&mut self.shadow, name);
        let has_members = field(&self.group, name, 3).is_some_and(|members| !members.is_empty());
        if !has_members {
            self.remove_group(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files() -> Files {
        Files {
            passwd: "root:x:0:0:root:/root:/bin/bash\nedge:x:1000:1000::/home/edge:/bin/sh\n".into(),
            group: "root:x:0:\nedge:x:1000:\nsudo:x:27:edge\n".into(),
            shadow: "root:*:1::::::\nedge:$6$x:1:0:99999:7:::\n".into(),
            gshadow: "root:*::\nedge:!::\nsudo:*::edge\n".into(),
        }
    }

    #[test]
    fn a_new_account_gets_free_numbers_its_groups_and_no_password() {
        let mut all = files();
        let account = Account {
            name: "site".into(),
            groups: vec!["sudo".into(), "admin".into()],
            ..Account::default()
        };
        let made = all.ensure(&account, None);
        assert_eq!(made, Made { uid: 1001, gid: 1001, home: "/home/site".into() });
        assert!(
            all.group.contains("sudo:x:27:edge,site\n") && all.group.contains("admin:x:500:site\n"),
            "{}",
            all.group
        );
        assert!(all.shadow.contains("site:!:1:0:99999:7:::\n"), "{}", all.shadow);
        let once = all.clone();
        assert_eq!(all.ensure(&account, None), made);
        assert_eq!(all, once, "a second run changes nothing");
    }

    #[test]
    fn an_account_that_is_there_keeps_what_is_not_given() {
        let mut all = files();
        all.ensure(&Account { name: "edge".into(), gecos: "a:b\n".into(), ..Account::default() }, None);
        assert!(all.passwd.contains("edge:x:1000:1000:a b :/home/edge:/bin/sh\n"), "{}", all.passwd);
        assert!(all.shadow.contains("edge:$6$x:"));
        all.remove("edge");
        assert!(!all.has("edge") && !all.shadow.contains("edge"));
    }

    #[test]
    fn the_owner_of_a_home_folder_comes_back_to_it() {
        let mut all = files();
        let account = Account { name: "late".into(), ..Account::default() };
        assert_eq!(all.ensure(&account, Some(1007)).uid, 1007);
        assert_eq!(
            all.clone().ensure(&Account { name: "x".into(), ..Account::default() }, Some(1000)).uid,
            1001
        );
    }

    proptest! {
        #[test]
        fn no_file_panics_and_lines_stay_lines(passwd in "[a-z:0-9\n]{0,80}", name in "[a-z]{1,8}", gecos in ".{0,20}") {
            let mut all = Files { passwd, ..Files::default() };
            all.ensure(&Account { name: name.clone(), gecos, ..Account::default() }, None);
            prop_assert_eq!(all.passwd.lines().filter(|line| line.starts_with(&format!("{name}:"))).count(), 1);
        }
    }
}
