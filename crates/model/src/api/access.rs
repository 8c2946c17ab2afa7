//! Who may do what: roles, logins and sessions.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// The account of our own unprivileged surface on the console, `edge-tui`. It lies between the numbers that packages
/// take from 100 upwards and from 999 downwards: who shares it shares what the console may do.
pub const CONSOLE_UID: u32 = 590;
/// The account of the web page, `edge-local-ui`. By itself it may do nothing: it speaks for people who have logged in.
pub const LOCAL_UI_UID: u32 = 591;
/// The address of the browser that the web page speaks for; believed from that account alone.
pub const BROWSER_HEADER: &str = "x-edge-browser";
/// The web page asks by itself, and nobody has clicked; believed from that account alone.
pub const BY_ITSELF_HEADER: &str = "x-edge-by-itself";

/// What somebody may do; each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Runs the host: upgrade, network, restart, diagnosis.
    Operator,
    /// Changes everything, reads documents and audit records.
    Admin,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    pub username: String,
    #[serde(serialize_with = "revealed")]
    pub password: Secret,
    /// Lasts 24 hours instead of two.
    #[serde(default, rename = "extendedSession")]
    pub extended_session: bool,
}

/// A request carries its password; everything else hides it.
fn revealed<S: serde::Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.reveal())
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginAnswer {
    #[serde(rename = "Token")]
    pub token: Token,
    #[serde(rename = "IsFirstLogin")]
    pub is_first_login: bool,
    pub role: Role,
    /// Seconds until the session ends.
    #[serde(rename = "expiresIn")]
    pub expires_in: u64,
}

/// What a caller sends in the header `Authorization` from now on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    #[serde(rename = "Authorization")]
    pub authorization: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::secret::HIDDEN)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PasswordChange {
    #[serde(serialize_with = "revealed")]
    pub old_password: Secret,
    #[serde(serialize_with = "revealed")]
    pub new_password: Secret,
}

/// The first password of the operator, from the console of a host that has just been installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FirstPassword {
    #[serde(serialize_with = "revealed")]
    pub new_password: Secret,
}

/// The account behind a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CurrentUser {
    pub user_name: String,
    pub role: Role,
    pub ssh_keys: Vec<String>,
    pub disable_password_update: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UserChange {
    pub ssh_keys: Vec<String>,
}
