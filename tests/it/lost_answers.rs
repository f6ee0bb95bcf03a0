//! The answer to a call is lost: a receipt settles the attempt, or the policy for unknown outcomes does.

use serde_json::{Value, json};

use crate::support::{Setup, TestApp, eventually, faults, notification, seed, status, with};

/// Timeouts short enough to wait for, and longer than a call takes on any machine.
fn short_patience(on_unknown: &str) -> Setup {
    Setup::new()
        .set("whatsapp.request_timeout", "5s")
        .set("outbound.stale_after", "6s")
        .set("outbound.on_unknown", on_unknown)
}

#[tokio::test]
async fn a_receipt_settles_a_call_whose_answer_was_lost() {
    for fault in [
        json!({"kind": "dropAfter"}),
        json!({"kind": "notJson", "accept": true}),
        json!({"kind": "noEnvelope", "status": 502, "accept": true}),
    ] {
        let app = TestApp::start().await;
        app.sim.set_receipts(false);
        app.sim.set_faults(faults(&json!([{"count": 1, "fault": fault}])));
        let id = app.acme().accept(&seed("k")).await;
        let attempts = eventually("the attempt as UNKNOWN", async || {
            let attempts = app.acme().attempts(&id).await;
            if attempts.iter().any(|attempt| attempt["status"] == "UNKNOWN") { Ok(attempts) } else { Err(attempts) }
        })
        .await;
        assert_eq!(app.acme().message(&id).await["status"], "SENDING");
        assert!(attempts[0]["errorCode"].is_string());
        app.sim.set_receipts(true);
        let message = app.acme().until(&id, "READ").await;
        assert_eq!(message["providerMessageId"], app.sim.messages()[0].wamid);
        assert_eq!((&message["attemptCount"], &message["errorCode"]), (&json!(1), &Value::Null));
        assert_eq!(app.acme().attempts(&id).await[0]["status"], "ACCEPTED");
        app.one_more().await;
        assert_eq!(app.accepted_to("+1234567890"), 1);
    }
}

#[tokio::test]
async fn a_connection_closed_before_acceptance_does_not_duplicate_the_message() {
    let app = short_patience("resend").start().await;
    app.sim.set_faults(faults(&json!([{"count": 1, "fault": {"kind": "dropBefore"}}])));
    let id = app.acme().accept(&seed("k")).await;
    let message = app.acme().until(&id, "READ").await;
    assert_eq!(message["attemptCount"], 2);
    assert_eq!(app.sim.messages().len(), 1);
}

#[tokio::test]
async fn a_message_whose_receipts_are_lost_too_is_sent_again_after_stale_after() {
    let app = short_patience("resend").start().await;
    app.sim.set_faults(faults(&json!([
        {"count": 1, "fault": {"kind": "dropAfter"}},
        {"count": 1, "fault": {"kind": "receipts", "lose": true}}
    ])));
    let id = app.acme().accept(&seed("k")).await;
    let message = app.acme().until(&id, "READ").await;
    assert_eq!(message["attemptCount"], 2);
    let attempts = app.acme().attempts(&id).await;
    assert_eq!((&attempts[0]["status"], &attempts[1]["status"]), (&json!("UNKNOWN"), &json!("ACCEPTED")));
    assert!(app.acme().story(&id).await.contains(&"MESSAGE_RESENDING QUEUED".to_owned()));
    let sent = app.sim.messages();
    assert_eq!(sent.len(), 2);
    assert_ne!(sent[0].opaque, sent[1].opaque, "each attempt has its own id");
}

