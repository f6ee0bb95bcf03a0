//! Retention: how long an organisation keeps what is finished.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::fields::{FieldError, Fields};
use crate::state::State;
use crate::time::Timestamp;

/// How long each kind of record is kept; `None`: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Finished messages, from their last change on.
    pub messages: Option<Duration>,
    /// The payloads and provider's answers of finished messages; no longer than the messages.
    pub payloads: Option<Duration>,
    /// Inbound messages, from their arrival on.
    pub inbound: Option<Duration>,
    /// Entries of the audit trail.
    pub audit: Option<Duration>,
}

/// The longest time that can be set; to keep records longer, leave the field out.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

impl Retention {
    /// Reads the field `retention` of a body; `None` if it is not given.
    pub fn parse(fields: &mut Fields<'_>) -> Option<Self> {
        match fields.value("retention")? {
            Value::Object(object) => match Self::read(object, "retention.") {
                Ok(retention) => return Some(retention),
                Err(errors) => fields.extend(errors),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                fields.refuse("retention", "must be an object");
            }
        }
        None
    }

    /// Reads durations such as `90d`; `prefix` goes before a field's name in errors.
    pub fn read(object: &Map<String, Value>, prefix: &str) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::new(object, prefix);
        let mut duration = |name| {
            let text = fields.text(name)?;
            let read = humantime::parse_duration(text).ok().filter(|time| !time.is_zero() && *time <= LONGEST);
            if read.is_none() {
                fields.refuse(
                    name,
                    "must be a duration of up to 100 years, such as \"90d\"; leave it out to keep for ever",
                );
            }
            read
        };
        let retention = Self {
            messages: duration("messages"),
            payloads: duration("payloads"),
            inbound: duration("inbound"),
            audit: duration("audit"),
        };
        if let (Some(messages), Some(payloads)) = (retention.messages, retention.payloads)
            && payloads > messages
        {
            fields.refuse("payloads", "must be no longer than messages: a payload goes with its message");
        }
        let errors = fields.finish();
        if errors.is_empty() { Ok(retention) } else { Err(errors) }
    }

    /// As clients see it.
    pub fn to_json(&self) -> Value {
        let text = |time: Option<Duration>| time.map(|time| humantime::format_duration(time).to_string());
        json!({
            "messages": text(self.messages), "payloads": text(self.payloads), "inbound": text(self.inbound),
            "audit": text(self.audit),
        })
    }

    /// How often to look for old records: a tenth of the shortest time, but between every second and every hour. `None`
    /// if everything is kept.
    pub fn every(&self) -> Option<Duration> {
        let shortest = [self.messages, self.payloads, self.inbound, self.audit].into_iter().flatten().min()?;
        Some((shortest / 10).clamp(Duration::from_secs(1), Duration::from_secs(3600)))
    }
}

impl State {
    /// Whether a message finished before `then` and has not changed since.
    pub fn is_over(&self, then: Timestamp) -> bool {
        self.due().is_none() && self.updated_at < then
    }
}

/// How many records retention has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Messages.
    pub messages: u64,
    /// Payloads.
    pub payloads: u64,
    /// Inbound messages.
    pub inbound: u64,
    /// Entries of the audit trail.
    pub entries: u64,
}

impl Purged {
    /// What was added since `before`.
    pub const fn since(self, before: Self) -> Self {
        Self {
            messages: self.messages - before.messages,
            payloads: self.payloads - before.payloads,
            inbound: self.inbound - before.inbound,
            entries: self.entries - before.entries,
        }
    }

    /// The sum.
    pub const fn total(self) -> u64 {
        self.messages + self.payloads + self.inbound + self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Retention, Vec<String>> {
        let errors = |errors: Vec<FieldError>| errors.into_iter().map(|error| error.field).collect();
        Retention::read(value.as_object().unwrap(), "retention.").map_err(errors)
    }

    #[test]
    fn durations_are_read_and_shown_and_what_is_absent_is_kept() {
        let retention = read(json!({"messages": "90d", "payloads": "1h 30m", "audit": null})).unwrap();
        assert_eq!(retention.payloads, Some(Duration::from_secs(5400)));
        assert_eq!((retention.inbound, retention.audit), (None, None));
        assert_eq!(retention.to_json()["payloads"], "1h 30m");
        let again: Map<_, _> = retention.to_json().as_object().unwrap().clone();
        assert_eq!(Retention::read(&again, ""), Ok(retention));
        assert_eq!(read(json!({})).unwrap().every(), None);
    }

    #[test]
    fn every_bad_duration_is_named() {
        let bad = json!({"messages": "soon", "payloads": 5, "inbound": "0s", "audit": "1000y", "other": "1d"});
        let fields = ["messages", "payloads", "inbound", "audit", "other"].map(|name| format!("retention.{name}"));
        let mut named = read(bad).unwrap_err();
        named.dedup();
        assert_eq!(named, fields);
        assert_eq!(read(json!({"messages": "1d", "payloads": "2d"})).unwrap_err(), ["retention.payloads"]);
    }
}
