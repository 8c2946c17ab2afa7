//! A condition that is wrong holds its step back: made from the schema, for every key that is a condition.

#![allow(clippy::unwrap_used)] // a test; helpers outside of #[test] count as code for the lint

use edge_model::document::{self, Document};
use edge_model::user_data::UserData;
use edge_planner::stages::{StageFile, SystemFacts, skip_reason, steps};
use serde_json::Value as Json;

/// The same reader as on a host; gives the names of steps that would run, and what was found.
fn would_run(text: &str) -> (Vec<String>, Vec<String>) {
    let (node, problems) = document::read::<UserData>("f", text);
    let document: UserData = document::typed(&node).unwrap();
    let (named, _) = steps(&[StageFile { path: "/oem/f.yaml".into(), document }], "boot");
    let facts = SystemFacts {
        host_name: "till-3".into(),
        os: "Debian GNU/Linux 13 (trixie)".into(),
        os_version: "13".into(),
        architecture: "amd64".into(),
    };
    // `if` is asked by a shell; one that is text is for the shell to judge.
    let run = named.iter().filter(|step| skip_reason(&step.step, &facts, &|_| true).is_none());
    let names = run.filter_map(|step| step.step.name.clone()).collect();
    (names, problems.iter().map(ToString::to_string).collect())
}

/// Properties of a step with the flag `x-guards`, and whether they are patterns.
fn conditions() -> Vec<(String, Json)> {
    let schema = UserData::schema();
    let steps = &schema.json()["$defs"]["Step"]["properties"];
    let steps = steps.as_object().unwrap();
    steps
        .iter()
        .filter(|(_, property)| property["x-guards"] == true)
        .map(|(key, property)| (key.clone(), property.clone()))
        .collect()
}

/// Values that are wrong for a condition, whatever its kind.
fn wrong_values(property: &Json) -> Vec<&'static str> {
    let mut wrong = vec!["{no-such-key: 1}", "[[x]]", "[{no-such-key: x}]"];
    if property["format"] == "re2" {
        wrong.extend(["'['", "'(?=x)'", "'a{2,1}'", "[till]"]);
    }
    if property["type"].as_array().is_some_and(|kinds| kinds.contains(&"string".into())) {
        wrong.extend(["[test -e /run]", "{any: x}"]);
    }
    wrong
}

#[test]
fn a_step_whose_condition_is_wrong_does_not_run_and_is_told() {
    let conditions = conditions();
    assert!(conditions.len() >= 8, "{conditions:?}");
    for (key, property) in &conditions {
        for wrong in wrong_values(property) {
            let text = format!(
                "stages: {{boot: [{{name: guarded, {key}: {wrong}, commands: [x]}}, {{name: free, commands: [y]}}]}}\n"
            );
            let (run, told) = would_run(&text);
            assert_eq!(run, ["free"], "{text}");
            let named = told.iter().any(|line| line.contains(&format!("stages.boot.0.{key}")));
            assert!(named, "{text}: {told:?}");
        }
    }
}

/// Who slips in the name of a condition meant one.
#[test]
fn a_misspelt_condition_holds_its_step_back() {
    for (key, _) in conditions() {
        for misspelt in [format!("{key}s"), format!("x{key}"), key.to_uppercase(), format!("{key}-not")] {
            let text = format!(
                "stages: {{boot: [{{name: guarded, {misspelt}: x, commands: [x]}}, {{name: free, commands: [y]}}]}}\n"
            );
            let (run, told) = would_run(&text);
            assert_eq!(run, ["free"], "{text}");
            assert!(
                told.iter().any(|line| line.contains("all of this step is left out")),
                "{text}: {told:?}"
            );
        }
    }
}

#[test]
fn a_wrong_key_that_is_no_condition_leaves_the_rest_of_its_step() {
    let text = "stages: {boot: [{name: kept, sysctl: [x], commands: [x]}]}\n";
    let (run, told) = would_run(text);
    assert_eq!((run, told.len()), (vec!["kept".to_owned()], 1));
}
