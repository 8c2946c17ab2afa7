//! All checks.

use super::{Check, Severity, checks};

const fn error(
    id: &'static str,
    find: fn(&crate::tree::Tree, &super::Facts) -> Vec<String>,
    reason: &'static str,
    remedy: &'static str,
) -> Check {
    Check { id, severity: Severity::Error, reason, remedy, find }
}

const fn warning(
    id: &'static str,
    find: fn(&crate::tree::Tree, &super::Facts) -> Vec<String>,
    reason: &'static str,
    remedy: &'static str,
) -> Check {
    Check { id, severity: Severity::Warning, reason, remedy, find }
}

pub(super) const CHECKS: &[Check] = &[
    error(
        "default-password",
        checks::default_password,
        "a password in the image is the same on every host, and everybody who has the image can try to break it",
        "lock the account in the image, and set passwords in user data or in the operator's answers",
    ),
    error(
        "foreign-owner",
        checks::foreign_owner,
        "whoever owns these files on a host can become root, and sudo refuses to work",
        "make the base as root, or as root of a user namespace, so that its files belong to root",
    ),
    error(
        "ssh-host-key",
        checks::ssh_host_key,
        "hosts with the same key cannot be told apart, and whoever has the image can pretend to be one of them",
        "remove /etc/ssh/ssh_host_* from the overlay; every host makes its own keys",
    ),
    error(
        "private-key",
        checks::private_key,
        "a private key in the image is known to everybody who has the image",
        "bring keys as user data or as a secret of the site",
    ),
    error(
        "world-writable",
        checks::world_writable,
        "every program on the host could change it",
        "take the write permission away from others, or set the sticky bit of a folder like /tmp",
    ),
    warning(
        "privileged-file",
        checks::privileged_file,
        "a program with setuid, setgid or capabilities that is not on the list of known ones is a way to become root",
        "remove the program or its bits, or add privileged-file to lint-ignore if it is meant to be there",
    ),
    warning(
        "stale-cache",
        checks::stale_cache,
        "lists, caches, logs and temporary files of the build make the image larger and different from build to build",
        "remove them in the step that makes them, for example with apt-get clean",
    ),
    error(
        "machine-id",
        checks::machine_id,
        "hosts with the same machine-id get the same addresses and are mixed up in every system that counts hosts",
        "leave /etc/machine-id to the build, which writes uninitialized",
    ),
    error(
        "random-seed",
        checks::random_seed,
        "hosts that begin with the same random numbers make keys that can be guessed",
        "remove the file from the overlay",
    ),
    error(
        "clock-floor",
        checks::clock_floor,
        "without the time of the build, a host with an empty clock battery believes no certificate",
        "leave /usr/lib/clock-epoch to the build",
    ),
    error(
        "boot-drivers",
        checks::boot_drivers,
        "the initrd cannot reach disks of a usual kind, so hosts with them do not start",
        "use a kernel with these drivers, such as linux-image-amd64",
    ),
    error(
        "size-budget",
        checks::size_budget,
        "a part is larger than size-budgets in forge.yaml allows",
        "edgeforge inspect shows the largest packages; remove some, or raise the budget",
    ),
    error(
        "identity-files",
        checks::identity_files,
        "systemd, Kairos' tools and the agent do not know what they run on",
        "leave /usr/lib/os-release, /etc/kairos-release and /usr/lib/edge/image.json to the build",
    ),
    error(
        "mount-points",
        checks::mount_points,
        "the root is read-only: a folder that is missing cannot be made at boot, and the host does not start",
        "do not remove the folder",
    ),
    warning(
        "dangling-unit",
        checks::dangling_unit,
        "a unit is enabled that the image does not have",
        "install the package with the unit, or do not enable it",
    ),
    warning(
        "missing-program",
        checks::missing_program,
        "an enabled unit starts a program that the image does not have, and fails on every host",
        "install the program, or mask the unit",
    ),
    warning(
        "dangling-link",
        checks::dangling_link,
        "a name in the folders of programs leads to nothing",
        "install what it leads to, or remove the link",
    ),
    error(
        "ssh-login",
        checks::ssh_login,
        "root, or somebody without a password, could log in over the network",
        "remove PermitRootLogin yes and PermitEmptyPasswords yes from /etc/ssh",
    ),
    error(
        "broken-package",
        checks::broken_package,
        "the installation of a package did not finish",
        "look at the output of the build for the package's error",
    ),
];
