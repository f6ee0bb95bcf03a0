//! Where the witnesses disagree. Asks nobody: all that is compared is given.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use simulator::Accepted;

use crate::clients::{Acknowledged, number};
use crate::plan::{End, org_id};
use crate::report::Report;

/// One message as the API shows it.
pub(super) struct Shown {
    id: String,
    number: Option<u64>,
    status: String,
    provider_id: Option<String>,
}

impl Shown {
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

/// What WhatsApp took, by the messages' numbers.
pub(super) struct Ledger(HashMap<u64, Vec<Arc<Accepted>>>);

impl Ledger {
    pub(super) fn of(messages: Vec<Arc<Accepted>>) -> Self {
        let mut taken: HashMap<u64, Vec<Arc<Accepted>>> = HashMap::new();
        for message in messages {
            // A recipient that no client wrote to is nobody's: it shows as one too many of message `MAX`.
            taken.entry(number(&message.to).unwrap_or(u64::MAX)).or_default().push(message);
        }
        Self(taken)
    }

    /// Writes down what was taken more than once, or for nobody.
    pub(super) fn look_for_doubles(
        &self,
        book: &HashMap<u64, Acknowledged>,
        stale_after: Duration,
        report: &mut Report,
    ) {
        for (n, taken) in &self.0 {
            if !book.contains_key(n) {
                report.found(|report| &mut report.unknown, || format!("WhatsApp took {n}, which no client posted"));
            }
            for (first, again) in taken.iter().zip(taken.iter().skip(1)) {
                let after = again.received - first.received;
                let words =
                    || format!("message {n} was taken again after {after:?}: {:?}, {:?}", first.opaque, again.opaque);
                if after < stale_after {
                    report.found(|report| &mut report.sent_twice, words);
                } else {
                    report.found(|report| &mut report.sent_twice_late, words);
                }
            }
        }
    }
}

/// Holds what the API shows of one organisation against the book and the ledger.
pub(super) fn compare_messages(
    org: usize,
    shown: &[Shown],
    book: &HashMap<u64, Acknowledged>,
    ledger: &Ledger,
    report: &mut Report,
) {
    let wanted = End::of(org).status();
    let mut known = HashSet::new();
    for message in shown {
        let Some(n) = message.number.filter(|n| book.get(n).is_some_and(|acknowledged| acknowledged.id == message.id))
        else {
            report.found(|report| &mut report.unknown, || format!("no client knows of {}", message.id));
            continue;
        };
        known.insert(n);
        let taken = ledger.0.get(&n).map_or(&[][..], Vec::as_slice);
        let is_told = taken.iter().any(|taken| Some(&taken.wamid) == message.provider_id.as_ref());
        if message.status != wanted || !is_told {
            let Shown { id, status, .. } = message;
            let times = taken.len();
            report.found(
                |report| &mut report.states_wrong,
                || format!("message {id} ({n}) is {status}, not {wanted}; taken {times} times, by its provider id: {is_told}"),
            );
        }
    }
    for (n, Acknowledged { id, .. }) in book.iter().filter(|(_, message)| message.org == org) {
        if !known.contains(n) || !ledger.0.contains_key(n) {
            let (is_known, is_taken) = (known.contains(n), ledger.0.contains_key(n));
            report.found(|report| &mut report.lost, || format!("message {id} ({n}): kept {is_known}, sent {is_taken}"));
        }
    }
}

/// The audit trail of one organisation, newest first.
#[derive(Default)]
pub(super) struct Trail {
    seqs: Vec<u64>,
    /// How often each message is said to have been created.
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

