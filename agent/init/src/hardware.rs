//! Loading the modules of the initrd: some always, the drivers when their hardware is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use edge_host::watchdog::Watchdog;
use edge_host::{console, files, modules};
use edge_model::initrd::{Load, MODULE_DIRECTORY, MODULE_LIST, ModuleEntry};
use edge_model::{Context, Result};

/// Longest time from here to the service manager, which feeds the watchdog from then on.
const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Hardware {
    entries: Vec<ModuleEntry>,
    loaded: BTreeSet<String>,
}

impl Hardware {
    /// Loads what is always needed and what the hardware asks for so far.
    pub(crate) fn load() -> Result<Self> {
        let list = files::read(Path::new(MODULE_LIST), 4 << 20)?;
        let entries: Vec<ModuleEntry> =
            serde_json::from_slice(&list).context("the list of modules is damaged")?;
        let mut hardware = Self { entries, loaded: BTreeSet::new() };
        hardware.load_where(|load| *load == Load::Always);
        hardware.load_for_new_devices();
        Ok(hardware)
    }

    /// Loads drivers for devices that have appeared since.
    pub(crate) fn load_for_new_devices(&mut self) {
        let present = modules::hardware_aliases();
        self.load_where(|load| match load {
            Load::ForHardware(patterns) => patterns
                .iter()
                .any(|pattern| present.iter().any(|alias| modules::alias_matches(pattern, alias))),
            Load::Always | Load::AsNeeded | Load::WithoutWatchdog => false,
        });
    }

    /// Arms the hardware watchdog, or the kernel's own when the machine has none.
    pub(crate) fn arm_watchdog(&mut self) -> Option<Watchdog> {
        let armed = match Watchdog::arm(WATCHDOG_TIMEOUT) {
            Ok(None) => {
                self.load_where(|load| *load == Load::WithoutWatchdog);
                Watchdog::arm(WATCHDOG_TIMEOUT)
            }
            other => other,
        };
        armed.unwrap_or_else(|error| {
            console::say(&format!("edge: warning: no watchdog guards this boot: {error}"));
            None
        })
    }

    fn load_where(&mut self, wanted: impl Fn(&Load) -> bool) {
        let files: Vec<String> = self
            .entries
            .iter()
            .filter(|entry| wanted(&entry.load) && !self.loaded.contains(&entry.file))
            .map(|entry| entry.file.clone())
            .collect();
        for file in files {
            self.load_with_needs(&file);
        }
    }

    /// A driver that fails is reported and passed over: it may be one that this machine can do without.
    fn load_with_needs(&mut self, file: &str) {
        if !self.loaded.insert(file.to_owned()) {
            return;
        }
        let needs = self.entries.iter().find(|entry| entry.file == file).map(|entry| entry.needs.clone());
        for need in needs.unwrap_or_default() {
            self.load_with_needs(&need);
        }
        if let Err(error) = modules::load(&Path::new(MODULE_DIRECTORY).join(file)) {
            console::say(&format!("edge: warning: {error}"));
        }
    }
}
