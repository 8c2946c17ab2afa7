//! Why the next boot is what it is: one variable of the firmware, written by a boot that cannot go on and read by the next.

use crate::ids::Entry;

/// Firmware has little room, and some of it takes no more than this at once. Characters.
const LONGEST: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootReason {
    /// The image that could not go on; none when nothing has failed.
    pub failed: Option<Entry>,
    /// For people.
    pub text: String,
}

impl BootReason {
    /// The variable's text: `ENTRY: TEXT`, or only the text.
    pub fn to_text(&self) -> String {
        let short: String = self.text.chars().take(LONGEST).collect();
        match &self.failed {
            Some(entry) => format!("{entry}: {short}"),
            None => short,
        }
    }

    /// Also reads what older systems have written.
    pub fn parse(text: &str) -> Self {
        match text.split_once(".efi: ") {
            Some((name, reason)) if !name.contains(' ') => {
                Self { failed: Entry::named(&format!("{name}.efi")), text: reason.to_owned() }
            }
            _ => Self { failed: None, text: text.to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RootHash;

    #[test]
    fn a_reason_knows_of_which_image_it_speaks() {
        let reason = BootReason { failed: Some(RootHash([7; 32]).entry()), text: "no root".into() };
        assert_eq!(BootReason::parse(&reason.to_text()), reason);
        let old = BootReason { failed: None, text: "cannot read x.efi: damaged".into() };
        assert_eq!(BootReason::parse("cannot read x.efi: damaged"), old);
        let long = BootReason { failed: None, text: "ä".repeat(1000) };
        assert_eq!(long.to_text().chars().count(), LONGEST);
    }
}
