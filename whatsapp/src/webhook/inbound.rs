//! Inbound messages of every type, known or not. The item is kept as it came, and only what all types have in common is
//! read.

use std::fmt;
use std::sync::Arc;

use domain::message::Recipient;
use domain::people::{IdentityLink, is_number};
use domain::{ProviderId, Timestamp};
use serde_json::value::RawValue;

use super::card;
use super::contacts::{Contacts, names};
use super::moment::moment;
use super::said::is_of_a_group;
use super::system::{self, Renamed};
use crate::fields::Fields;

/// Meta's words for types are shorter; longer text is not one.
const WORD_MAX: usize = 64;

/// A message that a recipient wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct InboundItem {
    /// Meta's id of it.
    pub id: ProviderId,
    /// Who wrote it; `None` if they show no phone number.
    pub from: Option<Recipient>,
    /// Meta's id of its author, if given.
    pub user_id: Option<String>,
    /// What it says about their names, if it gives more than one.
    pub link: Option<IdentityLink>,
    /// Meta's word for its type; `unknown` if it has none.
    pub kind: String,
    /// Whether it opens the customer service window.
    pub opens_window: bool,
    /// When it was written.
    pub at: Timestamp,
    /// Meta's item, as JSON text.
    pub raw: Arc<[u8]>,
}

impl fmt::Debug for InboundItem {
    /// The type only: the rest is private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InboundItem({})", self.kind)
    }
}

/// `None` if it has no id: a repeat could not be recognised. `now` stands in for a missing time.
pub(super) fn read(raw: &RawValue, contacts: &Contacts, now: Timestamp) -> Option<InboundItem> {
    let item = Fields::read(raw)?;
    let id = item.text("id").filter(|id| !id.is_empty())?;
    let kind = item.text("type").filter(|kind| (1..=WORD_MAX).contains(&kind.len()));
    let kind = kind.unwrap_or_else(|| "unknown".to_owned());
    let at = moment(item.get("timestamp"), now);
    let ids = [item.get("from_user_id"), item.get("from_parent_user_id")];
    let named = names(item.get("from"), ids);
    // Some of Meta's samples name the author among the contacts only.
    let author = if named.is_empty() && kind != "system" { contacts.only() } else { contacts.complete(named) };
    let renamed = if kind == "system" { system::read(&item) } else { None };
    // News about a user belong to the new name: the old number may already be somebody else's.
    let (author, before) = match renamed {
        Some(Renamed { names, before }) => (names, [author, before].concat()),
        None => (author, Vec::new()),
    };
    let shown: Vec<String> = author.iter().cloned().chain(card::own_number(&item)).collect();
    Some(InboundItem {
        id: ProviderId::new(&id),
        from: author.iter().find_map(|name| name.parse().ok().filter(|name: &Recipient| !name.is_user_id())),
        user_id: author.iter().find(|name| !is_number(name)).cloned(),
        link: IdentityLink::new(&shown, &before, at),
        // `system` messages are Meta's, not written by the user. Groups have windows of their own.
        opens_window: kind != "system" && !is_of_a_group(&item),
        kind,
        at,
        raw: raw.get().as_bytes().into(),
    })
}
