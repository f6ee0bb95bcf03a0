//! Organisations with their senders and keys, as the admin sees them.

use serde::{Deserialize, Serialize};

use crate::{Purged, WebhookHealth, Word};

/// An organisation. What is secret only shows as `set`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Org {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its consent policy.
    pub consent: Word,
    /// Words by which recipients revoke consent.
    pub stop_words: Vec<String>,
    /// Words by which they grant it.
    pub start_words: Vec<String>,
    /// What is answered to a stop word.
    pub stop_reply: Option<String>,
    /// What is answered to a start word.
    pub start_reply: Option<String>,
    /// How long what is finished is kept.
    pub retention: Retention,
    /// What it may use.
    pub quotas: Quotas,
    /// Since when and why all its senders are paused, if they are.
    pub paused: Option<Pause>,
    /// Its phone numbers.
    pub senders: Vec<Sender>,
    /// Its API keys.
    pub keys: Vec<Key>,
    /// When it was made.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
}

/// An organisation, with what is done for it beside its messages.
#[derive(Debug, Serialize, Deserialize)]
pub struct OrgDetails {
    /// The organisation.
    #[serde(flatten)]
    pub org: Org,
    /// What retention has done.
    pub upkeep: Upkeep,
    /// The backup that it was restored from, while messages may be held since.
    pub restored: Option<Restored>,
}

/// All organisations.
#[derive(Debug, Serialize, Deserialize)]
pub struct Orgs {
    /// All of them.
    pub items: Vec<Org>,
    /// The way to WhatsApp, which they share.
    pub whatsapp: Way,
}

/// How long what is finished is kept, such as `90days`; `null` for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Messages.
    pub messages: Option<String>,
    /// What messages say.
    pub payloads: Option<String>,
    /// Messages of recipients.
    pub inbound: Option<String>,
    /// Events of the audit trail.
    pub audit: Option<String>,
}

/// What an organisation may use; `null` without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quotas {
    /// Messages sent in a day.
    pub messages_per_day: Option<u32>,
    /// Messages queued at once.
    pub max_queued: Option<u32>,
    /// Recipients written to in 24 hours.
    pub recipients_per_day: Option<u32>,
}

/// Since when and why something is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: String,
}

/// A phone number of an organisation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sender {
    /// Meta's id of the number.
    pub phone_number_id: String,
    /// Meta's id of the WhatsApp business account.
    pub waba_id: Option<String>,
    /// `set`.
    pub access_token: Word,
    /// `set`.
    pub app_secret: Word,
    /// `set` while one app secret is exchanged for another.
    pub previous_app_secret: Option<Word>,
    /// `set`.
    pub verify_token: Word,
    /// Its own rate, if it has one.
    pub messages_per_second: Option<u32>,
    /// `ACTIVE` or `PAUSED`.
    pub state: Word,
    /// Why it is paused.
    pub paused_reason: Option<String>,
    /// Since when.
    pub paused_since: Option<String>,
    /// What limits it now.
    #[serde(flatten)]
    pub now: SenderNow,
}

/// What limits a sender now, and what a person can do about it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SenderNow {
    /// `OPERATOR` or `META`, if it is paused.
    pub paused_by: Option<Word>,
    /// When it is next tried with a single message.
    pub next_probe_at: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
    /// Calls that do not come through, if they do not.
    pub outage: Option<Outage>,
    /// Why it is slow, if it is.
    pub throttle: Option<Throttle>,
    /// Whether its webhooks come.
    pub webhooks: WebhookHealth,
}

/// Calls to WhatsApp that do not come through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// `ALL` senders, or one `SENDER`.
    pub extent: Word,
    /// Since when.
    pub since: String,
    /// What a call ended with.
    pub error_code: String,
    /// The same in words.
    pub error_message: String,
    /// When one is tried next.
    pub next_probe_at: String,
}

/// A sender that Meta slows down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// Meta's code.
    pub code: i64,
    /// What it means.
    pub reason: Word,
    /// Since when.
    pub since: String,
    /// Until when.
    pub until: String,
}

/// The way to WhatsApp, which all senders share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Where it is called.
    pub address: String,
    /// Calls that do not come through, if they do not.
    pub outage: Option<Outage>,
}

/// An API key. The key itself is shown once, when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it may: `send`, `read`, `manage`.
    pub scopes: Vec<Word>,
    /// When it was made.
    pub created_at: String,
    /// When it ends, if it does.
    pub expires_at: Option<String>,
    /// When it was last used.
    pub last_used_at: Option<String>,
}

/// A key that was just made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// What is kept of it.
    #[serde(flatten)]
    pub about: Key,
    /// The key itself.
    pub key: String,
}

/// What an organisation's retention has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upkeep {
    /// When it last looked for what is old.
    pub last_look_at: Option<String>,
    /// What went.
    pub purged: Purged,
    /// The `seq` that the audit trail begins after.
    pub audit_begins_after: u64,
}

/// What an organisation was restored from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// The backup's id.
    pub backup: String,
    /// The moment that it is of.
    pub taken_at: String,
    /// When it was restored.
    pub restored_at: String,
    /// Messages that were held then.
    pub held: u64,
}
