//! What Meta reports about a message by webhook after the send.

use std::fmt;
use std::sync::Arc;

use crate::ids::{AttemptRef, ProviderId};
use crate::outcome::ProviderError;
use crate::time::Timestamp;

/// One status of one message. Receipts may come in any order, any number of times, or never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Meta's id of the message.
    pub provider_id: ProviderId,
    /// The attempt that it names, if it carries our opaque text.
    pub attempt: Option<AttemptRef>,
    /// What Meta reports.
    pub kind: ReceiptKind,
    /// When, by Meta's clock, in whole seconds.
    pub at: Timestamp,
    /// Meta's error, if `kind` is [`ReceiptKind::Failed`] and Meta gave one.
    pub error: Option<ProviderError>,
    /// Meta's `pricing` object, as JSON text.
    pub pricing: Option<Arc<[u8]>>,
}

/// A receipt as it came, with the recipient's names, which are not kept with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Reported {
    /// What Meta said about the message.
    pub receipt: Receipt,
    /// Phone numbers and Meta's ids of the recipient.
    pub names: Vec<String>,
}

impl From<Receipt> for Reported {
    fn from(receipt: Receipt) -> Self {
        Self { receipt, names: Vec::new() }
    }
}

impl fmt::Debug for Reported {
    /// Without the recipient.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.receipt.fmt(f)
    }
}

/// The statuses that Meta reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReceiptKind {
    /// Left Meta for the recipient.
    Sent,
    /// Reached one of the recipient's devices.
    Delivered,
    /// Opened by the recipient, so delivered too. (For voice, Meta's `played` counts as read.)
    Read,
    /// Could not be delivered.
    Failed,
}

impl ReceiptKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Sent, Self::Delivered, Self::Read, Self::Failed];

    /// Meta's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for ReceiptKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The kinds of receipt that one attempt has had. A second one of the same kind is a repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipts(u8);

impl Receipts {
    const fn bit(kind: ReceiptKind) -> u8 {
        match kind {
            ReceiptKind::Sent => 1,
            ReceiptKind::Delivered => 2,
            ReceiptKind::Read => 4,
            ReceiptKind::Failed => 8,
        }
    }

    /// One bit per kind, for a record.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From a record.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Whether a receipt of this `kind` has come.
    pub const fn has(self, kind: ReceiptKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    /// Notes a receipt of this `kind`.
    pub const fn note(&mut self, kind: ReceiptKind) {
        self.0 |= Self::bit(kind);
    }
}
