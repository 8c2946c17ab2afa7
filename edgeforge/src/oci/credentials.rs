//! Who we are to a registry: what `docker login` and `podman login` left behind.

use std::fs::File;
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use edge_model::{Error, Result};
use edge_registry::Login;

/// Under these names docker, and podman, keep the login of docker's registry.
const DOCKER_HUB: [&str; 2] = ["https://index.docker.io/v1/", "docker.io"];

/// The login for a registry. `REGISTRY_USER` and `REGISTRY_PASSWORD` come first, for machines without a login, at the
/// one host that `REGISTRY_HOST` names: no other registry is to see them. A secret has no place on a command line.
///
/// # Errors
/// [`edge_model::Class::Environment`] when a credential helper fails: to go on as nobody would hide why.
pub(crate) fn of(host: &str) -> Result<Login> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let (Some(user), Some(password)) = (variable("REGISTRY_USER"), variable("REGISTRY_PASSWORD"))
        && variable("REGISTRY_HOST").as_deref() == Some(host)
    {
        return Ok(Login::Basic(user, password));
    }
    for path in places() {
        for name in names(host) {
            match File::open(&path) {
                Ok(file) => {
                    if let Some(login) = from_file(file, name)? {
                        return Ok(login);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Error::environment(format!("cannot open {}: {error}", path.display())));
                }
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

/// Under which names a login may stand.
fn names(host: &str) -> Vec<&str> {
    if matches!(host, "index.docker.io" | "docker.io") { DOCKER_HUB.into() } else { vec![host] }
}

fn from_file(file: File, host: &str) -> Result<Option<Login>> {
    match get_credential_from_reader(file, host) {
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
        let login = |host: &str| {
            names(host).into_iter().find_map(|name| from_file(File::open(&path).unwrap(), name).unwrap())
        };
        assert_eq!(login("registry.example"), Some(Login::Basic("site".into(), "word".into())));
        assert_eq!(login("other.example"), None);
        for name in DOCKER_HUB {
            std::fs::write(&path, format!("{{\"auths\":{{\"{name}\":{{\"auth\":\"{secret}\"}}}}}}")).unwrap();
            assert!(login("docker.io").is_some(), "{name}");
        }
        let helper = "{\"credHelpers\":{\"registry.example\":\"not-there\"}}";
        std::fs::write(&path, helper).unwrap();
        assert!(from_file(File::open(&path).unwrap(), "registry.example").is_err());
    }
}
