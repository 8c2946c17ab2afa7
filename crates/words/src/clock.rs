//! Words about the clock.

pub const TITLE: &str = "Clock";
pub const INTRO: [&str; 2] = [
    "A time server sets the clock by itself where one is reached. Where none is, set it here.",
    "Certificates, logins and the order of the logs depend on it: a clock that is far off stops a cluster.",
];
pub const TIME: &str = "Date and time";
pub const TIME_HINT: &str = "In UTC, like 2026-11-27 10:45";
pub const TIME_WRONG: &str = "A date and a time, like 2026-11-27 10:45.";
pub const SET: &str = "Set the clock";
