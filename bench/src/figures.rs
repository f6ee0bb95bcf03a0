//! What was measured, in the order in which it was: as a table for people and as JSON for programs.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

/// Latencies up to an hour, to three digits, in microseconds.
const LONGEST_MICROS: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// Latencies.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_max(LONGEST_MICROS, DIGITS).context("a histogram")?))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST_MICROS));
    }

    pub(crate) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.0.add(&other.0).context("histograms of one kind")
    }

    /// A percentile, in milliseconds.
    pub(crate) fn ms(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64 / 1000.0
    }

    pub(crate) fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }

    fn value(&self) -> Value {
        json!({"p50": self.ms(50.0), "p99": self.ms(99.0), "p999": self.ms(99.9)})
    }
}

/// The figures of one phase, by name; the unit is in the name.
#[derive(Clone, Default)]
pub(crate) struct Figures(Vec<(&'static str, Value)>);

impl Figures {
    /// A number, with as many digits as say something.
    pub(crate) fn number(&mut self, name: &'static str, number: f64) {
        let digits = if number.abs() >= 100.0 { 1.0 } else { 1000.0 };
        self.0.push((name, json!((number * digits).round() / digits)));
    }

    pub(crate) fn latency(&mut self, name: &'static str, latencies: &Latencies) {
        self.0.push((name, latencies.value()));
    }

    pub(crate) fn value(&mut self, name: &'static str, value: Value) {
        self.0.push((name, value));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(crate) fn to_json(&self) -> Value {
        Value::Object(self.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Map<_, _>>())
    }
}

/// One line per figure.
impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            let text = match value {
                Value::Object(parts) => {
                    let parts: Vec<_> = parts.iter().map(|(name, value)| format!("{name} {value}")).collect();
                    parts.join("   ")
                }
                Value::Number(number) => thousands(number.as_f64().unwrap_or_default()),
                Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => value.to_string(),
            };
            writeln!(out, "    {name:<34} {text}")?;
        }
        Ok(())
    }
}

/// `12345.6` as `12,346`; small ones with their digits.
pub(crate) fn thousands(number: f64) -> String {
    if number < 1000.0 {
        return number.to_string();
    }
    let digits = format!("{number:.0}");
    let grouped: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    grouped.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped_and_small_ones_keep_their_digits() {
        let shown = [0.257, 999.5, 1234.5, 1_234_567.0].map(thousands);
        assert_eq!(shown, ["0.257", "999.5", "1,234", "1,234,567"]);
    }

    #[test]
    fn percentiles_are_told_in_milliseconds() {
        let mut latencies = Latencies::new().unwrap();
        for micros in 1..=1001 {
            latencies.record(Duration::from_micros(micros));
        }
        let mut figures = Figures::default();
        figures.latency("acceptMs", &latencies);
        assert_eq!(figures.to_json(), json!({"acceptMs": {"p50": 0.501, "p99": 0.991, "p999": 1.0}}));
    }
}
