//! Inbound messages and other events.

use serde_json::{Value, json};
use simulator::Settings;

use crate::support::{ADA, Answer, BOB, PHONE, Rig, Webhook, answer, nowhere, secret};

async fn inject(rig: &Rig, body: &str) -> Answer {
    answer(rig.client.post(rig.url("/_sim/inbound")).body(body.to_owned())).await.unwrap()
}

/// The only message in the value of a webhook call.
fn message(value: &Value) -> &Value {
    let messages = value["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 1);
    &messages[0]
}

#[tokio::test]
async fn a_text_reaches_the_webhook_signed_and_in_metas_format() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    let body = json!({"phoneNumberId": PHONE, "from": ADA, "name": "Ada", "type": "text", "text": {"body": "STOP"}});
    let told = inject(&rig, &body.to_string()).await;
    assert_eq!(told.status, 202);
    let id = told.json()["id"].clone();
    rig.until("the message", |stats| stats.inbound_sent == 1 && stats.inbound_waiting == 0).await;
    let (headers, raw) = webhook.calls().remove(0);
    let signature = headers[whatsapp::signature::HEADER].to_str().unwrap();
    assert!(whatsapp::signature::verify(&secret(), &raw, signature));
    let value = &webhook.values()[0];
    let contact = json!({"profile": {"name": "Ada"}, "wa_id": "4915112345678", "user_id": "US.4915112345678"});
    assert_eq!(value["contacts"], json!([contact]));
    let item = message(value);
    assert_eq!((&item["from_user_id"], item.get("context")), (&contact["user_id"], None));
    assert_eq!(
        (&item["from"], &item["type"], &item["text"]["body"]),
        (&json!("4915112345678"), &json!("text"), &json!("STOP"))
    );
    assert_eq!(item["id"], id);
    assert!(item["timestamp"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    let changes = whatsapp::webhook::parse(&raw, domain::Timestamp::from_secs(0)).unwrap().changes;
    assert_eq!((changes[0].inbound.len(), changes[0].skipped), (1, 0));
}

#[tokio::test]
async fn every_type_is_sent_with_what_meta_adds() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    let items = [
        json!({"text": "hello"}),
        json!({"button": {"payload": "STOP", "text": "No more"}, "context": {"id": "wamid.x", "from": "1555"}}),
        json!({"interactive": {"type": "button_reply", "button_reply": {"id": "1", "title": "Yes"}}}),
        json!({"image": {"id": "12", "mime_type": "image/png", "sha256": "x"}}),
        json!({"reaction": {"message_id": "wamid.x", "emoji": "👍"}}),
        json!({"location": {"latitude": 1.5, "longitude": 2}}),
        json!({"contacts": [{"name": {"formatted_name": "Bob"}}]}),
        json!({"order": {"catalog_id": "1", "product_items": []}}),
        json!({"system": {"type": "user_changed_number", "wa_id": "4915100000000", "body": "changed"}}),
        json!({"type": "unsupported"}),
        json!({"type": "a_type_of_tomorrow", "a_type_of_tomorrow": {}}),
    ];
    for mut item in items.clone() {
        item["from"] = json!(ADA);
        item["phoneNumberId"] = json!(PHONE);
        assert_eq!(inject(&rig, &item.to_string()).await.status, 202, "{item}");
    }
    rig.until("all", |stats| stats.inbound_sent == 11).await;
    let values = webhook.values();
    let types: Vec<_> = values.iter().map(|value| message(value)["type"].as_str().unwrap().to_owned()).collect();
    let expected = ["text", "button", "interactive", "image", "reaction", "location", "contacts", "order", "system"];
    assert_eq!(types[..9], expected, "in the order of the requests");
    assert_eq!(message(&values[0])["text"], json!({"body": "hello"}));
    assert_eq!(message(&values[1])["context"], items[1]["context"]);
    assert!(values[8].get("contacts").is_none() && values[7].get("contacts").is_some());
    assert_eq!(message(&values[9])["errors"][0]["code"], 131_051);
    assert_eq!(types[10], "a_type_of_tomorrow");
}

#[tokio::test]
async fn a_user_without_a_number_is_identified_by_id() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    let both = json!({"phoneNumberId": PHONE, "from": ADA, "userId": "DE.1", "parentUserId": "DE.ENT.1", "text": "a"});
    for body in [
        json!({"phoneNumberId": PHONE, "userId": "DE.1", "username": "ada", "text": "a"}),
        json!({"phoneNumberId": PHONE, "from": "DE.1", "text": "a"}),
        both,
    ] {
        assert_eq!(inject(&rig, &body.to_string()).await.status, 202, "{body}");
    }
    rig.until("all", |stats| stats.inbound_sent == 3).await;
    let values = webhook.values();
    for value in &values[..2] {
        assert_eq!((&message(value)["from_user_id"], message(value).get("from")), (&json!("DE.1"), None));
        assert_eq!((&value["contacts"][0]["user_id"], value["contacts"][0].get("wa_id")), (&json!("DE.1"), None));
    }
    assert_eq!(values[0]["contacts"][0]["profile"]["username"], "ada");
    assert_eq!(
        (&message(&values[2])["from"], &message(&values[2])["from_user_id"]),
        (&json!("4915112345678"), &json!("DE.1"))
    );
    assert_eq!(values[2]["contacts"][0]["parent_user_id"], "DE.ENT.1");
}

