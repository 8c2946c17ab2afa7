//! Keyboard layouts for the console: Debian's tables, in the form that a host gives its kernel.

use std::fs;
use std::path::Path;

use edge_host::sandbox::Sandbox;
use edge_model::keyboard::LAYOUTS;
use edge_model::{Context, Result, paths};

use crate::tree::{Content, Tree};

/// Of the package console-data in the tools tree.
const TABLES: &str = "/usr/share/keymaps/i386";
const SUFFIX: &str = ".bkeymap";

/// What names the result, beside the tools.
pub(crate) fn list() -> Vec<u8> {
    LAYOUTS.iter().flat_map(|layout| format!("{} {}\n", layout.name, layout.source).into_bytes()).collect()
}

/// Writes a table for each layout into a new folder.
///
/// # Errors
/// When a layout cannot be read.
pub(crate) fn build(tools: &Sandbox, output: &Path) -> Result<()> {
    fs::create_dir_all(output).context("cannot create a folder")?;
    for layout in &LAYOUTS {
        // Characters beyond ASCII as Unicode, which is what the console speaks.
        let table = edge_host::child::Child::new("loadkeys")
            .args(["--quiet", "--unicode", "--bkeymap"])
            .arg(format!("{TABLES}/{}.kmap.gz", layout.source))
            .inside(tools)?
            .run()
            .with_context(|| format!("the keyboard layout {} cannot be made", layout.name))?;
        edge_host::keyboard::Keymap::parse(&table)?;
        fs::write(output.join(format!("{}{SUFFIX}", layout.name)), table)
            .context("cannot write a table of keys")?;
    }
    Ok(())
}

/// Paths of the tables in the root.
pub(crate) fn paths() -> impl Iterator<Item = (String, &'static str)> {
    LAYOUTS
        .iter()
        .map(|layout| (format!("{}/{}{SUFFIX}", &paths::IMAGE_KEYMAPS[1..], layout.name), layout.name))
}

/// Puts the tables into the root.
pub(crate) fn place(tree: &mut Tree, made: &Path) {
    for (path, name) in paths() {
        tree.put(&path, 0o644, Content::File(made.join(format!("{name}{SUFFIX}"))));
    }
}
