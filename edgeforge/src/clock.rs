//! The build's own time: the time of its newest input, never the wall clock.

use edge_model::{Error, Result};
use jiff::Timestamp;

/// <https://reproducible-builds.org/specs/source-date-epoch/>
pub(crate) const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The variable's value, which overrules the inputs.
///
/// # Errors
/// When it is set and is not a number.
pub(crate) fn source_date_epoch() -> Result<Option<u64>> {
    let Ok(text) = std::env::var(SOURCE_DATE_EPOCH) else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|_| Error::invalid(format!("SOURCE_DATE_EPOCH={text:?} is not a number of seconds")))
}

fn timestamp(seconds: u64) -> Result<Timestamp> {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or_else(|| Error::invalid(format!("{seconds} is not a time")))
}

/// `YYYYMMDDhhmmsscc` in UTC, as xorriso takes it.
///
/// # Errors
/// When the time is out of range.
pub(crate) fn xorriso_stamp(seconds: u64) -> Result<String> {
    Ok(timestamp(seconds)?.strftime("%Y%m%d%H%M%S00").to_string())
}

/// RFC 3339 in UTC.
///
/// # Errors
/// When the time is out of range.
pub(crate) fn rfc3339(seconds: u64) -> Result<String> {
    Ok(timestamp(seconds)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_in_utc() {
        assert_eq!(xorriso_stamp(951_782_399).unwrap(), "2000022823595900");
        assert_eq!(rfc3339(0).unwrap(), "1970-01-01T00:00:00Z");
        assert!(rfc3339(u64::MAX).is_err());
    }
}
