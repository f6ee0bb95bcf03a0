//! Manual actions: retrying a failed message and cancelling a queued one.

use serde_json::{Value, json};

use crate::support::{Setup, TestApp, faults, phone, seed, text, with};

#[tokio::test]
async fn a_queued_message_can_be_cancelled_once_and_is_never_sent() {
    let mut app = Setup::new().set("outbound.enabled", false).start().await;
    let id = app.acme().accept(&seed("k")).await;
    let cancel = format!("outbound/messages/{id}/cancel");
    let cancelled = app.acme().post(&cancel, &json!({})).await.ok(200);
    assert_eq!((&cancelled["status"], &cancelled["id"]), (&json!("CANCELLED"), &json!(id)));
    assert_eq!(app.acme().story(&id).await, ["MESSAGE_CREATED QUEUED", "MESSAGE_CANCELLED CANCELLED"]);
    app.acme().post(&cancel, &json!({})).await.problem(409, "NOT_CANCELLABLE");
    app.acme().post(&format!("outbound/messages/{id}/retry"), &json!({})).await.problem(409, "NOT_RETRYABLE");

    app.set("outbound.enabled", true);
    app.kill_and_start_again().await;
    app.one_more().await;
    assert_eq!(app.sim.messages().len(), 1);
    assert_eq!(app.acme().message(&id).await["status"], "CANCELLED");
    assert_eq!(
        app.acme().send_message(&seed("k")).await.ok(200)["status"],
        "CANCELLED",
        "its idempotency key stays in use"
    );
}

#[tokio::test]
async fn a_scheduled_message_can_be_cancelled() {
    let app = TestApp::start().await;
    let id = app.acme().accept(&with(text(1), &json!({"sendAt": "2099-01-01T00:00:00Z"}))).await;
    app.acme().post(&format!("outbound/messages/{id}/cancel"), &Value::Null).await.ok(200);
    app.acme().until_stats("CANCELLED", 1).await;
}

#[tokio::test]
async fn a_message_between_two_attempts_can_be_cancelled() {
    let app = Setup::new().set("outbound.retry_delays", vec!["0s", "1h"]).start().await;
    app.sim.set_faults(faults(&json!([{"count": 1, "fault": {"kind": "error", "code": 131016}}])));
    let id = app.acme().accept(&text(1)).await;
    let waiting = app.acme().until_error(&id, "QUEUED", "131016").await;
    assert!(waiting["nextRetryAt"].is_string(), "{waiting}");
    app.acme().post(&format!("outbound/messages/{id}/cancel"), &json!({})).await.ok(200);
    app.one_more().await;
    assert_eq!(app.accepted_to(&phone(1)), 0);
}

#[tokio::test]
async fn a_sent_message_can_be_neither_cancelled_nor_retried() {
    let app = TestApp::start().await;
    let id = app.acme().accept(&seed("k")).await;
    app.acme().until(&id, "READ").await;
    app.settled().await;
    let read = app.acme().message(&id).await;
    for (action, code) in [("cancel", "NOT_CANCELLABLE"), ("retry", "NOT_RETRYABLE")] {
        app.acme().post(&format!("outbound/messages/{id}/{action}"), &json!({})).await.problem(409, code);
    }
    assert_eq!(app.acme().message(&id).await, read);
}

#[tokio::test]
async fn a_message_that_does_not_exist_can_be_neither_cancelled_nor_retried() {
    let app = TestApp::start().await;
    for id in ["nonsense", "018f2b5e-0000-7000-8000-000000000000"] {
        for action in ["cancel", "retry"] {
            let answer = app.acme().post(&format!("outbound/messages/{id}/{action}"), &json!({})).await;
            answer.problem(404, "NOT_FOUND");
        }
    }
}
