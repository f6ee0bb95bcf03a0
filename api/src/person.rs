//! The rights of those who are written to: export and erasure; and what retention removes.

use serde::{Deserialize, Serialize};

use crate::{Activity, Attempt, ConsentHistory, Inbound, Message, PersonName, Word};

/// How much of a person's data was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Erased {
    /// Messages to them.
    pub messages: u64,
    /// Messages of theirs.
    pub inbound_messages: u64,
    /// What they said about consent.
    pub consent_statements: u64,
    /// Receipts that waited for a message.
    pub parked_receipts: u64,
}

/// What an erasure has come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "UPPERCASE")]
pub enum Erasing {
    /// It is done.
    Erased(Erased),
    /// It goes on.
    Erasing {
        /// Why it takes longer.
        detail: Word,
    },
}

/// How much went because it was old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Purged {
    /// Messages.
    pub messages: u64,
    /// What messages said.
    pub payloads: u64,
    /// Messages of recipients.
    pub inbound_messages: u64,
    /// Events of the audit trail.
    pub audit_events: u64,
}

/// One page of all that is held of a person.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Export<'a> {
    /// What they are known by.
    pub names: Vec<String>,
    /// What they were known by before.
    pub former_names: Vec<PersonName>,
    /// What they said about consent; on the first page.
    pub consents: Vec<ConsentHistory>,
    /// Receipts that wait for a message of theirs; on the first page.
    pub parked_receipts: Vec<ParkedReceipt>,
    /// Messages to them.
    pub messages: Vec<Whole<'a>>,
    /// Messages of theirs.
    pub inbound_messages: Vec<Inbound>,
    /// The `cursor` of the next page; `null` on the last.
    pub next_cursor: Option<String>,
}

/// A message with all that is held of it.
#[derive(Debug, Serialize)]
pub struct Whole<'a> {
    /// The message.
    pub message: Message<'a>,
    /// Its attempts, with WhatsApp's answers.
    pub attempts: &'a [Attempt],
    /// What happened to it.
    pub timeline: &'a [Activity],
}

/// A receipt that waits for its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParkedReceipt {
    /// WhatsApp's id of the message.
    pub provider_message_id: String,
    /// What it says, in capitals.
    pub status: String,
    /// When it happened, by WhatsApp's clock.
    pub reported_at: String,
}
