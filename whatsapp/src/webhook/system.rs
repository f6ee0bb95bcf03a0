//! Meta's news of a user: that they have another number, and with it another id.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::contacts::names;
use super::{object, plain};

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    wa_id: Option<&'a RawValue>,
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    parent_user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    previous_user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    previous_parent_user_id: Option<&'a RawValue>,
}

/// What a user is called from now on, and what else they were called before.
pub(super) struct Renamed {
    pub(super) names: Vec<String>,
    pub(super) before: Vec<String>,
}

/// `None` if it tells of something else, or of no name that they have now.
pub(super) fn read(raw: &RawValue) -> Option<Renamed> {
    let item: Item<'_> = object(raw.get())?;
    if !matches!(plain(item.r#type?), "user_changed_number" | "user_changed_user_id") {
        return None;
    }
    let now = names(item.wa_id, [item.user_id, item.parent_user_id]);
    let before = names(None, [item.previous_user_id, item.previous_parent_user_id]);
    (!now.is_empty()).then_some(Renamed { names: now, before })
}
