//! Licences as SPDX writes them.
//!
//! <https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/>

use std::collections::BTreeMap;

use edge_model::{Context, Result, paths};
use serde::{Deserialize, Serialize};

use crate::tree::Tree;

/// Of the file in an image.
const LIMIT: u64 = 64 << 20;

/// What a package says about its licence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Licence {
    /// An SPDX expression.
    pub(crate) expression: String,
    /// The texts of licences that are not on SPDX' list, by the names that the expression uses.
    pub(crate) texts: BTreeMap<String, String>,
}

/// Licences by name of package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Licences(BTreeMap<String, Licence>);

impl Licences {
    /// What an image of ours says about its packages; a damaged file says nothing.
    pub(super) fn written_down(tree: &Tree) -> Self {
        let text = tree.text(&paths::IMAGE_LICENCES[1..], LIMIT).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Into an image, which drops the packages' documentation.
    ///
    /// # Errors
    /// When they cannot be written as JSON.
    pub(crate) fn write_down(&self, tree: &mut Tree) -> Result<()> {
        let text = serde_json::to_vec(self).context("cannot write the licences")?;
        tree.put_file(&paths::IMAGE_LICENCES[1..], 0o644, text);
        Ok(())
    }

    /// Others that count more.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn add(&mut self, package: &str, licence: Option<Licence>) {
        if let Some(licence) = licence {
            self.0.insert(package.to_owned(), licence);
        }
    }

    /// `None` when the package does not say it in a form that a program can read.
    pub(crate) fn of(&self, package: &str) -> Option<&Licence> {
        self.0.get(package)
    }
}

/// Debian's names and SPDX' names, where they differ.
const NAMES: [(&str, &str); 27] = [
    ("gpl", "GPL-1.0-or-later"),
    ("gpl-1", "GPL-1.0-only"),
    ("gpl-1+", "GPL-1.0-or-later"),
    ("gpl-2", "GPL-2.0-only"),
    ("gpl-2+", "GPL-2.0-or-later"),
    ("gpl-3", "GPL-3.0-only"),
    ("gpl-3+", "GPL-3.0-or-later"),
    ("lgpl-2", "LGPL-2.0-only"),
    ("lgpl-2+", "LGPL-2.0-or-later"),
    ("lgpl-2.0+", "LGPL-2.0-or-later"),
    ("lgpl-2.1", "LGPL-2.1-only"),
    ("lgpl-2.1+", "LGPL-2.1-or-later"),
    ("lgpl-3", "LGPL-3.0-only"),
    ("lgpl-3+", "LGPL-3.0-or-later"),
    ("agpl-3", "AGPL-3.0-only"),
    ("agpl-3+", "AGPL-3.0-or-later"),
    ("expat", "MIT"),
    ("mit", "MIT"),
    ("apache-2", "Apache-2.0"),
    ("artistic", "Artistic-1.0-Perl"),
    ("artistic-2", "Artistic-2.0"),
    ("mpl-1.1", "MPL-1.1"),
    ("mpl-2", "MPL-2.0"),
    ("gfdl-1.3+", "GFDL-1.3-or-later"),
    ("cc0", "CC0-1.0"),
    ("psf-2", "PSF-2.0"),
    ("zlib/libpng", "Zlib"),
];

/// SPDX identifiers that Debian uses as they are, apart from upper and lower case.
const SAME: &[&str] = &[
    "0BSD",
    "AFL-2.1",
    "Apache-2.0",
    "Artistic-2.0",
    "Beerware",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-4-Clause",
    "BSD-4-Clause-UC",
    "BSL-1.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "CDDL-1.0",
    "curl",
    "FSFAP",
    "FSFUL",
    "FSFULLR",
    "GPL-1.0-only",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "ISC",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "MIT-0",
    "MPL-2.0",
    "MS-PL",
    "NTP",
    "OFL-1.1",
    "OpenSSL",
    "Python-2.0",
    "Sleepycat",
    "Spencer-86",
    "TCL",
    "Unicode-DFS-2016",
    "X11",
    "Zlib",
];

/// SPDX' identifier of a licence that Debian calls `name`, or a reference of our own.
pub(super) fn identifier(name: &str) -> String {
    let plain = name.to_ascii_lowercase();
    // `GPL-2.0` and `GPL-2` are the same licence.
    let short = plain.strip_suffix(".0").map(str::to_owned).unwrap_or_else(|| plain.replace(".0+", "+"));
    let listed = |wanted: &str| NAMES.iter().find(|(debian, _)| *debian == wanted).map(|(_, spdx)| *spdx);
    if let Some(spdx) = listed(&plain).or_else(|| listed(&short)) {
        return spdx.to_owned();
    }
    if let Some(spdx) = SAME.iter().find(|spdx| spdx.to_ascii_lowercase() == plain) {
        return (*spdx).to_owned();
    }
    let word: String = name
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' })
        .collect();
    let word = word.trim_matches('-');
    format!("LicenseRef-{}", if word.is_empty() { "unnamed" } else { word })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_debian_become_names_of_spdx() {
        for (debian, spdx) in [
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-2.0+", "GPL-2.0-or-later"),
            ("LGPL-2.1", "LGPL-2.1-only"),
            ("GPL-3.0", "GPL-3.0-only"),
            ("BSD-3-clause", "BSD-3-Clause"),
            ("zlib", "Zlib"),
            ("Expat", "MIT"),
            ("public domain!", "LicenseRef-public-domain"),
            ("§", "LicenseRef-unnamed"),
        ] {
            assert_eq!(identifier(debian), spdx);
        }
    }
}
