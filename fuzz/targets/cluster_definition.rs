//! The definition of a cluster.

#![no_main]

use libfuzzer_sys::fuzz_target;

use edge_planner::cluster::check;

fuzz_target!(|text: &str| {
    drop(check::examine("cluster.yaml", text));
    drop(check::parse("cluster.yaml", text));
});
