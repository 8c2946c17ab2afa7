//! `/etc/hosts` with the name of this host in it, and everything that others have written there.

/// Where a host finds its own name (Debian's convention: 127.0.0.1 stays `localhost`).
const OWN: &str = "127.0.1.1";

/// The text with this host's name; lines of others stay.
pub fn with_own_name(text: &str, name: &str) -> String {
    let own = format!("{OWN} {name}");
    let mut lines: Vec<&str> = text.lines().collect();
    let is_of = |line: &&str, address: &str| line.split_whitespace().next() == Some(address);
    for (address, standard) in [("127.0.0.1", "127.0.0.1 localhost"), ("::1", "::1 localhost")] {
        if !lines.iter().any(|line| is_of(line, address)) {
            lines.insert(0, standard);
        }
    }
    match lines.iter().position(|line| is_of(line, OWN)) {
        Some(at) => lines[at] = &own,
        None => {
            let behind = lines.iter().position(|line| is_of(line, "127.0.0.1")).map_or(0, |at| at + 1);
            lines.insert(behind, &own);
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_others_stay() {
        assert_eq!(with_own_name("", "shop"), "::1 localhost\n127.0.0.1 localhost\n127.0.1.1 shop\n");
        let text = "127.0.0.1 localhost\n127.0.1.1 old\n::1 localhost\n# ours\n10.0.0.7 printer\n";
        let new = with_own_name(text, "shop");
        assert_eq!(new, text.replace("old", "shop"));
        assert_eq!(with_own_name(&new, "shop"), new);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(lines in proptest::collection::vec("10[.]0[.]0[.][0-9] [a-z]{1,8}", 0..6)) {
            let text = lines.join("\n");
            let new = with_own_name(&text, "shop");
            for line in &lines {
                prop_assert!(new.lines().any(|kept| kept == line));
            }
        }
    }
}
