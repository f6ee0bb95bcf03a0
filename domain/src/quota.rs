//! An organisation's quotas: messages per day, recipients per 24 hours, messages queued.
//!
//! Days are of UTC. A message counts on the day of its first attempt; retries do not count. A recipient who has not
//! written to the sender within 24 hours counts for 24 hours after each attempt, as in Meta's tiers.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::fields::{FieldError, Fields};
use crate::state::Wait;
use crate::time::Timestamp;

/// How long a recipient counts.
pub const COUNTS_FOR: Duration = DAY;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What an organisation may use; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Messages begun per day.
    pub messages_per_day: Option<u32>,
    /// Messages QUEUED at once.
    pub max_queued: Option<u32>,
    /// Different recipients within 24 hours who did not write themselves.
    pub recipients_per_day: Option<u32>,
}

/// What an organisation has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The day that `messages` counts, in days since the Unix epoch.
    pub day: u64,
    /// Messages begun on that day.
    pub messages: u32,
    /// Recipients that count now.
    pub recipients: u32,
}

/// What an attempt would use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Whether it is the message's first attempt.
    pub is_first: bool,
    /// Whether its recipient would newly count.
    pub is_new_recipient: bool,
}

impl Quotas {
    /// Reads `quotas` of an organisation as put.
    pub fn parse(object: &Map<String, Value>, prefix: &str) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::new(object, prefix);
        let mut number = |name: &'static str| {
            let value = fields.value(name)?;
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
            if number.is_none() {
                fields.refuse(name, "must be a whole number from 1");
            }
            number
        };
        let quotas = Self {
            messages_per_day: number("messagesPerDay"),
            max_queued: number("maxQueued"),
            recipients_per_day: number("recipientsPerDay"),
        };
        let errors = fields.finish();
        if errors.is_empty() { Ok(quotas) } else { Err(errors) }
    }

    /// Whether any quota limits sending.
    pub const fn limit_sending(&self) -> bool {
        self.messages_per_day.is_some() || self.recipients_per_day.is_some()
    }

    /// Whether an attempt may begin now; if not, what it waits for.
    pub fn check(&self, usage: &Usage, need: Need, now: Timestamp) -> Result<(), Wait> {
        let is_exhausted = |used: u32, quota: Option<u32>| quota.is_some_and(|quota| used >= quota);
        if need.is_first && is_exhausted(usage.messages_on(now), self.messages_per_day) {
            Err(Wait::DailyQuota)
        } else if need.is_new_recipient && is_exhausted(usage.recipients, self.recipients_per_day) {
            Err(Wait::RecipientQuota)
        } else {
            Ok(())
        }
    }
}

impl Usage {
    /// Messages begun on the day of `now`.
    pub fn messages_on(&self, now: Timestamp) -> u32 {
        if self.day == now.day() { self.messages } else { 0 }
    }

    /// Counts an attempt that begins.
    pub fn spend(&mut self, need: Need, now: Timestamp) {
        let messages = self.messages_on(now).saturating_add(u32::from(need.is_first));
        let recipients = self.recipients.saturating_add(u32::from(need.is_new_recipient));
        *self = Self { day: now.day(), messages, recipients };
    }

    /// This many recipients no longer count.
    pub const fn uncounted(&mut self, recipients: u32) {
        self.recipients = self.recipients.saturating_sub(recipients);
    }
}

