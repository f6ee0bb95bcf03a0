//! A receipt that waits until it is due.

use std::cmp::Ordering;
use std::sync::Arc;

use domain::Timestamp;
use domain::receipt::ReceiptKind;
use tokio::time::Instant;
use whatsapp::webhook::{StatusError, StatusUpdate};

use crate::codes::describe;
use crate::ledger::Accepted;

/// What all receipts of a message have in common.
#[derive(Debug)]
pub(crate) struct About {
    /// The recipient's digits, the user's id or the group's id.
    pub(crate) recipient: String,
    /// Whether the recipient is a group.
    pub(crate) group: bool,
    /// The category by which Meta charges the message.
    pub(crate) category: &'static str,
}

/// A receipt that waits until it is due.
#[derive(Debug)]
pub(crate) struct PendingReceipt {
    /// When it is sent.
    pub(crate) at: Instant,
    /// Its position among those due at the same time.
    pub(crate) no: u64,
    /// What it reports.
    pub(crate) kind: ReceiptKind,
    /// Whether it reports a voice message as `played`.
    pub(crate) played: bool,
    /// Meta's error code, if the message failed.
    pub(crate) error: Option<i64>,
    /// When the reported event happened.
    pub(crate) happened: Timestamp,
    /// Whether it carries `biz_opaque_callback_data`.
    pub(crate) with_opaque: bool,
    /// What it has in common with the other receipts of the message.
    pub(crate) about: Arc<About>,
    /// The message.
    pub(crate) message: Arc<Accepted>,
}

impl PendingReceipt {
    /// The status that a webhook call carries.
    pub(crate) fn update(&self) -> StatusUpdate<'_> {
        StatusUpdate {
            phone_number_id: &self.message.phone_number_id,
            provider_id: &self.message.wamid,
            recipient: &self.about.recipient,
            group: self.about.group,
            kind: self.kind,
            played: self.played,
            category: self.about.category,
            at: self.happened,
            opaque: self.message.opaque.as_deref().filter(|_| self.with_opaque),
            error: self.error.map(|code| {
                let described = describe(code);
                StatusError { code, title: described.title, details: described.details.unwrap_or(described.title) }
            }),
        }
    }
}

impl Ord for PendingReceipt {
    /// The earliest is the greatest, so that the heap pops it first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.no).cmp(&(self.at, self.no))
    }
}

impl PartialOrd for PendingReceipt {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PendingReceipt {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PendingReceipt {}
