//! Words of the diagnosis.

pub const TITLE: &str = "Diagnosis";
pub const WHAT: &str = "Find out";
pub const CHECKS: [&str; 9] = [
    "what is wrong with the network",
    "does a host answer (ping)",
    "the way to a host",
    "what a name stands for (DNS)",
    "does a port answer (TCP)",
    "does a web address answer",
    "is the time right",
    "how are the disks",
    "temperatures, fans, voltages",
];
pub const WHAT_HINT: &str = "SPACE or arrows change it.";
pub fn asked_for(what: &str, of: &str) -> String {
    if of.is_empty() { format!("Asked: {what}") } else { format!("Asked: {what} - {of}") }
}
pub const TARGET: &str = "Of";
pub const TARGET_HINTS: [&str; 6] = [
    "",
    "Like gateway.example or 10.0.0.1",
    "Like gateway.example or 10.0.0.1",
    "Like registry.example",
    "Like registry.example:443",
    "Like https://registry.example/v2/",
];
pub const TARGET_MISSING: &str = "Of which host?";
pub const RUN: &str = "Find out";
pub const ASKING: &str = "Asking...";
pub const NO_SENSORS: &str = "This machine shows no sensors.";
pub const SILENT: &str = "does not answer";
pub const NO_ANSWER: &str = "No answer.";
pub const NO_PROXY: &str = "Reached directly, without a proxy.";
pub const TIME_SET: &str = "The time was set by a time server.";
pub const TIME_NOT_SET: &str = "No time server has set the time.";
pub const DISK_HEALTHY: &str = "healthy";
pub fn disk_failing(reasons: &str) -> String {
    format!("FAILING: {reasons}")
}
pub fn disk_unknown(reason: &str) -> String {
    format!("unknown: {reason}")
}
pub fn answers(received: u32, sent: u32) -> String {
    match received {
        0 => format!("No answer to {sent} questions."),
        _ => format!("{received} answers to {sent} questions."),
    }
}
pub fn round_trip(minimum: f64, average: f64, maximum: f64) -> String {
    format!("It takes {average:.1} ms there and back ({minimum:.1} to {maximum:.1} ms).")
}
pub fn asked(server: &str, milliseconds: f64) -> String {
    format!("by {server}, in {milliseconds:.1} ms")
}
pub fn connected(address: &str, milliseconds: f64) -> String {
    format!("{address} answers, in {milliseconds:.1} ms.")
}
pub fn status(status: u16, milliseconds: f64) -> String {
    format!("It answers with status {status}, in {milliseconds:.0} ms.")
}
pub fn through_proxy(proxy: &str) -> String {
    format!("Through the proxy {proxy}.")
}
pub fn time_server(server: &str) -> String {
    format!("Time server: {server}")
}
pub fn offset(milliseconds: f64) -> String {
    format!("The clock is off by {milliseconds:.1} ms.")
}
pub fn wear(percent: u32) -> String {
    format!("{percent} % of its life used")
}
pub fn temperature(degrees: f64) -> String {
    format!("{degrees:.0} degrees Celsius")
}
pub fn hours(hours: u64) -> String {
    format!("{hours} hours of work")
}
