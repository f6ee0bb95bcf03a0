//! The audit trail and the timelines.

use serde::Serialize;
use serde_json::Value;

use crate::{Erased, Purged, Word};

/// An event of the audit trail.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its number within the organisation, from 1.
    pub seq: u64,
    /// When it happened.
    pub at: String,
    /// What it is about: `MESSAGE`, `ORGANISATION`, `API_KEY`, `SENDER`, `INBOUND`, `CONSENT`, `ERASURE` or `PERSON`.
    pub entity_type: Word,
    /// Which one of these.
    pub entity_id: String,
    /// What happened.
    pub action: Word,
    /// Who did it: `system`, `admin`, `whatsapp`, `config`, or `api-key:NAME`.
    pub actor: String,
    /// What belongs to it.
    pub details: Details,
}

/// A step on the timeline of a message or a dossier.
#[derive(Debug, Serialize)]
pub struct Activity {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Word,
    /// When.
    pub at: String,
    /// What belongs to it, and its message.
    pub details: ActivityDetails,
}

/// What belongs to a step on a timeline.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityDetails {
    /// The message, if it is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The message that a recipient wrote, if it is one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbound_message_id: Option<String>,
    /// The rest, by what happened.
    #[serde(flatten)]
    pub details: Details,
}

/// What belongs to an event, by what happened.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Details {
    /// Nothing does.
    None {},
    /// A message has another status.
    Status {
        /// The new one.
        status: Word,
    },
    /// WhatsApp took a message.
    Sent {
        /// `SENT`.
        status: Word,
        /// The attempt.
        attempt: u16,
        /// WhatsApp's id of the message; `null` once erased.
        provider_message_id: Option<String>,
    },
    /// An attempt failed, and another is due.
    Retry {
        /// `QUEUED`.
        status: Word,
        /// The attempt.
        attempt: u16,
        /// Why it failed.
        error_code: String,
        /// The same in words.
        error_message: Option<String>,
        /// When the next is due.
        next_retry_at: String,
    },
    /// Nobody knows whether WhatsApp took an attempt.
    Unknown {
        /// `SENDING`.
        status: Word,
        /// The attempt.
        attempt: u16,
        /// What was lost.
        error_code: String,
        /// The same in words.
        error_message: Option<String>,
        /// Until when a receipt may tell.
        settle_by: String,
    },
    /// A message is sent again because no receipt told.
    Resending {
        /// `QUEUED`.
        status: Word,
        /// The attempt that nothing is known of.
        attempt: u16,
        /// `OUTCOME_UNKNOWN`.
        error_code: Word,
    },
    /// A message failed.
    Failed {
        /// `FAILED`.
        status: Word,
        /// The attempt that decided it, if one did.
        attempt: Option<u16>,
        /// Why.
        error_code: String,
        /// The same in words.
        error_message: Option<String>,
    },
    /// A receipt came.
    Receipt {
        /// What it says, in capitals.
        status: String,
        /// The attempt that it is about.
        attempt: u16,
        /// WhatsApp's id of the message; `null` once erased.
        provider_message_id: Option<String>,
        /// When it happened, by WhatsApp's clock.
        reported_at: String,
        /// What became of it: `APPLIED`, `KEPT`, `ANOMALY` or `OVERRULED`.
        effect: Word,
        /// Meta's code, if it tells of a failure.
        error_code: Option<String>,
        /// The same in words.
        error_message: Option<String>,
        /// What Meta says of the price.
        pricing: Option<Value>,
    },
    /// Sending was paused, or a key was refused.
    Reason {
        /// Why.
        reason: String,
    },
    /// A person's data was erased.
    Erased(Erased),
    /// Records went because they were old.
    Purged(Purged),
    /// Names were found to be one person's.
    Linked {
        /// How many.
        names: u8,
        /// How many were given up.
        former_names: u8,
    },
    /// The store was restored from a backup.
    Restored {
        /// Its id.
        backup: String,
        /// The moment that it is of.
        taken_at: String,
        /// Messages that are held since.
        held: u64,
    },
    /// Messages that were held are so no more.
    Released {
        /// How many.
        messages: u64,
    },
    /// WhatsApp bills a template as another category.
    TemplateBilled {
        /// The WhatsApp business account.
        account: String,
        /// The template's name.
        template: String,
        /// Its language.
        language: String,
        /// What it is billed as.
        category: Word,
        /// The message that showed it.
        message_id: String,
    },
    /// A sender slows down.
    Throttled {
        /// Meta's code.
        code: i64,
        /// Until when.
        until: String,
    },
    /// A sender does so no more.
    Unthrottled {
        /// Meta's code.
        code: i64,
    },
    /// Meta told of something that changes no message.
    Noticed {
        /// The list or field that it stood in.
        item: String,
        /// Meta's word for it.
        word: Option<String>,
        /// Meta's code, if it is an error.
        error_code: Option<String>,
    },
    /// An attempt was given an id that another has.
    IdTaken {
        /// The attempt.
        attempt: u16,
        /// Who had it first.
        holder: MessageRef,
    },
    /// Indexes were built anew.
    Repaired {
        /// How many keys.
        keys: u64,
    },
    /// A recipient wrote.
    Received {
        /// Meta's word for the kind of message.
        #[serde(rename = "type")]
        kind: String,
    },
    /// A recipient's consent changed.
    Consent {
        /// `GRANTED` or `REVOKED`.
        status: Word,
        /// The category that it covers; `null` for both.
        category: Option<Word>,
    },
    /// Consent does not let a message go.
    Blocked {
        /// `FAILED`; `null` for a request that was refused.
        status: Option<Word>,
        /// `CONSENT_REVOKED` or the like.
        error_code: Word,
        /// The same in words.
        error_message: String,
        /// The message's category.
        category: Word,
        /// The statement that revoked it.
        consent_record: Option<String>,
    },
    /// The organisation was changed.
    Change {
        /// How.
        change: Word,
    },
}

/// One attempt of a message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRef {
    /// The message.
    pub message_id: String,
    /// The attempt's number.
    pub attempt: u16,
}

/// A name that was a person's until some time.
#[derive(Debug, Serialize)]
pub struct PersonName {
    /// The name.
    pub name: String,
    /// Until when it was theirs.
    pub until: String,
}
