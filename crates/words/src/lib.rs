//! Every word that the console shows, and the web page where it says the same. Short, without paths and error numbers, and with the next step: they are read
//! over the telephone by people who do not know Linux. Letters beyond ASCII are left out, so that every console has them.

pub mod clock;
pub mod cluster;
pub mod content;
pub mod destructive;
pub mod diagnosis;
pub mod installer;
pub mod login;
pub mod network_check;
pub mod units;
pub mod web;

pub const PRODUCT: &str = "edge appliance";
pub const DONE: &str = "Done";
pub const REFUSED: &str = "That was not possible";
pub const WAITING: &str = "One moment...";
pub const HELP_LABEL: &str = "What to do: ";
pub const BECAUSE: &str = "Because: ";
pub const YES: &str = "Yes";
pub const NO: &str = "No";
pub const CLOSE: &str = "ENTER  close";
pub const TOO_SMALL: &str = "This screen is too small. 80 columns and 24 lines are needed.";
pub const CRASHED: &str = "The console program has stopped because of a defect. It starts again by itself.";

/// What a text so far may mean; the first one is taken with a key.
pub fn suggestions(best: &str, others: &[&str], are_more: bool) -> String {
    let others: String = others.iter().map(|other| format!(", {other}")).collect();
    format!("RIGHT takes {best}{others}{}", if are_more { ", ..." } else { "" })
}

pub mod frame {
    pub const CONNECTING: &str = "connecting...";
    pub const LOST: &str = "NO ANSWER";
    pub const STARTING: [&str; 2] =
        ["The system is starting.", "This screen changes by itself when it is ready."];
    pub const AGENT_LOST: [&str; 3] = [
        "The system's agent does not answer.",
        "The console keeps trying. Nothing needs to be done for a few minutes.",
        "If this stays, restart the machine.",
    ];
    pub const AGENT_LOST_LINE: &str = "The agent does not answer. What is shown may be old. Trying again.";
    /// Behind each other in the footer; the first ones are the most important.
    /// In the installer nobody has logged in, and the way home is the way back.
    pub const KEY_NONE: &str = "";
    pub const KEYS: &str = "ENTER choose  ESC back  F1/^G help  F5/^R refresh";
    pub const KEYS_FORM: &str = "TAB next  ENTER choose  ESC back  F1/^G help";
    pub const KEY_LOCK: &str = "F10/^X lock";
    pub const KEY_HOME: &str = "F10/^X home";
    pub const KEY_LEAVE: &str = "F10/^X leave";
    pub const KEYS_DIALOG: &str = "ENTER choose  ESC back";
    pub const KEYS_WORD: &str = "Type the word, then ENTER.  ESC back";
    pub const INSTALLER: &str = "INSTALLER";
    pub const RECOVERY: &str = "RECOVERY";
    pub fn logged_in(name: &str, role: &str) -> String {
        format!("{name} ({role})")
    }
    pub const STRANGER: &str = "not logged in";
}

pub mod help {
    pub const TITLE: &str = "Help";
    pub const LINES: [&str; 14] = [
        "TAB, arrows     move",
        "ENTER           choose, or go to the next field",
        "ESC             back, nothing is changed",
        "SPACE, < >      change a choice",
        "PgUp, PgDn      scroll a text",
        "Ctrl-U          empty a field",
        "",
        "F1  or Ctrl-G   this help",
        "F5  or Ctrl-R   read everything again",
        "F10 or Ctrl-X   log out and go to the first screen",
        "Ctrl-L          draw the screen again",
        "",
        "Support asks for the host ID, the version and the notices",
        "in red. All of them are on the first screen.",
    ];
}

pub mod home {
    pub const MENU: &str = "Menu";
    pub const WORK: &str = "Work in progress";
    pub const NETWORK: &str = "Network";
    pub const NAMES: &str = "Names and time";
    pub const PROXY: &str = "Proxy, certificates";
    pub const CLOCK: &str = "Clock";
    pub const KEYBOARD: &str = "Keyboard";
    pub const ACCOUNT: &str = "Account";
    pub const SYSTEM: &str = "System, upgrade";
    pub const REPAIR: &str = "Check and mend";
    pub const RESET: &str = "Erase the data";
    pub const RESET_ALL: &str = "Erase everything";
    pub const CLUSTER: &str = "Cluster";
    pub const DIAGNOSIS: &str = "Diagnosis";
    pub const LOGS: &str = "Logs";
    pub const BUNDLE: &str = "Support bundle";
    pub const BLACK_BOX: &str = "Last boots";
    pub const CODES: &str = "Host ID, addresses";
    pub const POWER: &str = "Power";
    pub const SHELL: &str = "Shell";
    pub const NOTICES_READ: &str = "Put notices away";
    pub const LOG_IN: &str = "Log in";
    pub const FIRST_PASSWORD: &str = "Set a password";
    pub const LOG_OUT: &str = "Log out";
    pub const START_MAIN: &str = "Start the system";
    pub const ROLLBACK: &str = "Previous version";
    pub const RESTORE_NETWORK: &str = "Last good network";
    pub const POWER_OFF: &str = "Power off";
}

