//! What a registry or a stick says about an image, before anything of it is trusted.

#![no_main]

use libfuzzer_sys::fuzz_target;

use edge_slot_image::{oci, sealed, signing};

fuzz_target!(|bytes: &[u8]| {
    drop(signing::parse_manifest(bytes));
    drop(oci::Manifest::parse(bytes));
    drop(oci::Index::only_manifest(bytes));
    let _ = sealed::open(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(signing::TrustedKey::parse(text));
        drop(edge_registry::parse(text));
    }
});
