//! Golden files: for every document in `tests/documents` the findings, the configuration that it makes, and the files
//! that follow from it; for every folder in `tests/merges` the origins of the merged configuration.
//!
//! `UPDATE_GOLDEN=1 cargo test -p edge-planner --test documents` writes them anew; read the difference.

#![allow(clippy::unwrap_used)] // a test; helpers outside of #[test] count as code for the lint

use std::fs;
use std::path::{Path, PathBuf};

use edge_model::document::print;
use edge_planner::configuration::{self, Form, Kind, Source, Trust, combine, origin};
use edge_planner::network;

/// 2026-11-21: certificates in documents end before or after it.
const NOW: u64 = 1_795_300_000;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn form_of(name: &str) -> Form {
    match name.trim_end_matches(".yaml").rsplit('.').next().unwrap() {
        "unattended" => Form::Unattended,
        "meta-data" => Form::MetaData,
        "network-config" => Form::NetworkConfig,
        "kernel" => Form::KernelWords,
        _ => Form::UserData,
    }
}

/// Compares with the golden file, or writes it.
fn settle(golden: &Path, seen: &str, differences: &mut Vec<String>) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden, seen).unwrap();
        return;
    }
    let expected = fs::read_to_string(golden).unwrap_or_default();
    if expected != seen {
        differences.push(format!("{}:\n--- expected\n{expected}\n--- seen\n{seen}", golden.display()));
    }
}

fn describe(name: &str, text: &str) -> String {
    let form = form_of(name);
    let mut seen = String::from("# findings\n");
    for problem in configuration::examine(form, name, text, Some(NOW)) {
        seen.push_str(&format!("{problem}\n"));
    }
    let source = Source { kind: Kind::UserData, form, name: name.into(), text: text.into() };
    let merged = combine(&[source], Trust::default());
    let mut tree = merged.tree.clone();
    origin::redact(&mut tree);
    seen.push_str(&format!("\n# configuration\n{}", print::to_yaml(&tree)));
    let site = merged.settings().unwrap().edge.site;
    for (path, content) in network::files(&site) {
        seen.push_str(&format!("\n# /run/{path}\n{content}"));
    }
    seen
}

#[test]
fn every_document_gives_what_its_golden_file_says() {
    let mut differences = Vec::new();
    let documents: Vec<PathBuf> =
        entries(&folder("documents")).into_iter().filter(|path| file_name(path).ends_with(".yaml")).collect();
    assert!(documents.len() >= 60, "only {} documents", documents.len());
    for path in documents {
        let seen = describe(&file_name(&path), &fs::read_to_string(&path).unwrap());
        settle(&path.with_extension("golden"), &seen, &mut differences);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_merge_gives_the_origins_that_its_golden_file_says() {
    let mut differences = Vec::new();
    for case in entries(&folder("merges")).into_iter().filter(|path| path.is_dir()) {
        let sources: Vec<Source> = entries(&case).iter().map(|path| source(path)).collect();
        let trust = Trust { secure_boot: file_name(&case).contains("secure-boot"), now: Some(NOW) };
        let merged = combine(&sources, trust);
        let mut seen = String::from("# findings\n");
        merged.problems.iter().for_each(|problem| seen.push_str(&format!("{problem}\n")));
        seen.push_str("\n# origins\n");
        for value in origin::list(&merged.tree, "") {
            seen.push_str(&format!("{} = {}  # {}\n", value.key, value.value, value.origin));
        }
        settle(&case.with_extension("golden"), &seen, &mut differences);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The first word of a file's name is its kind.
fn source(path: &Path) -> Source {
    let name = file_name(path);
    let kind = match name.split('.').next().unwrap() {
        "image" => Kind::Image,
        "plug-in" => Kind::PlugIn,
        "user-data" => Kind::UserData,
        "site" => Kind::Site,
        "machine" => Kind::Machine,
        "command-line" => Kind::KernelCommandLine,
        "unattended" => Kind::Unattended,
        "local" => Kind::Local,
        other => panic!("{other} is no kind of source"),
    };
    Source { kind, form: form_of(&name), text: fs::read_to_string(path).unwrap(), name }
}

/// Examples in the documentation and in new projects must be right.
#[test]
fn every_example_in_the_documentation_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut checked = 0;
    let mut wrong = Vec::new();
    let pages = entries(&root.join("docs")).into_iter().chain([root.join("README.md")]);
    for page in pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(&page).unwrap();
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let name = format!("{} example {checked}", file_name(&page));
            let first = block.lines().next().unwrap_or_default();
            let form = match first.trim_start_matches("# ").split(':').next().unwrap_or_default().trim() {
                "unattended.yaml" => Form::Unattended,
                "forge.yaml" => Form::Forge,
                "cluster.yaml" => Form::Cluster,
                "network-config" => Form::NetworkConfig,
                _ => Form::UserData,
            };
            let findings = configuration::examine(form, &name, block, Some(NOW));
            let bad = findings.iter().filter(|problem| problem.severity > document_severity());
            wrong.extend(bad.map(ToString::to_string));
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked >= 8, "only {checked} examples were found");
}

fn document_severity() -> edge_model::document::Severity {
    edge_model::document::Severity::Note
}
