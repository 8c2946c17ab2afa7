//! The screen *System*, and an upgrade that is begun there.

use edge_model::Error;
use edge_model::api::{BootState, OperationKind, Possibility};

use super::{in_menu, scene, typed};
use crate::agent::{failed, recorded};
use crate::driver::Console;

pub(super) fn screens() -> Vec<(&'static str, Console)> {
    vec![
        ("system", in_menu(6)),
        ("system-stick", typed(in_menu(6), "<right><right>")),
        ("system-without-address", typed(in_menu(6), "<tab><tab><tab><tab><tab><tab><enter>")),
        (
            "system-on-trial",
            scene(in_menu(6), |console| {
                console.status(|status| {
                    status.boot_state = BootState::Trial;
                    status.trial_seconds_left = Some(432);
                    status.possible = vec![Possibility::Commit, Possibility::Rollback];
                });
                console.keys("<tab>");
            }),
        ),
        (
            "system-stands-in",
            scene(in_menu(6), |console| {
                console.status(|status| {
                    status.boot_state = BootState::Fallback;
                    let can =
                        [Possibility::Commit, Possibility::Verify, Possibility::Fsck, Possibility::Rollback];
                    status.possible = can.into();
                });
                console.keys("<tab>");
            }),
        ),
        (
            "system-reset",
            scene(in_menu(6), |console| {
                console.status(|status| {
                    let can = [
                        Possibility::Verify,
                        Possibility::Fsck,
                        Possibility::RefreshRecovery,
                        Possibility::Reset,
                    ];
                    status.possible = can.into();
                });
                console.keys("<tab><tab><tab><right><tab><enter>");
            }),
        ),
        (
            "system-refused",
            scene(in_menu(6), |console| {
                console.will_refuse(
                    Error::rejected("version 1.1.0 is older than 1.2.0").help("allow an older one"),
                );
                console.keys("<tab>registry.example/edge/shop:1.1.0<up><up><up><up><up><up><up><up><enter>");
            }),
        ),
    ]
}

pub(super) fn settings() -> Vec<(&'static str, Console)> {
    vec![(
        "system-other-settings",
        scene(in_menu(6), |console| {
            console.status(|status| {
                let can = [Possibility::Verify, Possibility::Fsck, Possibility::RestoreConfiguration];
                status.possible = can.into();
            });
            console.keys("<tab><tab><enter>");
        }),
    )]
}

pub(super) fn upgrades() -> Vec<(&'static str, Console)> {
    let upgrading =
        || typed(in_menu(6), "<tab>registry.example/edge/shop:1.3.0<up><up><up><up><up><up><up><up><enter>");
    vec![
        ("upgrade-restart", typed(in_menu(6), "<right><right><tab><tab><tab><right><tab><enter>")),
        ("upgrade", scene(upgrading(), |console| console.news(recorded(OperationKind::Upgrade, 3)))),
        ("upgrade-stopping", typed(upgrading(), "<down><enter>")),
        (
            "upgrade-failed",
            scene(upgrading(), |console| {
                let error = Error::integrity("block 7 differs")
                    .context("the image is damaged")
                    .help("publish it again");
                console.news(failed(OperationKind::Upgrade, 4, error));
            }),
        ),
        (
            "upgrade-done",
            scene(upgrading(), |console| {
                console.news(recorded(OperationKind::Upgrade, usize::MAX));
            }),
        ),
    ]
}
