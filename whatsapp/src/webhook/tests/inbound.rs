//! What recipients write.

use super::*;

/// A webhook of one change with these `messages`.
fn with_messages(messages: &Value) -> Value {
    let mut webhook = with_statuses(&json!(null));
    webhook["entry"][0]["changes"][0]["value"]["messages"] = messages.clone();
    webhook
}

fn read_items(messages: &Value) -> (Vec<InboundItem>, usize) {
    let change = read_one(&with_messages(messages));
    (change.inbound, change.skipped)
}

#[test]
fn every_type_is_handed_on_as_it_came() {
    let media =
        json!({"id": "77", "mime_type": "image/jpeg", "sha256": "x", "caption": "Grüße 👋", "url": "https://x"});
    let types = json!({
        "text": {"body": "Grüße 👋"},
        "image": media, "video": media, "document": media, "sticker": {"id": "77", "animated": true},
        "audio": {"id": "77", "voice": true},
        "location": {"latitude": 52.5, "longitude": 13.4, "name": "B", "address": "x"},
        "contacts": [{"name": {"formatted_name": "Ada"}, "phones": [{"phone": "+49", "wa_id": "49"}]}],
        "reaction": {"message_id": "wamid.A"},
        "button": {"payload": "yes", "text": "Yes"},
        "interactive": {"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{}"}},
        "order": {"catalog_id": "1", "product_items": [{"product_retailer_id": "p", "quantity": 1}]},
        "unsupported": null, "unknown": null, "request_welcome": null,
        "edit": {"original_message_id": "wamid.A"}, "revoke": {"original_message_id": "wamid.A"},
        "hologram_of_2031": {"depth": [1, 2, 3]},
    });
    for (kind, content) in types.as_object().unwrap() {
        let mut message = json!({"from": "4915112345678", "from_user_id": "DE.9f3", "id": "wamid.I/1", "type": kind,
            "timestamp": "1767225600", "context": {"from": "1555", "id": "wamid.A"}, "referral": {"ctwa_clid": "x"},
            "errors": [{"code": 131_051, "title": "Unsupported"}]});
        message[kind] = content.clone();
        let (items, skipped) = read_items(&json!([message]));
        let [item] = items.as_slice() else { panic!("{kind}") };
        assert_eq!((skipped, item.kind.as_str(), item.at), (0, kind.as_str(), AT));
        assert_eq!((item.id.as_str(), item.from.as_ref().unwrap().as_str()), ("wamid.I/1", "+4915112345678"));
        assert_eq!((item.user_id.as_deref(), item.opens_window), (Some("DE.9f3"), true), "{kind}");
        assert_eq!(serde_json::from_slice::<Value>(&item.raw).unwrap(), message);
    }
}

#[test]
fn a_change_says_whose_it_is() {
    let change = read_one(&with_messages(&json!([{"id": "wamid.I"}])));
    assert_eq!((change.field.as_str(), change.waba_id.as_deref()), ("messages", Some("1")));
    assert_eq!(change.phone_number_id.unwrap().as_str(), "1066");
    for (id, read) in [(json!(102), Some("102")), (json!(null), None), (json!({}), None), (json!("a b"), None)] {
        let mut webhook = with_messages(&json!([{"id": "wamid.I"}]));
        webhook["entry"][0]["id"] = id;
        let change = read_one(&webhook);
        assert_eq!((change.waba_id.as_deref(), change.inbound.len()), (read, 1));
    }
}

#[test]
fn an_author_without_a_phone_number_is_known_by_meta_s_id() {
    let (items, _) = read_items(&json!([{"id": "wamid.I", "from_user_id": "US.134", "type": "text"}]));
    assert_eq!((items[0].from.as_ref(), items[0].user_id.as_deref()), (None, Some("US.134")));
    for odd in [json!(null), json!(""), json!("US.134"), json!({}), json!("0049"), json!("+"), json!("49 151 1234567")]
    {
        let (items, skipped) = read_items(&json!([{"id": "wamid.I", "from": odd, "from_user_id": odd}]));
        assert!(items[0].from.is_none() && skipped == 0, "{odd}");
    }
    for same in [json!("4915112345678"), json!("+4915112345678"), json!(4_915_112_345_678_u64)] {
        let (items, _) = read_items(&json!([{"id": "wamid.I", "from": same}]));
        assert_eq!(items[0].from.as_ref().unwrap().as_str(), "+4915112345678");
    }
}