#[tokio::test]
async fn text_passes_through_unchanged_even_unpaired_surrogates() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    let given = r#"{"phoneNumberId":"1066","from":"+4915112345678","id":"wamid.own","timestamp":"17","type":"text","text":{"body":"a \ud83d"},"n":106.81666600000001}"#;
    for _ in 0..2 {
        assert_eq!(inject(&rig, given).await.json()["id"], "wamid.own");
    }
    rig.until("both", |stats| stats.inbound_sent == 2).await;
    let raw = String::from_utf8(webhook.calls()[0].1.to_vec()).unwrap();
    for part in [r#""text":{"body":"a \ud83d"}"#, r#""id":"wamid.own""#, r#""timestamp":"17""#, "106.81666600000001"] {
        assert!(raw.contains(part), "{part}: {raw}");
    }
}

#[tokio::test]
async fn events_other_than_messages_have_a_field_and_a_value() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    let preference =
        json!({"wa_id": "4915112345678", "category": "marketing_messages", "value": "stop", "timestamp": 17});
    let body = json!({"phoneNumberId": PHONE, "wabaId": "77", "field": "user_preferences",
                      "value": {"user_preferences": [preference]}});
    assert_eq!(inject(&rig, &body.to_string()).await.json()["id"], Value::Null);
    rig.until("it", |stats| stats.inbound_sent == 1).await;
    let raw: Value = serde_json::from_slice(&webhook.calls()[0].1).unwrap();
    assert_eq!(
        (&raw["entry"][0]["id"], &raw["entry"][0]["changes"][0]["field"]),
        (&json!("77"), &json!("user_preferences"))
    );
    assert_eq!(webhook.values()[0]["user_preferences"][0]["value"], "stop");
}

#[tokio::test]
async fn by_default_the_last_sender_receives_the_message() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([{"fault": {"kind": "receipts", "lose": true}}])).await;
    let body = json!({"from": ADA, "text": "yes"}).to_string();
    let refused = inject(&rig, &body).await;
    assert_eq!((refused.status, refused.text.contains("is required until a message was sent")), (400, true));
    rig.sent(ADA, "1").await;
    assert_eq!(inject(&rig, &body).await.status, 202);
    rig.until("it", |stats| stats.inbound_sent == 1).await;
    assert_eq!(webhook.values()[0]["metadata"]["phone_number_id"], PHONE);
}

