//! The builder's own document, and the argument file of a CanvOS folder.

#![no_main]

use libfuzzer_sys::fuzz_target;

use edge_model::canvos::Arguments;
use edge_model::forge::Forge;

fuzz_target!(|text: &str| {
    drop(Forge::parse("forge.yaml", text));
    drop(Arguments::parse(".arg", text));
});