pub mod status {
    pub const TITLE: &str = "This host";
    pub const NAME: &str = "Name";
    pub const HOST_ID: &str = "Host ID";
    pub const SYSTEM: &str = "System";
    pub const SLOT: &str = "Slot";
    pub const OTHER_SLOT: &str = "Other slot";
    pub const TRIAL: &str = "On trial";
    pub const HEALTH: &str = "Health";
    pub const ADDRESS: &str = "Address";
    pub const NETWORK: &str = "Network";
    pub const MANAGEMENT: &str = "Management";
    pub const CLUSTER: &str = "Cluster";
    pub const DISK: &str = "Disk";
    pub const MEMORY: &str = "Memory";
    pub const LOAD: &str = "Load";
    pub const TIME: &str = "Time";
    pub const LAST_CHANGE: &str = "Last change";
    pub const WORK: &str = "Working";
    pub const NO_CLUSTER: &str = "none";
    pub const PODS: &str = "Pods";
    pub const NO_ADDRESS: &str = "none: check the network cable";
    pub const NO_ADDRESS_YET: &str = "not yet: the network is coming up";
    pub const STANDALONE: &str = "standalone";
    pub const EMPTY: &str = "empty";
    pub const CHECKING: &str = "being checked";
    pub const HEALTHY: &str = "healthy";
    pub const IN_USE: &str = "in use";
    pub const TRIED: &str = "new, being tried";
    pub const STANDS_IN: &str = "stands in for one that did not come up";
    pub const RECOVERY: &str = "recovery";
    pub const LIVE: &str = "installer";
    pub const UNSIGNED: &str = "not signed";
    pub const TIME_SET: &str = "set by a time server";
    pub const TIME_NOT_SET: &str = "not yet set by a time server";
    pub const RECOVERY_TITLE: &str = "Why this host is in recovery";
    pub const RECOVERY_INTRO: &str =
        "The normal system did not come up, so the built-in rescue system was started. Nothing was erased.";
    pub const RECOVERY_START: &str = "First try \"Start the system\".";
    pub const RECOVERY_LEAVE: &str = "\"Start the system\" goes back to it.";
    pub const RECOVERY_AGAIN: &str = "If recovery comes back, make a support bundle and call support.";
    /// Where nobody can log in at the console, nobody can make one there.
    pub const RECOVERY_CALL: &str = "If recovery comes back, call support and read these lines out.";
    pub const RECOVERY_NO_REASON: &str =
        "Somebody has asked for it. Nothing is wrong with the normal system.";
    pub fn not_healthy(reasons: &str) -> String {
        format!("not healthy: {reasons}")
    }
    pub fn trial(left: &str) -> String {
        format!("the old version returns in {left}")
    }
    pub fn network_trial(left: &str) -> String {
        format!("on trial, undone in {left}")
    }
    pub fn central(endpoint: &str) -> String {
        format!("managed by {endpoint}")
    }
    pub fn disk(path: &str, free: &str, total: &str) -> String {
        format!("{free} of {total} free ({path})")
    }
    pub fn memory(free: &str, total: &str) -> String {
        format!("{free} of {total} free")
    }
    /// A machine that starts has much to do, which says nothing yet.
    pub fn load(load: f64, processors: u32, starts: bool) -> String {
        let percent = if processors == 0 { 0.0 } else { 100.0 * load / f64::from(processors) };
        let word = match percent {
            _ if starts => "it starts",
            ..30.0 => "low",
            ..80.0 => "normal",
            ..150.0 => "high",
            _ => "very high",
        };
        let processors =
            if processors == 1 { "1 processor".to_owned() } else { format!("{processors} processors") };
        format!("{word} ({percent:.0} % of {processors})")
    }
    pub fn temperature(degrees: f64) -> String {
        format!(", {degrees:.0} C")
    }
    pub fn pods(running: u32, wanted: u32) -> String {
        format!("{running} of {wanted} run")
    }
    pub fn waits(what: &str) -> String {
        format!("waits for {what}")
    }
    pub const RUNNING: &str = "Running for";
    pub fn failed(version: &str, reason: &str) -> String {
        format!("Version {version} failed on this host: {reason}")
    }
    pub const INSTALLED: &str = "installed";
    pub const UPGRADE_STARTED: &str = "upgrade begun";
    pub const UPGRADE_ARMED: &str = "upgrade ready, restart to try it";
    pub const COMMITTED: &str = "upgrade kept";
    pub const TRIAL_FAILED: &str = "upgrade failed, previous version kept";
    pub const TRIAL_INTERRUPTED: &str = "trial cut off, tried again at the next restart";
    pub const RECOVERY_REFRESHED: &str = "recovery is this version";
    pub const WAS_RESET: &str = "reset, data erased";
    pub const FELL_BACK: &str = "newest version did not come up, previous one runs";
    pub const UNKNOWN_EVENT: &str = "something that only a newer version knows";
    pub const ROLLED_BACK: &str = "went back";
}

