//! Making a support bundle: what the daemon knows goes in without its secrets.

use std::path::Path;

use edge_model::document::print;
use edge_model::secret::Secret;
use edge_model::{Context, Result, paths};
use edge_planner::configuration::origin;

use super::Shared;
use crate::facts;
use crate::report::Report;
use crate::support_bundle::{Inputs, write_to_file, write_to_stick};

/// Makes a bundle, for a download or on a stick. Returns what a person should read.
///
/// # Errors
/// When there is no stick, the disk is full, or the work was stopped.
pub(super) fn make(shared: &Shared, stick: bool, report: &mut dyn Report) -> Result<String> {
    let inputs = inputs(shared)?;
    if stick {
        let name = write_to_stick(None, &inputs, report)?;
        return Ok(format!("{name} is on the stick, which can be pulled out"));
    }
    let path = Path::new(paths::SUPPORT_BUNDLE);
    std::fs::create_dir_all(path.parent().unwrap_or(path)).context("cannot make a folder for the bundle")?;
    write_to_file(path, &inputs, report)?;
    Ok(format!("the support bundle is ready: {}", path.display()))
}

fn inputs(shared: &Shared) -> Result<Inputs> {
    let settings = shared.settings();
    let secrets = origin::secrets(&settings.configuration.tree);
    let mut shown = settings.configuration.tree.clone();
    origin::redact_for_others(&mut shown);
    Ok(Inputs {
        host_id: facts::host_id(),
        now: facts::now(),
        record: Some(shared.host.record.clone()),
        status: serde_json::to_value(&*shared.status()).context("cannot write the status")?,
        configuration: print::to_yaml(&shown),
        secrets: secrets.into_iter().map(Secret::new).collect(),
    })
}
