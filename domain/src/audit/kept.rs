//! How the trail keeps an entry: apart from what may identify a person. The hash chain covers a salted hash of that
//! part, so it can be erased, and the chain still proves everything else.

use sha2::{Digest, Sha256};

use super::chain::Hash;
use super::entry::Entry;
use super::fact::Fact;
use crate::ids::ProviderId;

/// Random bytes, drawn for one entry and erased with its personal part. Without them nobody can test which number a
/// hash was made from.
pub type Salt = [u8; 16];

/// An entry as the trail keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The entry without its personal texts.
    pub entry: Entry,
    /// The personal texts.
    pub personal: Personal,
}

/// Meta's ids and texts in an entry: an id embeds the recipient's number, and a text may quote it.
#[derive(Clone, PartialEq, Eq)]
pub enum Personal {
    /// The entry has none.
    None,
    /// The entry has some.
    Held {
        /// Drawn for this entry alone.
        salt: Salt,
        /// In the order in which the entry has them.
        texts: Vec<String>,
    },
    /// They were erased. The chain still needs their hash.
    Erased(Hash),
}

impl std::fmt::Debug for Personal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Personal(…)")
    }
}

impl Kept {
    /// Splits an entry; `salt` must be drawn for it alone.
    pub fn new(mut entry: Entry, salt: Salt) -> Self {
        let mut texts = Vec::new();
        entry.fact.each_personal(&mut |text| texts.push(std::mem::take(text)));
        let personal = match texts.iter().all(String::is_empty) {
            true => Personal::None,
            false => Personal::Held { salt, texts },
        };
        Self { entry, personal }
    }

    /// The entry as it was, with empty texts where they were erased.
    pub fn into_entry(self) -> Entry {
        let Self { mut entry, personal } = self;
        if let Personal::Held { texts, .. } = personal {
            let mut texts = texts.into_iter();
            entry.fact.each_personal(&mut |text| *text = texts.next().unwrap_or_default());
        }
        entry
    }

    /// The same without its personal part; `None` if it has none.
    pub fn erased(self) -> Option<Self> {
        let hash = self.personal.hash().filter(|_| matches!(self.personal, Personal::Held { .. }))?;
        Some(Self { entry: self.entry, personal: Personal::Erased(hash) })
    }

    /// What the chain covers. An erasure does not change it.
    pub fn sealed(&self) -> (&Entry, Option<Hash>) {
        (&self.entry, self.personal.hash())
    }
}

impl Personal {
    fn hash(&self) -> Option<Hash> {
        match self {
            Self::None => None,
            Self::Held { salt, texts } => {
                let mut hasher = Sha256::new();
                hasher.update(salt);
                for text in texts {
                    hasher.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
                    hasher.update(text);
                }
                Some(hasher.finalize().into())
            }
            Self::Erased(hash) => Some(*hash),
        }
    }
}

impl Fact {
    /// Visits every text that may identify a person, always in the same order.
    fn each_personal(&mut self, visit: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Accepted { provider_id, .. } => visit_id(provider_id, visit),
            Self::RetryScheduled { failure, .. }
            | Self::OutcomeUnknown { failure, .. }
            | Self::Failed { failure, .. }
            | Self::Postponed { failure, .. } => visit(&mut failure.message),
            Self::Receipt { receipt, .. } => {
                visit_id(&mut receipt.provider_id, visit);
                if let Some(error) = &mut receipt.error {
                    visit(&mut error.message);
                }
            }
            Self::Created
            | Self::Resending { .. }
            | Self::Cancelled
            | Self::Requeued
            | Self::OrgPut
            | Self::KeyCreated
            | Self::KeyRevoked
            | Self::OrgDeleted
            | Self::Paused { .. }
            | Self::Resumed
            | Self::Received { .. }
            | Self::Denied { .. }
            | Self::Consent { .. }
            | Self::Blocked(_)
            | Self::ErasureBegun
            | Self::Erased(_)
            | Self::Purged(_)
            | Self::Linked { .. }
            | Self::Restored { .. }
            | Self::Released { .. }
            | Self::TemplateBilled { .. }
            | Self::Throttled { .. }
            | Self::Unthrottled { .. }
            | Self::Noticed(_)
            | Self::IdTaken { .. }
            | Self::Repaired { .. } => {}
        }
    }
}

fn visit_id(id: &mut ProviderId, visit: &mut dyn FnMut(&mut String)) {
    let mut text = id.as_str().to_owned();
    visit(&mut text);
    *id = ProviderId::new(&text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{By, Subject};
    use crate::failure::Failure;
    use crate::ids::{AttemptNo, MessageId};
    use crate::time::Timestamp;

    fn failed(message: &str) -> Entry {
        let fact = Fact::Failed { attempt: Some(AttemptNo(1)), failure: Failure::meta(131_026, message) };
        let subject = Subject::Message(MessageId::from_bytes([1; 16]));
        Entry { at: Timestamp::from_secs(1), subject, by: By::WhatsApp, fact }
    }

    #[test]
    fn an_entry_comes_back_as_it_was_and_without_its_texts_once_erased() {
        let kept = Kept::new(failed("+4915112345678 is not on WhatsApp"), [7; 16]);
        assert_eq!(kept.clone().into_entry(), failed("+4915112345678 is not on WhatsApp"));
        let erased = kept.erased().unwrap();
        assert_eq!(erased.clone().into_entry(), failed(""));
        assert_eq!(erased.erased(), None, "nothing is left to erase");
        assert_eq!(Kept::new(failed(""), [7; 16]).erased(), None);
    }

    #[test]
    fn the_chain_covers_the_same_before_and_after_and_every_text_and_salt() {
        let kept = Kept::new(failed("a text"), [7; 16]);
        assert_eq!(kept.sealed(), kept.clone().erased().unwrap().sealed());
        assert_ne!(kept.sealed(), Kept::new(failed("another"), [7; 16]).sealed());
        assert_ne!(kept.sealed(), Kept::new(failed("a text"), [8; 16]).sealed());
        assert!(!format!("{kept:?}").contains("a text"));
    }
}
