//! Times as Meta writes them.

use domain::Timestamp;
use serde_json::value::RawValue;

use crate::fields::plain;

/// The last second that RFC 3339 can write. A larger number is in milliseconds or in finer units.
const SECS_MAX: u64 = 253_402_300_799;

/// A time by Meta's clock in whole seconds; `now` if there is none.
pub(super) fn moment(told: Option<&RawValue>, now: Timestamp) -> Timestamp {
    let text = told.map(plain).unwrap_or_default();
    let whole = match text.split_once('.') {
        Some((whole, part)) if part.bytes().all(|byte| byte.is_ascii_digit()) => whole,
        Some(_) | None => text,
    };
    let Ok(mut secs) = whole.parse::<u64>() else { return now };
    while secs > SECS_MAX {
        secs /= 1000;
    }
    Timestamp::from_secs(secs)
}
