//! The rights of those who are written to, and what retention removes.

use domain::erasure::Erased;
use domain::people::Former;
use domain::receipt::Receipt;
use domain::retention::Purged;

/// A name that a person had before.
pub(crate) fn former(former: &Former) -> api::PersonName {
    api::PersonName { name: former.name.clone(), until: former.until.to_string() }
}

/// How much was erased.
pub(crate) fn erased(erased: &Erased) -> api::Erased {
    api::Erased {
        messages: erased.messages,
        inbound_messages: erased.inbound,
        consent_statements: erased.statements,
        parked_receipts: erased.receipts,
    }
}

/// How much went because it was old.
pub(super) fn purged(purged: &Purged) -> api::Purged {
    api::Purged {
        messages: purged.messages,
        payloads: purged.payloads,
        inbound_messages: purged.inbound,
        audit_events: purged.entries,
    }
}

/// A receipt that waits for its message.
pub(crate) fn parked_receipt(receipt: &Receipt) -> api::ParkedReceipt {
    api::ParkedReceipt {
        provider_message_id: receipt.provider_id.as_str().to_owned(),
        status: receipt.kind.as_str().to_uppercase(),
        reported_at: receipt.at.to_string(),
    }
}