pub mod keyboard {
    pub const TITLE: &str = "Keyboard";
    pub const INTRO: &str = "Which keyboard is plugged in? ENTER takes it at once; ESC goes back.";
}

pub mod confirm {
    use crate::destructive::Destructive;

    pub fn title(asks: &Destructive) -> &'static str {
        match asks {
            Destructive::Install { erases: true, .. } => "Erase this disk?",
            Destructive::Install { erases: false, .. } => "Install now?",
            Destructive::Rollback { .. } => "Return to the previous version?",
            Destructive::Restart => "Restart now?",
            Destructive::RestartIntoRecovery => "Restart into recovery?",
            Destructive::PowerOff => "Power off?",
            Destructive::UpgradeAndRestart(_) => "Upgrade, and restart when it is ready?",
            Destructive::Reset { .. } => "Erase the data of this host?",
            Destructive::RestoreConfiguration { without_site: false } => "Go back to settings that worked?",
            Destructive::RestoreConfiguration { without_site: true } => "Forget the settings of this site?",
        }
    }

    pub fn lines(asks: &Destructive) -> Vec<String> {
        let lines: &[&str] = match asks {
            Destructive::Install { disk, erases: true } => {
                return vec![
                    format!("{disk} is not empty. Everything on it will be lost."),
                    "It is erased when the installation starts, not before.".to_owned(),
                ];
            }
            Destructive::Install { disk, erases: false } => {
                return vec![format!("The system will be installed on {disk}, which is empty.")];
            }
            Destructive::Rollback { loses: Some(since) } => {
                return vec![
                    "The host restarts with the previous version. Settings stay.".to_owned(),
                    format!(
                        "The cluster gets its data of {since} again: what was stored in it since then is put aside."
                    ),
                ];
            }
            Destructive::Rollback { loses: None } => &[
                "The host restarts with the previous version. Settings and data stay.",
                "The version that runs now can be started again later.",
            ],
            Destructive::Restart => &["The host is away for some minutes."],
            Destructive::RestartIntoRecovery => &[
                "The host starts its rescue system and does no work there.",
                "Restart it once more to come back.",
            ],
            Destructive::PowerOff => {
                &["The host stays off until somebody switches it on, by hand and on site."]
            }
            Destructive::Reset { oem: false } => &[
                "The host restarts into its rescue system, erases its data, and starts anew.",
                "Settings and accounts stay. What it has stored and what ran on it is lost.",
            ],
            Destructive::Reset { oem: true } => &[
                "The host restarts into its rescue system, erases its data and its settings, and starts anew.",
                "Accounts, networks and everything that was set up on site are lost too.",
            ],
            Destructive::RestoreConfiguration { without_site: false } => {
                &["The host restarts with the settings of its last healthy start. Data stays."]
            }
            Destructive::RestoreConfiguration { without_site: true } => &[
                "What sticks and people have set up on site is forgotten, and the host restarts. Data stays.",
                "A stick with settings that is plugged in then is read again.",
            ],
            Destructive::UpgradeAndRestart(_) => &[
                "The host restarts by itself when the new version is ready.",
                "If the new version does not prove healthy, this one comes back.",
            ],
        };
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    pub fn type_word(word: &str) -> String {
        format!("Type {word} and press ENTER:")
    }
    pub const WRONG_WORD: &str = "That is not the word.";
}

