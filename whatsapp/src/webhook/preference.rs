//! What users choose in WhatsApp itself: to get no more marketing messages of a business, or to get them again.

use domain::Timestamp;
use domain::consent::{Choice, Preference};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::contacts::names;
use super::{object, plain, whole};

const DETAIL_MAX: usize = 200;

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    wa_id: Option<&'a RawValue>,
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    parent_user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    category: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
}

/// `None` if it names nobody, or is about something that we do not know. `now` stands in for its time.
pub(super) fn read(raw: &RawValue, now: Timestamp) -> Option<Preference> {
    let item: Item<'_> = object(raw.get())?;
    if plain(item.category?) != "marketing_messages" {
        return None;
    }
    let choice = match plain(item.value?) {
        "stop" => Choice::Revoked,
        "resume" => Choice::Granted,
        _ => return None,
    };
    let names = names(item.wa_id, [item.user_id, item.parent_user_id]);
    let detail: Option<String> = item.detail.and_then(whole);
    (!names.is_empty()).then_some(Preference {
        names,
        choice,
        at: item.timestamp.and_then(|at| plain(at).parse().ok()).map_or(now, Timestamp::from_secs),
        detail: detail.map(|detail| detail.chars().take(DETAIL_MAX).collect()),
    })
}
