//! How long each kind of limit lasts: how soon to try again if Meta does not say, and how much of what Meta says is
//! credible.

use std::time::Duration;

use domain::backoff::Backoff;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The times of one kind of limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// The first pause.
    pub first: Duration,
    /// The longest, after many refusals in a row.
    pub most: Duration,
    /// The longest time that we believe if Meta names one.
    pub believed: Duration,
}

impl Horizon {
    /// Pauses that grow within these limits.
    pub const fn backoff(self) -> Backoff {
        Backoff::new(self.first, self.most)
    }
}

/// The horizon of an error code, or of the HTTP status of an answer without Meta's error object.
pub const fn horizon(code: i64) -> Horizon {
    let (first, most, believed) = match code {
        // Limited because of complaints, or of templates in a wrong category: hours.
        131048 | 131064 => (MINUTE, HOUR, HOUR.saturating_mul(24)),
        // Calls of the app or the account, which Meta counts per hour.
        4 | 17 | 32 | 341 | 613 | 80000..=80014 => (SECOND.saturating_mul(5), MINUTE.saturating_mul(10), HOUR),
        // Maintenance of the number: a minute or a few.
        131057 | 2494100 => (SECOND.saturating_mul(5), MINUTE.saturating_mul(2), HOUR),
        // Messages per second of the number: a moment.
        130429 | 429 => (Duration::from_millis(500), MINUTE, MINUTE.saturating_mul(15)),
        _ => (Duration::from_millis(500), MINUTE, HOUR),
    };
    Horizon { first, most, believed }
}
