//! One entry of the audit trail.

use super::fact::Fact;
use crate::by::By;
use crate::ids::{MessageId, PhoneNumberId};
use crate::time::Timestamp;

/// One entry of an organisation's audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// To what.
    pub subject: Subject,
    /// By whom.
    pub by: By,
    /// What.
    pub fact: Fact,
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A message.
    Message(MessageId),
    /// The organisation itself.
    Organisation,
    /// One of its API keys, by id.
    ApiKey(String),
    /// One of its senders.
    Sender(PhoneNumberId),
    /// A message that a recipient wrote.
    Inbound(MessageId),
    /// What is known of a recipient's consent, by its id: the trail outlives the recipient's number.
    Consent(MessageId),
    /// The erasure of a person's data, which has an id so that the trail need not name the person.
    Erasure(MessageId),
    /// Somebody who is known by several names, by the id that stands for them.
    Person(MessageId),
}
