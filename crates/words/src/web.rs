//! Words that only the web page has. Where console and page say the same, they take the same words from elsewhere in this crate.

pub const SKIP: &str = "Skip to the content";
pub const MAIN_MENU: &str = "Pages";
pub const LOG_OUT: &str = "Log out";
pub const HOME: &str = "This host";
pub const HELP: &str = "Help";
pub const AUDIT: &str = "Who did what";
pub const CONFIGURATION: &str = "Configuration";
pub const PUT_AWAY: &str = "Put away";
pub const BACK: &str = "Back, and change nothing";
pub const GO_ON: &str = "Yes, go on";
pub const TRY_AGAIN: &str = "Try again";
pub const WHAT_TO_DO: &str = "What to do";
pub const HOME_LINK: &str = "To this host";

pub const TOO_OFTEN: &str = "Too many requests";
pub const TOO_OFTEN_TEXT: &str = "This page was asked for too often. Wait some seconds, then load it again.";
pub const OTHER_NAME: &str = "This host has another name";
pub fn other_name(known: &[String]) -> String {
    format!(
        "The address bar holds a name that is not this host's. Its names are: {}. More are set with edge.localUI.names.",
        known.join(", ")
    )
}
pub const FROM_ELSEWHERE: &str = "This came from another page";
pub const FROM_ELSEWHERE_TEXT: &str =
    "Another page has asked for a change here, which is not allowed. Nothing was changed.";
pub const STALE_FORM: &str = "this form is too old, or not of this login";
pub const STALE_FORM_HELP: &str = "go back, load the page again, and send it once more";
pub const NOT_FOUND: &str = "There is no such page";
pub const SILENT: &str = "The system's agent does not answer";
pub const SILENT_TEXT: &str = "The host is starting, or its agent is. This page tries again by itself.";
pub const TROUBLE: &str = "That was not possible";
pub const ENDED: &str =
    "The login has ended. Log in again in another tab; what is filled in here stays, and can be copied.";
pub const LOST: &str = "The host does not answer. What is shown may be old. Trying again.";

pub const DIGITS: &str = "The certificate of this page begins with";
/// A page cannot vouch for itself: whoever is in between could show the same digits.
pub const DIGITS_HINT: &str = "The browser has warned of it. Whether it is this host, the browser's own view of the \
     certificate says: its SHA-256 fingerprint must begin as the host's screen shows it (Host ID, addresses).";

pub const EVERYTHING_WELL: &str = "This host is well.";
pub fn not_well(reasons: &str) -> String {
    format!("This host is not well: {reasons}")
}
pub const STILL_CHECKING: &str = "This host is being checked.";
pub const IN_RECOVERY: &str = "This host is in recovery: its normal system does not run.";
pub fn image_on_trial(version: &str, left: &str) -> String {
    format!("Version {version} proves itself. If it does not, the old one returns in {left}.")
}
pub fn viewer_only(needed: &str) -> String {
    format!("You may look here. Changing this takes the role {needed}.")
}
pub const NO_ADDRESS: &str = "no address";
pub const MORE: &str = "Details";
pub const VALUE: &str = "Value";
pub const NAME: &str = "Name";
pub const STATE: &str = "State";
pub const WHEN: &str = "When";
pub const ADDRESSES: &str = "Addresses";
pub const CONFIGURED: &str = "As configured";
pub const INTERFACE: &str = "Interface";

pub const OLD_VALUE: &str = "Now";
pub const NEW_VALUE: &str = "New";
pub const NETWORK_CONFIRM: &str = "Try this network?";
pub const NETWORK_NOTE: &str = "The new settings are tried. When the host is not reached with them, the old ones return by themselves. You may change the \
     settings of your own computer meanwhile.";
pub const THIS_PLUG: &str = "You are connected through this interface: this page may stop answering.";
pub const NEW_ADDRESS: &str =
    "The browser will warn again there, of a certificate with the same digits. The page will then be at";

pub const RESTARTING: &str = "The host restarts";
pub const RESTARTING_TEXT: &str =
    "This takes some minutes. The page looks for the host by itself, and goes on when it is there again.";
pub const GOING_OFF: &str = "The host switches itself off";
pub const GOING_OFF_TEXT: &str = "It stays off until somebody switches it on, by hand and on site.";
pub const WORK: &str = "Work";
pub const STEPS: &str = "Steps";
pub const STEP: &str = "Step";
pub const AFTER: &str = "After";
pub const RESULT: &str = "Result";
pub const LAST_WORK: &str = "Last work";
pub const NO_WORK: &str = "Nothing has been done yet.";

pub const CHECK_ONLY: &str = "Only say what would be done";
pub const HISTORY: &str = "History";

pub const MAKE_BUNDLE: &str = "Make a support bundle";
pub const DOWNLOAD: &str = "Download it";
pub const BUNDLE_READY: &str = "A support bundle is ready.";
pub const BUNDLE_HINT: &str = "It takes about a minute.";

pub const KUBECONFIG: &str = "Download access for a day (kubeconfig)";
pub const CREATE_CLUSTER: &str = "Make a cluster";
pub const DELETE_CLUSTER: &str = "Delete the cluster";
pub const CLUSTER_NONE: &str = "This host has no cluster.";
pub const CLUSTER_CREATE_HINT: &str = "The definition as text (cluster.yaml). Four lines are enough: kind, name, version and hosts. Left empty, the one that this host was told is used.";
pub const DEFINITION: &str = "Definition";
pub fn delete_cluster(name: &str) -> String {
    format!("This ends the cluster {name} and removes everything that is stored in it.")
}
pub fn type_name(name: &str) -> String {
    format!("Type {name} to go on")
}
pub fn kept(when: &str, versions: &str) -> String {
    format!("data of {when} ({versions}) is kept for the version before")
}
pub const KEPT: &str = "For a return";
pub const NAMESPACE: &str = "Namespace";
pub const POD: &str = "Pod";

pub const DOCUMENT: &str = "Document of this host";
pub const DOCUMENT_HINT: &str = "User data (#cloud-config). It comes after what image and site have said.";
pub const CHECK: &str = "Check it";
pub const USE: &str = "Use it";
pub const EFFECTIVE: &str = "What is in use";
pub const NEXT_PAGE: &str = "Older ones";
pub const DOWNLOAD_ALL: &str = "Download all";
pub const WHO: &str = "Who";
pub const FROM: &str = "From";
pub const DID: &str = "Did";
pub const OUTCOME: &str = "Outcome";

pub const HELP_TEXT: [&str; 4] = [
    "Everything that this page can do, the screen at the host can do too.",
    "Changes of the network and new versions are tried first: when they do not work, the old ones return by themselves.",
    "When something does not work, make a support bundle and send it to support, with the host ID at the foot of this page.",
    "Programs on the site's network speak with the same host under /v1, with a token in the header Authorization.",
];
pub const API_DOCUMENT: &str = "Description of the API (OpenAPI)";