pub mod network {
    pub const TITLE: &str = "Network";
    pub const NO_INTERFACES: &str = "This host has no network interface.";
    pub const CABLE: &str = "cable";
    pub const NO_CABLE: &str = "no cable";
    pub const MISSING: &str = "not there";
    pub const DEFAULT: &str = "automatic";
    pub const KEEP: &str = "Keep the new network";
    pub const GO_BACK: &str = "Return to the last network that worked";
    pub const HINT: &str = "Choose an interface to change it.";
    pub const APPLY: &str = "Try these settings";
    pub const NOT_NOW: &str = "The settings cannot be changed now.";
    pub const TRIAL_NOTE: &str =
        "New settings are on trial at first: if the host is not reached, the old ones return by themselves.";
    pub const ADDRESSING: &str = "Addresses";
    pub const ADDRESSINGS: [&str; 3] = ["automatic (DHCP)", "static", "none"];
    pub const ADDRESSING_HINT: &str = "SPACE or arrows change it. None: only carries VLANs.";
    pub const ADDRESS: &str = "Address";
    pub const ADDRESS_HINT: &str = "With the network's mask: 192.0.2.17/24 or 192.0.2.17/255.255.255.0";
    pub const ADDRESS_MISSING: &str = "An address is needed, like 192.0.2.17/24.";
    pub const GATEWAY: &str = "Gateway";
    pub const GATEWAY_HINT: &str = "The router, like 192.0.2.1";
    pub const NAME_SERVERS: &str = "Name servers";
    pub const NAME_SERVERS_HINT: &str = "DNS, like 192.0.2.53, 192.0.2.54";
    pub const SEARCH: &str = "Search domains";
    pub const SEARCH_HINT: &str = "Where short names are looked for; usually empty";
    pub const MTU: &str = "MTU";
    pub const MTU_HINT: &str = "Usually empty";
    pub const MTU_WRONG: &str = "A number from 576 to 65535, or nothing.";
    pub const VLAN: &str = "VLAN";
    pub const VLAN_HINT: &str = "A number from 1 to 4094; usually empty";
    pub const VLAN_WRONG: &str = "A number from 1 to 4094, or nothing.";
    pub fn on_trial(left: &str) -> String {
        format!("On trial: in {left} the old network returns. Does everything work? Then keep it.")
    }
    pub fn interface(name: &str) -> String {
        format!("Network: {name}")
    }
    pub fn on_vlan(what: &str, id: u16) -> String {
        format!("{what}, VLAN {id}")
    }
    pub fn now(addresses: &str, gateway: Option<&str>, mac: &str) -> String {
        let gateway = gateway.map_or_else(String::new, |gateway| format!(", gateway {gateway}"));
        let mac = if mac.is_empty() { String::new() } else { format!(", MAC {mac}") };
        format!("Now: {addresses}{gateway}{mac}")
    }
    pub const NO_ADDRESS: &str = "no address";
    pub fn bond_of(members: &str) -> String {
        format!("A bond of {members}, which stays.")
    }
    pub fn bridge_of(members: &str) -> String {
        format!("A bridge of {members}, which stays.")
    }
    pub fn routes(count: usize) -> String {
        format!("Further routes: {count}. They stay.")
    }
}

pub mod site {
    pub const NAMES_TITLE: &str = "Names and time";
    pub const PROXY_TITLE: &str = "Proxy and certificates";
    pub const HOST_NAME: &str = "Host name";
    pub const HOST_NAME_HINT: &str = "Letters, digits and hyphens";
    pub const NAME_SERVERS: &str = "Name servers";
    pub const TIME_SERVERS: &str = "Time servers";
    pub const LIST_HINT: &str = "Several with commas";
    pub const TIME_ZONE: &str = "Time zone";
    pub const TIME_ZONE_HINT: &str = "Write a city, like Zurich, or UTC";
    pub const HTTP_PROXY: &str = "HTTP proxy";
    pub const HTTPS_PROXY: &str = "HTTPS proxy";
    pub const PROXY_HINT: &str = "Like http://proxy.example:3128";
    pub const NO_PROXY: &str = "Without proxy";
    pub const NO_PROXY_HINT: &str = "Hosts, domains and networks, with commas";
    pub const SAVE: &str = "Save";
    pub const NOTHING_CHANGED: &str = "Nothing was changed.";
    pub const NOT_NOW: &str = "The settings cannot be changed now.";
    pub fn certificates(count: usize) -> String {
        format!("{count} own certificates are trusted. They are added with user data.")
    }
}

