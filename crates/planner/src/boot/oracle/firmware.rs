//! Firmware and systemd-boot: from power-on to the kernel that is started.
//!
//! <https://www.freedesktop.org/software/systemd/man/latest/systemd-boot.html>, UEFI Specification 2.10, section 3.1.

use std::collections::BTreeMap;

use edge_model::ids::{Entry, RootHash};

use super::super::ladder::Way;
use super::super::recovery::Counters;

/// What the firmware does differently from what it should.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Quirks {
    pub(super) ignores_boot_next: bool,
    /// Its memory is full: no variable can be made or changed, only removed.
    pub(super) refuses_writes: bool,
    /// Every variable is gone at power-on.
    pub(super) forgets: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Variables {
    pub(super) default: Option<Entry>,
    pub(super) one_shot: Option<Entry>,
    pub(super) fallback: Option<Entry>,
    pub(super) counters: Counters,
    pub(super) boot_next_recovery: bool,
    /// Of which image, and why.
    pub(super) reason: Option<(Entry, String)>,
}

/// A file that the firmware is to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uki {
    Main(RootHash),
    Recovery,
    /// The firmware refuses it.
    Unstartable,
    /// Its kernel starts, and dies before our init.
    Rotten,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Esp {
    pub(super) unreadable: bool,
    /// Loaders that can be started, in the order of the firmware's entries.
    pub(super) loaders: u8,
    pub(super) ukis: BTreeMap<Entry, Uki>,
    pub(super) configured: Option<Entry>,
}

#[derive(Debug, Clone)]
pub(super) struct Firmware {
    pub(super) quirks: Quirks,
    pub(super) variables: Variables,
    pub(super) main: Esp,
    pub(super) recovery: Esp,
    /// The firmware's entry that starts the previous image without a loader.
    pub(super) direct: Option<Entry>,
}

impl Firmware {
    /// Sets variables; tells whether the firmware took it.
    pub(super) fn set(&mut self, change: impl FnOnce(&mut Variables)) -> bool {
        if !self.quirks.refuses_writes {
            change(&mut self.variables);
        }
        !self.quirks.refuses_writes
    }

    pub(super) fn ask_for_recovery(&mut self, way: Way) -> bool {
        self.set(|variables| match way {
            Way::Firmware => variables.boot_next_recovery = true,
            Way::Loader => variables.one_shot = Some(Entry::recovery_beside()),
        })
    }

    /// The kernel that is started; `None` when the firmware has nothing more to try, and stops.
    pub(super) fn power_on(&mut self) -> Option<Uki> {
        if self.quirks.forgets {
            self.variables = Variables::default();
        }
        let first = std::mem::take(&mut self.variables.boot_next_recovery) && !self.quirks.ignores_boot_next;
        if first && let Some(uki) = self.load(false) {
            return Some(uki);
        }
        for _ in 0..self.main.loaders {
            if let Some(uki) = self.load(true) {
                return Some(uki);
            }
        }
        if let Some(uki) = self.start_directly() {
            return Some(uki);
        }
        self.load(false)
    }

    fn start_directly(&self) -> Option<Uki> {
        let known = !self.main.unreadable && !self.quirks.forgets;
        let uki = self.main.ukis.get(self.direct.as_ref().filter(|_| known)?)?;
        (*uki != Uki::Unstartable).then_some(*uki)
    }

    /// One loader: it starts one entry, or ends with an error.
    fn load(&mut self, main: bool) -> Option<Uki> {
        let esp = if main { &self.main } else { &self.recovery };
        if esp.unreadable || esp.loaders == 0 {
            return None;
        }
        let asked = [
            // Removed before it is started, also when it does not exist.
            self.variables.one_shot.take(),
            self.variables.default.clone(),
            esp.configured.clone(),
        ];
        let named = asked.into_iter().flatten().find_map(|entry| esp.ukis.get(&entry));
        // Of one version, the one with the highest name.
        let chosen = named.or_else(|| esp.ukis.values().next_back())?;
        (*chosen != Uki::Unstartable).then_some(*chosen)
    }
}