#[tokio::test]
async fn an_invalid_request_is_refused_with_the_reason() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    for (body, says) in [
        ("[]", "map"),
        (r#"{"phoneNumberId":"1066","text":"a"}"#, "the author is required"),
        (r#"{"phoneNumberId":"1066","from":"4915112345678","text":"a"}"#, "from must be a phone number such as"),
        (r#"{"phoneNumberId":"1066","from":"+4915112345678"}"#, "type is required"),
        (r#"{"phoneNumberId":"1066","from":"+4915112345678","type":7}"#, "type must be a string"),
        (r#"{"phoneNumberId":"1066","field":"account_update"}"#, "a field needs a value"),
    ] {
        let refused = inject(&rig, body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.text.contains(says), "{body}: {}", refused.text);
    }
    assert!(webhook.calls().is_empty());
    let alone = Rig::new(Settings::default()).await;
    let refused = inject(&alone, r#"{"phoneNumberId":"1066","from":"+4915112345678","text":"a"}"#).await;
    assert_eq!((refused.status, refused.text.contains("--webhook URL")), (409, true));
    assert_eq!(alone.get("/_sim/inbound").await.status, 405);
}

#[tokio::test]
async fn an_inbound_message_is_retried_until_it_is_accepted_or_the_simulator_is_reset() {
    let webhook = Webhook::new().await;
    webhook.will_answer([503]);
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    let body = json!({"phoneNumberId": PHONE, "from": ADA, "text": "yes"}).to_string();
    inject(&rig, &body).await;
    rig.until("the second call", |stats| stats.inbound_sent == 1).await;
    let calls = webhook.calls();
    assert_eq!((calls.len(), &calls[0].1), (2, &calls[1].1));
    rig.simulator.set_webhook(Some(nowhere().await));
    for _ in 0..2 {
        inject(&rig, &body).await;
    }
    rig.until("a failed call", |stats| stats.webhooks_failed > 1).await;
    rig.simulator.reset();
    rig.simulator.set_webhook(Some(webhook.url.clone()));
    inject(&rig, &body).await;
    rig.until("the new one", |stats| stats.inbound_sent == 1).await;
    assert_eq!((webhook.calls().len(), rig.simulator.stats().inbound_waiting), (3, 0));
}

#[tokio::test]
async fn a_message_with_an_uploaded_file_has_its_type_and_hash() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    let form = "--e\r\ncontent-disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--e\r\n\
                content-disposition: form-data; name=\"file\"; filename=\"a\"\r\ncontent-type: image/png\r\n\r\npixels\r\n--e--\r\n";
    let request = rig.client.post(rig.url("/v25.0/1066/media")).bearer_auth("t");
    let form = request.header("content-type", "multipart/form-data; boundary=e").body(form);
    let id = answer(form).await.unwrap().json()["id"].as_str().unwrap().to_owned();
    let body = json!({"phoneNumberId": PHONE, "from": ADA, "image": {"id": id, "caption": "look"}}).to_string();
    assert_eq!(inject(&rig, &body).await.status, 202);
    rig.until("it", |stats| stats.inbound_sent == 1).await;
    let image = message(&webhook.values()[0])["image"].clone();
    assert_eq!(
        (&image["id"], &image["caption"], &image["mime_type"]),
        (&json!(id), &json!("look"), &json!("image/png"))
    );
    assert_eq!(image["sha256"].as_str().unwrap().len(), 44, "base64, as in Meta's webhooks");
}

#[tokio::test]
async fn a_button_answer_refers_to_the_last_message_to_its_author() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([{"fault": {"kind": "receipts", "lose": true}}])).await;
    let press = async |who: &str, more: Value| {
        let mut body = json!({"phoneNumberId": PHONE, "from": who, "button": {"payload": "1", "text": "Yes"}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(inject(&rig, &body.to_string()).await.status, 202, "{body}");
    };
    press(ADA, json!({})).await;
    rig.sent(ADA, "1").await;
    let last = rig.sent("+49 (151) 1234-5678", "2").await;
    rig.sent(BOB, "3").await;
    press(ADA, json!({})).await;
    press(ADA, json!({"context": {"id": "wamid.own"}})).await;
    let user = json!({"messaging_product": "whatsapp", "recipient": "DE.1", "text": {"body": "Hello"}});
    let to_user = rig.send(&user).await.wamid();
    press("DE.1", json!({})).await;
    rig.until("all", |stats| stats.inbound_sent == 4).await;
    let contexts: Vec<_> = webhook.values().iter().map(|value| message(value)["context"].clone()).collect();
    assert!(contexts[0]["id"].as_str().unwrap().starts_with("wamid."), "a made-up id");
    assert_eq!(contexts[1], json!({"from": "15550001111", "id": last}));
    assert_eq!((&contexts[2], &contexts[3]["id"]), (&json!({"id": "wamid.own"}), &json!(to_user)));
}

#[tokio::test]
async fn webhooks_name_the_account_that_is_set() {
    let webhook = Webhook::new().await;
    let settings = Settings { webhook: Some(webhook.url.clone()), waba_id: "55".to_owned(), ..Settings::default() };
    let rig = Rig::new(settings).await;
    let put = async |body: Value| answer(rig.client.put(rig.url("/_sim/account")).json(&body)).await.unwrap().json();
    let body = json!({"phoneNumberId": PHONE, "from": ADA, "text": "yes"}).to_string();
    let accounts = [(json!({}), "55"), (json!({"wabaId": "77"}), "77"), (json!({"refusedTokens": []}), "55")];
    for (told, (account, waba)) in (1..).zip(accounts) {
        assert_eq!(put(account).await["wabaId"], waba);
        assert_eq!(rig.get("/_sim/account").await.json()["wabaId"], waba);
        rig.sent(ADA, "1").await;
        inject(&rig, &body).await;
        rig.until("all", |stats| stats.inbound_sent == told && stats.receipts_sent == 3 * told).await;
        let last: Value = serde_json::from_slice(&webhook.calls().pop().unwrap().1).unwrap();
        assert_eq!(last["entry"][0]["id"], waba);
    }
    let raw = webhook.calls().into_iter().map(|(_, body)| serde_json::from_slice::<Value>(&body).unwrap());
    let ids = |kind: &str| {
        let of = raw.clone().filter(|call| call["entry"][0]["changes"][0]["value"].get(kind).is_some());
        of.map(|call| call["entry"][0]["id"].as_str().unwrap().to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!((ids("messages").len(), ids("statuses").len()), (2, 2), "both inbound messages and receipts");
    let default = Rig::new(Settings::default()).await;
    assert_eq!(default.get("/_sim/account").await.json()["wabaId"], "102290129340398");
}
