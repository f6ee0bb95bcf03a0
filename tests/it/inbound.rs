//! Inbound messages: they are stored once, listed, shown on the timeline, and open the 24-hour window.

use serde_json::{Value, json};

use crate::support::{PHONE, TestApp, now, phone, seed, text, with};

/// A webhook with a text that the nth recipient wrote some hours ago.
fn written(n: usize, wamid: &str, hours_ago: u64) -> Value {
    let from = phone(n).trim_start_matches('+').to_owned();
    json!({"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550001111", "phone_number_id": PHONE},
        "contacts": [{"profile": {"name": "Ada"}, "wa_id": from}],
        "messages": [{"from": from, "id": wamid, "timestamp": (now() - hours_ago * 3600).to_string(), "type": "text",
            "text": {"body": "hello"}}]}}]}]})
}

#[tokio::test]
async fn an_inbound_message_is_stored_once_and_assigned_to_the_dossier() {
    let app = TestApp::start().await;
    let id = app.acme().accept(&with(text(1), &json!({"dossierId": "d-1"}))).await;
    app.acme().until(&id, "READ").await;
    for _ in 0..3 {
        app.webhook(written(1, "wamid.in-1", 0).to_string().as_bytes()).await.ok(200);
    }
    app.webhook(written(2, "wamid.in-2", 0).to_string().as_bytes()).await.ok(200);
    let all = app.acme().get("inbound/messages").await.ok(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "{all}");
    let from = phone(1).replace('+', "%2B");
    let one = app.acme().get(&format!("inbound/messages?from={from}")).await.ok(200);
    let item = &one["items"][0];
    assert_eq!((&item["from"], &item["type"], &item["orgId"]), (&json!(phone(1)), &json!("text"), &json!("acme")));
    assert_eq!((&item["phoneNumberId"], &item["providerMessageId"]), (&json!(PHONE), &json!("wamid.in-1")));
    assert_eq!(item["payloadJson"]["text"]["body"], "hello");
    let activities = app.acme().get("activities?dossierId=d-1").await.ok(200);
    let received = activities["items"].as_array().unwrap().iter().filter(|step| step["type"] == "MESSAGE_RECEIVED");
    assert_eq!(received.count(), 1, "{activities}");
    let other = app.org("other", "2222").await;
    assert_eq!(other.get("inbound/messages").await.ok(200)["items"], json!([]));
}

#[tokio::test]
async fn outside_the_window_only_a_template_is_sent() {
    let app = TestApp::start().await;
    app.webhook(written(1, "wamid.in-1", 25).to_string().as_bytes()).await.ok(200);
    let free = app.acme().accept(&text(1)).await;
    let failed = app.acme().until_error(&free, "FAILED", "WINDOW_CLOSED").await;
    assert_eq!(failed["attemptCount"], 0);
    assert_eq!(app.sim.messages().len(), 0, "Meta is not called");
    let template = app.acme().accept(&with(seed("t"), &json!({"to": phone(1)}))).await;
    app.acme().until(&template, "READ").await;
    let unknown = app.acme().accept(&text(2)).await;
    app.acme().until(&unknown, "READ").await;

    app.webhook(written(1, "wamid.in-2", 0).to_string().as_bytes()).await.ok(200);
    let open = app.acme().accept(&text(1)).await;
    app.acme().until(&open, "READ").await;
}
