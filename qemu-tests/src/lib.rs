//! Real virtual machines for demo and tests: UEFI firmware, serial line, control socket, registry.

pub mod bench_ground;
pub mod browser;
pub mod console;
pub mod cost;
pub mod docs;
pub mod http_server;
pub mod images;
pub mod lab;
pub mod machine;
pub mod namespaces;
pub mod page;
pub mod patience;
pub mod qmp;
pub mod records;
pub mod registry;
pub mod serial;
pub mod ssh;
pub mod stick;
pub mod tally;
pub mod time_limit;
pub mod tunnel;
