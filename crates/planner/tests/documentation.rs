//! Every document that the documentation shows is one that `validate` accepts.

#![allow(clippy::unwrap_used)] // a test; helpers outside of #[test] count as code for the lint

use std::fs;
use std::path::{Path, PathBuf};

use edge_model::document::Severity;
use edge_planner::configuration::{self, Form};

const FORMS: [Form; 5] = [Form::UserData, Form::Unattended, Form::Forge, Form::Cluster, Form::NetworkConfig];

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let listed = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> =
        listed.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    pages.push(root.join("README.md"));
    pages.sort();
    pages
}

fn errors(form: Form, text: &str) -> Vec<String> {
    let found = configuration::examine(form, "block", text, None);
    let errors = found.iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}

#[test]
fn documents_on_pages_are_right() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for block in text.split("\n```yaml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()) {
            seen += 1;
            // A block that says what it is is held to that; another is a part of any kind.
            let forms = if block.starts_with("#cloud-config") { &FORMS[..1] } else { &FORMS[..] };
            let found: Vec<Vec<String>> = forms.iter().map(|form| errors(*form, block)).collect();
            if found.iter().all(|errors| !errors.is_empty()) {
                wrong.push(format!(
                    "{}: {block}\n{:?}",
                    page.display(),
                    found.iter().min_by_key(|errors| errors.len())
                ));
            }
        }
    }
    assert!(seen >= 15, "only {seen} documents were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