pub mod account {
    pub const TITLE: &str = "Account";
    pub const OLD: &str = "Old password";
    pub const NEW: &str = "New password";
    pub const AGAIN: &str = "Once more";
    pub const CHANGE_PASSWORD: &str = "Change the password";
    pub const MISSING: &str = "This is missing.";
    pub const DIFFERENT: &str = "The two passwords differ.";
    pub const PASSWORD_CHANGED: &str = "The password was changed.";
    pub const KEY_HINT: &str = "Empty it (Ctrl-U) to take the key away";
    pub const NEW_KEY: &str = "New SSH key";
    pub const NEW_KEY_HINT: &str = "The public key: ssh-ed25519 AAAA... somebody";
    pub const NO_KEY: &str = "This is not a public SSH key.";
    pub const SAVE_KEYS: &str = "Save the SSH keys";
    pub const KEYS_SAVED: &str = "The SSH keys were saved.";
    pub fn key(number: usize) -> String {
        format!("SSH key {number}")
    }
    pub fn who(name: &str, role: &str) -> String {
        format!("{name}, role {role}")
    }
}

pub mod system {
    pub const TITLE: &str = "System";
    pub const FROM: &str = "New version from";
    pub const SOURCES: [&str; 3] = ["a registry", "a file", "a USB stick"];
    pub const FROM_HINT: &str = "SPACE or arrows change it. From a stick, the newest version is taken.";
    pub const REFERENCE: &str = "Address";
    pub const REGISTRY_HINT: &str = "Like registry.example/edge/shop:1.3.0";
    pub const FILE_HINT: &str = "Where the file is on this host";
    pub const REFERENCE_MISSING: &str = "Say where the new version is.";
    pub const PLAIN_HTTP: &str = "Without TLS";
    pub const PLAIN_HTTP_HINT: &str = "Only for a registry in a closed network";
    pub const ALLOW_DOWNGRADE: &str = "Also an older one";
    pub const RETRY_FAILED: &str = "Also a failed one";
    pub const RETRY_FAILED_HINT: &str = "A version that has failed on this host before";
    pub const RESTART: &str = "Restart when ready";
    pub const RESTART_HINT: &str = "Otherwise the next restart tries the new version";
    pub const UPGRADE: &str = "Upgrade";
    pub const KEEP: &str = "Keep this version";
    pub const KEEP_HINT: &str = "Ends the trial now";
    pub const GO_BACK: &str = "Return to the previous version";
    pub const GO_BACK_HINT: &str = "Restarts the host; settings and data stay";
    pub const VERIFY: &str = "Check both versions";
    pub const VERIFY_HINT: &str = "Reads every block; takes minutes";
    pub const REPAIR: &str = "Check what a start needs, and mend it";
    pub const REPAIR_HINT: &str = "Boot entries, kernels, partition table; nothing is lost";
    pub const REFRESH: &str = "Make this version the rescue system";
    pub const REFRESH_HINT: &str = "It starts when nothing else does";
    pub const LAST_GOOD: &str = "Settings of the last healthy start";
    pub const LAST_GOOD_HINT: &str = "Restarts the host; data stays";
    pub const WITHOUT_SITE: &str = "Forget the settings of this site";
    pub const WITHOUT_SITE_HINT: &str = "What sticks and people brought; data stays";
    pub const FORGET: &str = "Forget settings too";
    pub const FORGET_HINT: &str = "Accounts, networks, names: as delivered";
    pub const RESET: &str = "Erase the data of this host";
    pub const RESET_HINT: &str = "It starts anew; versions stay";
    pub const NOTHING: &str = "Nothing can be changed about the system now.";
}

pub mod logs {
    pub const TITLE: &str = "Logs";
    pub const SHOW: &str = "Show";
    pub const SHOW_HINT: &str = "ENTER reads again, arrows scroll";
    pub const FILTER: &str = "Only lines with";
    pub const FILTER_HINT: &str = "A word; then TAB to Show and ENTER";
    pub const UNIT: &str = "Only of service";
    pub const UNIT_HINT: &str = "Like edge-agent";
    pub const BOOT: &str = "Of boot";
    pub const BOOTS: [&str; 5] = ["this one", "the one before", "two before", "three before", "four before"];
    pub const BOOT_HINT: &str = "SPACE or arrows change it.";
    pub const NOTHING: &str = "There are no such lines.";
}

