//! `edgeforge lint`: a list of checks on a finished image. The list is a table, so that `--list`, the page and the
//! findings cannot say different things.

mod checks;
mod table;

use edge_cli::Reader;
use edge_model::document::check::nearest;
use edge_model::document::format;
use edge_model::forge::{Forge, SizeBudgets};
use edge_model::initrd::ModuleEntry;
use edge_model::manifest::ImageManifest;
use edge_model::{Error, Result};
use serde::Serialize;

use crate::inspect::{self, Form, Sizes, Subject, Uki, project_file};
use crate::tree::Tree;
use table::CHECKS;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Severity {
    /// The build fails.
    Error,
    Warning,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One check. It returns what is wrong, one line for each place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    pub(crate) reason: &'static str,
    pub(crate) remedy: &'static str,
    find: fn(&Tree, &Facts) -> Vec<String>,
}

/// What is known about an image besides its files. What is `None` is not checked.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Seconds since 1970.
    pub(crate) created: Option<u64>,
    pub(crate) initrd: Option<Vec<ModuleEntry>>,
    pub(crate) sizes: Sizes,
    pub(crate) budgets: SizeBudgets,
    /// Checks that do not apply, by id.
    pub(crate) ignored: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    pub(crate) what: String,
    pub(crate) reason: &'static str,
    pub(crate) remedy: &'static str,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{}: {}: {}\n  why: {}\n  help: {}",
            self.severity, self.id, self.what, self.reason, self.remedy
        )
    }
}

impl Facts {
    /// What a finished image tells, with the settings of its project.
    pub(crate) fn of(subject: &Subject, forge: Option<&Forge>) -> Self {
        Self {
            created: inspect::identity(subject).created,
            initrd: subject.uki.as_ref().map(|uki| uki.modules.clone()),
            sizes: subject.sizes,
            budgets: forge.map(|forge| forge.size_budgets.clone()).unwrap_or_default(),
            ignored: forge.map(|forge| forge.lint_ignore.clone()).unwrap_or_default(),
        }
    }

    /// What a build knows when everything is written.
    ///
    /// # Errors
    /// When the UKI cannot be read.
    pub(crate) fn of_build(forge: &Forge, manifest: &ImageManifest, uki: &[u8], iso: u64) -> Result<Self> {
        let parsed = Uki::parse(uki)?;
        Ok(Self {
            created: Some(manifest.created),
            sizes: Sizes {
                root: manifest.root.size(),
                uki: Some(uki.len() as u64),
                initrd: Some(parsed.initrd_size),
                iso: Some(iso),
            },
            initrd: Some(parsed.modules),
            budgets: forge.size_budgets.clone(),
            ignored: forge.lint_ignore.clone(),
        })
    }

