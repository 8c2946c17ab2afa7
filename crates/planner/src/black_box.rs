//! The ring of a host's last boots: a boot begins, the one before is settled, and an ending that is meant is written
//! down before it happens.

use edge_model::api::black_box::{BOOTS_KEPT, BlackBox, Boot, CONSOLE_LIMIT, Ending, SIZE_LIMIT, WallTime};

#[cfg(test)]
use edge_model::{
    cmdline::Mode,
    ids::{RootHash, Slot},
};

use crate::redaction::redact;

/// Stands at an ending that was meant, until it happens.
const ANNOUNCED: &str = "this ending was announced, and nobody saw it happen";

/// What is found at the beginning of a boot about the end of the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// What the kernel left behind when it crashed, oldest first.
    pub crashes: Vec<String>,
    /// The watchdog says that it has reset the machine.
    pub watchdog: bool,
}

impl Evidence {
    /// The line that names the last crash.
    pub fn crash(&self) -> Option<String> {
        let console = console_lines(&self.crashes);
        (!console.is_empty()).then(|| crash_reason(&console))
    }
}

/// The ring after a boot has begun, with what is known about the one before. A boot that has begun already is not
/// begun again.
#[must_use]
pub fn begin(ring: BlackBox, boot: Boot, evidence: &Evidence) -> BlackBox {
    let mut next = ring;
    if next.boots.iter().any(|known| known.id == boot.id) {
        return cap(next);
    }
    settle(&mut next, evidence);
    next.boots.push(boot);
    cap(next)
}

fn settle(ring: &mut BlackBox, evidence: &Evidence) {
    let console = console_lines(&evidence.crashes);
    let last = ring.boots.len().saturating_sub(1);
    for (at, boot) in ring.boots.iter_mut().enumerate() {
        if boot.ending == Ending::StillRunning {
            boot.ending = Ending::LostPowerOrReset;
            if at == last && !console.is_empty() {
                boot.ending = Ending::Crashed { reason: crash_reason(&console) };
            } else if at == last && evidence.watchdog {
                boot.doubts.push("the watchdog says that it has reset the machine".into());
            }
        } else if at == last && !console.is_empty() {
            boot.doubts.push(
                "the kernel crashed after this ending was written down: while the host went down, or in a boot that \
                 did not come as far as to be recorded"
                    .into(),
            );
        }
        if at == last {
            boot.console.clone_from(&console);
        }
    }
}

/// The ring with the ending that is meant for a boot.
#[must_use]
pub fn intend(ring: BlackBox, id: &str, ending: Ending) -> BlackBox {
    change(ring, id, |boot| {
        boot.ending = presentable(ending);
        boot.doubts.retain(|doubt| doubt != ANNOUNCED);
        boot.doubts.push(ANNOUNCED.into());
    })
}

/// The ring with the ending that happens to a boot now. The reason that was given when it was meant is kept.
#[must_use]
pub fn end(ring: BlackBox, id: &str, ending: Ending) -> BlackBox {
    change(ring, id, |boot| {
        let as_meant = std::mem::discriminant(&boot.ending) == std::mem::discriminant(&ending);
        if !as_meant {
            boot.ending = presentable(ending);
        }
        boot.doubts.retain(|doubt| doubt != ANNOUNCED);
    })
}

/// An ending whose reason is short and without secrets: it may hold what a command of the site has said.
fn presentable(mut ending: Ending) -> Ending {
    const LONGEST: usize = 500;
    match &mut ending {
        Ending::Restarted { reason } | Ending::SwitchedOff { reason } | Ending::Crashed { reason } => {
            *reason = redact(reason).chars().take(LONGEST).collect();
        }
        Ending::StillRunning | Ending::LostPowerOrReset | Ending::Unknown => {}
    }
    ending
}

fn change(mut ring: BlackBox, id: &str, change: impl FnOnce(&mut Boot)) -> BlackBox {
    if let Some(boot) = ring.boots.iter_mut().find(|boot| boot.id == id) {
        change(boot);
    }
    cap(ring)
}

/// The ring with a better time for the beginning of a boot: the clock has been set since.
#[must_use]
pub fn prove_beginning(ring: BlackBox, id: &str, at: u64) -> BlackBox {
    change(ring, id, |boot| boot.began = Some(WallTime { at, proven: true }))
}

/// When a boot began, by a clock that nobody has confirmed. A time before the image was made is not one.
pub fn beginning(now: u64, image_made: Option<u64>) -> Option<WallTime> {
    let earliest = image_made.unwrap_or(0).max(1);
    (now >= earliest).then_some(WallTime { at: now, proven: false })
}

