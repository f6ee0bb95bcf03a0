//! How long Meta wants to be left alone, from an answer's headers. None of them is promised, so all are optional.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;

/// Percentages of what an account may use, and how long until it may use more.
const BUSINESS_USAGE: &str = "x-business-use-case-usage";
/// A longer wait is cut to this, so that no answer can stop a sender for good.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Deserialize)]
struct Usage {
    /// Minutes.
    #[serde(default)]
    estimated_time_to_regain_access: u64,
}

/// The longest wait that the headers ask for; `None` if they ask for none.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let usage: HashMap<String, Vec<Usage>> =
        headers.get(BUSINESS_USAGE).and_then(|value| serde_json::from_slice(value.as_bytes()).ok()).unwrap_or_default();
    let minutes = usage.values().flatten().map(|usage| usage.estimated_time_to_regain_access).max().filter(|n| *n > 0);
    let minutes = minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    seconds.map(Duration::from_secs).max(minutes).map(|wait| wait.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_longest_wait_that_is_asked_for_counts() {
        let usage = r#"{"1022":[{"type":"whatsapp","call_count":100,"estimated_time_to_regain_access":5}],"1023":[{"type":"whatsapp"}]}"#;
        let secs = |pairs: &[_]| wait(&headers(pairs)).map(|wait| wait.as_secs());
        assert_eq!(secs(&[]), None);
        assert_eq!(secs(&[("retry-after", "7")]), Some(7));
        assert_eq!(secs(&[(BUSINESS_USAGE, usage)]), Some(300));
        assert_eq!(secs(&[("retry-after", "7"), (BUSINESS_USAGE, usage)]), Some(300));
        assert_eq!(secs(&[(BUSINESS_USAGE, r#"{"1":[{"estimated_time_to_regain_access":0}]}"#)]), None);
        assert_eq!(secs(&[(BUSINESS_USAGE, "garbage"), ("retry-after", "soon")]), None);
        assert_eq!(secs(&[("retry-after", "99999999999")]), Some(WAIT_MAX.as_secs()));
    }
}
