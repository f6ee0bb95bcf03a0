//! The API keys of an organisation.

use crate::audit::Hash;
use crate::time::Timestamp;

/// A key that opens an organisation's API. Only the SHA-256 of the key is kept: it is 256 random bits, so a slow hash
/// would add nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Names the key; not secret.
    pub id: String,
    /// For people.
    pub name: String,
    /// SHA-256 of the key.
    pub hash: Hash,
    /// What it opens.
    pub scopes: Vec<KeyScope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// What an API key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyScope {
    /// Posting, retrying and cancelling messages.
    Send,
    /// Reading.
    Read,
    /// Consents and other settings of the organisation.
    Manage,
}

impl KeyScope {
    /// The words for it in the API.
    pub const WORDS: [(&'static str, Self); 3] = [("send", Self::Send), ("read", Self::Read), ("manage", Self::Manage)];

    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Send, Self::Read, Self::Manage];

    /// The scope as clients write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::Manage => "manage",
        }
    }
}
