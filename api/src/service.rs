//! The service itself: its health, its backups, who guesses its keys, how it reaches WhatsApp.

use serde::{Deserialize, Serialize};

use crate::Word;

/// A state in one word, such as `ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The word.
    pub status: Word,
}

/// A backup of the running service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "UPPERCASE", rename_all_fields = "camelCase")]
pub enum Backup {
    /// It is being taken.
    Running {
        /// Its id.
        id: String,
        /// Records so far.
        records: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// It can be fetched.
    Ready {
        /// Its id.
        id: String,
        /// The moment that it is of.
        taken_at: String,
        /// Records in it.
        records: u64,
        /// Its length.
        bytes: u64,
        /// The SHA-256 of all of it, in hexadecimal.
        sha256: String,
        /// The ids of the master keys that its secrets are encrypted under.
        master_keys: Vec<String>,
    },
    /// It could not be taken.
    Failed {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
}

/// The admin key that was just made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminKey {
    /// The key itself.
    pub key: String,
    /// Until when the one before opens, if it still does.
    pub previous_valid_until: Option<String>,
}

/// How much was tried with keys that open nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    /// API keys and the admin key.
    pub keys: TriesOf,
    /// Signatures and verify tokens of webhooks.
    pub webhooks: TriesOf,
}

/// How much was tried of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriesOf {
    /// Tries that failed.
    pub failed: u64,
    /// Tries that were turned away at once.
    pub refused: u64,
    /// Who tried most, most first.
    pub addresses: Vec<Guesser>,
    /// How many more addresses there are.
    pub addresses_omitted: usize,
}

/// An address that tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guesser {
    /// The address.
    pub address: String,
    /// Its tries that failed.
    pub failed: u64,
    /// When the last was.
    pub last_failed_at: String,
    /// How long it is made to wait.
    pub wait_seconds: u64,
}

/// The health of one sender's webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookHealth {
    /// Webhooks whose signature was right.
    pub proven: Count,
    /// Webhooks whose signature was wrong.
    pub unproven: Count,
    /// Since when messages are sent and no webhook comes.
    pub unanswered_since: Option<String>,
    /// What is wrong.
    pub fault: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What else Meta told of.
    pub notices: Vec<NoticeCount>,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// How often.
    pub count: u64,
    /// When last.
    pub last_at: Option<String>,
}

/// How often Meta told of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NoticeCount {
    /// The list or field that it stood in.
    pub item: String,
    /// Meta's word for it.
    pub word: Option<String>,
    /// Meta's code, if it is an error.
    pub error_code: Option<String>,
    /// How often.
    pub count: u64,
    /// When last.
    pub last_at: Option<String>,
}

/// How WhatsApp is reached from the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reach<R> {
    /// Where it is called.
    pub base_url: String,
    /// What was found.
    pub report: R,
}

/// How many messages a release let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldReleased {
    /// Messages.
    pub messages: u64,
    /// Whether none are left.
    pub is_all: bool,
}

/// The tree of actors at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tree<N> {
    /// The moment.
    pub generated_at: String,
    /// The actor at the root, with its children.
    pub root: N,
}
