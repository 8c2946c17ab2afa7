//! `--json` holds for every verb, and for every error: one JSON value on standard output, whatever happens.

#![allow(clippy::unwrap_used)] // a test

use std::collections::BTreeSet;
use std::path::Path;

use edge_host::child::{Child, Outcome};
use serde_json::Value as Json;

fn edgeforge(folder: &Path, words: &str) -> Outcome {
    let cache = folder.join("cache");
    let program = Child::new(env!("CARGO_BIN_EXE_edgeforge")).directory(folder).env("XDG_CACHE_HOME", cache);
    program.args(words.split(' ').filter(|word| !word.is_empty())).arg("--json").outcome().unwrap()
}

fn answer(outcome: &Outcome, words: &str) -> Json {
    let text = String::from_utf8_lossy(&outcome.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{words}: {error}: {text:?} {}", outcome.stderr))
}

/// The verbs that `--help` lists, with those below them.
fn verbs(folder: &Path, above: &str) -> BTreeSet<String> {
    let help = Child::new(env!("CARGO_BIN_EXE_edgeforge"))
        .directory(folder)
        .args(above.split(' ').filter(|word| !word.is_empty()))
        .arg("--help");
    let text = String::from_utf8_lossy(&help.run().unwrap()).into_owned();
    let Some((_, listed)) = text.split_once("\nCommands:\n") else { return [above.to_owned()].into() };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    // Deeper ones go on with a description.
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names.flat_map(|name| verbs(folder, format!("{above} {name}").trim())).collect()
}

/// Arguments with which each verb fails at once, and without a network.
const FAILING: [(&str, &str); 19] = [
    ("init", "full"),
    ("build", "gone"),
    ("fetch", "gone"),
    ("update", "gone"),
    ("unpack", "oci-layout:gone target"),
    ("import", "gone"),
    ("validate", "gone"),
    ("convert", "gone --to edge"),
    ("schema", "gone"),
    ("inspect", "gone"),
    ("diff", "gone gone"),
    ("lint", "gone"),
    ("keys generate", "full/forge.yaml/keys"),
    ("bundle build", "gone -o bundle.tar.zst"),
    ("bundle show", "gone"),
    ("tools", "--gone"),
    ("completions", "gone"),
    ("manual", "full/forge.yaml/manual"),
    ("no-such-verb", ""),
];

#[test]
fn every_verb_that_fails_says_so_in_json() {
    let folder = tempfile::tempdir().unwrap();
    assert!(edgeforge(folder.path(), "init full").status.success());
    let mut named: BTreeSet<String> = FAILING.iter().map(|(verb, _)| (*verb).to_owned()).collect();
    named.remove("no-such-verb");
    assert_eq!(named, verbs(folder.path(), ""), "each verb stands in the list");
    for (verb, arguments) in FAILING {
        let words = format!("{verb} {arguments}");
        let outcome = edgeforge(folder.path(), words.trim());
        let error = answer(&outcome, &words)["error"].clone();
        assert!(error["class"].is_string() && error["message"].is_string(), "{words}: {error}");
        assert!(
            !outcome.status.success() && !outcome.stderr.contains("error:"),
            "{words}: {}",
            outcome.stderr
        );
    }
}

/// What needs neither network nor tools; scenarios look at the others.
#[test]
fn answers_are_one_json_value() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("user-data"), "#cloud-config\nstylus: {site: {name: a}}\n").unwrap();
    std::fs::create_dir(folder.path().join("canvos")).unwrap();
    for (words, key) in [
        ("init shop", "name"),
        ("keys generate shop/keys", "private"),
        ("validate shop/user-data", ""),
        ("convert user-data --to edge", "document"),
        ("schema forge", "properties"),
        ("lint --list", ""),
        ("completions bash", "script"),
        ("manual pages", "folder"),
    ] {
        let outcome = edgeforge(folder.path(), words);
        assert!(outcome.status.success(), "{words}: {}", outcome.stderr);
        let answer = answer(&outcome, words);
        assert!(if key.is_empty() { answer.is_array() } else { !answer[key].is_null() }, "{words}: {answer}");
    }
}

#[test]
fn what_init_and_keys_say_is_true_when_typed() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = edgeforge(folder.path(), "init shop");
    for line in outcome.stderr.lines().filter_map(|line| line.trim().strip_prefix("edgeforge ")) {
        let words = line.split("   ").next().unwrap().trim();
        if let Some(arguments) = words.strip_prefix("build") {
            let dry = edgeforge(folder.path(), &format!("build{arguments} --dry-run"));
            assert!(answer(&dry, words)[0]["name"] == "shop-1.0.0-amd64" || !dry.status.success(), "{words}");
        } else {
            assert!(edgeforge(folder.path(), words).status.success(), "{words}");
        }
    }
    assert!(folder.path().join("shop/keys/image-signing.key").exists());
}
