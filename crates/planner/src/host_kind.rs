//! What kind of host this is. It decides what belongs to a host; how its kernel was started is how that is found out.

use edge_model::cmdline::Mode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKind {
    /// The installed system.
    Appliance,
    /// Its recovery system.
    Recovery,
    /// The live system of a medium: it belongs to nobody, and keeps nothing.
    Installer,
}

impl HostKind {
    /// Of a host that our init has started.
    pub fn of(mode: Mode) -> Self {
        match mode {
            Mode::Main => Self::Appliance,
            Mode::Recovery => Self::Recovery,
            Mode::Live => Self::Installer,
        }
    }

    /// Whether there is a place where it remembers something; whether that can be used, only the host knows.
    pub fn has_memory(self) -> bool {
        self != Self::Installer
    }
}
