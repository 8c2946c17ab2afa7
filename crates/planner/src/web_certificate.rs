//! The certificate of the web page: when a host makes itself one, and for how long it holds.
//!
//! Browsers keep an exception for exactly one certificate, so it changes as rarely as possible. Its first day is the build of the
//! image: no tablet says "not yet valid" to a host without a clock. Apple's devices refuse more than 825 days
//! (<https://support.apple.com/en-us/103769>).

const SECONDS_A_DAY: u64 = 86_400;
const LIFE: u64 = 820 * SECONDS_A_DAY;
/// So long before its end another one is made.
const LEFT: u64 = 60 * SECONDS_A_DAY;

/// A certificate that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present<'a> {
    pub host_name: &'a str,
    pub host_id: &'a str,
    /// Seconds since 1970, as the end.
    pub not_before: u64,
    pub not_after: u64,
}

/// What decides about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    pub host_name: &'a str,
    pub host_id: &'a str,
    /// When the image was built, in seconds since 1970.
    pub built: u64,
    /// The clock, when a time server has set it.
    pub proven_now: Option<u64>,
}

/// A certificate that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    pub common_name: String,
    pub organization: String,
    pub host_id: String,
    pub names: Vec<String>,
    pub not_before: u64,
    pub not_after: u64,
}

/// What is to be made; `None` when the present one is to stay.
pub fn plan(present: Option<Present<'_>>, facts: &Facts<'_>) -> Option<Issue> {
    let ends_soon = |not_after: u64| facts.proven_now.is_some_and(|now| now + LEFT >= not_after);
    // A clock that was far ahead once has made one that does not hold yet.
    let is_to_come =
        |not_before: u64| not_before > facts.built && facts.proven_now.is_some_and(|now| now < not_before);
    let does = |present: Present<'_>| {
        present.host_name == facts.host_name
            && present.host_id == facts.host_id
            && !ends_soon(present.not_after)
            && !is_to_come(present.not_before)
    };
    if present.is_some_and(does) {
        return None;
    }
    let not_before = match facts.proven_now {
        Some(now) if ends_soon(facts.built + LIFE) => now - SECONDS_A_DAY,
        _ => facts.built,
    };
    let local = format!("{}.local", facts.host_name);
    let mut names: Vec<String> = Vec::new();
    for name in [facts.host_name, &local, facts.host_id] {
        let is_name = is_dns_name(name);
        if is_name && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Some(Issue {
        common_name: facts.host_name.to_owned(),
        // Firefox hangs where many certificates have one subject (cockpit#2455).
        organization: format!("Edge host {}", facts.host_id),
        host_id: facts.host_id.to_owned(),
        names,
        not_before,
        not_after: not_before + LIFE,
    })
}

fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT: u64 = 1_790_000_000;
    const FACTS: Facts<'_> =
        Facts { host_name: "till", host_id: "edge-4c4c4544", built: BUILT, proven_now: None };

    #[test]
    fn it_changes_as_rarely_as_possible() {
        let made = plan(None, &FACTS).unwrap();
        assert_eq!((made.not_before, made.not_after), (BUILT, BUILT + LIFE));
        assert_eq!(made.names, ["till", "till.local", "edge-4c4c4544"]);
        let present = Present {
            host_name: "till",
            host_id: "edge-4c4c4544",
            not_before: made.not_before,
            not_after: made.not_after,
        };
        let at = |days: u64| Facts { proven_now: Some(BUILT + days * SECONDS_A_DAY), ..FACTS };
        assert_eq!(plan(Some(present), &FACTS), None, "a clock that nobody has set says nothing");
        assert_eq!(plan(Some(present), &at(759)), None);
        let next = plan(Some(present), &at(761)).unwrap();
        assert_eq!(next.not_before, BUILT + 760 * SECONDS_A_DAY);
        assert!(plan(Some(present), &Facts { host_name: "desk", ..FACTS }).is_some(), "another name");
        assert!(plan(Some(present), &Facts { host_id: "edge-2", ..FACTS }).is_some(), "another machine");
        let of_2040 = Present { not_before: 2_208_988_800, not_after: 2_208_988_800 + LIFE, ..present };
        assert_eq!(plan(Some(of_2040), &at(10)).unwrap().not_before, BUILT, "the clock was far ahead once");
    }

    #[test]
    fn what_was_made_is_right_whatever_the_clock_says() {
        for now in [0, 1, BUILT - 1, BUILT, BUILT + LIFE, BUILT + 3 * LIFE] {
            let facts = Facts { proven_now: Some(now), ..FACTS };
            let made = plan(None, &facts).unwrap();
            let present = Present {
                host_name: "till",
                host_id: "edge-4c4c4544",
                not_before: made.not_before,
                not_after: made.not_after,
            };
            assert_eq!(plan(Some(present), &facts), None, "{now}: another one at every look");
        }
    }

    #[test]
    fn an_old_image_makes_one_that_holds() {
        let facts = Facts { proven_now: Some(BUILT + 3000 * SECONDS_A_DAY), ..FACTS };
        let made = plan(None, &facts).unwrap();
        assert!(made.not_before > BUILT && made.not_after > facts.proven_now.unwrap());
    }

    #[test]
    fn what_is_no_name_of_dns_is_not_in_it() {
        let facts = Facts { host_name: "till_1", host_id: "a b", ..FACTS };
        assert!(plan(None, &facts).unwrap().names.is_empty());
    }
}
