//! Words of the login, and of the first password.

pub const TITLE: &str = "Log in";
pub const NAME: &str = "Name";
pub const PASSWORD: &str = "Password";
pub const LOG_IN: &str = "Log in";
pub const NAME_MISSING: &str = "Who are you?";
pub const PASSWORD_MISSING: &str = "The password is missing.";
pub const FIRST_TITLE: &str = "The first password";
pub const NEW_PASSWORD: &str = "Password";
pub const AGAIN: &str = "Once more";
pub const SET_PASSWORD: &str = "Set it and log in";
pub const DIFFERENT: &str = "The two passwords differ.";
pub fn first(name: &str) -> String {
    format!(
        "No account of this host has a password yet. Now, in the first hour after the installation, {name} can be \
         given one here. After that, or after a restart, it takes an SSH key."
    )
}
pub const CHECKING: &str = "The password is being checked...";
pub const NOBODY: [&str; 4] = [
    "No account of this host has a password, so nobody can log in here.",
    "With an SSH key, from another machine:",
    "",
    "Or give the operator a password with user data.",
];
pub fn ssh(address: &str) -> String {
    format!("    ssh NAME@{address}")
}
pub const NO_ADDRESS: &str = "ADDRESS";
pub fn closed(host: &str) -> String {
    format!("{host}: this console is closed. Please log in.")
}
pub fn needs(role: &str) -> String {
    format!("This needs an account with the role {role}.")
}
pub const NEEDS_ANY: &str = "This needs a login.";
