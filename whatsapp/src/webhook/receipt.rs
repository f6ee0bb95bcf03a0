//! Statuses: what became of messages that were sent.

use domain::outcome::{Class, ProviderError};
use domain::receipt::{Receipt, ReceiptKind, Reported};
use domain::{ProviderId, Timestamp};
use serde_json::Value;
use serde_json::value::RawValue;

use super::contacts::{Contacts, names};
use super::moment::moment;
use crate::classify::Origin;
use crate::envelope;
use crate::fields::{Fields, plain, whole};

/// Meta's ids of messages have some sixty characters. Much longer text is not one, and would be parked until its
/// message came.
const ID_MAX: usize = 1024;
/// Meta's prices have some hundred bytes. A longer one is left out.
const PRICING_MAX: usize = 4096;

/// `None` if it is not the status of a message, or one that we do not know. `now` stands in for a missing time.
pub(super) fn read(raw: &RawValue, contacts: &Contacts, now: Timestamp) -> Option<Reported> {
    let status = Fields::read(raw)?;
    Some(Reported { receipt: receipt(&status, now)?, names: contacts.complete(recipient(&status)) })
}

/// `None` if its id is missing or impossible, if we do not know the status, or if it is not about a message.
fn receipt(status: &Fields<'_>, now: Timestamp) -> Option<Receipt> {
    // A payment's status has the id of the message that asked for it, but a failed payment says nothing about the
    // message.
    if status.text("type").is_some_and(|of| !of.eq_ignore_ascii_case("message")) || status.get("payment").is_some() {
        return None;
    }
    let kind = match status.text("status")?.to_ascii_lowercase().as_str() {
        "sent" => ReceiptKind::Sent,
        "delivered" => ReceiptKind::Delivered,
        "read" | "played" => ReceiptKind::Read,
        "failed" => ReceiptKind::Failed,
        _ => return None,
    };
    let errors = if kind == ReceiptKind::Failed { status.some("errors") } else { Vec::new() };
    Some(Receipt {
        provider_id: ProviderId::new(&status.text("id").filter(|id| (1..=ID_MAX).contains(&id.len()))?),
        // Other apps of the account put other text there, or none.
        attempt: status.get("biz_opaque_callback_data").and_then(|text| plain(text).parse().ok()),
        kind,
        at: moment(status.get("timestamp"), now),
        error: weightiest(errors),
        pricing: status
            .get("pricing")
            .map(RawValue::get)
            .filter(|pricing| pricing.len() <= PRICING_MAX)
            .map(|pricing| pricing.as_bytes().into()),
    })
}

/// The error that counts if one failure has several: an opt-out from marketing, else the first.
fn weightiest(told: Vec<&RawValue>) -> Option<ProviderError> {
    let mut errors = told.into_iter().filter_map(error);
    let first = errors.next()?;
    let is_opt_out = |error: &ProviderError| error.verdict.class == Class::OptedOut;
    if is_opt_out(&first) { Some(first) } else { Some(errors.find(is_opt_out).unwrap_or(first)) }
}

/// An error, as far as it can be read.
pub(super) fn error(raw: &RawValue) -> Option<ProviderError> {
    let fields = Fields::read(raw)?;
    let readable = fields.all().filter_map(|(name, value)| Some((name.to_owned(), whole(value)?)));
    envelope::read(&Value::Object(readable.collect()), None, Origin::Receipt)
}

/// The recipient's names; empty for a group.
fn recipient(status: &Fields<'_>) -> Vec<String> {
    let is_group = status.text("recipient_type").is_some_and(|kind| kind == "group");
    let number = status.get("recipient_id").filter(|_| !is_group);
    names(number, [status.get("recipient_user_id"), status.get("recipient_parent_user_id")])
}