    /// Writes down its gaps, and what it does not tell once of a message.
    pub(super) fn compare(&self, org: usize, shown: &[Shown], report: &mut Report) {
        let last = u64::try_from(self.seqs.len()).unwrap_or(u64::MAX);
        report.entries += last;
        if !self.seqs.iter().copied().eq((1..=last).rev()) {
            let org = org_id(org);
            report.found(|report| &mut report.audit_wrong, || format!("the trail of {org} has a gap"));
        }
        for Shown { id, .. } in shown {
            let times = self.created.get(id).copied().unwrap_or_default();
            if times != 1 {
                report.found(|report| &mut report.audit_wrong, || format!("message {id} is CREATED {times} times"));
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

    /// One message of an organisation whose messages are READ in the end, as all witnesses tell of it.
    struct Told {
        book: HashMap<u64, Acknowledged>,
        ledger: Vec<Arc<Accepted>>,
        shown: Vec<Value>,
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

    fn told() -> Told {
        Told {
            book: HashMap::from([(7, Acknowledged { org: 0, id: "a".into() })]),
            ledger: vec![taken(7, "w", Duration::ZERO)],
            shown: vec![json!({"id": "a", "to": recipient(7), "status": "READ", "providerMessageId": "w"})],
            events: vec![
                json!({"seq": 2, "action": "SENT", "entityId": "a"}),
                json!({"seq": 1, "action": "CREATED", "entityId": "a"}),
            ],
        }
    }

    /// What is found of it after `change`: lost, sent twice, late, states, unknown, audit.
    fn found(change: impl FnOnce(&mut Told)) -> [u64; 6] {
        let (mut told, mut report, mut trail) = (told(), Report::default(), Trail::default());
        change(&mut told);
        let ledger = Ledger::of(told.ledger);
        let shown: Vec<_> = told.shown.iter().filter_map(Shown::read).collect();
        told.events.iter().for_each(|event| trail.read(event));
        ledger.look_for_doubles(&told.book, STALE_AFTER, &mut report);
        compare_messages(0, &shown, &told.book, &ledger, &mut report);
        trail.compare(0, &shown, &mut report);
        let Report { lost, sent_twice, sent_twice_late, states_wrong, unknown, audit_wrong, .. } = report;
        [lost, sent_twice, sent_twice_late, states_wrong, unknown, audit_wrong]
    }

    #[test]
    fn witnesses_that_agree_find_nothing() {
        assert_eq!(found(|_| ()), [0; 6]);
    }

    #[test]
    fn an_acknowledged_message_that_is_gone_or_was_never_sent_is_lost() {
        assert_eq!(found(|told| told.shown.clear()), [1, 0, 0, 0, 0, 0]);
        assert_eq!(found(|told| told.ledger.clear()), [1, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_second_send_counts_by_whether_it_came_before_stale_after() {
        let again = |after| move |told: &mut Told| told.ledger.push(taken(7, "x", after));
        assert_eq!(found(again(STALE_AFTER / 2)), [0, 1, 0, 0, 0, 0]);
        assert_eq!(found(again(STALE_AFTER * 2)), [0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn a_status_or_a_provider_id_that_the_ledger_does_not_bear_out_is_wrong() {
        assert_eq!(found(|told| told.shown[0]["status"] = json!("SENT")), [0, 0, 0, 1, 0, 0]);
        assert_eq!(found(|told| told.shown[0]["providerMessageId"] = json!("x")), [0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_message_kept_twice_or_sent_for_nobody_is_known_to_no_client() {
        let twice = |told: &mut Told| {
            told.shown.push(json!({"id": "b", "to": recipient(7), "status": "READ"}));
            told.events.insert(0, json!({"seq": 3, "action": "CREATED", "entityId": "b"}));
        };
        assert_eq!(found(twice), [0, 0, 0, 0, 1, 0]);
        assert_eq!(found(|told| told.ledger.push(taken(8, "y", Duration::ZERO))), [0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn a_gap_in_the_trail_and_a_message_that_it_does_not_tell_of_are_found() {
        assert_eq!(found(|told| told.events[0]["seq"] = json!(3)), [0, 0, 0, 0, 0, 1]);
        assert_eq!(found(|told| told.events[1]["action"] = json!("UPDATED")), [0, 0, 0, 0, 0, 1]);
    }
}
