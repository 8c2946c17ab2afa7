//! Moments as people write them.

const SECONDS_A_DAY: u64 = 86_400;

/// Seconds since 1970 as UTC: consoles of one owner stand in many time zones.
pub fn day_and_time(at: u64) -> String {
    let (year, month, day) = civil(at / SECONDS_A_DAY);
    let second = at % SECONDS_A_DAY;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", second / 3600, second % 3600 / 60)
}

/// As somebody types it: [`day_and_time`] without the zone.
pub fn plain_time(at: u64) -> String {
    day_and_time(at).trim_end_matches(" UTC").to_owned()
}

/// Seconds since 1970 of `2026-11-27 10:45`, in UTC; `None` when it is not a moment of this or the next centuries.
pub fn moment_of(text: &str) -> Option<u64> {
    let (date, time) = text.trim().trim_end_matches(" UTC").split_once(' ')?;
    let numbers = |text: &str, separator: char| -> Option<Vec<u64>> {
        text.trim().split(separator).map(|part| part.parse().ok()).collect()
    };
    let ([year, month, day], [hour, minute]) = (&numbers(date, '-')?[..], &numbers(time, ':')?[..]) else {
        return None;
    };
    let is_moment = (1970..=9999).contains(year) && *hour < 24 && *minute < 60;
    // The calendar is its own judge: a day that is not in it comes back as another one.
    let about = (year.checked_sub(1970)? * 366 + 366) * u64::from(is_moment);
    let day_number =
        (0..=about).rev().find(|days| civil(*days) == (*year, *month, *day)).filter(|_| is_moment)?;
    Some(day_number * SECONDS_A_DAY + hour * 3600 + minute * 60)
}

/// Year, month and day of a day since 1970, in the Gregorian calendar.
///
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(day_and_time(0), "1970-01-01 00:00 UTC");
        assert_eq!(day_and_time(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(day_and_time(1_772_366_400), "2026-03-01 12:00 UTC");
    }

    #[test]
    fn moments_are_read_as_they_are_written() {
        for at in [0, 951_782_400, 1_772_366_400, 4_102_444_740] {
            assert_eq!(moment_of(&plain_time(at)), Some(at));
            assert_eq!(moment_of(&day_and_time(at)), Some(at));
        }
        for wrong in [
            "",
            "2026-02-30 10:00",
            "2026-11-27",
            "2026-11-27 24:00",
            "26-11-27 10:00",
            "x-y-z 1:2",
            "99999-01-01 00:00",
        ] {
            assert_eq!(moment_of(wrong), None, "{wrong}");
        }
    }
}
