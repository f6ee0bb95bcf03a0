//! What users choose in WhatsApp: to stop a business's marketing messages, or to get them again.

use domain::Timestamp;
use domain::consent::{Choice, Preference};
use serde_json::value::RawValue;

use super::contacts::{Contacts, names};
use super::moment::moment;
use crate::fields::Fields;

const DETAIL_MAX: usize = 200;

/// `None` if it names nobody, or is about something that we do not know. `now` stands in for a missing time.
pub(super) fn read(raw: &RawValue, contacts: &Contacts, now: Timestamp) -> Option<Preference> {
    let item = Fields::read(raw)?;
    if !item.text("category")?.eq_ignore_ascii_case("marketing_messages") {
        return None;
    }
    let choice = match item.text("value")?.to_ascii_lowercase().as_str() {
        "stop" => Choice::Revoked,
        // `signup`: the user followed a link from the business.
        "resume" | "signup" => Choice::Granted,
        _ => return None,
    };
    let named = names(item.get("wa_id"), [item.get("user_id"), item.get("parent_user_id")]);
    // One that names nobody belongs to the only contact, like a message.
    let names = if named.is_empty() { contacts.only() } else { contacts.complete(named) };
    (!names.is_empty()).then_some(Preference {
        names,
        choice,
        at: moment(item.get("timestamp"), now),
        detail: item.text("detail").map(|detail| detail.chars().take(DETAIL_MAX).collect()),
    })
}
