//! Where a host looks for an image, and as whom: `registryCredentials`, `externalRegistries` and their mapping rules.

use data_encoding::BASE64;
use edge_model::user_data::edge::{EdgeSection, ExternalRegistry, RegistryCredentials};
use edge_model::{Error, Result};

/// One repository to be asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// `HOST` or `HOST:PORT`.
    pub registry: String,
    pub repository: String,
    /// Name and password.
    pub login: Option<(String, String)>,
    /// In PEM form, trusted beside the usual ones.
    pub certificates: Vec<String>,
    /// Without TLS.
    pub plain_http: bool,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} (login: {})", self.registry, self.repository, self.login.is_some())
    }
}

/// Where `registry/repository` is looked for: first where a mapping rule leads, then where it says itself. What is found at the one
/// must be what the other would give: images are known by their signatures and digests, not by where they come from.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] for a password that is said to be encoded and is not.
pub fn places(edge: &EdgeSection, registry: &str, repository: &str) -> Result<Vec<Place>> {
    let name = format!("{registry}/{repository}");
    let rules = edge.external_registries.iter().flat_map(|external| &external.registry_mapping_rules);
    let matching = rules.filter_map(|(from, to)| Some((from, to, rest_below(&name, from)?)));
    let longest = matching.max_by_key(|(from, _, _)| from.len());
    let mapped = longest.map(|(_, to, rest)| format!("{}{rest}", bare(to)));
    let mut places = Vec::new();
    for name in mapped.into_iter().chain([name]) {
        let Some((registry, repository)) = name.split_once('/') else { continue };
        places.push(place(edge, registry, repository)?);
    }
    Ok(places)
}

fn place(edge: &EdgeSection, registry: &str, repository: &str) -> Result<Place> {
    let name = format!("{registry}/{repository}");
    let external = edge.external_registries.iter().flat_map(|external| &external.registries);
    let accounts = external.map(Account::from).chain(edge.registry_credentials.iter().map(Account::from));
    // The most exact one: a registry may want another login for a part of it.
    let account = accounts
        .filter(|account| rest_below(&name, account.domain).is_some())
        .max_by_key(|account| bare(account.domain).len());
    let mut place = Place {
        registry: registry.to_owned(),
        repository: repository.to_owned(),
        login: None,
        certificates: Vec::new(),
        plain_http: false,
    };
    if let Some(account) = account {
        place.login = account.login()?;
        place.certificates = account.certificates.to_vec();
        place.plain_http = account.insecure;
    }
    Ok(place)
}

struct Account<'a> {
    domain: &'a str,
    username: &'a str,
    password: &'a str,
    encoded: bool,
    certificates: &'a [String],
    insecure: bool,
}

impl<'a> From<&'a ExternalRegistry> for Account<'a> {
    fn from(registry: &'a ExternalRegistry) -> Self {
        Self {
            domain: &registry.domain,
            username: &registry.username,
            password: registry.password.reveal(),
            encoded: registry.encoded_password,
            certificates: &registry.certificates,
            insecure: registry.insecure,
        }
    }
}

impl<'a> From<&'a RegistryCredentials> for Account<'a> {
    fn from(registry: &'a RegistryCredentials) -> Self {
        Self {
            domain: &registry.domain,
            username: &registry.username,
            password: registry.password.reveal(),
            encoded: registry.encoded_password,
            certificates: &[],
            insecure: registry.insecure,
        }
    }
}

impl Account<'_> {
    fn login(&self) -> Result<Option<(String, String)>> {
        if self.username.is_empty() {
            return Ok(None);
        }
        let password = if self.encoded {
            let decoded = BASE64.decode(self.password.trim().as_bytes()).ok();
            decoded.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
                Error::invalid(format!("the password for {} is not Base64", self.domain))
                    .help("encodedPassword: false takes it as it is written")
            })?
        } else {
            self.password.to_owned()
        };
        Ok(Some((self.username.to_owned(), password)))
    }
}

/// Without scheme and last slash.
fn bare(domain: &str) -> &str {
    domain.split_once("://").map_or(domain, |(_, rest)| rest).trim_end_matches('/')
}

