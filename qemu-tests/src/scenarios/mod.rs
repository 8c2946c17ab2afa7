//! The scenarios, by what they prove.

mod bad_images;
mod configuration;
mod installation;
mod power_cuts;
mod refusals;
mod reproducibility;
mod upgrades;

use edge_model::{Error, Result};
use qemu_tests::bench_ground::Ground;

/// One story with an end.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Ground) -> Result<()>,
    /// Not part of `make test`.
    pub(crate) long: bool,
}

const fn short(name: &'static str, run: fn(&Ground) -> Result<()>) -> Scenario {
    Scenario { name, run, long: false }
}

const fn long(name: &'static str, run: fn(&Ground) -> Result<()>) -> Scenario {
    Scenario { name, run, long: true }
}

/// Runs first; the host that it installs is where most others start.
pub(crate) const BASE: Scenario = short("install-and-run", installation::install_and_run);

/// Longest first, so that two machines finish at about the same time.
pub(crate) const ALL: &[Scenario] = &[
    short("bad-images-that-hang", bad_images::that_hang),
    short("bad-images-that-fail", bad_images::that_fail),
    short("upgrade-there-and-back", upgrades::there_and_back),
    short("site-from-a-stick", configuration::site_from_a_stick),
    short("network-change-comes-back", configuration::network_change_comes_back),
    short("stages-run-in-order", configuration::stages_run_in_order),
    short("power-cuts-in-early-boot", configuration::power_cuts_in_early_boot),
    short("wrong-answers-stop", configuration::wrong_answers_stop),
    short("damage-after-upgrade", bad_images::damaged_on_disk),
    short("power-cuts-during-upgrade", power_cuts::during_upgrade),
    short("power-cuts-during-installation", power_cuts::during_installation),
    short("refusals-and-broken-downloads", refusals::refusals_and_broken_downloads),
    short("medium-left-in-the-drive", installation::medium_left_in_the_drive),
    short("recovery-says-why", installation::recovery_says_why),
    short("nvme-from-usb-stick", installation::nvme_from_usb_stick),
    short("second-disk-is-left-alone", installation::second_disk_is_left_alone),
    short("disk-too-small", installation::disk_too_small),
    short("raw-disk-grows", installation::raw_disk_grows),
    short("builds-are-reproducible", reproducibility::two_builds_are_equal),
    long("many-power-cuts-during-upgrade", power_cuts::many_during_upgrade),
];

/// Fails a scenario unless something holds.
fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::integrity(what())) }
}
