//! Words that no face says. They are public, so the compiler's own lint does not see them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const WORDS: &str = "crates/words/src";

/// Returns a violation for every public constant of the words that no other place of `texts` names.
pub(super) fn unsaid(texts: &[(PathBuf, String)]) -> Vec<String> {
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, text) in texts {
        for name in text.split(|letter: char| !letter.is_alphanumeric() && letter != '_') {
            *named.entry(name).or_default() += 1;
        }
    }
    let words = texts.iter().filter(|(path, _)| path.starts_with(WORDS));
    words
        .flat_map(|(path, text)| constants(text).map(move |name| (path, name)))
        .filter(|(_, name)| named.get(name) == Some(&1))
        .map(|(path, name)| violation(path, name))
        .collect()
}

fn constants(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next())
}

fn violation(path: &Path, name: &str) -> String {
    format!("{}: nothing says {name}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_nothing_says_is_found() {
        let texts = [
            (
                "crates/words/src/web.rs",
                "pub const HELP: &str = \"Help\";\npub const HELP_ME: &str = \"\";\n",
            ),
            ("local-ui/src/page.rs", "heading(web::HELP)"),
        ];
        let texts = texts.map(|(path, text)| (PathBuf::from(path), text.to_owned()));
        assert_eq!(unsaid(&texts), ["crates/words/src/web.rs: nothing says HELP_ME"]);
    }
}
