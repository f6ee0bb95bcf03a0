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
    /// Meta's id of it. A repeat has the same id.
    pub provider_id: ProviderId,
    /// Our phone number that it was written to.
    pub sender: PhoneNumberId,
    /// That sender's number within the organisation.
    pub sender_no: SenderNo,
    /// Who wrote it; `None` if they show no phone number.
    pub from: Option<Recipient>,
    /// Meta's id of its author, if Meta gave one.
    pub user_id: Option<String>,
    /// Meta's word for the kind of message.
    pub kind: String,
    /// Whether it opens the 24-hour window in which they may be sent free-form messages.
    pub opens_window: bool,
    /// Meta's item, as JSON text.
    pub payload: Arc<[u8]>,
    /// When it was written, by Meta's clock, in whole seconds.
    pub at: Timestamp,
    /// When it came.
    pub received_at: Timestamp,
}

impl Inbound {
    /// When it was written, as far as Meta's clock is credible: not after it came.
    pub fn written_at(&self) -> Timestamp {
        self.at.min(self.received_at)
    }

    /// Its author's names: a phone number, Meta's id, or both.
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
