//! Which failed units speak against a boot.

use std::collections::BTreeSet;

use edge_model::document::format;
use serde::{Deserialize, Serialize};

/// What failed when the committed image was last looked at: an image on trial is not worse for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnownFailures {
    pub units: BTreeSet<String>,
}

/// Of the units that have failed, those that count.
///
/// `ignored` are patterns for whole names. `known` is none where no image is on trial: a host that runs says what is wrong with it.
pub fn that_count(failed: Vec<String>, ignored: &[String], known: Option<&KnownFailures>) -> Vec<String> {
    let patterns: Vec<_> =
        ignored.iter().filter_map(|text| format::pattern(&format!("^(?:{text})$")).ok()).collect();
    failed
        .into_iter()
        .filter(|unit| !patterns.iter().any(|pattern| pattern.is_match(unit)))
        .filter(|unit| !known.is_some_and(|known| known.units.contains(unit)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_counts_and_what_is_ignored_does_not() {
        let text = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let failed = || text(&["lame.service", "pos.service", "iscsid.service"]);
        let known = KnownFailures { units: text(&["lame.service"]).into_iter().collect() };
        let ignored = text(&["iscsi.*", "["]);
        assert_eq!(that_count(failed(), &ignored, Some(&known)), ["pos.service"]);
        assert_eq!(that_count(failed(), &ignored, None), ["lame.service", "pos.service"]);
        // A part of a name is not the name.
        assert_eq!(that_count(text(&["pos.service"]), &text(&["pos"]), None), ["pos.service"]);
    }
}
