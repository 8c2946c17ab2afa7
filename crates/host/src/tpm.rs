//! What the kernel shows of a TPM: whether there is one, and its registers.

use std::fmt::Write;
use std::fs;
use std::path::Path;

const TPM: &str = "/sys/class/tpm/tpm0";
const BANKS: [&str; 2] = ["pcr-sha256", "pcr-sha384"];
const REGISTERS: u32 = 24;

/// Version and registers, for people; `None` without a TPM.
pub fn describe() -> Option<String> {
    describe_in(Path::new(TPM))
}

fn describe_in(folder: &Path) -> Option<String> {
    let read = |path: String| fs::read_to_string(folder.join(path)).ok().map(|text| text.trim().to_owned());
    let mut text = format!("version {}\n", read("tpm_version_major".into())?);
    for bank in BANKS {
        for register in 0..REGISTERS {
            if let Some(value) = read(format!("{bank}/{register}")) {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{bank} {register:2} {value}");
            }
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_listed_in_order() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(describe_in(folder.path()), None);
        fs::write(folder.path().join("tpm_version_major"), "2\n").unwrap();
        fs::create_dir(folder.path().join("pcr-sha256")).unwrap();
        fs::write(folder.path().join("pcr-sha256/10"), "AB\n").unwrap();
        fs::write(folder.path().join("pcr-sha256/7"), "CD\n").unwrap();
        let text = describe_in(folder.path()).unwrap();
        assert_eq!(text, "version 2\npcr-sha256  7 CD\npcr-sha256 10 AB\n");
    }
}