pub mod bundle {
    pub const TITLE: &str = "Support bundle";
    pub const INTRO: [&str; 2] = [
        "A file with logs and settings for support. It holds no passwords.",
        "Put a USB stick in, then choose. F5 looks for sticks again.",
    ];
    pub const TARGETS: [&str; 2] = ["Write it to the USB stick", "Keep it on the host, for a download"];
    pub const NO_STICK: &str = "No stick was found.";
    pub const STICKS: &str = "Sticks:";
}

pub mod export {
    pub const TITLE: &str = "Export the answers";
    pub const INTRO: [&str; 2] = [
        "Writes unattended.yaml, to install more machines the same way.",
        "Put a USB stick in and choose it. F5 looks for sticks again.",
    ];
    pub const NO_STICK: &str = "No stick was found.";
    pub fn for_whom(this_machine: bool) -> &'static str {
        if this_machine {
            "For  < this very machine: with its name and its fixed addresses >   SPACE changes it"
        } else {
            "For  < other machines: without name and fixed addresses >   SPACE changes it"
        }
    }
}

pub mod black_box {
    pub const TITLE: &str = "How the last boots ended";
    pub const NOTHING: &str = "Nothing is known of earlier boots.";
    pub const UNKNOWN_TIME: &str = "at an unknown time";
    pub fn about(time: &str) -> String {
        format!("about {time}")
    }
    pub fn slot(slot: &str) -> String {
        format!("slot {slot}")
    }
    pub const RUNNING: &str = "running now";
    pub const RESTARTED: &str = "restarted";
    pub const SWITCHED_OFF: &str = "switched off";
    pub const CRASHED: &str = "CRASHED";
    pub const ENDED_STRANGELY: &str = "ended in a way that only a newer version knows";
    pub const LOST_POWER: &str = "LOST POWER, or was reset";
    pub fn with_reason(what: &str, reason: &str) -> String {
        if reason.is_empty() { what.to_owned() } else { format!("{what}: {reason}") }
    }
}

pub mod codes {
    pub const TITLE: &str = "Host ID and addresses";
    pub const HOST_ID: &str = "Host ID";
    pub const REGISTRATION: &str = "Register this host";
    pub const WEB_UI: &str = "Web interface";
    pub const HINT: &str = "Arrows show the next code. Scan it with a telephone.";
    pub const NO_ROOM: &str = "This screen is too small for the code.";
    pub const NOTHING: &str = "This host has no identifier yet.";
    /// The browser warns of a certificate that nobody else has signed.
    pub fn digits(digits: &str) -> String {
        format!("Its certificate begins with {digits}")
    }
}

pub mod power {
    pub const TITLE: &str = "Power";
    pub const RESTART: &str = "Restart";
    pub const RECOVERY: &str = "Restart into recovery";
    pub const POWER_OFF: &str = "Power off";
    pub const INTRO: &str = "Everything here asks once more before it does anything.";
    pub const NOTHING: &str = "Nothing of this is possible now.";
}

pub mod progress {
    pub fn left(time: &str) -> String {
        format!(", about {time} left")
    }
    use edge_model::api::OperationKind;

    pub const LEAVE: &str = "Go on, and leave this screen";
    pub const BACK: &str = "Back";
    pub const STOP: &str = "Stop it at the next safe point";
    pub const STOPPING: &str = "It stops at the next safe point.";
    pub const DONE: &str = "Done.";
    pub const FAILED: &str = "It did not work.";
    pub fn title(kind: OperationKind) -> &'static str {
        match kind {
            OperationKind::Install => "Installation",
            OperationKind::Upgrade => "Upgrade",
            OperationKind::Rollback => "Return to the previous version",
            OperationKind::Commit => "Keeping the version",
            OperationKind::Verify => "Check of both versions",
            OperationKind::Configure => "Change of settings",
            OperationKind::SupportBundle => "Support bundle",
            OperationKind::Reboot => "Restart",
            OperationKind::PowerOff => "Power off",
            OperationKind::RefreshRecovery => "Refresh of recovery",
            OperationKind::Fsck => "Check of what a start needs",
            OperationKind::Reset => "Reset",
            OperationKind::RestoreConfiguration => "Return to other settings",
            OperationKind::ImportContent => "Bring container images",
            OperationKind::VerifyContent => "Check container images",
        }
    }
    pub fn started_by(name: &str) -> String {
        format!("Started by {name}.")
    }
}
