//! The accepted messages and the counters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use domain::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A message that the simulator accepted.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// Its number among all accepted messages, from 1.
    pub seq: u64,
    /// When it was accepted.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    /// The same moment on the monotonic clock of the process that runs the simulator.
    #[serde(skip)]
    pub received: Instant,
    /// The sender that it was posted to.
    pub phone_number_id: String,
    /// The recipient as the request writes it.
    pub to: String,
    /// The request's `biz_opaque_callback_data`.
    pub opaque: Option<String>,
    /// The message's id.
    pub wamid: String,
    /// The whole request.
    pub body: Box<RawValue>,
}

/// Counts since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Requests to send a message.
    pub requests: u64,
    /// Messages accepted, even if the caller got another answer.
    pub accepted: u64,
    /// Requests answered with Meta's error envelope, by code.
    pub refused: BTreeMap<i64, u64>,
    /// Connections closed without an answer.
    pub dropped: u64,
    /// Answers that were not JSON or had no envelope.
    pub garbled: u64,
    /// Webhook calls answered with 200.
    pub webhooks_delivered: u64,
    /// Webhook calls that got another answer or none; each is retried.
    pub webhooks_failed: u64,
    /// Receipts in webhook calls answered with 200.
    pub receipts_sent: u64,
    /// Receipts that are planned or being sent.
    pub receipts_waiting: u64,
    /// Receipts given up because no webhook was set or it never answered with 200.
    pub receipts_given_up: u64,
    /// Inbound messages and other events in webhook calls answered with 200.
    pub inbound_sent: u64,
    /// Inbound messages and other events that wait or are being sent.
    pub inbound_waiting: u64,
    /// Inbound messages and other events given up.
    pub inbound_given_up: u64,
    /// Calls that marked a message as read.
    pub marked_read: u64,
}

/// The accepted messages in order, and the counters.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    messages: Vec<Arc<Accepted>>,
    /// The counts.
    pub(crate) stats: Stats,
}

impl Ledger {
    /// The number of the next message.
    pub(crate) fn next_seq(&self) -> u64 {
        count(self.messages.len()).saturating_add(1)
    }

    /// Appends a message, which must carry the next number.
    pub(crate) fn push(&mut self, message: &Arc<Accepted>) {
        self.messages.push(Arc::clone(message));
        self.stats.accepted += 1;
    }

    /// At most `limit` messages after number `after`. They are shared, so the copy is cheap.
    pub(crate) fn messages(&self, after: u64, limit: usize) -> Vec<Arc<Accepted>> {
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        self.messages.iter().skip(skip).take(limit).cloned().collect()
    }

    /// The last message from `sender` to `author`, which is digits without `+` or the id of a user.
    pub(crate) fn last_to(&self, sender: &str, author: &str) -> Option<String> {
        let is_to = |to: &str| {
            // The request may have written the number with blanks and dashes.
            to == author || to.bytes().filter(u8::is_ascii_digit).eq(author.bytes())
        };
        let mut latest = self.messages.iter().rev();
        latest.find(|message| message.phone_number_id == sender && is_to(&message.to)).map(|last| last.wamid.clone())
    }

    /// Counts an answer with an error code.
    pub(crate) fn refused(&mut self, code: i64) {
        *self.stats.refused.entry(code).or_default() += 1;
    }
}

/// Converts a length to a count.
pub(crate) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn rfc3339<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(at)
}
