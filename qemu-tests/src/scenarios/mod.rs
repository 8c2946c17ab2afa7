//! The scenarios, by what they prove.

mod api_contract;
mod bad_images;
mod bases;
mod by_hand;
mod canvos;
mod cluster;
mod configuration;
mod content;
mod documentation;
mod installation;
mod netboot;
mod outputs;
mod power_cuts;
mod refusals;
mod reproducibility;
mod upgrades;
mod ways_back;
mod web_page;
mod yip;

use edge_model::{Error, Result};
use qemu_tests::bench_ground::{Ground, KUBERNETES, KUBERNETES_BEFORE, OLDER_BUILDER, SharedImage};
use qemu_tests::namespaces;

/// One story with an end.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Ground) -> Result<()>,
    /// Not part of `make test`.
    pub(crate) long: bool,
    /// Starts machines, or from the base host: it has to wait until the base stands.
    pub(crate) needs_base: bool,
    /// Runs hosts in namespaces of this machine.
    pub(crate) needs_namespaces: bool,
    /// A variable without which there is nothing to run it with.
    pub(crate) needs_variable: Option<&'static str>,
    /// An image that it shares with others; it goes with the last of them.
    pub(crate) image: Option<SharedImage>,
}

impl Scenario {
    const fn of(self, image: SharedImage) -> Self {
        Self { image: Some(image), ..self }
    }

    /// Why it cannot run here, if it cannot: what did not run has not passed.
    pub(crate) fn missing(&self) -> Option<String> {
        let unset = |name: &&str| std::env::var(name).map_or(true, |value| value.is_empty());
        let variable = self.needs_variable.filter(unset).map(|name| format!("{name} is not set"));
        variable.or_else(|| self.needs_namespaces.then(namespaces::missing)?)
    }
}

const fn short(name: &'static str, run: fn(&Ground) -> Result<()>) -> Scenario {
    Scenario {
        name,
        run,
        long: false,
        needs_base: true,
        needs_namespaces: false,
        needs_variable: None,
        image: None,
    }
}

/// About the builder alone: runs beside the installation of the base host.
const fn without_machine(name: &'static str, run: fn(&Ground) -> Result<()>) -> Scenario {
    Scenario {
        name,
        run,
        long: false,
        needs_base: false,
        needs_namespaces: false,
        needs_variable: None,
        image: None,
    }
}

const fn long(name: &'static str, run: fn(&Ground) -> Result<()>) -> Scenario {
    Scenario {
        name,
        run,
        long: true,
        needs_base: true,
        needs_namespaces: false,
        needs_variable: None,
        image: None,
    }
}

/// With something that only some have.
const fn long_with(name: &'static str, run: fn(&Ground) -> Result<()>, variable: &'static str) -> Scenario {
    Scenario {
        name,
        run,
        long: true,
        needs_base: true,
        needs_namespaces: false,
        needs_variable: Some(variable),
        image: None,
    }
}

/// With Kubernetes, in a machine of its own.
const fn with_kubernetes(name: &'static str, run: fn(&Ground) -> Result<()>, long: bool) -> Scenario {
    let needs_variable = Some(KUBERNETES);
    Scenario {
        name,
        run,
        long,
        needs_base: false,
        needs_namespaces: false,
        needs_variable,
        image: Some(SharedImage::WithCluster),
    }
}

/// With Kubernetes, in namespaces: no machine is needed.
const fn in_namespaces(name: &'static str, run: fn(&Ground) -> Result<()>, long: bool) -> Scenario {
    Scenario { needs_namespaces: true, ..with_kubernetes(name, run, long) }
}

/// Runs first; the host that it installs is where most others start.
pub(crate) const BASE: Scenario = short("install-and-run", installation::install_and_run);

