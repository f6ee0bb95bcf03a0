//! Meta's news about a user: they have another number, and with it another id.

use super::contacts::names;
use crate::fields::Fields;

/// A user's new names, and their other names from before.
pub(super) struct Renamed {
    pub(super) names: Vec<String>,
    pub(super) before: Vec<String>,
}

/// `None` if it is about something else, or gives no new name. Ids in `body` are not read: the user's name is next to
/// them, which may be any text.
pub(super) fn read(item: &Fields<'_>) -> Option<Renamed> {
    let system = item.object("system")?;
    let kind = system.text("type")?.to_ascii_lowercase();
    // `customer_…` in older versions.
    if !matches!(kind.as_str(), "user_changed_number" | "customer_changed_number" | "user_changed_user_id") {
        return None;
    }
    // Some versions put the values into an object named after the type.
    let inner = system.object(&kind);
    let get = |name: &str| system.get(name).or_else(|| inner.as_ref()?.get(name));
    // `new_wa_id` up to v11, `wa_id` from v12 on.
    let now = names(get("wa_id").or_else(|| get("new_wa_id")), [get("user_id"), get("parent_user_id")]);
    let old = ["customer", "old_wa_id", "previous_wa_id"].into_iter().find_map(get);
    let before = names(old, [get("previous_user_id"), get("previous_parent_user_id")]);
    // If it gives only the old names, there is no news.
    let before: Vec<_> = before.into_iter().filter(|name| !now.contains(name)).collect();
    (!now.is_empty()).then_some(Renamed { names: now, before })
}
