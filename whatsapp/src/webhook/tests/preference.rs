//! WhatsApp's own switch for marketing messages, and the words that may be stop words.

use super::*;
use crate::webhook::said;
use domain::consent::{Choice, Preference};

fn read_preferences(items: &Value) -> (Vec<Preference>, usize) {
    let change = read_one(&json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{
        "field": "user_preferences", "value": {"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "1555", "phone_number_id": "1066"}, "user_preferences": items}}]}]}));
    assert_eq!(change.phone_number_id.as_ref().unwrap().as_str(), "1066");
    (change.preferences, change.skipped)
}

fn item(more: &Value) -> Value {
    let mut item = json!({"wa_id": "4915112345678", "category": "marketing_messages", "value": "stop",
        "detail": "User requested to stop marketing messages", "timestamp": 1_767_225_600});
    item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    item
}

#[test]
fn a_stop_and_a_resume_are_read_with_their_time_and_names() {
    let (found, skipped) = read_preferences(&json!([
        item(&json!({})),
        item(&json!({"value": "resume", "user_id": "US.42", "timestamp": "1767225600", "detail": null})),
        item(&json!({"wa_id": null, "user_id": "US.42", "timestamp": null})),
    ]));
    let expected = |names: &[&str], choice, at, detail: Option<&str>| Preference {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        choice,
        at,
        detail: detail.map(str::to_owned),
    };
    let detail = Some("User requested to stop marketing messages");
    assert!(
        found
            == [
                expected(&["+4915112345678"], Choice::Revoked, AT, detail),
                expected(&["+4915112345678", "US.42"], Choice::Granted, AT, None),
                expected(&["US.42"], Choice::Revoked, NOW, detail),
            ]
    );
    assert_eq!(skipped, 0);
    assert!(!format!("{found:?}").contains("49151"));
}

#[test]
fn what_is_no_preference_that_we_know_is_skipped_and_spoils_nothing() {
    let (found, skipped) = read_preferences(&json!([
        null,
        "x",
        {},
        item(&json!({"value": "pause"})),
        item(&json!({"category": "calls"})),
        item(&json!({"wa_id": null})),
        item(&json!({"wa_id": "me"})),
        item(&json!({})),
    ]));
    assert_eq!((found.len(), skipped), (1, 7));
}

#[test]
fn texts_and_what_was_tapped_say_something_and_all_else_nothing() {
    let table = [
        (json!({"type": "text", "text": {"body": "Stop"}}), vec!["Stop"]),
        (json!({"type": "button", "button": {"payload": "P", "text": "T"}}), vec!["P", "T"]),
        (json!({"interactive": {"type": "button_reply", "button_reply": {"id": "I", "title": "T"}}}), vec!["I", "T"]),
        (json!({"interactive": {"type": "list_reply", "list_reply": {"id": "I", "title": "T"}}}), vec!["I", "T"]),
        (json!({"type": "image", "image": {"caption": "stop"}}), vec![]),
        (json!({"text": {"body": "stop"}, "group_id": null}), vec!["stop"]),
        (json!({"text": {"body": "stop"}, "group_id": "g"}), vec![]),
        (json!({"text": {"body": "x".repeat(9000)}}), vec![]),
        (json!({"text": {"body": 7}, "button": "stop"}), vec![]),
        (json!("stop"), vec![]),
    ];
    for (item, expected) in table {
        assert_eq!(said(item.to_string().as_bytes()), expected, "{item}");
    }
    assert!(said(b"stop").is_empty());
}
