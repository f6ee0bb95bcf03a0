//! Finds where the witnesses disagree. It is pure: it compares what it is given.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use simulator::Accepted;

use crate::clients::{Acknowledged, number};
use crate::plan::{FinalStatus, org_id};
use crate::report::Report;

/// A message as the API lists it.
pub(super) struct ListedMessage {
    id: String,
    number: Option<u64>,
    status: String,
    provider_id: Option<String>,
}

impl ListedMessage {
    /// Reads an item of the list.
    pub(super) fn read(item: &Value) -> Option<Self> {
        let text = |name| item.get(name).and_then(Value::as_str);
        Some(Self {
            id: text("id")?.to_owned(),
            number: number(text("to")?),
            status: text("status")?.to_owned(),
            provider_id: text("providerMessageId").map(str::to_owned),
        })
    }
}

/// The messages that WhatsApp accepted, by number.
pub(super) struct Ledger(HashMap<u64, Vec<Arc<Accepted>>>);

impl Ledger {
    pub(super) fn of(messages: Vec<Arc<Accepted>>) -> Self {
        let mut taken: HashMap<u64, Vec<Arc<Accepted>>> = HashMap::new();
        for message in messages {
            // No client wrote to a recipient without a number. It counts as the unknown message `u64::MAX`.
            taken.entry(number(&message.to).unwrap_or(u64::MAX)).or_default().push(message);
        }
        Self(taken)
    }

    /// Reports messages that WhatsApp accepted more than once or that no client posted.
    pub(super) fn look_for_doubles(
        &self,
        history: &HashMap<u64, Acknowledged>,
        stale_after: Duration,
        report: &mut Report,
    ) {
        for (n, taken) in &self.0 {
            if !history.contains_key(n) {
                report.found(|report| &mut report.unknown, || format!("WhatsApp accepted {n}, which no client posted"));
            }
            for (first, again) in taken.iter().zip(taken.iter().skip(1)) {
                let after = again.received - first.received;
                let words = || {
                    format!("message {n} was accepted again after {after:?}: {:?}, {:?}", first.opaque, again.opaque)
                };
                if after < stale_after {
                    report.found(|report| &mut report.sent_twice, words);
                } else {
                    report.found(|report| &mut report.sent_twice_late, words);
                }
            }
        }
    }
}

/// Compares the messages of one organisation with the history and the ledger.
pub(super) fn compare_messages(
    org: usize,
    listed: &[ListedMessage],
    history: &HashMap<u64, Acknowledged>,
    ledger: &Ledger,
    report: &mut Report,
) {
    let expected = FinalStatus::of(org).status();
    let mut known = HashSet::new();
    for message in listed {
        let Some(n) =
            message.number.filter(|n| history.get(n).is_some_and(|acknowledged| acknowledged.id == message.id))
        else {
            report.found(|report| &mut report.unknown, || format!("no client knows of {}", message.id));
            continue;
        };
        known.insert(n);
        let taken = ledger.0.get(&n).map_or(&[][..], Vec::as_slice);
        let is_accepted = taken.iter().any(|taken| Some(&taken.wamid) == message.provider_id.as_ref());
        if message.status != expected || !is_accepted {
            let ListedMessage { id, status, .. } = message;
            let times = taken.len();
            report.found(
                |report| &mut report.states_wrong,
                || format!("message {id} ({n}) is {status}, not {expected}; accepted {times} times, with its provider id: {is_accepted}"),
            );
        }
    }
    for (n, Acknowledged { id, .. }) in history.iter().filter(|(_, message)| message.org == org) {
        if !known.contains(n) || !ledger.0.contains_key(n) {
            let (is_known, is_taken) = (known.contains(n), ledger.0.contains_key(n));
            report
                .found(|report| &mut report.lost, || format!("message {id} ({n}): listed {is_known}, sent {is_taken}"));
        }
    }
}

/// The audit trail of one organisation, newest first.
#[derive(Default)]
pub(super) struct Trail {
    seqs: Vec<u64>,
    /// The number of CREATED entries by message.
    created: HashMap<String, u64>,
}

impl Trail {
    /// Reads an event of the list.
    pub(super) fn read(&mut self, event: &Value) {
        let text = |name| event.get(name).and_then(Value::as_str);
        self.seqs.extend(event.get("seq").and_then(|seq| seq.as_u64().or_else(|| seq.as_str()?.parse().ok())));
        if let (Some("CREATED"), Some(id)) = (text("action"), text("entityId")) {
            *self.created.entry(id.to_owned()).or_default() += 1;
        }
    }

