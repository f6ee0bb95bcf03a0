//! What recipients write, of every type there is or will be: the item is kept as it came, and read only for what is
//! common to all.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use domain::message::Recipient;
use domain::people::{Told, is_number};
use domain::{ProviderId, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::contacts::{Contacts, names};
use super::system::{self, Renamed};
use super::{object, plain, whole};

/// Meta's words for types and its ids of users are shorter; what is longer is none.
const WORD_MAX: usize = 64;
const USER_ID_MAX: usize = 200;

/// A message that a recipient wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct InboundItem {
    /// Meta's id of it.
    pub id: ProviderId,
    /// Who wrote it; `None` for one who shows no phone number.
    pub from: Option<Recipient>,
    /// Meta's id of who wrote it, if it tells one.
    pub user_id: Option<String>,
    /// What it tells of their names, if it tells more than one.
    pub told: Option<Told>,
    /// Meta's word for its type; `unknown` if there is none.
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

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    from: Option<&'a RawValue>,
    #[serde(borrow)]
    from_user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    from_parent_user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    group_id: Option<&'a RawValue>,
}

/// `None` if it lacks an id: it could not be told from a repeat of itself. `now` stands in for its time.
pub(super) fn read(raw: &RawValue, contacts: &Contacts, now: Timestamp) -> Option<InboundItem> {
    let item: Item<'_> = object(raw.get())?;
    if item.id.is_empty() {
        return None;
    }
    let kind: Option<String> = item.r#type.and_then(whole);
    let kind = kind.filter(|kind| (1..=WORD_MAX).contains(&kind.len())).unwrap_or_else(|| "unknown".to_owned());
    let at = item.timestamp.and_then(|at| plain(at).parse().ok()).map_or(now, Timestamp::from_secs);
    let author = contacts.complete(names(item.from, [item.from_user_id, item.from_parent_user_id]));
    let renamed = item.system.filter(|_| kind == "system").and_then(system::read);
    // News of a user are theirs whom they call by a new name: the old number may already be somebody else's.
    let (author, before) = match renamed {
        Some(Renamed { names, before }) => (names, [author, before].concat()),
        None => (author, Vec::new()),
    };
    Some(InboundItem {
        id: ProviderId::new(&item.id),
        from: author.iter().find_map(|name| name.parse().ok().filter(|name: &Recipient| !name.is_user_id())),
        user_id: author.iter().find(|name| !is_number(name)).cloned(),
        told: Told::new(&author, &before, at),
        // Meta tells of users by `system` messages: they did not write. Groups have windows of their own.
        opens_window: kind != "system" && item.group_id.is_none(),
        kind,
        at,
        raw: raw.get().as_bytes().into(),
    })
}

/// A phone number. Meta leaves the '+' out.
pub(super) fn number(raw: &RawValue) -> Option<Recipient> {
    format!("+{}", plain(raw).trim_start_matches('+')).parse().ok()
}

/// Meta's id of a user.
pub(super) fn user_id(raw: &RawValue) -> Option<String> {
    let id: Option<String> = whole(raw);
    id.filter(|id| (1..=USER_ID_MAX).contains(&id.len()))
}
