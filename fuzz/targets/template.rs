//! Templates of stages.

#![no_main]

use libfuzzer_sys::fuzz_target;

use edge_planner::template;

fuzz_target!(|text: &str| {
    let values = serde_json::json!({"Values": {"os": "debian", "n": 3, "list": [1, "a"]}, "MachineID": "ab"});
    drop(template::parse(text));
    drop(template::render(text, &values));
});