    /// Reports gaps, and messages that do not have exactly one CREATED entry.
    pub(super) fn compare(&self, org: usize, listed: &[ListedMessage], report: &mut Report) {
        let last = u64::try_from(self.seqs.len()).unwrap_or(u64::MAX);
        report.entries += last;
        if !self.seqs.iter().copied().eq((1..=last).rev()) {
            let org = org_id(org);
            report.found(|report| &mut report.audit_wrong, || format!("the audit trail of {org} has a gap"));
        }
        for ListedMessage { id, .. } in listed {
            let times = self.created.get(id).copied().unwrap_or_default();
            if times != 1 {
                report.found(|report| &mut report.audit_wrong, || format!("message {id} has {times} CREATED entries"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::clients::recipient;

    const STALE_AFTER: Duration = Duration::from_secs(10);

    /// The evidence of all witnesses about one message, which is READ in the end.
    struct Evidence {
        history: HashMap<u64, Acknowledged>,
        ledger: Vec<Arc<Accepted>>,
        listed: Vec<Value>,
        events: Vec<Value>,
    }

    fn taken(n: u64, wamid: &str, after: Duration) -> Arc<Accepted> {
        Arc::new(Accepted {
            seq: 1,
            at: domain::Timestamp::from_secs(1),
            received: Instant::now() + after,
            phone_number_id: "1".into(),
            to: recipient(n),
            opaque: None,
            wamid: wamid.into(),
            body: serde_json::value::to_raw_value(&json!({})).unwrap(),
        })
    }

    fn evidence() -> Evidence {
        Evidence {
            history: HashMap::from([(7, Acknowledged { org: 0, id: "a".into() })]),
            ledger: vec![taken(7, "w", Duration::ZERO)],
            listed: vec![json!({"id": "a", "to": recipient(7), "status": "READ", "providerMessageId": "w"})],
            events: vec![
                json!({"seq": 2, "action": "SENT", "entityId": "a"}),
                json!({"seq": 1, "action": "CREATED", "entityId": "a"}),
            ],
        }
    }

    /// The findings after `change`: lost, sent twice, sent twice late, states, unknown, audit.
    fn found(change: impl FnOnce(&mut Evidence)) -> [u64; 6] {
        let (mut evidence, mut report, mut trail) = (evidence(), Report::default(), Trail::default());
        change(&mut evidence);
        let ledger = Ledger::of(evidence.ledger);
        let listed: Vec<_> = evidence.listed.iter().filter_map(ListedMessage::read).collect();
        evidence.events.iter().for_each(|event| trail.read(event));
        ledger.look_for_doubles(&evidence.history, STALE_AFTER, &mut report);
        compare_messages(0, &listed, &evidence.history, &ledger, &mut report);
        trail.compare(0, &listed, &mut report);
        let Report { lost, sent_twice, sent_twice_late, states_wrong, unknown, audit_wrong, .. } = report;
        [lost, sent_twice, sent_twice_late, states_wrong, unknown, audit_wrong]
    }

    #[test]
    fn witnesses_that_agree_report_nothing() {
        assert_eq!(found(|_| ()), [0; 6]);
    }

    #[test]
    fn an_acknowledged_message_that_is_missing_or_never_sent_is_lost() {
        assert_eq!(found(|evidence| evidence.listed.clear()), [1, 0, 0, 0, 0, 0]);
        assert_eq!(found(|evidence| evidence.ledger.clear()), [1, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_second_send_is_counted_apart_once_stale_after_has_passed() {
        let again = |after| move |evidence: &mut Evidence| evidence.ledger.push(taken(7, "x", after));
        assert_eq!(found(again(STALE_AFTER / 2)), [0, 1, 0, 0, 0, 0]);
        assert_eq!(found(again(STALE_AFTER * 2)), [0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn a_status_or_provider_id_that_contradicts_the_ledger_is_wrong() {
        assert_eq!(found(|evidence| evidence.listed[0]["status"] = json!("SENT")), [0, 0, 0, 1, 0, 0]);
        assert_eq!(found(|evidence| evidence.listed[0]["providerMessageId"] = json!("x")), [0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_duplicate_or_a_message_that_nobody_posted_is_unknown() {
        let twice = |evidence: &mut Evidence| {
            evidence.listed.push(json!({"id": "b", "to": recipient(7), "status": "READ"}));
            evidence.events.insert(0, json!({"seq": 3, "action": "CREATED", "entityId": "b"}));
        };
        assert_eq!(found(twice), [0, 0, 0, 0, 1, 0]);
        assert_eq!(found(|evidence| evidence.ledger.push(taken(8, "y", Duration::ZERO))), [0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn a_gap_in_the_trail_and_a_message_without_an_entry_are_found() {
        assert_eq!(found(|evidence| evidence.events[0]["seq"] = json!(3)), [0, 0, 0, 0, 0, 1]);
        assert_eq!(found(|evidence| evidence.events[1]["action"] = json!("UPDATED")), [0, 0, 0, 0, 0, 1]);
    }
}
