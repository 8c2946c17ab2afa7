//! The first bytes of a disk that somebody plugs in: partition table and installation record.

#![no_main]

use libfuzzer_sys::fuzz_target;

use std::io::Cursor;

use edge_host::gpt;
use edge_host::install_record::InstallRecord;
use edge_model::layout::{GIB, MIB};

fuzz_target!(|bytes: &[u8]| {
    let mut disk = bytes.to_vec();
    disk.resize(MIB as usize, 0);
    drop(gpt::read(&mut Cursor::new(&mut disk)));
    let _ = gpt::both_copies_are_whole(&mut Cursor::new(&mut disk), 512);
    drop(InstallRecord::read(&mut Cursor::new(&mut disk)));
    drop(gpt::grow_last_partition(&mut Cursor::new(&mut disk), GIB, 512));
});
