//! The words of a message that may be a stop or a start word: a text, or a quick reply or list item that was tapped.

use serde_json::Value;

/// No message that is one word is longer.
const ITEM_MAX: usize = 8 * 1024;

/// What the author of Meta's item said in so many words. What is said in a group is not said to the business.
pub fn said(item: &[u8]) -> Vec<String> {
    if item.len() > ITEM_MAX {
        return Vec::new();
    }
    let item: Value = serde_json::from_slice(item).unwrap_or_default();
    if item.get("group_id").is_some_and(|group| !group.is_null()) {
        return Vec::new();
    }
    let places = [
        "/text/body",
        "/button/payload",
        "/button/text",
        "/interactive/button_reply/id",
        "/interactive/button_reply/title",
        "/interactive/list_reply/id",
        "/interactive/list_reply/title",
    ];
    places.into_iter().filter_map(|place| Some(item.pointer(place)?.as_str()?.to_owned())).collect()
}
