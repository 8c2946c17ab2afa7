//! Numbers as people read them.

const SECONDS_A_DAY: u64 = 86_400;

/// Bytes as disks are sold: in powers of ten.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 9.95 && unit > 0 {
        return format!("{value:.1} {}", UNITS[unit]);
    }
    format!("{value:.0} {}", UNITS[unit])
}

/// How long something has taken or will take.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        3600..SECONDS_A_DAY => format!("{}:{:02} h", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / SECONDS_A_DAY, seconds % SECONDS_A_DAY / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1_500), "1.5 kB");
        assert_eq!(size(500_107_862_016), "500 GB");
        assert_eq!(size(2_000_398_934_016), "2.0 TB");
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(600), "10:00 min");
        assert_eq!(duration(90_061), "1 d 1 h");
    }
}
