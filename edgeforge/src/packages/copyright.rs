//! Machine-readable copyright files of Debian packages.
//!
//! <https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>

use std::collections::{BTreeMap, BTreeSet};

use super::licence::{Licence, identifier};

/// Longest text of a licence that is kept, in bytes.
const LONGEST_TEXT: usize = 64 << 10;
/// More parts than a package has; a longer expression helps nobody.
const MOST_PARTS: usize = 60;

/// What a copyright file says; `None` when it is not in the machine-readable form.
pub(super) fn licence(text: &str) -> Option<Licence> {
    let paragraphs: Vec<Vec<(String, String)>> = paragraphs(text);
    let (key, format) = paragraphs.first()?.first()?;
    if !key.eq_ignore_ascii_case("format") || !format.contains("copyright-format") {
        return None;
    }
    let mut expressions = BTreeSet::new();
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for paragraph in &paragraphs {
        let Some((_, value)) = paragraph.iter().find(|(key, _)| key.eq_ignore_ascii_case("license")) else {
            continue;
        };
        let (name, body) = value.split_once('\n').unwrap_or((value, ""));
        let name = name.trim();
        if name.is_empty() {
            continue;
        }
        let has_files = paragraph.iter().any(|(key, _)| key.eq_ignore_ascii_case("files"));
        if has_files {
            expressions.insert(expression(name));
        }
        if !body.trim().is_empty() && is_reference(&expression(name)) {
            texts.entry(expression(name)).or_insert_with(|| shortened(body));
        }
    }
    if expressions.is_empty() {
        let header = paragraphs.first()?.iter().find(|(key, _)| key.eq_ignore_ascii_case("license"))?;
        expressions.insert(expression(header.1.lines().next()?.trim()));
    }
    let whole = joined(&expressions);
    for reference in references(&whole) {
        texts.entry(reference.clone()).or_insert_with(|| {
            format!("The package calls this licence {reference:?} and does not repeat its text.")
        });
    }
    texts.retain(|reference, _| references(&whole).contains(reference));
    Some(Licence { expression: whole, texts })
}

fn is_reference(expression: &str) -> bool {
    expression.starts_with("LicenseRef-") && !expression.contains(' ')
}

/// Names in an expression that are not on SPDX' list.
pub(super) fn references(expression: &str) -> BTreeSet<String> {
    let words = expression.split([' ', '(', ')']);
    words.filter(|word| word.starts_with("LicenseRef-")).map(str::to_owned).collect()
}

fn joined(expressions: &BTreeSet<String>) -> String {
    let part = |expression: &String| {
        if expressions.len() > 1 && expression.contains(" OR ") {
            format!("({expression})")
        } else {
            expression.clone()
        }
    };
    let parts: BTreeSet<String> = expressions.iter().take(MOST_PARTS).map(part).collect();
    parts.into_iter().collect::<Vec<_>>().join(" AND ")
}

fn shortened(body: &str) -> String {
    let lines = body.lines().map(|line| if line.trim() == "." { "" } else { line.trim() });
    let mut text = lines.collect::<Vec<_>>().join("\n");
    if text.len() > LONGEST_TEXT {
        let end = (0..=LONGEST_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text.trim().to_owned()
}

/// Debian's expression in SPDX' words. A comma binds weaker than `and` and `or`.
fn expression(text: &str) -> String {
    for (separator, operator) in [(", or ", "OR"), (", and ", "AND")] {
        if let Some((one, other)) = text.split_once(separator) {
            return combined(&[expression(one), expression(other)], operator);
        }
    }
    for (separator, operator) in [(" or ", "OR"), (" and ", "AND")] {
        if text.contains(separator) && !text.contains(" with ") {
            let parts: Vec<String> = text.split(separator).map(expression).collect();
            return combined(&parts, operator);
        }
    }
    // A licence with an exception has a name of its own, because SPDX knows only some exceptions.
    identifier(text.trim().trim_end_matches(','))
}

fn combined(parts: &[String], operator: &str) -> String {
    let part = |part: &String| {
        let mixed = [" AND ", " OR "].iter().any(|other| part.contains(other) && other.trim() != operator);
        if mixed { format!("({part})") } else { part.clone() }
    };
    parts.iter().map(part).collect::<Vec<_>>().join(&format!(" {operator} "))
}

/// Paragraphs of fields, with the lines of each value.
fn paragraphs(text: &str) -> Vec<Vec<(String, String)>> {
    let mut all = vec![Vec::<(String, String)>::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            all.push(Vec::new());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = all.last_mut().and_then(|paragraph| paragraph.last_mut()) {
                value.push('\n');
                value.push_str(line);
            }
        } else if let (Some(paragraph), Some((key, value))) = (all.last_mut(), line.split_once(':')) {
            paragraph.push((key.to_owned(), value.trim().to_owned()));
        }
    }
    all.retain(|paragraph| !paragraph.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n";

    #[test]
    fn all_licences_of_the_files_count() {
        let text = format!(
            "{HEAD}Files: *\nCopyright: 2020 A\nLicense: GPL-2+ or Expat\n\nFiles: debian/*\nLicense: odd one\n One.\n .\n Two.\n\n\
             License: Expat\n Permission is granted.\n"
        );
        let licence = licence(&text).unwrap();
        assert_eq!(licence.expression, "(GPL-2.0-or-later OR MIT) AND LicenseRef-odd-one");
        assert_eq!(licence.texts["LicenseRef-odd-one"], "One.\n\nTwo.");
        assert_eq!(licence.texts.len(), 1);
    }

    #[test]
    fn operators_bind_as_in_debian() {
        assert_eq!(expression("GPL-2 and BSD-3-clause or ISC"), "(GPL-2.0-only AND BSD-3-Clause) OR ISC");
        assert_eq!(expression("GPL-2 or ISC, and Expat"), "(GPL-2.0-only OR ISC) AND MIT");
        assert_eq!(expression("GPL-2+ with OpenSSL exception"), "LicenseRef-GPL-2--with-OpenSSL-exception");
        assert!(licence("This package was debianized by hand.\nLicense: GPL").is_none());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n§]{0,400}") {
            if let Some(licence) = licence(&format!("{HEAD}{text}")) {
                prop_assert!(references(&licence.expression).iter().all(|name| licence.texts.contains_key(name)));
            }
        }

        #[test]
        fn every_name_becomes_an_expression(name in "[A-Za-z0-9+., -]{1,60}") {
            let found = expression(&name);
            prop_assert!(found.split([' ', '(', ')']).all(|word| !word.contains('+') && !word.contains(',')), "{found}");
        }
    }
}
