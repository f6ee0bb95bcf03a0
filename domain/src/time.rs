//! Points in time, as milliseconds since the Unix epoch. Nothing here reads a clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::fmt::temporal::Pieces;

/// Milliseconds since 1970-01-01T00:00:00Z. Displays as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// How far Meta's clock may be ahead of ours. A time further ahead is not credible.
pub(crate) const AHEAD_MAX: Duration = Duration::from_secs(60);

const DAY_MILLIS: u64 = 24 * 3600 * 1000;

/// The latest time that RFC 3339 can write (end of the year 9999), in milliseconds.
const MAX_MILLIS: u64 = 253_402_300_799_999;
/// The same as text. The library's range ends a day earlier; times in between are written and read as this.
const MAX_WRITTEN: &str = "9999-12-31T23:59:59.999Z";

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The last representable moment: the end of the year 9999.
    pub const MAX: Self = Self(MAX_MILLIS);

    /// From milliseconds since the Unix epoch; times after the year 9999 become [`Timestamp::MAX`].
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > MAX_MILLIS { MAX_MILLIS } else { millis })
    }

    /// From whole seconds since the Unix epoch, as Meta writes times.
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_millis(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment moved later by `delay`.
    pub fn after(self, delay: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(MAX_MILLIS)))
    }

    /// This moment moved earlier by `delay`; not before the epoch.
    pub fn before(self, delay: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The day since the epoch, in UTC.
    pub const fn day(self) -> u64 {
        self.0 / DAY_MILLIS
    }

    /// The time from `earlier` until this moment; zero if `earlier` is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => f.write_str(MAX_WRITTEN),
        }
    }
}

/// Text that is not an RFC 3339 time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("must be an RFC 3339 time such as 2026-11-23T08:00:00Z")]
pub struct NotATime;

impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        match text.parse::<jiff::Timestamp>() {
            Ok(at) => u64::try_from(at.as_millisecond()).map(Self::from_millis).map_err(|_| NotATime),
            Err(_) if is_at_the_end(text) => Ok(Self::MAX),
            Err(_) => Err(NotATime),
        }
    }
}

/// Whether a text is a time on the last day of the year 9999, which people write for "never".
fn is_at_the_end(text: &str) -> bool {
    let Ok(pieces) = Pieces::parse(text) else { return false };
    let is_whole = pieces.time().is_some() && pieces.offset().is_some();
    is_whole && pieces.date() >= Date::constant(9999, 12, 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds_and_read_back() {
        let at = Timestamp::from_millis(1_767_225_600_007);
        assert_eq!(at.to_string(), "2026-01-01T00:00:00.007Z");
        assert_eq!(at.to_string().parse(), Ok(at));
        assert_eq!("2026-01-01T01:00:00.007+01:00".parse(), Ok(at));
    }

    #[test]
    fn a_time_on_a_whole_second_still_shows_its_milliseconds() {
        assert_eq!(Timestamp::from_secs(1_767_225_600).to_string(), "2026-01-01T00:00:00.000Z");
    }

    #[test]
    fn no_time_leaves_what_rfc_3339_can_write() {
        for at in [Timestamp::MAX, Timestamp::from_secs(u64::MAX), Timestamp(u64::MAX), Timestamp(253_402_210_000_000)]
        {
            assert_eq!(at.to_string(), MAX_WRITTEN);
        }
        for text in [MAX_WRITTEN, "9999-12-31T23:59:59Z", "9999-12-31T00:00:00+00:00", "9999-12-31T23:59:59-02:00"] {
            assert_eq!(text.parse(), Ok(Timestamp::MAX), "{text}");
        }
        assert_eq!("9999-12-30T21:59:59.999Z".parse::<Timestamp>().unwrap().to_string(), "9999-12-30T21:59:59.999Z");
        assert_eq!(Timestamp::MAX.after(Duration::from_secs(9)), Timestamp::MAX);
    }

    #[test]
    fn text_that_is_no_time_is_refused() {
        for text in [
            "",
            "tomorrow",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "1950-01-01T00:00:00Z",
            "9999-12-31",
            "9999-12-31T23:59:59",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotATime), "{text}");
        }
    }
}
