//! Reads Meta's webhooks: every item by itself, so that a bad one never spoils the rest.

mod compose;
mod contacts;
mod inbound;
mod preference;
mod said;
mod system;
mod template;

use std::borrow::Cow;
use std::fmt;

use domain::consent::Preference;
use domain::receipt::{Receipt, ReceiptKind, Reported};
use domain::{PhoneNumberId, ProviderId, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::classify::Origin;
use crate::envelope;
use contacts::Contacts;

pub use compose::{StatusError, StatusUpdate, compose};
pub use inbound::InboundItem;
pub use said::said;
pub use template::TemplateUpdate;

/// What one webhook tells.
#[derive(Debug)]
pub struct Notification {
    /// Its changes, of all entries, in order. One webhook may tell of several senders.
    pub changes: Vec<Change>,
}

/// What it tells of one sender, or of one account.
#[derive(Default)]
pub struct Change {
    /// The WhatsApp business account, where it is told.
    pub waba_id: Option<String>,
    /// Meta's word for what it tells of, such as `messages`; empty for what could not be read.
    pub field: String,
    /// The sender; `None` for fields that concern none, and for what could not be read.
    pub phone_number_id: Option<PhoneNumberId>,
    /// What became of messages that were sent.
    pub receipts: Vec<Reported>,
    /// What recipients wrote.
    pub inbound: Vec<InboundItem>,
    /// What users chose about marketing messages.
    pub preferences: Vec<Preference>,
    /// What became of a template.
    pub template: Option<TemplateUpdate>,
    /// How many items could not be read.
    pub skipped: usize,
}

impl fmt::Debug for Change {
    /// Counts only: the items hold phone numbers and texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (receipts, inbound, preferences) = (self.receipts.len(), self.inbound.len(), self.preferences.len());
        write!(
            f,
            "Change({} of {:?}: {receipts} receipts, {inbound} inbound, {preferences} preferences, {} skipped)",
            self.field, self.phone_number_id, self.skipped
        )
    }
}

/// Why a body is not a webhook of Meta's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAWebhook {
    /// Not JSON, or not an object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// Without the kind of thing that it is about.
    #[error("\"object\" must be a string")]
    NoObject,
    /// Without its list of entries.
    #[error("\"entry\" must be an array")]
    NoEntry,
}

/// Meta's ids of messages have some sixty characters. What is far longer is none, and would be kept until its message came.
const ID_MAX: usize = 1024;
/// Meta's prices have some hundred; a longer one is left out.
const PRICING_MAX: usize = 4096;

// Lists of items are taken apart into raw texts first and each text is read by itself: that isolates bad items, and no
// tree of values is built for the statuses, of which one body may hold a thousand.

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    entry: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    changes: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct RawChange<'a> {
    #[serde(borrow)]
    field: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<ChangeValue<'a>>,
}

#[derive(Default, Deserialize)]
struct ChangeValue<'a> {
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    #[serde(borrow)]
    contacts: Option<&'a RawValue>,
    #[serde(borrow)]
    statuses: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    messages: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    user_preferences: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    message_template_name: Option<&'a RawValue>,
    #[serde(borrow)]
    message_template_language: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    phone_number_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    biz_opaque_callback_data: Option<&'a RawValue>,
    #[serde(borrow)]
    errors: Option<&'a RawValue>,
    #[serde(borrow)]
    pricing: Option<&'a RawValue>,
    #[serde(borrow)]
    recipient_type: Option<&'a RawValue>,
    #[serde(borrow)]
    recipient_id: Option<&'a RawValue>,
    #[serde(borrow)]
    recipient_user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    recipient_parent_user_id: Option<&'a RawValue>,
}

/// Reads a webhook's body, whose signature was verified before. `now` stands in for a status without a time.
pub fn parse(raw: &[u8], now: Timestamp) -> Result<Notification, NotAWebhook> {
    let text = std::str::from_utf8(raw).map_err(|_| NotAWebhook::NotAnObject)?;
    let envelope: Envelope<'_> = object(text.trim_ascii()).ok_or(NotAWebhook::NotAnObject)?;
    let _kind: Cow<'_, str> = envelope.object.and_then(whole).ok_or(NotAWebhook::NoObject)?;
    let entries: Vec<&RawValue> = envelope.entry.and_then(whole).ok_or(NotAWebhook::NoEntry)?;
    let mut changes = Vec::new();
    for entry in entries {
        match object::<Entry<'_>>(entry.get()) {
            Some(Entry { id, changes: told }) => {
                let waba_id = id.map(plain).filter(|id| id.parse::<PhoneNumberId>().is_ok());
                changes.extend(told.into_iter().flatten().map(|change| read_change(change, waba_id, now)));
            }
            None => changes.push(Change { skipped: 1, ..Change::default() }),
        }
    }
    Ok(Notification { changes })
}

