//! The configuration of this host: every source that may speak, merged, with the origin of each value.

pub(crate) mod console_answers;
pub(crate) mod good;
pub(crate) mod remote;
pub(crate) mod site;
mod sources;
pub(crate) mod tried;

use edge_host::efivars::{EfiVars, SecureBoot};
use edge_model::Result;
use edge_model::document::{Problem, Severity};
use edge_model::user_data::UserData;
use edge_model::user_data::edge::EdgeSection;
use edge_planner::configuration::{self, Configuration, Source, Trust};
use edge_planner::host_kind::HostKind;

use crate::stages::template_values;

pub(crate) use sources::{VOLUMES, documents, of_host, of_medium};

/// The merged configuration and its typed form.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) configuration: Configuration,
    pub(crate) data: UserData,
}

impl Settings {
    /// The configuration of a boot. A wrong document never stops a host; it is left out and shown.
    pub(crate) fn load(kind: HostKind) -> Self {
        let (sources, problems) = match kind {
            HostKind::Appliance | HostKind::Recovery => of_host(),
            HostKind::Installer => of_medium(),
        };
        Self::from(&sources, problems)
    }

    pub(crate) fn from(sources: &[Source], problems: Vec<Problem>) -> Self {
        let mut configuration = configuration::combine(sources, trust());
        configuration.problems.splice(0..0, problems);
        let Configuration { tree, problems, .. } = &mut configuration;
        configuration::templates::fill_in(tree, &template_values, problems);
        let data = configuration.settings().unwrap_or_else(|error| {
            let place = configuration.tree.place.clone();
            configuration.problems.push(Problem::error(place, "", error.to_string()));
            UserData::default()
        });
        Self { configuration, data }
    }

    pub(crate) fn edge(&self) -> &EdgeSection {
        &self.data.edge
    }

    /// Whether the site has given this host a name.
    pub(crate) fn says_host_name(&self) -> bool {
        self.edge().site.host_name.is_some() || self.data.hostname.is_some()
    }

    /// What a person should see on a host: everything but notes.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let problems = self.configuration.problems.iter();
        problems.filter(|problem| problem.severity > Severity::Note).map(ToString::to_string).collect()
    }

    /// Refuses to go on with a configuration that has errors.
    ///
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] with all of them.
    pub(crate) fn must_be_right(&self) -> Result<()> {
        match self.configuration.error() {
            None => Ok(()),
            Some(error) => Err(error.help("edgeforge validate FILE checks a document before it is used")),
        }
    }
}

/// How this machine was started decides what foreign sources may say.
pub(crate) fn trust() -> Trust {
    // Where the firmware does not answer, the stricter rule holds.
    let secure_boot =
        EfiVars::of_machine().is_some_and(|variables| variables.secure_boot() != SecureBoot::Off);
    Trust { secure_boot, now: None }
}

/// Hashes a password as `/etc/shadow` keeps it.
///
/// # Errors
/// When there is no randomness.
pub(crate) fn hash_password(plain: &str) -> Result<String> {
    edge_planner::accounts::hash_password(plain, &edge_host::gpt::random_bytes::<12>()?)
}
