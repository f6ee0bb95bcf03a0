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
    /// What it is about.
    pub subject: Subject,
    /// Who caused it.
    pub by: By,
    /// What happened.
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
    /// A recipient's consent, by its id: the trail outlives the recipient's number.
    Consent(MessageId),
    /// The erasure of a person's data, by its id: the trail need not name the person.
    Erasure(MessageId),
    /// Somebody who is known by several names, by the id that stands for them.
    Person(MessageId),
}