#[tokio::test]
async fn with_hold_a_message_fails_as_unknown_until_a_late_receipt_proves_it_sent() {
    let app = short_patience("resend").start().await;
    app.sim.set_receipts(false);
    app.sim.set_faults(faults(&json!([{"count": 1, "fault": {"kind": "dropAfter"}}])));
    // The message's own setting overrides the configured policy.
    let id = app.acme().accept(&with(seed("k"), &json!({"onUnknown": "HOLD"}))).await;
    let message = app.acme().until(&id, "FAILED").await;
    assert_eq!((&message["errorCode"], &message["attemptCount"]), (&json!("OUTCOME_UNKNOWN"), &json!(1)));
    assert_eq!(app.acme().attempts(&id).await[0]["status"], "UNKNOWN");

    app.sim.set_receipts(true);
    let message = app.acme().until(&id, "READ").await;
    assert_eq!((&message["errorCode"], &message["attemptCount"]), (&Value::Null, &json!(1)));
    assert_eq!(message["providerMessageId"], app.sim.messages()[0].wamid);
    let audit = app.acme().get(&format!("audit?entityId={id}")).await.ok(200);
    let overruled = |event: &Value| event["details"]["effect"] == "OVERRULED";
    assert!(audit["items"].as_array().unwrap().iter().any(overruled), "the audit trail reports it: {audit}");
    assert_eq!(app.sim.messages().len(), 1);
}

#[tokio::test]
async fn a_configured_hold_leaves_a_lost_send_to_a_person() {
    let app = short_patience("hold").start().await;
    app.sim.set_faults(faults(&json!([
        {"count": 1, "fault": {"kind": "dropAfter"}},
        {"count": 1, "fault": {"kind": "receipts", "lose": true}}
    ])));
    let id = app.acme().accept(&seed("k")).await;
    app.acme().until_error(&id, "FAILED", "OUTCOME_UNKNOWN").await;
    assert_eq!(app.sim.messages().len(), 1);
    app.acme().post(&format!("outbound/messages/{id}/retry"), &json!({})).await.ok(200);
    app.acme().until(&id, "READ").await;
    assert_eq!(app.sim.messages().len(), 2, "a person decided to retry it");
}

#[tokio::test]
async fn receipts_that_overtake_the_answer_are_applied() {
    let mut app = TestApp::start().await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "delay", "ms": 1500}}])));
    let id = app.acme().accept(&seed("k")).await;
    app.acme().until(&id, "READ").await;
    app.settled().await;
    let before = app.acme().message(&id).await;
    // The receipt waits for the answer.
    assert_eq!(app.stop().await.code, Some(0));
    app.start_again().await;
    let message = app.acme().message(&id).await;
    for name in ["status", "attemptCount", "providerMessageId", "errorCode", "sentAt", "readAt"] {
        assert_eq!(message[name], before[name], "{name}");
    }
    app.one_more().await;
    assert_eq!(app.accepted_to("+1234567890"), 1);
}

#[tokio::test]
async fn doubled_and_shuffled_receipts_lead_to_the_same_state() {
    let app = TestApp::start().await;
    app.sim.set_faults(faults(&json!([
        {"fault": {"kind": "receipts", "double": true, "shuffle": true, "noOpaque": true}}
    ])));
    for n in 0..20 {
        app.acme().accept(&crate::support::text(n)).await;
    }
    app.acme().until_stats("READ", 20).await;
    app.settled().await;
    app.acme().until_stats("READ", 20).await;
    assert_eq!(app.sim.messages().len(), 20);
}

#[tokio::test]
async fn a_receipt_that_overtakes_our_own_record_waits_for_it() {
    let app = TestApp::start().await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "delay", "ms": 1500}},
        {"fault": {"kind": "receipts", "lose": true}}])));
    let id = app.acme().accept(&seed("k")).await;
    app.until_accepted(1).await;
    // The receipt names no attempt and no known message: only the answer will show which message it belongs to.
    let wamid = app.sim.messages()[0].wamid.clone();
    let body = notification(crate::support::PHONE, &[status(&wamid, "delivered")]);
    app.webhook(body.to_string().as_bytes()).await.ok(200);
    let message = app.acme().until(&id, "DELIVERED").await;
    assert_eq!(message["providerMessageId"], wamid);
}
