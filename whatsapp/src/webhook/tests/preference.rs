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
        item(&json!({"value": "signup", "signup_id": "13176843987434774", "detail": null})),
        item(&json!({"wa_id": "US.42", "value": "Stop"})),
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
                expected(&["+4915112345678"], Choice::Granted, AT, None),
                expected(&["US.42"], Choice::Revoked, AT, detail),
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
fn a_preference_and_its_contact_tell_all_names() {
    let mut webhook = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "user_preferences",
        "value": {"metadata": {"phone_number_id": "1066"}, "contacts": [{"wa_id": "4915112345678", "user_id": "DE.1"}],
        "user_preferences": [item(&json!({}))]}}]}]});
    for field in ["user_preferences", "messages"] {
        webhook["entry"][0]["changes"][0]["field"] = json!(field);
        assert_eq!(read_one(&webhook).preferences[0].names, ["+4915112345678", "DE.1"]);
    }
}

#[test]
fn a_preference_that_names_nobody_is_the_one_contact_s() {
    let one = json!([{"wa_id": "4915112345678"}]);
    let two = json!([{"wa_id": "4915112345678"}, {"wa_id": "4915187654321"}]);
    let nameless = json!({"value": "stop", "category": "marketing_messages"});
    for (contacts, item, names) in [
        (&one, &nameless, &["+4915112345678"][..]),
        (&one, &item(&json!({"wa_id": null})), &["+4915112345678"]),
        (&one, &item(&json!({"wa_id": "4915187654321"})), &["+4915187654321"]),
        (&two, &nameless, &[]),
        (&json!(null), &nameless, &[]),
    ] {
        let change = read_one(&json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{
            "field": "user_preferences", "value": {"metadata": {"phone_number_id": "1066"}, "contacts": contacts,
            "user_preferences": [item]}}]}]}));
        let found: Vec<_> =
            change.preferences.iter().flat_map(|preference| &preference.names).map(String::as_str).collect();
        assert_eq!((found.as_slice(), change.skipped), (names, usize::from(names.is_empty())), "{contacts} {item}");
    }
}

#[test]
fn whatever_carries_words_of_its_author_says_them_and_all_else_nothing() {
    let form = |answers: Value| {
        let answers = json!({"flow_token": "stop", "a": answers}).to_string();
        json!({"interactive": {"type": "nfm_reply", "nfm_reply": {"name": "stop", "body": "stop", "response_json": answers}}})
    };
    let sent_form = |response: Value| json!({"interactive": {"nfm_reply": {"response_json": response}}});
    let edit = |message: Value| json!({"type": "edit", "edit": {"original_message_id": "wamid.A", "message": message}});
    let (alone, beside) = (true, false);
    let table = [
        (json!({"type": "text", "text": {"body": "Stop"}}), vec![("Stop", alone)]),
        (json!({"type": "button", "button": {"payload": "P", "text": "T"}}), vec![("P", alone), ("T", alone)]),
        (json!({"interactive": {"button_reply": {"id": "I", "title": "T"}}}), vec![("I", alone), ("T", alone)]),
        (json!({"interactive": {"list_reply": {"id": "I", "title": "T"}}}), vec![("I", alone), ("T", alone)]),
        (edit(json!({"type": "text", "text": {"body": "stop"}})), vec![("stop", alone)]),
        (edit(json!({"type": "image", "image": {"caption": "stop", "id": "1"}})), vec![("stop", beside)]),
        (json!({"type": "image", "image": {"caption": "stop"}}), vec![("stop", beside)]),
        (json!({"type": "order", "order": {"text": "stop", "catalog_id": "1"}}), vec![("stop", beside)]),
        (json!({"type": "hologram", "hologram": {"body": "stop"}}), vec![("stop", beside)]),
        (form(json!("Stop")), vec![("Stop", beside)]),
        (form(json!(["0_Stop", 7, {"b": "x"}])), vec![("x", beside), ("0_Stop", beside), ("Stop", beside)]),
        (sent_form(json!({"flow_token": "stop", "a": "Stop"})), vec![("Stop", beside)]),
        (sent_form(json!(r#"[{"flow_token":"stop","a":"Stop"},"x"]"#)), vec![("Stop", beside), ("x", beside)]),
        (sent_form(json!("Stop")), vec![]),
        (json!({"interactive": {"poll_reply": {"id": "I", "title": "T"}}}), vec![("I", beside), ("T", beside)]),
        (
            json!({"interactive": {"button_reply_v2": {"payload": "P", "text": "T"}}}),
            vec![("P", beside), ("T", beside)],
        ),
        (json!({"interactive": {"poll_reply": {"options": [{"title": "T"}, null]}}}), vec![("T", beside)]),
        (json!({"type": "edit", "edit": {"messages": [null, {"text": {"body": "stop"}}]}}), vec![("stop", alone)]),
        (json!({"type": "text", "text": "stop"}), vec![("stop", alone)]),
        (edit(json!({"type": "text", "text": "stop"})), vec![("stop", alone)]),
        (
            json!({"button": {"text": "Ne plus recevoir de promotions"}}),
            vec![("Ne plus recevoir de promotions", alone), ("Stop promotions", alone)],
        ),
        (
            json!({"interactive": {"button_reply": {"id": "7", "title": "Blocca promozioni"}}}),
            vec![("7", alone), ("Blocca promozioni", alone), ("Stop promotions", alone)],
        ),
        (json!({"text": {"body": "Blocca promozioni"}}), vec![("Blocca promozioni", alone)]),
        (json!({"text": {"body": "stop"}, "group_id": null}), vec![("stop", alone)]),
        (json!({"text": {"body": "stop"}, "group_id": ""}), vec![("stop", alone)]),
        (json!({"text": {"body": "stop"}, "referral": {"body": "x".repeat(9000)}}), vec![("stop", alone)]),
        (json!({"text": {"body": "stop"}, "group_id": "g"}), vec![]),
        (json!({"referral": {"body": "stop", "headline": "stop"}, "context": {"body": "stop"}}), vec![]),
        (json!({"location": {"name": "stop", "text": "stop"}, "contacts": [{"name": {"text": "stop"}}]}), vec![]),
        (json!({"system": {"body": "stop"}, "document": {"filename": "stop"}, "reaction": {"text": "stop"}}), vec![]),
        (json!({"text": {"body": 7}, "button": "stop"}), vec![]),
        (json!("stop"), vec![]),
    ];
    for (item, expected) in table {
        let all = said(item.to_string().as_bytes());
        let all: Vec<_> = all.iter().map(|said| (said.text.as_str(), said.is_said_alone)).collect();
        assert_eq!(all, expected, "{item}");
    }
    assert!(said(b"stop").is_empty());
    let cut = br#"{"text":{"body":"STOP"},"referral":{"body":"caf\ud83d"},"x":1e999}"#;
    assert_eq!(said(cut)[0].text, "STOP");
}