    /// Bytes that a part has, and how many it may have.
    fn budgets(&self) -> Vec<(&'static str, u64, u64)> {
        let part = |name, size: Option<u64>, most: &Option<String>| {
            Some((name, size?, format::size(most.as_ref()?)?))
        };
        [
            part("root", Some(self.sizes.root), &self.budgets.root),
            part("uki", self.sizes.uki, &self.budgets.uki),
            part("initrd", self.sizes.initrd, &self.budgets.initrd),
            part("iso", self.sizes.iso, &self.budgets.iso),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Runs every check that is not ignored; errors come first.
pub(crate) fn check_tree(tree: &Tree, facts: &Facts) -> Vec<Finding> {
    let wanted = CHECKS.iter().filter(|check| !facts.ignored.iter().any(|id| id == check.id));
    let mut findings: Vec<Finding> = wanted
        .flat_map(|check| {
            (check.find)(tree, facts).into_iter().map(|what| Finding {
                id: check.id,
                severity: check.severity,
                what,
                reason: check.reason,
                remedy: check.remedy,
            })
        })
        .collect();
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// Checks that a project ignores must exist: a wrong name would ignore nothing.
///
/// # Errors
/// [`edge_model::Class::InvalidInput`] with the nearest name.
pub(crate) fn check_ignored(ignored: &[String]) -> Result<()> {
    for id in ignored {
        if CHECKS.iter().all(|check| check.id != id) {
            let error = Error::invalid(format!("forge.yaml: lint-ignore: there is no check {id:?}"));
            return Err(match nearest(id, CHECKS.iter().map(|check| check.id)) {
                Some(near) => error.help(format!("did you mean {near}?")),
                None => error.help("edgeforge lint --list shows all checks"),
            });
        }
    }
    Ok(())
}

/// Prints the findings of a build.
///
/// # Errors
/// [`edge_model::Class::Rejected`] when one of them is an error.
pub(crate) fn require(findings: &[Finding]) -> Result<()> {
    findings.iter().for_each(|finding| eprintln!("{finding}"));
    match findings.iter().filter(|finding| finding.severity == Severity::Error).count() {
        0 => Ok(()),
        errors => Err(Error::rejected(format!("edgeforge lint found errors in the image: {errors}"))
            .help("correct them, or name those that do not apply in lint-ignore of forge.yaml")),
    }
}

/// Checks an image and prints the findings; false when one of them is an error.
///
/// # Errors
/// When the image or its project cannot be read.
pub(crate) fn run(name: &str, plain_http: bool, reader: Reader) -> Result<bool> {
    let forge =
        project_file(name).map(|path| Forge::parse("forge.yaml", &edge_host::files::read_text(&path)?));
    let forge = forge.transpose()?;
    check_ignored(forge.as_ref().map_or(&[], |forge| &forge.lint_ignore))?;
    let subject = inspect::resolve(name, plain_http)?;
    if subject.form == Form::Container {
        return Err(Error::invalid(format!("{name} is a container image, and no host starts that"))
            .help("check the image that is made from it"));
    }
    let findings = check_tree(&subject.tree, &Facts::of(&subject, forge.as_ref()));
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    reader.tell(&findings, |findings| {
        findings.iter().for_each(|finding| println!("{finding}"));
        eprintln!("{} checks, {errors} errors, {} warnings", CHECKS.len(), findings.len() - errors);
    })?;
    Ok(errors == 0)
}

/// Prints all checks.
///
/// # Errors
/// When they cannot be written as JSON.
pub(crate) fn list(reader: Reader) -> Result<()> {
    let checks: Vec<_> = CHECKS
            .iter()
            .map(|check| {
                serde_json::json!({ "id": check.id, "severity": check.severity, "reason": check.reason, "remedy": check.remedy })
            })
            .collect();
    reader.tell(&checks, |_| {
        for check in CHECKS {
            let severity = check.severity.to_string();
            println!("{:<18} {severity:<8} {}\n{:<27} help: {}", check.id, check.reason, "", check.remedy);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_on_the_page_once() {
        let page = include_str!("../../../docs/inspect.md");
        for check in CHECKS {
            assert!(page.contains(&format!("| `{}` | {} |", check.id, check.severity)), "{}", check.id);
            assert_eq!(CHECKS.iter().filter(|other| other.id == check.id).count(), 1);
            assert!(check.reason.len() > 10 && check.remedy.len() > 10);
        }
        assert_eq!(page.matches(" | error | ").count() + page.matches(" | warning | ").count(), CHECKS.len());
    }

    #[test]
    fn a_check_that_does_not_exist_cannot_be_ignored() {
        assert!(check_ignored(&["ssh-host-key".into()]).is_ok());
        let error = edge_model::error::render(&check_ignored(&["ssh-hostkey".into()]).unwrap_err());
        assert!(error.contains("did you mean ssh-host-key?"), "{error}");
    }

    #[test]
    fn errors_fail_a_build_and_warnings_do_not() {
        let mut tree = Tree::default();
        tree.put_file("etc/ssh/ssh_host_rsa_key", 0o600, "x");
        let facts = Facts::default();
        let all = check_tree(&tree, &facts);
        assert!(all.iter().any(|finding| finding.id == "ssh-host-key"));
        assert!(all.is_sorted_by_key(|finding| finding.severity));
        assert!(require(&all).is_err());
        let facts = Facts { ignored: vec!["ssh-host-key".into()], ..Facts::default() };
        assert!(check_tree(&tree, &facts).iter().all(|finding| finding.id != "ssh-host-key"));
        assert!(require(&[]).is_ok());
    }
}
