//! Whether a step applies to this host. Only `if` needs a shell, and is left to who runs the step.

use edge_model::document::format::pattern as pattern_of;
use edge_model::user_data::stages::Step;

/// What conditions ask about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemFacts {
    pub host_name: String,
    /// `PRETTY_NAME` and `VERSION_ID` of os-release, as Kairos compares them.
    pub os: String,
    pub os_version: String,
    /// Debian's name of the architecture.
    pub architecture: String,
}

/// Why a step does not run here; `None` when it does.
pub fn skip_reason(step: &Step, facts: &SystemFacts, exists: &dyn Fn(&str) -> bool) -> Option<String> {
    let conditions = [
        ("node", &step.node, facts.host_name.as_str()),
        ("only_os", &step.only_os, &facts.os),
        ("only_os_version", &step.only_os_version, &facts.os_version),
        ("only_arch", &step.only_arch, &facts.architecture),
        ("only_service_manager", &step.only_service_manager, "systemd"),
    ];
    for (key, pattern, value) in conditions {
        let Some(pattern) = pattern.as_deref().filter(|pattern| !pattern.is_empty()) else { continue };
        match pattern_of(pattern) {
            Ok(pattern) if pattern.is_match(value) => {}
            Ok(_) => return Some(format!("{key}: {value:?} does not match {pattern:?}")),
            Err(_) => return Some(format!("{key}: {pattern:?} is not a pattern")),
        }
    }
    let files = &step.if_files;
    if let Some(missing) = files.all.iter().find(|path| !exists(path)) {
        return Some(format!("if_files.all: {missing} is not there"));
    }
    if let Some(present) = files.none.iter().find(|path| exists(path)) {
        return Some(format!("if_files.none: {present} is there"));
    }
    if !files.any.is_empty() && !files.any.iter().any(|path| exists(path)) {
        return Some("if_files.any: none of them is there".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::user_data::stages::IfFiles;

    #[test]
    fn every_condition_can_stop_a_step() {
        let facts = SystemFacts {
            host_name: "till-3".into(),
            os: "Debian GNU/Linux 13 (trixie)".into(),
            os_version: "13".into(),
            architecture: "amd64".into(),
        };
        let exists = |path: &str| path == "/there";
        let runs = |step: Step| skip_reason(&step, &facts, &exists).is_none();
        let text = |text: &str| Some(text.to_owned());
        assert!(runs(Step { node: text("^till-"), only_os: text("Ubuntu.*|Debian.*"), ..Step::default() }));
        assert!(!runs(Step { node: text("^desk-"), ..Step::default() }));
        assert!(!runs(Step { only_os: text("debian|alpine"), ..Step::default() }));
        assert!(!runs(Step { only_os_version: text("12"), ..Step::default() }));
        assert!(!runs(Step { only_arch: text("arm64"), ..Step::default() }));
        assert!(!runs(Step { only_service_manager: text("openrc"), ..Step::default() }));
        let files = |any: &[&str], all: &[&str], none: &[&str]| {
            let list = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
            Step { if_files: IfFiles { any: list(any), all: list(all), none: list(none) }, ..Step::default() }
        };
        assert!(runs(files(&["/x", "/there"], &["/there"], &["/x"])));
        assert!(!runs(files(&["/x"], &[], &[])));
        assert!(!runs(files(&[], &["/there", "/x"], &[])));
        assert!(!runs(files(&[], &[], &["/there"])));
    }
}