/// When the day of `now` ends.
pub fn day_end(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.day().saturating_add(1).saturating_mul(DAY.as_millis() as u64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOON: Timestamp = Timestamp::from_secs(20_000 * 86_400 + 43_200);
    const FIRST: Need = Need { is_first: true, is_new_recipient: true };

    fn quotas(messages: Option<u32>, recipients: Option<u32>) -> Quotas {
        Quotas { messages_per_day: messages, max_queued: None, recipients_per_day: recipients }
    }

    #[test]
    fn what_is_asked_for_and_used_decides() {
        let used = |messages, recipients| Usage { day: 20_000, messages, recipients };
        let retry = Need { is_first: false, is_new_recipient: false };
        let known = Need { is_first: true, is_new_recipient: false };
        let again = Need { is_first: false, is_new_recipient: true };
        let cases = [
            (quotas(None, None), used(9, 9), FIRST, Ok(())),
            (quotas(Some(3), None), used(2, 9), FIRST, Ok(())),
            (quotas(Some(3), None), used(3, 0), FIRST, Err(Wait::DailyQuota)),
            (quotas(Some(3), None), used(4, 0), FIRST, Err(Wait::DailyQuota)),
            (quotas(Some(3), None), used(3, 0), retry, Ok(())),
            (quotas(None, Some(3)), used(9, 2), FIRST, Ok(())),
            (quotas(None, Some(3)), used(0, 3), FIRST, Err(Wait::RecipientQuota)),
            (quotas(None, Some(3)), used(0, 3), again, Err(Wait::RecipientQuota)),
            (quotas(None, Some(3)), used(0, 3), known, Ok(())),
            (quotas(Some(3), Some(3)), used(3, 3), FIRST, Err(Wait::DailyQuota)),
        ];
        for (quotas, usage, need, verdict) in cases {
            assert_eq!(quotas.check(&usage, need, NOON), verdict, "{quotas:?} {usage:?} {need:?}");
        }
    }

    #[test]
    fn a_new_day_begins_at_midnight_utc() {
        let mut usage = Usage::default();
        usage.spend(FIRST, NOON);
        assert_eq!(day_end(NOON), Timestamp::from_secs(20_001 * 86_400));
        assert_eq!(usage.messages_on(Timestamp::from_millis(day_end(NOON).as_millis() - 1)), 1);
        assert_eq!(usage.messages_on(day_end(NOON)), 0);
        assert_eq!(day_end(day_end(NOON)), Timestamp::from_secs(20_002 * 86_400));
        assert_eq!(usage.recipients, 1, "recipients do not go by days");
    }

    #[test]
    fn quotas_are_read_and_each_wrong_one_is_named() {
        let parse = |json: Value| Quotas::parse(json.as_object().unwrap(), "quotas.");
        let read = parse(json!({"messagesPerDay": 5, "maxQueued": null})).unwrap();
        assert_eq!(read, Quotas { messages_per_day: Some(5), ..Quotas::default() });
        let wrong = parse(json!({"messagesPerDay": 0, "recipientsPerDay": 1.5, "perDay": 1})).unwrap_err();
        let fields: Vec<_> = wrong.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["quotas.messagesPerDay", "quotas.recipientsPerDay", "quotas.perDay"]);
    }

    proptest! {
        #[test]
        fn no_day_has_more_messages_and_no_moment_more_recipients_than_allowed(
            per_day in 1..6_u32,
            recipients in 1..6_u32,
            steps in proptest::collection::vec((0..10 * 3600_u64, any::<bool>(), any::<bool>(), 0..3_u32), 1..200),
        ) {
            let quotas = quotas(Some(per_day), Some(recipients));
            let (mut now, mut usage, mut begun) = (NOON, Usage::default(), std::collections::HashMap::<u64, u32>::new());
            for (secs, is_first, is_new_recipient, uncounted) in steps {
                now = now.after(Duration::from_secs(secs));
                usage.uncounted(uncounted);
                let need = Need { is_first, is_new_recipient };
                if quotas.check(&usage, need, now).is_ok() {
                    usage.spend(need, now);
                    *begun.entry(now.day()).or_default() += u32::from(is_first);
                } else {
                    prop_assert!(is_first || is_new_recipient, "what uses nothing is never held");
                }
                prop_assert!(begun.values().all(|begun| *begun <= per_day));
                prop_assert!(usage.recipients <= recipients);
                prop_assert!(day_end(now) > now);
            }
        }
    }
}