/// What matters most first, because a slow machine skips the last ones; the short ones last, so that two machines finish at about
/// the same time. What needs no installed host runs beside its installation.
pub(crate) const ALL: &[Scenario] = &[
    in_namespaces("cluster-in-namespaces", cluster::in_namespaces, false),
    in_namespaces("cluster-cut-after-every-step", cluster::cut_after_every_step, false),
    in_namespaces("content-without-a-network", content::without_a_network, false),
    in_namespaces("cluster-says-why-not", cluster::says_why_not, false),
    without_machine("outputs-hold-against-other-tools", outputs::hold_against_other_tools)
        .of(SharedImage::EveryEnvelope),
    without_machine("builds-are-reproducible", reproducibility::two_builds_are_equal)
        .of(SharedImage::EveryEnvelope),
    without_machine("docs-run-with-the-builder", documentation::commands_of_the_builder),
    short("site-from-a-stick", configuration::site_from_a_stick),
    short("by-hand-at-the-console", by_hand::by_hand),
    short("upgrade-there-and-back", upgrades::there_and_back),
    short("bad-images-that-fail-their-check", bad_images::that_fail_their_check),
    short("power-cuts-during-upgrade", power_cuts::during_upgrade),
    short("power-cuts-in-early-boot", configuration::power_cuts_in_early_boot),
    short("network-change-comes-back", configuration::network_change_comes_back),
    short("stages-run-in-order", configuration::stages_run_in_order),
    short("web-page", web_page::web_page),
    short("bad-images-that-hang", bad_images::that_hang),
    short("recovery-says-why", installation::recovery_says_why),
    short("docs-run-on-a-host", documentation::commands_of_a_host),
    short("wrong-answers-stop", configuration::wrong_answers_stop),
    short("damage-after-upgrade", bad_images::damaged_on_disk),
    short("api-contract", api_contract::api_contract),
    long("another-site-by-a-stick", configuration::another_site_by_a_stick),
    long("hostile-documents", configuration::hostile_documents),
    long("reset-and-repair", ways_back::reset_and_repair),
    long("refusals-and-broken-downloads", refusals::refusals_and_broken_downloads),
    long("bad-images-that-fail-in-early-boot", bad_images::that_fail_in_early_boot),
    long("ways-back-when-loading-fails", ways_back::when_loading_fails),
    long("many-power-cuts-during-installation", power_cuts::many_during_installation),
    long("second-disk-is-left-alone", installation::second_disk_is_left_alone),
    long("raw-disk-grows", installation::raw_disk_grows),
    long("disk-too-small", installation::disk_too_small),
    Scenario { long: true, ..without_machine("image-from-a-registry", bases::image_from_a_registry) }
        .of(SharedImage::EveryEnvelope),
    with_kubernetes("cluster-in-a-machine", cluster::in_a_machine, true),
    in_namespaces("cluster-cut-after-each-step", cluster::cut_after_each_step, true),
    Scenario {
        needs_variable: Some(KUBERNETES_BEFORE),
        ..in_namespaces("cluster-minor-there-and-back", cluster::minor_there_and_back, true)
    },
    in_namespaces("cluster-many-unclean-restarts", cluster::many_unclean_restarts, true),
    long("bad-images-before-user-space", bad_images::before_user_space),
    long("by-hand-upgrade-and-recovery", by_hand::upgrade_and_recovery),
    long("slow-trial-is-kept", upgrades::slow_and_kept),
    long("kairos-base-runs", bases::kairos_base_runs).of(SharedImage::EveryEnvelope),
    long_with("from-an-older-agent-and-back", upgrades::from_an_older_agent, OLDER_BUILDER),
    long_with("real-kairos-base-runs", bases::real_kairos_base_runs, bases::REAL_IMAGE),
    long("boots-over-http", netboot::boots_over_http),
    long("large-content-on-the-medium", outputs::large_content),
    long("damage-that-nobody-reads", bad_images::damaged_and_not_read),
    long("damage-that-init-finds", bad_images::damaged_for_init),
    long("many-power-cuts-during-upgrade", power_cuts::many_during_upgrade),
];

/// Fails a scenario unless something holds.
fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::integrity(what())) }
}
