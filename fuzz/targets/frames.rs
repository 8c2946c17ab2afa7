//! Compressed frames of an image.

#![no_main]

use libfuzzer_sys::fuzz_target;

use edge_slot_image::frames::Decompressor;

fuzz_target!(|bytes: &[u8]| {
    let mut output = vec![0; 64 << 10];
    drop(Decompressor::new().unwrap().decompress(bytes, &mut output));
});
