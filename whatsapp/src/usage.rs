//! How long Meta asks us to wait, from an answer's headers. Meta promises none of them, so all are optional; how much
//! of it is credible depends on what was refused.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::horizon::horizon;

/// How much of its limits an account has used in percent, and how long until it may use more.
const BUSINESS_USAGE: &str = "x-business-use-case-usage";

/// No limit lasts a week: a longer time is something else, such as the seconds since 1970.
const LONGEST: Duration = Duration::from_secs(86_400 * 7);

/// The longest wait in an answer's headers, as far as it is credible for this error code; `None` if they ask for none.
pub(crate) fn wait(headers: &HeaderMap, code: i64, now: SystemTime) -> Option<Duration> {
    let asked = retry_after(headers, now).max(access_regained_in(headers)).filter(|wait| !wait.is_zero())?;
    Some(asked.min(horizon(code).believed))
}

/// `Retry-After`: seconds, or a date by the server's clock.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.strip_suffix('s').unwrap_or(text).trim_end().parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => read_date(text)?.duration_since(date(headers).unwrap_or(now)).ok(),
    };
    wait.filter(|wait| *wait <= LONGEST)
}

/// When the answer was written, by the server's clock.
fn date(headers: &HeaderMap) -> Option<SystemTime> {
    read_date(headers.get(DATE)?.to_str().ok()?)
}

/// An HTTP date, also in the form that mail uses.
fn read_date(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let zoned = text.strip_suffix("+0000").map(|date| format!("{date}GMT"));
    httpdate::parse_http_date(zoned.as_deref().unwrap_or(text)).ok()
}

/// The longest `estimated_time_to_regain_access`, which is in minutes.
fn access_regained_in(headers: &HeaderMap) -> Option<Duration> {
    let usage: Value = serde_json::from_slice(headers.get(BUSINESS_USAGE)?.as_bytes()).ok()?;
    let uses = usage.as_object()?.values().filter_map(Value::as_array).flatten();
    let minutes = uses.filter_map(|one| {
        let minutes = one.get("estimated_time_to_regain_access")?;
        minutes.as_f64().or_else(|| minutes.as_str()?.trim().parse().ok())
    });
    let most = minutes.fold(0.0_f64, f64::max);
    Duration::try_from_secs_f64(most * 60.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = [(&'static str, &'static str)];

    fn headers(pairs: &Pairs) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_longest_wait_that_is_asked_for_counts() {
        let usage = r#"{"1022":[{"type":"whatsapp","call_count":100,"estimated_time_to_regain_access":5}],"1023":[{"type":"whatsapp"}]}"#;
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
        let table: &[(&Pairs, Option<u64>)] = &[
            (&[], None),
            (&[("retry-after", "7")], Some(7)),
            (&[("retry-after", " 7.0 ")], Some(7)),
            (&[("retry-after", "4s")], Some(4)),
            (&[("retry-after", "0")], None),
            (&[("retry-after", "s")], None),
            // A point in time instead of a wait.
            (&[("retry-after", "1792567689")], None),
            (&[("retry-after", "1792567689"), (BUSINESS_USAGE, usage)], Some(300)),
            (&[("retry-after", "99999999999999999999999")], None),
            (&[("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT")], None),
            (&[("retry-after", "Wed, 21 Oct 2026 07:28:09 +0000")], Some(9)),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "Wed, 21 Oct 2026 07:28:09 GMT")], Some(9)),
            (&[("retry-after", "Wednesday, 21-Oct-26 07:28:09 GMT")], Some(9)),
            (&[("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT")], None),
            // The server's clock is an hour slow.
            (&[("retry-after", "Wed, 21 Oct 2026 06:28:09 GMT"), ("date", "Wed, 21 Oct 2026 06:28:00 GMT")], Some(9)),
            (&[(BUSINESS_USAGE, usage)], Some(300)),
            (&[("retry-after", "7"), (BUSINESS_USAGE, usage)], Some(300)),
            (&[(BUSINESS_USAGE, r#"{"1":[{"estimated_time_to_regain_access":0}]}"#)], None),
            (&[(BUSINESS_USAGE, r#"{"1":[{"estimated_time_to_regain_access":0.5}]}"#)], Some(30)),
            (&[(BUSINESS_USAGE, r#"{"1":[{"estimated_time_to_regain_access":"2"}]}"#)], Some(120)),
            (&[(BUSINESS_USAGE, "garbage"), ("retry-after", "3")], Some(3)),
            (&[(BUSINESS_USAGE, "[]")], None),
        ];
        for (pairs, secs) in table {
            assert_eq!(wait(&headers(pairs), 4, now), secs.map(Duration::from_secs), "{pairs:?}");
        }
    }

    #[test]
    fn what_is_believed_depends_on_what_was_refused() {
        for (code, secs) in [(130_429, 900), (429, 900), (4, 3600), (80_007, 3600), (131_048, 86_400), (131_000, 3600)]
        {
            for huge in ["604800", "604799.5", "Thu, 08 Jan 1970 00:00:00 GMT"] {
                let wait = wait(&headers(&[("retry-after", huge)]), code, SystemTime::UNIX_EPOCH);
                assert_eq!(wait, Some(Duration::from_secs(secs)), "{code} {huge}");
            }
        }
    }
}
