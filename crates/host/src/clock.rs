//! The clock on the wall, and the one that runs while the machine is off.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use edge_model::calendar::day_and_time;
use edge_model::{Context, Error, Result};

const BATTERY_CLOCK: &str = "/dev/rtc0";

mod ioctl {
    /// `struct rtc_time` of `linux/rtc.h`.
    #[repr(C)]
    pub(super) struct RtcTime {
        pub(super) second: i32,
        pub(super) minute: i32,
        pub(super) hour: i32,
        pub(super) day: i32,
        /// From 0 on.
        pub(super) month: i32,
        /// Since 1900.
        pub(super) year: i32,
        pub(super) day_of_week: i32,
        pub(super) day_of_year: i32,
        pub(super) is_summer_time: i32,
    }
    nix::ioctl_write_ptr!(set_time, b'p', 0x0a, RtcTime);
}

/// Seconds since 1970; `None` before.
pub fn now() -> Option<u64> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Sets both clocks. A machine without a clock that runs on a battery forgets it when it is off.
///
/// # Errors
/// When the kernel refuses.
pub fn set(seconds: u64) -> Result<()> {
    let moment = rustix::time::Timespec { tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX), tv_nsec: 0 };
    rustix::time::clock_settime(rustix::time::ClockId::Realtime, moment)
        .map_err(std::io::Error::from)
        .context("cannot set the clock")?;
    if Path::new(BATTERY_CLOCK).exists() { set_battery_clock(seconds) } else { Ok(()) }
}

#[allow(unsafe_code)]
fn set_battery_clock(seconds: u64) -> Result<()> {
    let device = File::open(BATTERY_CLOCK).context("cannot open the battery's clock")?;
    let time =
        rtc_time(seconds).ok_or_else(|| Error::internal("a moment that the calendar does not have"))?;
    // SAFETY: RTC_SET_TIME reads one `rtc_time`, which lives until the call returns.
    unsafe { ioctl::set_time(device.as_raw_fd(), &time) }
        .map(drop)
        .map_err(|error| Error::environment(format!("cannot set the battery's clock: {error}")))
}

fn rtc_time(seconds: u64) -> Option<ioctl::RtcTime> {
    let text = day_and_time(seconds);
    let mut numbers = text.split(['-', ' ', ':']).map_while(|part| part.parse::<i32>().ok());
    let mut next = || numbers.next();
    let (year, month, day, hour, minute) = (next()?, next()?, next()?, next()?, next()?);
    Some(ioctl::RtcTime {
        second: i32::try_from(seconds % 60).ok()?,
        minute,
        hour,
        day,
        month: month - 1,
        year: year - 1900,
        // The kernel does not look at these.
        day_of_week: 0,
        day_of_year: 0,
        is_summer_time: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_battery_s_clock_counts_months_from_nothing_and_years_from_1900() {
        let time = rtc_time(1_772_366_405).unwrap();
        assert_eq!((time.year, time.month, time.day), (126, 2, 1));
        assert_eq!((time.hour, time.minute, time.second), (12, 0, 5));
    }
}