/// How the service manager ends this boot, by its jobs: names of units, as `systemctl list-jobs` shows them.
/// `None` when it does not.
pub fn ending_of_jobs(jobs: &str) -> Option<Ending> {
    let reason = || "an orderly shutdown".to_owned();
    let ending_of = |unit: &str| match unit {
        "reboot.target" | "kexec.target" | "soft-reboot.target" => {
            Some(Ending::Restarted { reason: reason() })
        }
        "poweroff.target" | "halt.target" => Some(Ending::SwitchedOff { reason: reason() }),
        _ => None,
    };
    jobs.lines().find_map(|line| line.split_whitespace().find_map(ending_of))
}

/// The records that a kernel left, put into order: each begins with a line like `Panic#2 Part1`, and the first part
/// of a crash holds its last words.
pub fn order_records(mut records: Vec<String>) -> Vec<String> {
    let key = |record: &String| {
        let head = record.lines().next().unwrap_or_default();
        let number = |text: &str| -> u32 {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or(0)
        };
        let crash = head.split_once('#').map_or(0, |(_, rest)| number(rest));
        let part = head.split_once("Part").map_or(0, |(_, rest)| number(rest));
        (crash, std::cmp::Reverse(part))
    };
    records.sort_by_key(key);
    records
}

/// The last lines of the crashes, without secrets, within the limit.
fn console_lines(crashes: &[String]) -> Vec<String> {
    if crashes.is_empty() {
        return Vec::new();
    }
    let text = redact(&crashes.join("\n"));
    let printable = |line: &str| -> String {
        line.chars().filter(|letter| !letter.is_control() || *letter == '\t').collect()
    };
    let mut size = 0;
    let mut lines: Vec<String> = text
        .lines()
        .rev()
        .map(printable)
        .filter(|line| !line.trim().is_empty())
        .take_while(|line| {
            size += line.len() + 1;
            size <= CONSOLE_LIMIT
        })
        .collect();
    lines.reverse();
    lines
}

/// The line that names the crash, or the first there is.
fn crash_reason(console: &[String]) -> String {
    let names = ["Kernel panic", "Oops", "BUG:", "general protection fault", "watchdog:"];
    let named = names.iter().find_map(|name| console.iter().find(|line| line.contains(name)));
    let line = named.or_else(|| console.first()).map(String::as_str).unwrap_or_default();
    // `<0>[   12.345678] ` says nothing to people.
    let line = line.split_once("] ").filter(|(head, _)| head.contains('[')).map_or(line, |(_, text)| text);
    line.trim().chars().take(200).collect()
}

/// Within the limits: the oldest boots go, then the oldest last words.
fn cap(mut ring: BlackBox) -> BlackBox {
    let surplus = ring.boots.len().saturating_sub(BOOTS_KEPT);
    ring.boots.drain(..surplus);
    while size_of(&ring) > SIZE_LIMIT {
        let newest = ring.boots.len().saturating_sub(1);
        match ring.boots[..newest].iter_mut().find(|boot| !boot.console.is_empty()) {
            Some(boot) => {
                boot.console.clear();
                boot.doubts.push("its last words were removed to save space".into());
            }
            None if newest > 0 => {
                ring.boots.remove(0);
            }
            None => {
                ring.boots.clear();
            }
        }
    }
    ring
}

fn size_of(ring: &BlackBox) -> usize {
    serde_json::to_vec(ring).map_or(0, |bytes| bytes.len())
}

