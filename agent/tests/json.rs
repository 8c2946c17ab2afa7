//! `--json` holds for every verb, also where there is no host: one JSON value on standard output, whatever happens.

#![allow(clippy::unwrap_used)] // a test

use edge_host::child::{Child, Outcome};
use serde_json::Value as Json;

fn agent(words: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    Child::new(env!("CARGO_BIN_EXE_edge-agent")).directory(folder.path()).args(words).outcome().unwrap()
}

/// The verbs that `--help` lists, with those below them.
fn verbs(above: &[String]) -> Vec<Vec<String>> {
    let words: Vec<&str> = above.iter().map(String::as_str).chain(["--help"]).collect();
    let text = String::from_utf8_lossy(&agent(&words).stdout).into_owned();
    let Some((_, listed)) = text.split_once("\nCommands:\n") else { return vec![above.to_owned()] };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    names.flat_map(|name| verbs(&[above, &[name.to_owned()]].concat())).collect()
}

/// What a verb must be given.
fn arguments(verb: &str) -> &'static [&'static str] {
    match verb {
        "upgrade" => &["oci:registry.example/edge/shop:1"],
        "operation show" | "operation cancel" => &["1"],
        "diagnose tcp" => &["host.example:1"],
        "diagnose http" => &["http://host.example"],
        "diagnose ping" | "diagnose route" | "diagnose dns" => &["host.example"],
        "cluster create" | "config apply" => &["gone.yaml"],
        "cluster delete" => &["--confirm", "shop"],
        "stage run" => &["network"],
        "completions" => &["bash"],
        "manual" => &["pages"],
        _ => &[],
    }
}

#[test]
fn every_verb_answers_in_json() {
    let all = verbs(&[]);
    assert!(all.len() > 20, "{all:?}");
    for verb in all {
        let name = verb.join(" ");
        let words: Vec<&str> = verb
            .iter()
            .map(String::as_str)
            .chain(arguments(&name).iter().copied())
            .chain(["--json"])
            .collect();
        let outcome = agent(&words);
        let text = String::from_utf8_lossy(&outcome.stdout);
        let answer: Json = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{name}: {error}: {text:?} {}", outcome.stderr));
        let failed = answer["error"]["message"].is_string();
        assert_eq!(failed, !outcome.status.success(), "{name}: {answer}");
        assert!(!outcome.stderr.contains("error:"), "{name}: told twice: {}", outcome.stderr);
    }
}

#[test]
fn wrong_arguments_are_told_in_json() {
    let outcome = agent(&["no-such-verb", "--json"]);
    let answer: Json = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(answer["error"]["class"], "invalid-input");
    assert_eq!(outcome.status.code(), Some(2));
}
