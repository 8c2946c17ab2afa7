//! What changes which image boots, as steps in their order. Whoever executes them decides nothing, and may be cut off after
//! each: the old image boots until the committing step is done, the new one from then on.

use edge_model::ids::Entry;

use super::BootedImage;

/// One effect on what boots next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootStep {
    /// The image to try when the default does not come up.
    SetFallback(Entry),
    /// The loader's own configuration, for firmware that loses its variables.
    SetConfigured(Entry),
    /// The loader's variable, which is above its configuration.
    SetDefault(Entry),
    /// The next boot only.
    TryOnce(Entry),
}

/// Makes the booted image the default.
pub fn commit(booted: &BootedImage, has_variables: bool) -> Vec<BootStep> {
    let entry = booted.root_hash.entry();
    // The image that ran until now is the one to try when this one ever stops coming up.
    let previous = booted.default_entry.clone().filter(|previous| *previous != entry);
    let mut steps = Vec::new();
    if has_variables {
        steps.extend(previous.map(BootStep::SetFallback));
    }
    steps.push(BootStep::SetConfigured(entry.clone()));
    if has_variables {
        steps.push(BootStep::SetDefault(entry));
    }
    steps
}

/// Starts an image once, at the next boot. The running one is what is fallen back to meanwhile: so that an image on trial is
/// never taken for one that stands in.
pub fn try_once(entry: Entry, running: Entry) -> Vec<BootStep> {
    vec![BootStep::SetFallback(running), BootStep::TryOnce(entry)]
}

impl BootStep {
    /// Whether another image boots once this step is done. Where there are variables, they are what counts.
    pub fn commits(&self, has_variables: bool) -> bool {
        match self {
            BootStep::SetDefault(_) | BootStep::TryOnce(_) => true,
            BootStep::SetConfigured(_) => !has_variables,
            BootStep::SetFallback(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::cmdline::Mode;
    use edge_model::ids::{RootHash, Slot};

    #[test]
    fn there_is_one_committing_step_and_it_is_the_last() {
        let booted = BootedImage {
            mode: Mode::Main,
            root_hash: RootHash([2; 32]),
            slot: Some(Slot::B),
            is_fallback: false,
            default_entry: Some(RootHash([1; 32]).entry()),
            armed_entry: None,
        };
        for has_variables in [true, false] {
            for plan in [
                commit(&booted, has_variables),
                try_once(RootHash([3; 32]).entry(), booted.root_hash.entry()),
            ] {
                let commits: Vec<bool> = plan.iter().map(|step| step.commits(has_variables)).collect();
                assert_eq!(commits.iter().filter(|commits| **commits).count(), 1, "{plan:?}");
                assert_eq!(commits.last(), Some(&true), "{plan:?}");
            }
        }
        let again = BootedImage { default_entry: Some(booted.root_hash.entry()), ..booted };
        assert!(
            !matches!(commit(&again, true)[0], BootStep::SetFallback(_)),
            "an image is not its own fallback"
        );
    }
}
