//! An organisation: its senders, its API keys, its settings.

mod keys;
mod put;
mod secret;
mod sender;

use crate::consent::Words;
use crate::ids::{OrgId, OrgNo, PhoneNumberId, SenderNo};
use crate::quota::Quotas;
use crate::retention::Retention;
use crate::time::Timestamp;

pub use crate::consent::ConsentPolicy;
pub use keys::{ApiKey, KeyScope};
pub use put::{PutOrg, PutSender};
pub use secret::{Secret, SecretField};
pub use sender::{Pause, PausedBy, Sender};

/// How many revoked keys an organisation remembers.
const REVOKED_MAX: usize = 100;

/// One organisation, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    /// Its id, chosen by the operator.
    pub id: OrgId,
    /// The number that its keys in the store begin with.
    pub no: OrgNo,
    /// For people.
    pub name: String,
    /// How strictly consent is asked for.
    pub consent: ConsentPolicy,
    /// Its stop and start words.
    pub words: Words,
    /// How long it keeps what is finished.
    pub retention: Retention,
    /// Set while none of its senders may send.
    pub paused: Option<Pause>,
    /// Its phone numbers.
    pub senders: Vec<Sender>,
    /// Phone numbers that it used to have: one that returns finds its waiting messages under its old number.
    pub retired: Vec<(PhoneNumberId, SenderNo)>,
    /// The number that the next new sender gets.
    pub next_sender: u16,
    /// Its API keys.
    pub keys: Vec<ApiKey>,
    /// Its revoked keys, newest last: the trail shows who still uses one.
    pub revoked: Vec<ApiKey>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was deleted. The record stays until its data is gone.
    pub deleted_at: Option<Timestamp>,
    /// What it may use.
    pub quotas: Quotas,
}

impl Org {
    /// An organisation without senders or keys.
    pub fn new(id: OrgId, no: OrgNo, now: Timestamp) -> Self {
        Self {
            name: id.to_string(),
            id,
            no,
            consent: ConsentPolicy::default(),
            words: Words::default(),
            retention: Retention::default(),
            paused: None,
            senders: Vec::new(),
            retired: Vec::new(),
            next_sender: 1,
            keys: Vec::new(),
            revoked: Vec::new(),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            quotas: Quotas::default(),
        }
    }

    /// Revokes all its keys but those that `stays` picks.
    pub fn revoke(&mut self, stays: impl Fn(&ApiKey) -> bool) {
        let (stay, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.keys).into_iter().partition(stays);
        self.keys = stay;
        self.revoked.extend(gone);
        let excess = self.revoked.len().saturating_sub(REVOKED_MAX);
        self.revoked.drain(..excess);
    }

    /// The sender with this phone number id.
    pub fn sender(&self, id: &PhoneNumberId) -> Option<&Sender> {
        self.senders.iter().find(|sender| sender.phone_number_id == *id)
    }

    /// A sender with the pause that applies to it.
    pub fn effective(&self, sender: &Sender) -> Sender {
        Sender { paused: self.pause_of(sender).cloned(), ..sender.clone() }
    }

    /// Why a sender may not send, if so: it is paused itself, or the whole organisation is.
    pub fn pause_of<'a>(&'a self, sender: &'a Sender) -> Option<&'a Pause> {
        self.paused.as_ref().or(sender.paused.as_ref())
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
