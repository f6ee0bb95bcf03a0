//! The API keys of an organisation.

use crate::audit::Hash;
use crate::time::Timestamp;

/// A key to an organisation's API. Only the SHA-256 of the key is kept: the key is 256 random bits, so a slow hash
/// would add nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Identifies the key; not secret.
    pub id: String,
    /// For people.
    pub name: String,
    /// SHA-256 of the key.
    pub hash: Hash,
    /// What it may do.
    pub scopes: Vec<KeyScope>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

/// What an API key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyScope {
    /// Post, retry and cancel messages.
    Send,
    /// Read.
    Read,
    /// Manage consents and the organisation's other settings.
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
