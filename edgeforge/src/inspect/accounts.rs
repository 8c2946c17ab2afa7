//! Accounts of an image, and whether somebody could log in with a password that every host would share.

use serde::Serialize;

use crate::tree::Tree;

const LIMIT: u64 = 1 << 20;
const NO_SHELL: [&str; 5] = ["nologin", "false", "sync", "halt", "shutdown"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Password {
    /// Nobody can log in with one.
    None,
    /// Anybody can log in without one.
    Empty,
    Set,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) shell: String,
    pub(crate) password: Password,
}

impl Account {
    /// Whether a program would be started for somebody who logs in.
    pub(crate) fn has_shell(&self) -> bool {
        let program = self.shell.rsplit('/').next().unwrap_or_default();
        !NO_SHELL.contains(&program)
    }
}

/// All accounts, in the order of their file.
pub(crate) fn accounts(tree: &Tree) -> Vec<Account> {
    let text = |path: &str| tree.text(path, LIMIT).unwrap_or_default();
    let shadow = text("etc/shadow");
    let hash = |name: &str| {
        let line = shadow.lines().find(|line| line.split(':').next() == Some(name))?;
        line.split(':').nth(1)
    };
    let account = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, plain, uid, .., shell] = fields[..] else { return None };
        let hash = if plain == "x" { hash(name).unwrap_or("*") } else { plain };
        let password = match hash {
            "" => Password::Empty,
            hash if hash.starts_with(['*', '!']) => Password::None,
            _ => Password::Set,
        };
        Some(Account { name: name.into(), uid: uid.into(), shell: shell.into(), password })
    };
    text("etc/passwd").lines().filter_map(account).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn passwords_are_found_in_both_files() {
        let mut tree = Tree::default();
        let passwd = "root:x:0:0:root:/root:/bin/bash\nopen::1:1::/:/bin/sh\nold:$1$x:2:2::/:/usr/sbin/nologin\nnone:x:3:3::/:/bin/sh\n";
        tree.put_file("etc/passwd", 0o644, passwd);
        tree.put_file("etc/shadow", 0o640, "root:$y$abc:1::::::\nnone:!*:1::::::\n");
        let found = accounts(&tree);
        let passwords: Vec<Password> = found.iter().map(|account| account.password).collect();
        assert_eq!(passwords, [Password::Set, Password::Empty, Password::Set, Password::None]);
        assert_eq!(found.iter().filter(|account| account.has_shell()).count(), 3);
    }

    proptest! {
        #[test]
        fn no_text_panics(passwd in "[ -~\n:]{0,200}", shadow in "[ -~\n:]{0,200}") {
            let mut tree = Tree::default();
            tree.put_file("etc/passwd", 0o644, passwd);
            tree.put_file("etc/shadow", 0o640, shadow);
            let _ = accounts(&tree);
        }
    }
}
