//! The keys of an organisation, and those that it revoked.

use super::Org;
use crate::audit::Hash;
use crate::time::Timestamp;

/// Keys of one organisation that are remembered after they were revoked.
const REVOKED_MAX: usize = 100;

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

impl Org {
    /// Keeps of its keys those that `stay`; the others open nothing from here on.
    pub fn revoke(&mut self, stays: impl Fn(&ApiKey) -> bool) {
        let (stay, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.keys).into_iter().partition(stays);
        self.keys = stay;
        self.revoked.extend(gone);
        let excess = self.revoked.len().saturating_sub(REVOKED_MAX);
        self.revoked.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::OrgNo;

    #[test]
    fn revoked_keys_are_remembered_the_last_hundred_of_them() {
        let mut org = Org::new("acme".parse().unwrap(), OrgNo(1), Timestamp::EPOCH);
        for n in 0..150u8 {
            let id = n.to_string();
            let key = ApiKey {
                id: id.clone(),
                name: id,
                hash: [n; 32],
                scopes: Vec::new(),
                created_at: Timestamp::EPOCH,
                expires_at: None,
            };
            org.keys.extend([key.clone(), ApiKey { id: format!("stays-{n}"), ..key }]);
            org.revoke(|key| key.id.starts_with("stays"));
        }
        assert_eq!((org.keys.len(), org.revoked.len(), org.revoked[0].id.as_str()), (150, REVOKED_MAX, "50"));
    }
}
