//! Images that are not on this host: from the registries that they are named after, or from where the site's rules lead, with the
//! site's proxies and logins. Nothing is kept of it: the runtime keeps what it pulls.

use std::collections::BTreeMap;
use std::sync::Arc;

use edge_model::ids::Digest;
use edge_model::user_data::edge::EdgeSection;
use edge_model::{Error, Result};
use edge_planner::registries;
use edge_registry::{Body, Repository};
use edge_slot_image::oci::{MANIFEST_TYPES, manifest_type};
use tokio::sync::Mutex;

use crate::source;

/// A runtime pulls a few at the same time.
const MOST_OPEN: usize = 32;

/// What the site says about registries now; none when it wants none asked.
pub(crate) type Site = Box<dyn Fn() -> Option<EdgeSection> + Send + Sync>;

pub(crate) struct Upstream {
    site: Site,
    open: Mutex<Open>,
}

/// Connections with their logins, for as long as the site says the same.
#[derive(Default)]
struct Open {
    edge: Option<EdgeSection>,
    repositories: BTreeMap<String, Arc<Vec<Repository>>>,
}

/// A manifest that a registry gave.
pub(super) struct Manifest {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
}

impl Upstream {
    pub(crate) fn new(site: Site) -> Self {
        Self { site, open: Mutex::default() }
    }

    /// Where `registry/name` is asked for; none when nobody is to be asked.
    async fn repositories(&self, registry: &str, name: &str) -> Result<Option<Arc<Vec<Repository>>>> {
        let Some(edge) = (self.site)() else { return Ok(None) };
        let mut open = self.open.lock().await;
        if open.edge.as_ref() != Some(&edge) || open.repositories.len() >= MOST_OPEN {
            *open = Open { edge: Some(edge.clone()), ..Open::default() };
        }
        let key = format!("{registry}/{name}");
        if let Some(known) = open.repositories.get(&key) {
            return Ok(Some(known.clone()));
        }
        // Only what is a name of an image goes into an address.
        edge_registry::parse(&key)?;
        let places = registries::places(&edge, registry, name)?;
        let found: Result<Vec<Repository>> =
            places.into_iter().map(|place| source::repository(place, false, &edge)).collect();
        let found = Arc::new(found?);
        open.repositories.insert(key, found.clone());
        Ok(Some(found))
    }

    /// A manifest by tag or digest; none when no registry is to be asked.
    ///
    /// # Errors
    /// Why the last registry gave none.
    pub(super) async fn manifest(
        &self,
        registry: &str,
        name: &str,
        reference: &str,
    ) -> Result<Option<Manifest>> {
        let Some(repositories) = self.repositories(registry, name).await? else { return Ok(None) };
        let mut failed = nobody();
        for repository in repositories.iter() {
            match repository.manifest(reference, &MANIFEST_TYPES).await {
                Ok((digest, bytes)) => {
                    return Ok(Some(Manifest {
                        digest,
                        media_type: manifest_type(&bytes).to_owned(),
                        bytes,
                    }));
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// A blob with its size; none when no registry is to be asked.
    ///
    /// # Errors
    /// Why the last registry gave none.
    pub(super) async fn blob(
        &self,
        registry: &str,
        name: &str,
        digest: Digest,
    ) -> Result<Option<(u64, Body)>> {
        let Some(repositories) = self.repositories(registry, name).await? else { return Ok(None) };
        let mut failed = nobody();
        for repository in repositories.iter() {
            match repository.blob_as_sent(digest).await {
                Ok(found) => return Ok(Some(found)),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

fn nobody() -> Error {
    Error::internal("no registry was asked")
}
