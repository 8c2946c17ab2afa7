//! Words of the installer.

use edge_model::api::installer::DiskContent;

pub const BEGIN: &str = "Install this machine";
pub const DIAGNOSIS: &str = "Diagnosis";
pub const LOGS: &str = "Logs";
pub const CODES: &str = "Host ID, addresses";
pub const POWER: &str = "Power";
pub const WELCOME_TITLE: &str = "Welcome";
pub const WELCOME: [&str; 4] = [
    "This medium installs the system on this machine.",
    "Every question has its answer filled in already where the medium knows it.",
    "Going back loses nothing. Nothing is written before the last question.",
    "",
];
pub fn image(name: &str, version: &str) -> String {
    format!("On this medium: {name} {version}")
}

pub const DISKS_TITLE: &str = "1 of 4: Disk";
pub const DISKS_INTRO: &str = "Choose the disk to install on.";
pub const NO_DISKS: &str = "No disk was found. Check the cables; F5 looks again.";
pub const NO_DISK_CHOSEN: &str = "No disk was chosen.";
pub fn unsuitable(path: &str, reason: &str) -> String {
    format!("{path} cannot be taken: {reason}")
}
pub fn content(content: DiskContent) -> &'static str {
    match content {
        DiskContent::Nothing => "empty",
        DiskContent::ThisInstallation => "this installation",
        DiskContent::OtherInstallation => "OLDER INSTALLATION",
        DiskContent::UnfinishedInstallation => "unfinished install",
        DiskContent::Data => "DATA",
    }
}
pub fn disk(model: &str, serial: &str) -> String {
    let model = if model.is_empty() { "unknown model" } else { model };
    let serial =
        if serial.is_empty() { "no serial number".to_owned() } else { format!("serial number {serial}") };
    format!("{model}, {serial}")
}
pub const ROTATING: &str = "hard disk";
pub const FLASH: &str = "flash";

pub const NETWORK_TITLE: &str = "2 of 4: Network";
pub const NETWORK_INTRO: &str =
    "Choose an interface to change it. Without a change it asks for an address (DHCP).";
pub const NETWORK_CONTINUE: &str = "Continue";
pub const ACCEPT: &str = "Accept";
pub const NOT_CHANGED: &str = "automatic (DHCP)";

pub const IDENTITY_TITLE: &str = "3 of 4: Names and time";
pub const HOST_NAME: &str = "Host name";
pub const HOST_NAME_HINT: &str = "Letters, digits and hyphens; empty: by the machine";
pub const DEVICE_ID: &str = "Host ID";
pub const DEVICE_ID_HINT: &str = "Usually empty: the machine's own number is taken";
pub const TIME_ZONE: &str = "Time zone";
pub const TIME_ZONE_HINT: &str = "Write a city, like Zurich; empty: UTC";
pub const TIME_SERVERS: &str = "Time servers";
pub const TIME_SERVERS_HINT: &str = "Several with commas; usually empty";
pub const HTTP_PROXY: &str = "HTTP proxy";
pub const HTTPS_PROXY: &str = "HTTPS proxy";
pub const PROXY_HINT: &str = "Like http://proxy.example:3128; usually empty";
pub const NO_PROXY: &str = "Without proxy";
pub const NO_PROXY_HINT: &str = "Hosts, domains and networks, with commas";
pub const CONTINUE: &str = "Continue";

pub const ACCOUNT_TITLE: &str = "4 of 4: Account";
pub const ACCOUNT_INTRO: &str = "Who looks after this host. Without a password or key nobody can log in.";
pub const ACCOUNT_NAME: &str = "Name";
pub const ACCOUNT_NAME_HINT: &str = "Small letters, like site";
pub const ACCOUNT_NAME_MISSING: &str = "Whose password or key is it?";
pub const PASSWORD: &str = "Password";
pub const PASSWORD_AGAIN: &str = "Once more";
pub const PASSWORD_HINT: &str = "For the console; empty: only with the SSH key";
pub const PASSWORD_KEPT: &str = "The medium has one, which is kept when this stays empty";
pub const DIFFERENT: &str = "The two passwords differ.";
pub const SSH_KEY: &str = "SSH key";
pub const SSH_KEY_HINT: &str = "The public key: ssh-ed25519 AAAA... somebody";

pub const MANAGEMENT_TITLE: &str = "Management plane";
pub const MANAGEMENT: &str = "Management";
pub const MANAGEMENTS: [&str; 2] = ["standalone", "by a management plane"];
pub const MANAGEMENT_HINT: &str = "SPACE or arrows change it.";
pub const ENDPOINT: &str = "Endpoint";
pub const ENDPOINT_HINT: &str = "Its name, like manage.example";
pub const ENDPOINT_MISSING: &str = "The name of the management plane is missing.";
pub const TOKEN: &str = "Token";
pub const TOKEN_HINT: &str = "The registration token";
pub const TOKEN_KEPT: &str = "The medium has one, which is kept when this stays empty";
pub const REGISTER: &str = "To register this host, scan this:";

pub const SUMMARY_TITLE: &str = "Summary";
pub const DISK: &str = "Disk";
pub const NETWORK: &str = "Network";
pub const IDENTITY: &str = "Names and time";
pub const ACCOUNT: &str = "Account";
pub const LINK_HINT: &str = "ENTER changes it";
pub const AFTER: &str = "Afterwards";
pub const AFTERS: [&str; 3] = ["stay on this screen", "restart", "power off"];
pub const AFTER_HINT: &str = "SPACE or arrows change it.";
pub const INSTALL: &str = "Install now";
pub const EXPORT: &str = "Export the answers to a stick";
pub const EXPORT_HINT: &str = "To install more machines the same way";
pub const CHECKING: &str = "The answers are being checked...";
pub const GOOD: &str = "All answers are complete.";
pub const WRONG: &str = "The answers cannot be used yet. Please change what is marked.";
pub const SHOW_CODE: &str = "Show the code for a telephone";
pub const NOT_CHOSEN: &str = "not chosen";
pub const ALL_DHCP: &str = "automatic (DHCP)";
pub const NAME_BY_MACHINE: &str = "by the machine";
pub const NO_ACCOUNT: &str = "none: nobody can log in";
pub fn disk_summary(path: &str, model: &str, size: &str, content: &str) -> String {
    format!("{path}, {size}, {content}, {model}")
}
pub fn account(name: &str, has_password: bool, has_key: bool) -> String {
    let means = match (has_password, has_key) {
        (true, true) => "password and SSH key",
        (true, false) => "password",
        (false, true) => "SSH key",
        (false, false) => "NO password and NO key",
    };
    format!("{name}, {means}")
}
pub fn central(endpoint: &str) -> String {
    format!("by {endpoint}")
}

pub const INSTALLATION_TITLE: &str = "Installation";
pub fn being_installed(name: &str, version: &str) -> String {
    format!("{name} {version} is being installed. Do not switch this machine off.")
}
pub const GO_ON: &str = "Go on";
pub const STOP: &str = "Stop at the next safe point";
pub const RESTART: &str = "Restart";
pub const POWER_OFF: &str = "Power off";
pub const TO_ANSWERS: &str = "Back to the answers";
pub const NEXT_STEPS: [&str; 3] = [
    "The medium may stay in: this disk is started, nothing is erased again.",
    "After the restart this screen shows the host, its address and its health.",
    "It takes some minutes.",
];
