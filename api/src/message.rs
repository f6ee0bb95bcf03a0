//! Messages out and in.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Word;

/// A message that was posted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message<'a> {
    /// Its id, a UUID.
    pub id: String,
    /// Its organisation.
    #[serde(borrow)]
    pub org_id: Cow<'a, str>,
    /// How far it has come: `QUEUED`, `SENDING`, `SENT`, `DELIVERED`, `READ`, `FAILED` or `CANCELLED`.
    pub status: Word,
    /// The dossier that it belongs to, a string or a number as it was given.
    pub dossier_id: Value,
    /// `WHATSAPP`.
    pub channel: Word,
    /// The phone number id of its sender.
    #[serde(borrow)]
    pub from: Cow<'a, str>,
    /// Its recipient; `null` once erased.
    #[serde(borrow)]
    pub to: Option<Cow<'a, str>>,
    /// The client's own name for its template.
    #[serde(borrow)]
    pub template_code: Option<Cow<'a, str>>,
    /// What WhatsApp is given, as the client wrote it; `null` once erased.
    #[serde(borrow)]
    pub payload_json: Option<&'a RawValue>,
    /// A line for people.
    #[serde(borrow)]
    pub subject: Option<Cow<'a, str>>,
    /// The client's idempotency key.
    #[serde(borrow)]
    pub idempotency_key: Option<Cow<'a, str>>,
    /// When it is to be sent, if not at once.
    pub send_at: Option<String>,
    /// When it is given up if it was not sent.
    pub expires_at: Option<String>,
    /// `HIGH`, `NORMAL` or `LOW`.
    pub priority: Word,
    /// `TRANSACTIONAL` or `MARKETING`.
    pub category: Word,
    /// `RESEND` or `HOLD`: what is done when an answer of WhatsApp's is lost; `null` if the configuration says.
    pub on_unknown: Option<Word>,
    /// WhatsApp's id of it.
    #[serde(borrow)]
    pub provider_message_id: Option<Cow<'a, str>>,
    /// How many attempts were charged to it.
    pub attempt_count: u16,
    /// How many attempts may be.
    pub max_attempts: u16,
    /// Why it failed, or why the last attempt did: a code of twotick's or of Meta's.
    #[serde(borrow)]
    pub error_code: Option<Cow<'a, str>>,
    /// The same in words.
    #[serde(borrow)]
    pub error_message: Option<Cow<'a, str>>,
    /// When the next attempt is due.
    pub next_retry_at: Option<String>,
    /// When it was accepted.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// When WhatsApp took it.
    pub sent_at: Option<String>,
    /// When it reached the recipient.
    pub delivered_at: Option<String>,
    /// When the recipient read it.
    pub read_at: Option<String>,
    /// When its recipient was erased from it. Left out if that did not happen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<String>,
}

/// One attempt to send a message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its number within the message, from 1.
    pub attempt_no: u16,
    /// Whether it counts towards the message's most attempts.
    pub charged: bool,
    /// What became of it.
    pub status: Word,
    /// Why it failed.
    pub error_code: Option<String>,
    /// The same in words.
    pub error_message: Option<String>,
    /// When the next attempt was due after it.
    pub next_retry_at: Option<String>,
    /// When the call began.
    pub started_at: String,
    /// When its outcome was known.
    pub finished_at: Option<String>,
    /// What WhatsApp answered, as it was written; a string if that was not JSON.
    pub provider_response: Option<Box<RawValue>>,
}

/// A message that a recipient wrote.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inbound {
    /// Its id, a UUID.
    pub id: String,
    /// Its organisation.
    pub org_id: String,
    /// Who wrote it: a phone number, or Meta's id of a user who shows none.
    pub from: Option<String>,
    /// The number that it was written to.
    pub phone_number_id: String,
    /// Meta's word for its type, such as `text`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it came.
    pub received_at: String,
    /// WhatsApp's id of it.
    pub provider_message_id: String,
    /// What Meta sent, as it was written.
    pub payload_json: Option<Box<RawValue>>,
}

/// How far a call that retries or cancels many messages has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkResult {
    /// Whether it only counted.
    pub dry_run: bool,
    /// Messages that the filter matched.
    pub matched: u64,
    /// Messages that were changed.
    pub done: u64,
    /// Messages that had moved on, or may not go to their recipient any more.
    pub skipped: u64,
    /// Where the next call goes on, if there is more.
    pub next_cursor: Option<String>,
}