#[test]
fn an_item_is_read_however_oddly_its_lesser_fields_are_written() {
    for odd in [
        json!({}),
        json!({"type": null, "timestamp": null, "from": null, "from_user_id": null, "group_id": null}),
        json!({"type": 7, "timestamp": "soon", "from": [], "from_user_id": {}}),
        json!({"type": "", "timestamp": -1, "from_user_id": ""}),
        json!({"type": "x".repeat(65), "timestamp": {}, "from_user_id": "x".repeat(201), "context": 7, "text": 7}),
    ] {
        let mut message = json!({"id": "wamid.I"});
        message.as_object_mut().unwrap().extend(odd.as_object().unwrap().clone());
        let (items, skipped) = read_items(&json!([message]));
        assert_eq!((items.len(), skipped), (1, 0), "{odd}");
        let InboundItem { from, user_id, kind, opens_window, at, .. } = &items[0];
        assert_eq!((from.as_ref(), user_id.as_ref(), kind.as_str(), *at), (None, None, "unknown", NOW), "{odd}");
        assert!(opens_window);
    }
}

#[test]
fn one_bad_item_among_a_thousand_spoils_nothing_else() {
    for bad in [json!(null), json!("x"), json!(["wamid.I"]), json!({}), json!({"id": ""}), json!({"id": 7})] {
        let mut messages: Vec<Value> = (0..1000).map(|n| json!({"id": format!("wamid.{n}"), "type": "text"})).collect();
        messages[500] = bad.clone();
        let (items, skipped) = read_items(&json!(messages));
        assert_eq!((items.len(), skipped), (999, 1), "{bad}");
        assert_eq!(items[998].id.as_str(), "wamid.999");
    }
}

#[test]
fn texts_that_are_cut_within_a_character_and_deep_nests_are_kept() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let webhook = serde_json::to_string(&with_messages(&json!([
        {"id": "wamid.1", "type": "text", "text": {"body": "HALF"}}, {"id": "wamid.2", "type": "flow", "flow": "DEEP"}])))
    .unwrap()
    .replace("HALF", r"\ud83d")
    .replace("\"DEEP\"", &deep);
    let change = parse(webhook.as_bytes(), NOW).unwrap().changes.remove(0);
    assert_eq!((change.inbound.len(), change.skipped), (2, 0));
    assert!(change.inbound[0].raw.ends_with(br#""type":"text"}"#));
    assert!(std::str::from_utf8(&change.inbound[0].raw).unwrap().contains(r#""body":"\ufffd""#));
    let kept: Value = serde_json::from_slice(&change.inbound[0].raw).unwrap();
    assert_eq!(kept["text"]["body"], "\u{fffd}");
}

#[test]
fn only_what_a_user_wrote_to_us_alone_opens_the_window() {
    let (items, _) = read_items(&json!([
        {"id": "wamid.1", "type": "system", "system": {"type": "user_changed_number", "wa_id": "49"}},
        {"id": "wamid.2", "type": "text", "group_id": "g1"},
        {"id": "wamid.3", "type": "reaction"},
    ]));
    assert_eq!(items.iter().map(|item| item.opens_window).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn debug_output_shows_nothing_private() {
    let message = json!({"id": "wamid.I", "from": "4915112345678", "from_user_id": "DE.9f3", "type": "text"});
    let shown = format!("{:?} {:?}", read_items(&json!([message])).0, read_one(&with_messages(&json!([message]))));
    assert!(!shown.contains("49151") && !shown.contains("DE.") && !shown.contains("wamid"), "{shown}");
}

#[test]
fn an_id_where_a_number_belongs_is_the_author_s() {
    for (from, id) in [
        (json!({"from": "US.134", "from_user_id": "US.134"}), "US.134"),
        (json!({"from": "US.134"}), "US.134"),
        (json!({"from": "US.ENT.134"}), "US.ENT.134"),
    ] {
        let mut message = json!({"id": "wamid.I", "type": "text"});
        message.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
        let (items, _) = read_items(&json!([message]));
        assert_eq!(
            (items[0].from.as_ref(), items[0].user_id.as_deref(), &items[0].link),
            (None, Some(id), &None),
            "{from}"
        );
    }
    let (items, _) = read_items(&json!([{"id": "wamid.I", "from": "somebody"}]));
    assert_eq!((items[0].from.as_ref(), items[0].user_id.as_ref()), (None, None));
}
