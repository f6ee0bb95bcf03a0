//! What recipients write.

use std::fmt;
use std::sync::Arc;

use crate::ids::{MessageId, PhoneNumberId, ProviderId, SenderNo};
use crate::message::Recipient;
use crate::time::Timestamp;

/// A message that a recipient wrote to one of our phone numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Our id of it.
    pub id: MessageId,
    /// Meta's id of it: the same whenever Meta repeats it.
    pub provider_id: ProviderId,
    /// The phone number that it was written to: ours.
    pub sender: PhoneNumberId,
    /// That sender's number within the organisation.
    pub sender_no: SenderNo,
    /// Who wrote it; `None` for one who shows no phone number.
    pub from: Option<Recipient>,
    /// Meta's id of who wrote it, if it told one.
    pub user_id: Option<String>,
    /// Meta's word for the kind of message.
    pub kind: String,
    /// Whether it opens the window of 24 hours in which anything may be written to them.
    pub opens_window: bool,
    /// Meta's item, as JSON text.
    pub payload: Arc<[u8]>,
    /// When it was written, by Meta's clock; whole seconds.
    pub at: Timestamp,
    /// When it came.
    pub received_at: Timestamp,
}

impl Inbound {
    /// When it was written, as far as Meta's clock is believed: not after it came.
    pub fn written_at(&self) -> Timestamp {
        self.at.min(self.received_at)
    }

    /// What its author is known by: a phone number, Meta's id, or both.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.from.as_ref().map(Recipient::as_str).into_iter().chain(self.user_id.as_deref())
    }
}

impl fmt::Debug for Inbound {
    /// Shows the id and the kind only: the rest is private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbound({}: {})", self.id, self.kind)
    }
}
