//! Reads Meta's webhooks item by item, so that a bad item never spoils the rest.

mod card;
mod compose;
mod contacts;
mod inbound;
mod moment;
mod preference;
mod receipt;
mod said;
mod system;
mod template;

use std::fmt;

use domain::consent::Preference;
use domain::notice::Notice;
use domain::receipt::Reported;
use domain::{PhoneNumberId, Timestamp};
use serde_json::value::RawValue;

use crate::fields::{Fields, plain, whole};
use crate::mend::mend;
use contacts::Contacts;

pub use compose::{StatusError, StatusUpdate, compose};
pub(crate) use contacts::number;
pub use inbound::InboundItem;
pub use said::{Said, said};
pub use template::TemplateUpdate;

/// The content of one webhook.
#[derive(Debug)]
pub struct Notification {
    /// Its changes, from all entries, in order. One webhook may be about several senders.
    pub changes: Vec<Change>,
}

/// A change that concerns one sender or one account.
#[derive(Default)]
pub struct Change {
    /// The WhatsApp business account, if given.
    pub waba_id: Option<String>,
    /// Meta's word for the kind of change, such as `messages`; empty if it could not be read.
    pub field: String,
    /// The sender; `None` if the change concerns none or could not be read.
    pub phone_number_id: Option<PhoneNumberId>,
    /// What became of messages that were sent.
    pub receipts: Vec<Reported>,
    /// What recipients wrote.
    pub inbound: Vec<InboundItem>,
    /// What users chose about marketing messages.
    pub preferences: Vec<Preference>,
    /// What became of a template.
    pub template: Option<TemplateUpdate>,
    /// What changes no message: errors of the sender's account, of its app or of Meta, and items that we do not
    /// understand.
    pub notices: Vec<Notice>,
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
    /// It does not say what it is about.
    #[error("\"object\" must be a string")]
    NoObject,
    /// It has no list of entries.
    #[error("\"entry\" must be an array")]
    NoEntry,
}

// Everything is first split into raw JSON, and each part is parsed by itself. This isolates bad items and fields, and
// builds no tree of values for the statuses, of which one body may hold a thousand.

/// The members of a change of the field `messages`.
const KNOWN: [&str; 7] =
    ["messaging_product", "metadata", "contacts", "statuses", "messages", "user_preferences", "errors"];

/// Reads a webhook's body after its signature was verified. `now` stands in for missing times.
pub fn parse(raw: &[u8], now: Timestamp) -> Result<Notification, NotAWebhook> {
    let text = mend(raw);
    let envelope = Fields::parse(text.trim_ascii()).ok_or(NotAWebhook::NotAnObject)?;
    let _kind = envelope.text("object").ok_or(NotAWebhook::NoObject)?;
    let entries: Vec<&RawValue> = envelope.get("entry").and_then(whole).ok_or(NotAWebhook::NoEntry)?;
    let mut changes = Vec::new();
    for entry in entries {
        let told = Fields::read(entry).and_then(|entry| Some((entry.list("changes")?, entry)));
        match told {
            Some((told, entry)) => {
                let waba_id = entry.get("id").map(plain).filter(|id| id.parse::<PhoneNumberId>().is_ok());
                changes.extend(told.into_iter().map(|change| read_change(change, waba_id, now)));
            }
            None => changes.push(Change { skipped: 1, ..Change::default() }),
        }
    }
    Ok(Notification { changes })
}

fn read_change(raw: &RawValue, waba_id: Option<&str>, now: Timestamp) -> Change {
    let unread = || Change { skipped: 1, ..Change::default() };
    let Some(told) = Fields::read(raw) else { return unread() };
    let Some(field) = told.text("field") else { return unread() };
    let Some(value) = told.get("value").map_or_else(|| Fields::parse("{}"), Fields::read) else { return unread() };
    let phone_number_id =
        value.object("metadata").and_then(|metadata| plain(metadata.get("phone_number_id")?).parse().ok());
    let mut change = Change { waba_id: waba_id.map(str::to_owned), field, phone_number_id, ..Change::default() };
    // Other fields, such as `calls`, have items of the same names with another meaning.
    match change.field.as_str() {
        "messages" => {
            let contacts = Contacts::read(&value);
            change.read_all(&value, "statuses", &["type", "status"], |change, status| {
                change.receipts.push(receipt::read(status, &contacts, now)?);
                Some(())
            });
            change.read_all(&value, "messages", &["type"], |change, message| {
                change.inbound.push(inbound::read(message, &contacts, now)?);
                Some(())
            });
            change.read_preferences(&value, &contacts, now);
            change.read_all(&value, "errors", &[], |change, told| {
                change.notices.push(Notice::error(receipt::error(told)?.code));
                Some(())
            });
            let unknown = value.all().filter(|(name, _)| !KNOWN.contains(name));
            change.notices.extend(unknown.map(|(name, _)| Notice::unread("messages", Some(name))));
        }
        "user_preferences" => change.read_preferences(&value, &Contacts::read(&value), now),
        "message_template_status_update" => {
            change.template = template::read(&value);
            if change.template.is_none() {
                change.skip("message_template_status_update", value.text("event").as_deref());
            }
        }
        field => change.notices.push(Notice::unread(field, value.text("event").as_deref())),
    }
    change
}

impl Change {
    /// Reads the items of a list, each by itself. The notice about an item that we do not understand has the first of
    /// these `words` that the item has.
    fn read_all(
        &mut self,
        value: &Fields<'_>,
        name: &str,
        words: &[&str],
        mut read: impl FnMut(&mut Self, &RawValue) -> Option<()>,
    ) {
        let Some(items) = value.list(name) else { return self.skip(name, None) };
        for item in items {
            if read(self, item).is_none() {
                let fields = Fields::read(item);
                let word = fields.and_then(|fields| words.iter().find_map(|word| fields.text(word)));
                self.skip(name, word.as_deref());
            }
        }
    }

    fn read_preferences(&mut self, value: &Fields<'_>, contacts: &Contacts, now: Timestamp) {
        self.read_all(value, "user_preferences", &["value"], |change, item| {
            change.preferences.push(preference::read(item, contacts, now)?);
            Some(())
        });
    }

    fn skip(&mut self, item: &str, word: Option<&str>) {
        self.skipped += 1;
        self.notices.push(Notice::unread(item, word));
    }
}

#[cfg(test)]
mod tests;
