//! What recipients agreed to.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Word;

/// What is known of a recipient's consent.
#[derive(Debug, Serialize, Deserialize)]
pub struct Consent {
    /// Its id, a UUID. Left out under a name that the person gave up: what holds there now may be another's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The recipient; `null` once erased.
    pub recipient: Option<String>,
    /// What holds for transactional messages: `null` if nothing was said, left out where `id` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transactional: Option<Option<Standing>>,
    /// What holds for marketing messages, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marketing: Option<Option<Standing>>,
}

/// What holds for a category.
#[derive(Debug, Serialize, Deserialize)]
pub struct Standing {
    /// `GRANTED` or `REVOKED`.
    pub status: Word,
    /// Since when.
    pub at: String,
    /// The statement that it comes from.
    pub record: String,
}

/// Something that a recipient said about consent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Its id, and the `seq` of its audit event.
    pub record: String,
    /// `GRANTED` or `REVOKED`.
    pub status: Word,
    /// The category that it covers; `null` for both.
    pub category: Option<Word>,
    /// When it was said.
    pub at: String,
    /// When it was recorded.
    pub recorded_at: String,
    /// Who recorded it.
    pub actor: String,
    /// How it came to be known.
    pub source: String,
    /// What shows it: [`Evidence`] of twotick's own, or JSON as a client wrote it.
    pub evidence: Option<Box<RawValue>>,
}

/// What shows that something was said, where twotick knows it itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Evidence {
    /// A word in a message of the recipient's.
    Word {
        /// The message.
        inbound_message_id: String,
    },
    /// The switch in WhatsApp.
    Preference {
        /// What WhatsApp calls it.
        detail: Option<String>,
        /// When WhatsApp says that it was told, if that lies ahead of our clock.
        told_at: Option<String>,
    },
    /// WhatsApp refused a message because the recipient opted out.
    OptOut {
        /// The message.
        message_id: String,
        /// Its attempt.
        attempt: u16,
    },
    /// It was said under another name of the same person.
    Linked {
        /// The consent under that name.
        consent_id: String,
        /// The statement there.
        record: String,
    },
}

/// What is known of a recipient's consent, with what they said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsentHistory {
    /// What holds.
    #[serde(flatten)]
    pub known: Consent,
    /// The `cursor` of the next page of its history; `null` on the last. Left out in an export, which has all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<Option<String>>,
    /// What was said, newest first.
    pub history: Vec<Statement>,
}