fn read_change(raw: &RawValue, waba_id: Option<&str>, now: Timestamp) -> Change {
    let Some(RawChange { field, value }) = object(raw.get()) else {
        return Change { skipped: 1, ..Change::default() };
    };
    let mut value = value.unwrap_or_default();
    let mut change = Change {
        waba_id: waba_id.map(str::to_owned),
        phone_number_id: value.metadata.take().and_then(|metadata| plain(metadata.phone_number_id?).parse().ok()),
        ..Change::default()
    };
    // Others, such as `calls`, have items of the same names with another meaning.
    match field.as_ref() {
        "messages" => {
            let contacts = value.contacts.map(Contacts::read).unwrap_or_default();
            for status in value.statuses.into_iter().flatten() {
                let reported = object(status.get()).and_then(|status| {
                    Some(Reported { receipt: receipt(&status, now)?, names: contacts.complete(recipient(&status)) })
                });
                match reported {
                    Some(reported) => change.receipts.push(reported),
                    None => change.skipped += 1,
                }
            }
            for message in value.messages.into_iter().flatten() {
                match inbound::read(message, &contacts, now) {
                    Some(item) => change.inbound.push(item),
                    None => change.skipped += 1,
                }
            }
        }
        "user_preferences" => {
            for item in value.user_preferences.into_iter().flatten() {
                match preference::read(item, now) {
                    Some(preference) => change.preferences.push(preference),
                    None => change.skipped += 1,
                }
            }
        }
        "message_template_status_update" => {
            change.template = template::read(&value);
            change.skipped += usize::from(change.template.is_none());
        }
        _ => {}
    }
    change.field = field.into_owned();
    change
}

/// `None` if it has no id, or one that cannot be, or tells a status that we do not know.
fn receipt(status: &Status<'_>, now: Timestamp) -> Option<Receipt> {
    let kind = match status.status.as_ref() {
        "sent" => ReceiptKind::Sent,
        "delivered" => ReceiptKind::Delivered,
        "read" | "played" => ReceiptKind::Read,
        "failed" => ReceiptKind::Failed,
        _ => return None,
    };
    if !(1..=ID_MAX).contains(&status.id.len()) {
        return None;
    }
    let errors = status.errors.filter(|_| kind == ReceiptKind::Failed);
    let errors: Option<Vec<Value>> = errors.and_then(whole);
    Some(Receipt {
        provider_id: ProviderId::new(&status.id),
        // Other apps of the account put other texts there, or none.
        attempt: status.biz_opaque_callback_data.and_then(|text| plain(text).parse().ok()),
        kind,
        at: status.timestamp.and_then(|at| plain(at).parse().ok()).map_or(now, Timestamp::from_secs),
        error: errors.and_then(|errors| envelope::read(errors.first()?, None, Origin::Receipt)),
        pricing: status
            .pricing
            .filter(|pricing| pricing.get().len() <= PRICING_MAX)
            .map(|it| it.get().as_bytes().into()),
    })
}

/// What a status calls the recipient; none, where that is a group.
fn recipient(status: &Status<'_>) -> Vec<String> {
    let digits = status.recipient_id.filter(|_| status.recipient_type.is_none_or(|kind| plain(kind) != "group"));
    contacts::names(digits, [status.recipient_user_id, status.recipient_parent_user_id])
}

/// Reads an object. Serde would also take an array for a struct, field by field.
fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    json.starts_with('{').then(|| serde_json::from_str(json).ok()).flatten()
}

/// Reads a value if it is all of the right type.
fn whole<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// A number, or a string of characters that JSON never escapes, as plain text: Meta writes times and ids both ways.
fn plain(raw: &RawValue) -> &str {
    raw.get().trim_matches('"')
}

#[cfg(test)]
mod tests;
