//! Who we are to a registry: what `docker login` and `podman login` left behind.

use std::io::ErrorKind;
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use edge_model::{Error, Result};
use edge_registry::Login;
use serde_json::Value;

/// Under these names docker, and podman, keep the login of docker's registry.
const DOCKER_HUB: [&str; 2] = ["https://index.docker.io/v1/", "docker.io"];

/// The login for a repository of a registry: one that was stored for it alone, or for a folder above it, comes before the host's, as
/// with podman. `REGISTRY_USER` and `REGISTRY_PASSWORD` come first, for machines without a login, at the
/// one host that `REGISTRY_HOST` names: no other registry is to see them. A secret has no place on a command line.
///
/// # Errors
/// [`edge_model::Class::Environment`] when a credential helper fails: to go on as nobody would hide why.
pub(crate) fn of(host: &str, repository: &str) -> Result<Login> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let (Some(user), Some(password)) = (variable("REGISTRY_USER"), variable("REGISTRY_PASSWORD"))
        && variable("REGISTRY_HOST").as_deref() == Some(host)
    {
        return Ok(Login::Basic(user, password));
    }
    for path in places() {
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::environment(format!("cannot read {}: {error}", path.display()))),
        };
        for name in names(host, repository) {
            let login = from_text(&text, &name)
                .map_err(|error| error.context(format!("cannot use {}", path.display())))?;
            if let Some(login) = login {
                return Ok(login);
            }
        }
    }
    Ok(Login::Anonymous)
}

/// Files with logins, docker's before podman's.
fn places() -> Vec<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |path: &str| std::env::home_dir().map(|home| home.join(path));
    [
        folder("DOCKER_CONFIG").or_else(|| home(".docker")).map(|folder| folder.join("config.json")),
        folder("REGISTRY_AUTH_FILE"),
        folder("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Under which names a login may stand, the closest first.
fn names(host: &str, repository: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut place = repository;
    while !place.is_empty() {
        names.push(format!("{host}/{place}"));
        place = place.rsplit_once('/').map_or("", |(above, _)| above);
    }
    match host {
        "index.docker.io" | "docker.io" => names.extend(DOCKER_HUB.map(str::to_owned)),
        _ => names.push(host.to_owned()),
    }
    names
}

fn from_text(text: &[u8], host: &str) -> Result<Option<Login>> {
    // What `docker logout` and a full disk leave behind: nobody is logged in.
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    // Helpers know hosts alone.
    let is_listed = serde_json::from_slice::<Value>(text).is_ok_and(|json| json["auths"].get(host).is_some());
    if host.contains('/') && !host.starts_with("https:") && !is_listed {
        return Ok(None);
    }
    match get_credential_from_reader(text, host) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Some(Login::Basic(user, password))),
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Login::Identity(token))),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // Docker's helpers say it with these words, and fail.
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
            if [&stdout, &stderr].iter().any(|said| said.contains("credentials not found")) =>
        {
            Ok(None)
        }
        // What the helper printed may hold a secret.
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            Err(Error::environment(format!("the credential helper {helper} failed for {host}"))
                .help("log in again with the tool that the helper belongs to"))
        }
        Err(error) => Err(Error::environment(format!("the login for {host} cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_found_by_its_host() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let secret = data_encoding::BASE64.encode(b"site:word");
        std::fs::write(&path, format!("{{\"auths\":{{\"registry.example\":{{\"auth\":\"{secret}\"}}}}}}"))
            .unwrap();
        let login_of = |host: &str, repository: &str| {
            let text = std::fs::read(&path).unwrap();
            names(host, repository).into_iter().find_map(|name| from_text(&text, &name).unwrap())
        };
        let login = |host: &str| login_of(host, "shop/till");
        assert_eq!(login("registry.example"), Some(Login::Basic("site".into(), "word".into())));
        assert_eq!(login("other.example"), None);
        for name in DOCKER_HUB {
            std::fs::write(&path, format!("{{\"auths\":{{\"{name}\":{{\"auth\":\"{secret}\"}}}}}}")).unwrap();
            assert!(login("docker.io").is_some(), "{name}");
        }
        let helper = "{\"credHelpers\":{\"registry.example\":\"not-there\"}}";
        std::fs::write(&path, helper).unwrap();
        assert!(from_text(helper.as_bytes(), "registry.example").is_err());
        // Podman keeps logins for parts of a registry; the closest one counts.
        let other = data_encoding::BASE64.encode(b"shop:word");
        let text = format!(
            "{{\"auths\":{{\"registry.example\":{{\"auth\":\"{secret}\"}},\"registry.example/shop\":{{\"auth\":\"{other}\"}}}}}}"
        );
        std::fs::write(&path, text).unwrap();
        let user = |repository: &str| match login_of("registry.example", repository) {
            Some(Login::Basic(user, _)) => user,
            other => format!("{other:?}"),
        };
        assert_eq!(
            [user("shop/till"), user("shop"), user("shopper"), user("x")],
            ["shop", "shop", "site", "site"]
        );
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(login("registry.example"), None);
    }
}
