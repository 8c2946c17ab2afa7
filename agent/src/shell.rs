//! A shell for administrators on the second console, in images that allow it.

use edge_host::child::Child;
use edge_model::{Error, Result};

use crate::accounts;

/// The unit whose instance is the name of the account; it goes back to the first console when the shell ends.
const UNIT: &str = "edge-shell";

/// Opens a shell for an account, and shows its console.
///
/// # Errors
/// When the account is not there, or the service manager refuses.
pub(crate) fn open(user: &str) -> Result<String> {
    let person = accounts::person(user)?;
    let person =
        person.ok_or_else(|| Error::rejected(format!("there is no account {user:?} on this host")))?;
    Child::new("systemctl")
        .args(["--no-block", "restart", &format!("{UNIT}@{}.service", person.name)])
        .run()?;
    Ok("the shell is on the second console: Alt+F2, and Alt+F1 to come back".into())
}