/// A boot that runs, for tests.
#[cfg(test)]
pub(crate) fn boot_of(id: &str, root_hash: RootHash, slot: Slot) -> Boot {
    Boot {
        id: id.into(),
        mode: Mode::Main,
        slot: Some(slot),
        version: "1.0.0".into(),
        root_hash,
        began: None,
        ending: Ending::StillRunning,
        console: Vec::new(),
        doubts: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boot(id: &str) -> Boot {
        boot_of(id, RootHash([1; 32]), Slot::A)
    }

    fn quiet() -> Evidence {
        Evidence::default()
    }

    fn crash() -> Evidence {
        let part = |number: u32, text: &str| format!("Panic#1 Part{number}\n{text}");
        let last = "<0>[    9.1] Kernel panic - not syncing: it broke\n<4>[ 9.2] token=hunter2";
        Evidence {
            crashes: order_records(vec![part(1, last), part(2, "<6>[    9.0] before")]),
            watchdog: false,
        }
    }

    #[test]
    fn an_ending_that_nobody_announced_is_a_lost_one() {
        let ring = begin(BlackBox::default(), boot("1"), &quiet());
        let ring = begin(ring, boot("2"), &quiet());
        assert_eq!(ring.boots[0].ending, Ending::LostPowerOrReset);
        assert_eq!(ring.boots[1].ending, Ending::StillRunning);
        let ring = begin(ring, boot("2"), &crash());
        assert_eq!(ring.boots.len(), 2, "a boot begins once");
        let ring = begin(ring, boot("3"), &Evidence { watchdog: true, ..quiet() });
        assert!(ring.boots[1].doubts[0].contains("watchdog"));
    }

    #[test]
    fn a_crash_keeps_its_last_words_in_order_and_without_secrets() {
        let ring = begin(begin(BlackBox::default(), boot("1"), &quiet()), boot("2"), &crash());
        let crashed = &ring.boots[0];
        let reason = "Kernel panic - not syncing: it broke".to_owned();
        assert_eq!(crashed.ending, Ending::Crashed { reason });
        assert_eq!(crashed.console[1], "<6>[    9.0] before");
        assert!(crashed.console.last().unwrap().ends_with("token=(hidden)"));
    }

    #[test]
    fn what_was_meant_is_kept_with_its_reason() {
        let meant = Ending::Restarted { reason: "upgrade to 2".into() };
        let ring = intend(begin(BlackBox::default(), boot("1"), &quiet()), "1", meant.clone());
        assert_eq!(ring.boots[0].doubts, [ANNOUNCED]);
        let ring = intend(ring, "1", meant.clone());
        assert_eq!(ring.boots[0].doubts, [ANNOUNCED]);
        let by_jobs = ending_of_jobs("12 reboot.target start waiting\n").unwrap();
        let ring = end(ring, "1", by_jobs);
        assert_eq!(ring.boots[0].ending, meant);
        let off = ending_of_jobs(" 4 poweroff.target start waiting").unwrap();
        assert!(matches!(end(ring.clone(), "1", off).boots[0].ending, Ending::SwitchedOff { .. }));
        let next = begin(ring, boot("2"), &crash());
        assert_eq!((&next.boots[0].ending, next.boots[0].doubts.len()), (&meant, 1));
        assert!(!next.boots[0].console.is_empty());
        assert_eq!(ending_of_jobs("No jobs running.\n"), None);
        assert_eq!(end(BlackBox::default(), "x", meant), BlackBox::default());
    }

    #[test]
    fn a_clock_before_the_image_says_nothing() {
        assert_eq!(beginning(5, Some(10)), None);
        assert_eq!(beginning(11, Some(10)), Some(WallTime { at: 11, proven: false }));
        assert_eq!(beginning(0, None), None);
        let ring = prove_beginning(begin(BlackBox::default(), boot("1"), &quiet()), "1", 12);
        assert_eq!(ring.boots[0].began, Some(WallTime { at: 12, proven: true }));
    }

    proptest! {
        // Each case is dozens of boots.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_ring_stays_within_its_limits_and_keeps_the_newest(
            crashes in proptest::collection::vec(("(?s).{0,30}\n", 0..400usize, any::<bool>()), 1..48),
        ) {
            let mut ring = BlackBox::default();
            for (at, (line, times, watchdog)) in crashes.into_iter().enumerate() {
                let evidence = Evidence { crashes: order_records(vec![line.repeat(times)]), watchdog };
                ring = begin(ring, boot(&at.to_string()), &evidence);
                prop_assert!(ring.boots.len() <= BOOTS_KEPT && size_of(&ring) <= SIZE_LIMIT);
                prop_assert_eq!(ring.boots.last().map(|boot| boot.id.clone()), Some(at.to_string()));
                let settled = &ring.boots[..ring.boots.len() - 1];
                prop_assert!(settled.iter().all(|boot| boot.ending != Ending::StillRunning));
                let sizes = ring.boots.iter().map(|boot| boot.console.iter().map(String::len).sum::<usize>());
                prop_assert!(sizes.max().unwrap_or(0) <= CONSOLE_LIMIT);
            }
        }

        #[test]
        fn crashes_in_any_order_do_not_panic(records in proptest::collection::vec("(?s)(Panic#[0-9]{0,12} Part[0-9]{0,12})?.{0,40}", 0..6)) {
            let ring = begin(BlackBox::default(), boot("1"), &quiet());
            let _ = begin(ring, boot("2"), &Evidence { crashes: order_records(records), watchdog: false });
        }

        #[test]
        fn no_list_of_jobs_panics(text in "(?s).{0,200}") {
            let _ = ending_of_jobs(&text);
        }
    }
}
