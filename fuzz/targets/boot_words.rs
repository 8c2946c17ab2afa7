//! What the kernel and the firmware hand over as text.

#![no_main]

use libfuzzer_sys::fuzz_target;

use edge_host::keyboard::Keymap;
use edge_model::boot_reason::BootReason;
use edge_model::cmdline::CommandLine;
use edge_planner::state_layout::StateLayout;

fuzz_target!(|bytes: &[u8]| {
    drop(Keymap::parse(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(CommandLine::parse(text));
        drop(BootReason::parse(text));
        drop(StateLayout::parse(text));
    }
});
