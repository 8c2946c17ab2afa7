//! Puts the hash tree behind an image, in one pass, and prints the root hash: what `make bench` measures beside
//! `veritysetup format`.
//!
//! `cargo run --release --package xtask --example hash_tree -- root.img`

use std::fs::OpenOptions;
use std::io::{Read, Write};

use edge_model::{Context, Error, Result};
use edge_slot_image::verity::TreeBuilder;

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).ok_or_else(|| Error::invalid("give the path of an image"))?;
    let mut file = OpenOptions::new().read(true).write(true).open(path).context("cannot open the image")?;
    let mut builder = TreeBuilder::default();
    let mut piece = vec![0; 1 << 20];
    loop {
        let mut filled = 0;
        while filled < piece.len() {
            match file.read(&mut piece[filled..]).context("cannot read the image")? {
                0 => break,
                length => filled += length,
            }
        }
        builder.push(&piece[..filled])?;
        if filled < piece.len() {
            break;
        }
    }
    let (root, tree) = builder.finish([0; 16])?;
    file.write_all(&tree).context("cannot write the tree")?;
    println!("{root}");
    Ok(())
}
