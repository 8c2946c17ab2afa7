//! Checksums in the form of sha256sum.

use std::fs;
use std::path::Path;

use edge_model::ids::to_hex;
use edge_model::{Context, Result};

/// What is often passed on alone has a checksum of its own beside it, too.
const PASSED_ON_ALONE: [&str; 6] = [".iso", ".raw.zst", ".qcow2", ".vmdk", ".oci.tar", ".container.tar"];

/// Writes SHA256SUMS for the files of a folder, and `.sha256` files for the large ones. The raw disk is left out: it
/// is mostly holes, and it is checked by its hash tree when it boots.
///
/// # Errors
/// When a file cannot be read or written.
pub(super) fn write(folder: &Path) -> Result<()> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).context("cannot list the output")? {
        let path = entry.context("cannot list the output")?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_file() && !name.ends_with(".raw") {
            let (digest, _) = edge_host::files::digest(&path)?;
            lines.push((name.clone(), format!("{}  {name}\n", to_hex(&digest.0))));
        }
    }
    lines.sort();
    for (name, line) in &lines {
        if PASSED_ON_ALONE.iter().any(|suffix| name.ends_with(suffix)) {
            let path = folder.join(format!("{name}.sha256"));
            fs::write(&path, line).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    let all: String = lines.into_iter().map(|(_, line)| line).collect();
    fs::write(folder.join("SHA256SUMS"), all).context("cannot write SHA256SUMS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_raw_disk_is_listed_and_large_files_have_their_own() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.iso", "a.raw", "manifest.json"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        write(folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let all = read("SHA256SUMS");
        assert!(all.starts_with(&read("b.iso.sha256")), "{all}");
        assert!(all.ends_with("  manifest.json\n") && !all.contains("a.raw"), "{all}");
        assert!(!folder.path().join("manifest.json.sha256").exists());
    }
}
