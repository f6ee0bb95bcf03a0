//! A message's life from accepted to read, in every view.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{ACCESS_TOKEN, PHONE, Setup, TestApp, eventually, faults, seed, text, with};

#[tokio::test]
async fn a_message_goes_from_accepted_to_read_and_every_view_agrees() {
    let app = TestApp::start().await;
    let acme = app.acme();
    // Otherwise receipts might overtake the answer to the call.
    app.sim.set_receipts(false);
    let id = acme.accept(&seed("unique-123")).await;
    acme.until(&id, "SENT").await;
    app.sim.set_receipts(true);
    acme.until(&id, "READ").await;
    app.settled().await;
    let message = acme.message(&id).await;
    let sent = &app.sim.messages()[0];
    assert_eq!(message["providerMessageId"], sent.wamid);
    assert_eq!((&message["attemptCount"], &message["errorCode"]), (&json!(1), &Value::Null));
    assert_eq!(message["nextRetryAt"], Value::Null);
    let times = ["createdAt", "sentAt", "deliveredAt", "readAt"].map(|name| message[name].as_str().unwrap().to_owned());
    assert!(times.is_sorted(), "{times:?}");
    assert!(message["updatedAt"].as_str() >= message["sentAt"].as_str());

    let mut story = acme.story(&id).await;
    assert_eq!(story[..2], ["MESSAGE_CREATED QUEUED", "MESSAGE_SENT SENT"]);
    // Webhook calls may overtake each other.
    story[2..].sort();
    let receipts = ["DELIVERED", "READ", "SENT"].map(|status| format!("MESSAGE_STATUS_UPDATE {status}"));
    assert_eq!(story[2..], receipts);
    assert!(acme.timeline(&id).await.iter().map(|step| step["at"].to_string()).is_sorted());

    let attempts = acme.attempts(&id).await;
    let attempt = &attempts[0];
    assert_eq!(attempts.len(), 1);
    assert_eq!((&attempt["attemptNo"], &attempt["status"]), (&json!(1), &json!("ACCEPTED")));
    assert_eq!(attempt["providerResponse"]["messages"][0]["id"], sent.wamid);
    for name in ["errorCode", "errorMessage", "nextRetryAt"] {
        assert_eq!(attempt.get(name), Some(&Value::Null), "{name}");
    }
    assert!(attempt["startedAt"].as_str() <= attempt["finishedAt"].as_str());

    let activities = acme.get("activities?dossierId=456").await.ok(200);
    let items = activities["items"].as_array().unwrap();
    assert_eq!((items.len(), &activities["nextCursor"]), (5, &Value::Null));
    assert!(items.iter().all(|item| item["details"]["messageId"] == id.as_str()));
    assert_eq!(items[4]["type"], "MESSAGE_CREATED", "newest first");
    let nothing = acme.get("activities?dossierId=457").await.ok(200);
    assert_eq!(nothing["items"], json!([]));

    let audit = acme.get(&format!("audit?entityId={id}")).await.ok(200);
    let events = audit["items"].as_array().unwrap();
    let actions = |action: &str| events.iter().filter(|event| event["action"] == action).count();
    assert_eq!((actions("CREATED"), actions("SENT"), actions("UPDATED")), (1, 1, 3));
    assert!(events.iter().map(|event| std::cmp::Reverse(event["seq"].as_u64())).is_sorted(), "newest first");
    assert!(events.iter().all(|event| event["entityType"] == "MESSAGE" && event["entityId"] == id.as_str()));
    let created = events.iter().find(|event| event["action"] == "CREATED").unwrap();
    assert!(created["actor"].as_str().unwrap().starts_with("api-key:"), "{created}");
    let only_sent = acme.get("audit?action=SENT").await.ok(200);
    assert_eq!(only_sent["items"].as_array().unwrap().len(), 1);

    let stats = json!({"QUEUED": 0, "SENDING": 0, "SENT": 0, "DELIVERED": 0, "READ": 1, "FAILED": 0, "CANCELLED": 0});
    assert_eq!(acme.stats().await, stats);
}

#[tokio::test]
async fn the_request_to_whatsapp_is_as_its_api_requires() {
    let app = TestApp::start().await;
    let id = app.acme().accept(&seed("k")).await;
    app.acme().until(&id, "READ").await;
    let sent = &app.sim.messages()[0];
    assert_eq!((sent.phone_number_id.as_str(), sent.to.as_str()), (PHONE, "+1234567890"));
    let body: Value = serde_json::from_str(sent.body.get()).unwrap();
    let opaque = body["biz_opaque_callback_data"].as_str().unwrap();
    assert!(opaque.ends_with(":1"), "{opaque} names the attempt");
    assert_eq!(
        body,
        json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "+1234567890",
            "type": "template", "biz_opaque_callback_data": opaque,
            "template": {"name": "welcome_message", "language": {"code": "en"}, "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "John Doe"}]}]}})
    );
    assert!(!sent.body.get().contains(ACCESS_TOKEN));
}

#[tokio::test]
async fn a_message_waits_for_its_send_at() {
    let app = TestApp::start().await;
    let later = with(text(1), &json!({"sendAt": "2099-01-01T00:00:00Z"}));
    let id = app.acme().accept(&later).await;
    app.one_more().await;
    let message = app.acme().message(&id).await;
    assert_eq!((&message["status"], &message["attemptCount"]), (&json!("QUEUED"), &json!(0)));
    assert_eq!(app.sim.messages().len(), 1);
}

#[tokio::test]
async fn a_message_that_expires_before_it_is_sent_fails_with_expired() {
    let app = Setup::new().set("outbound.retry_delays", vec!["0s", "1h"]).start().await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "error", "code": 131016}}])));
    let expires = app.acme().clock().await.after(Duration::from_secs(5)).to_string();
    let id = app.acme().accept(&with(text(1), &json!({"expiresAt": expires}))).await;
    let message = app.acme().until_error(&id, "FAILED", "EXPIRED").await;
    assert_eq!((&message["attemptCount"], &message["expiresAt"]), (&json!(1), &json!(expires)));
    app.acme().post(&format!("outbound/messages/{id}/retry"), &json!({})).await.problem(409, "NOT_RETRYABLE");
    assert_eq!(app.sim.messages().len(), 0);
}

#[tokio::test]
async fn nothing_is_sent_while_sending_is_switched_off() {
    let mut app = Setup::new().set("outbound.enabled", false).start().await;
    let id = app.acme().accept(&seed("k")).await;
    app.acme().until_stats("QUEUED", 1).await;
    app.set("outbound.enabled", true);
    assert_eq!(app.sim.stats().requests, 0);
    app.stop().await;
    app.start_again().await;
    app.acme().until(&id, "READ").await;
    assert_eq!(app.sim.messages().len(), 1);
}

#[tokio::test]
async fn a_failed_receipt_fails_the_message_with_metas_code() {
    let app = TestApp::start().await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "receiptError", "code": 131026}}])));
    let id = app.acme().accept(&seed("k")).await;
    let message = app.acme().until(&id, "FAILED").await;
    assert_eq!(message["errorCode"], "131026");
    eventually("the attempt as FAILED", async || {
        let attempts = app.acme().attempts(&id).await;
        if attempts[0]["status"] == "FAILED" { Ok(()) } else { Err(attempts) }
    })
    .await;
}