/// What of a name is below a domain, which may have a path; none when it is not.
fn rest_below<'n>(name: &'n str, domain: &str) -> Option<&'n str> {
    let domain = bare(domain);
    let rest = name.strip_prefix(domain).filter(|_| !domain.is_empty())?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

#[cfg(test)]
mod tests {
    use edge_model::secret::Secret;
    use edge_model::user_data::edge::ExternalRegistries;
    use proptest::prelude::*;

    use super::*;

    fn external(domain: &str, username: &str) -> ExternalRegistry {
        ExternalRegistry {
            domain: domain.into(),
            username: username.into(),
            password: Secret::new("c2VjcmV0"),
            encoded_password: true,
            ..ExternalRegistry::default()
        }
    }

    fn edge() -> EdgeSection {
        let rules = [("docker.io", "cache.site:5000/hub"), ("docker.io/library", "cache.site:5000/library")];
        EdgeSection {
            registry_credentials: Some(RegistryCredentials {
                domain: "https://reg.example/".into(),
                username: "site".into(),
                password: Secret::new("plain"),
                ..RegistryCredentials::default()
            }),
            external_registries: Some(ExternalRegistries {
                registries: vec![external("cache.site:5000", "cache"), external("reg.example/team", "team")],
                registry_mapping_rules: rules.map(|(from, to)| (from.to_owned(), to.to_owned())).into(),
            }),
            ..EdgeSection::default()
        }
    }

    fn seen(edge: &EdgeSection, registry: &str, repository: &str) -> Vec<(String, Option<String>)> {
        let places = places(edge, registry, repository).unwrap();
        let name = |place: &Place| format!("{}/{}", place.registry, place.repository);
        places.iter().map(|place| (name(place), place.login.clone().map(|login| login.0))).collect()
    }

    #[test]
    fn the_longest_rule_leads_and_the_name_itself_comes_after_it() {
        let own = |name: &str| (name.to_owned(), None);
        let cached = |name: &str| (name.to_owned(), Some("cache".to_owned()));
        assert_eq!(
            seen(&edge(), "docker.io", "library/a"),
            [cached("cache.site:5000/library/a"), own("docker.io/library/a")]
        );
        assert_eq!(
            seen(&edge(), "docker.io", "librarys/a"),
            [cached("cache.site:5000/hub/librarys/a"), own("docker.io/librarys/a")]
        );
        assert_eq!(seen(&EdgeSection::default(), "docker.io", "a"), [own("docker.io/a")]);
    }

    #[test]
    fn the_most_exact_login_is_used_and_nobody_elses() {
        assert_eq!(seen(&edge(), "reg.example", "team/a")[0].1.as_deref(), Some("team"));
        assert_eq!(seen(&edge(), "reg.example", "teams/a")[0].1.as_deref(), Some("site"));
        assert_eq!(seen(&edge(), "reg.example.org", "a")[0].1, None);
        let place = &places(&edge(), "reg.example", "team/a").unwrap()[0];
        assert_eq!(place.login, Some(("team".into(), "secret".into())));
        assert!(!format!("{place:?}").contains("secret"));
    }

    #[test]
    fn a_password_that_is_not_encoded_is_named_by_its_registry() {
        let mut edge = edge();
        let external = edge.external_registries.get_or_insert_default();
        external.registries[0].password = Secret::new("not base64!");
        let error = places(&edge, "cache.site:5000", "a").unwrap_err();
        assert!(
            error.message.contains("cache.site:5000") && !error.message.contains("not base64!"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn any_rules_give_places_that_can_be_asked(
            rules in prop::collection::btree_map("[a-z./:]{0,12}", "[a-z./:]{0,12}", 0..4),
            name in "[a-z]{1,4}(/[a-z]{1,4}){1,3}",
        ) {
            let external = ExternalRegistries { registry_mapping_rules: rules, ..ExternalRegistries::default() };
            let edge = EdgeSection { external_registries: Some(external), ..EdgeSection::default() };
            let (registry, repository) = name.split_once('/').unwrap();
            let places = places(&edge, registry, repository).unwrap();
            prop_assert!(!places.is_empty() && places.len() < 3);
            let last = places.last().unwrap();
            prop_assert_eq!(format!("{}/{}", last.registry, last.repository), name);
        }
    }
}
