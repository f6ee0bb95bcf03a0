//! SIGKILL at bad moments: every acknowledged message is sent, and sent once.

use serde_json::json;

use crate::support::{Setup, TestApp, eventually, faults, phone, seed, text, with};

/// A kill between the record of an attempt and its call leaves an unknown outcome, which is resent after `stale_after`.
/// That is longer than a restart takes on any machine, so that a receipt still comes in time.
fn patient() -> Setup {
    Setup::new().set("whatsapp.request_timeout", "7s").set("outbound.stale_after", "8s")
}

#[tokio::test]
async fn a_kill_right_after_the_201_loses_nothing_and_sends_once() {
    let mut app = patient().start().await;
    let id = app.acme().accept(&seed("k")).await;
    app.kill_and_start_again().await;
    app.acme().until(&id, "READ").await;
    app.one_more().await;
    assert_eq!(app.accepted_to("+1234567890"), 1);
}

#[tokio::test]
async fn a_kill_under_load_loses_no_acknowledged_message() {
    let mut app = patient().start().await;
    let posts = (0..60).map(|n| {
        let acme = app.acme().clone();
        tokio::spawn(async move {
            let answer = acme.request("POST", "outbound/messages").json(&text(n)).send().await;
            let answer = answer.ok().filter(|answer| answer.status() == 201)?;
            Some((n, answer.json::<serde_json::Value>().await.ok()?["id"].as_str()?.to_owned()))
        })
    });
    let posts: Vec<_> = posts.collect();
    eventually("some sent", async || Some(app.sim.messages().len()).filter(|sent| *sent > 5).ok_or("few")).await;
    app.kill();
    let mut acknowledged = Vec::new();
    for post in posts {
        acknowledged.extend(post.await.unwrap());
    }
    app.start_again().await;
    for (n, id) in &acknowledged {
        app.acme().until(id, "READ").await;
        assert_eq!(app.accepted_to(&phone(*n)), 1, "message {n}");
    }
    // A message whose acknowledgement was lost may be stored. In that case it was sent once, too.
    app.one_more().await;
    assert!((0..60).all(|n| app.accepted_to(&phone(n)) <= 1));
}

#[tokio::test]
async fn a_call_in_flight_at_the_kill_is_settled_by_its_receipt_and_not_sent_twice() {
    let mut app = TestApp::start().await;
    app.sim.set_receipts(false);
    app.sim.set_faults(faults(&json!([{"to": "+1234567890", "fault": {"kind": "delay", "ms": 60_000}}])));
    let id = app.acme().accept(&seed("k")).await;
    app.until_accepted(1).await;
    app.kill_and_start_again().await;
    assert_eq!(app.acme().message(&id).await["status"], "SENDING");
    assert_eq!(app.acme().attempts(&id).await[0]["status"], "SENDING");
    app.sim.set_receipts(true);
    let message = app.acme().until(&id, "READ").await;
    assert_eq!(
        (&message["attemptCount"], &message["providerMessageId"]),
        (&json!(1), &json!(app.sim.messages()[0].wamid))
    );
    app.one_more().await;
    assert_eq!(app.accepted_to("+1234567890"), 1);
}

#[tokio::test]
async fn a_message_between_two_attempts_keeps_its_retry_time_across_a_kill() {
    let mut app = Setup::new().set("outbound.retry_delays", vec!["0s", "1h"]).start().await;
    app.sim.set_faults(faults(&json!([{"count": 1, "fault": {"kind": "error", "code": 131016}}])));
    let id = app.acme().accept(&text(1)).await;
    let before = app.acme().until_error(&id, "QUEUED", "131016").await;
    // Reads may be ahead of the disk. Commits are in order, so once a later one is durable, this one is, too.
    app.acme().accept(&with(text(2), &json!({"sendAt": "2099-01-01T00:00:00Z"}))).await;
    app.kill_and_start_again().await;
    app.one_more().await;
    assert_eq!(app.acme().message(&id).await, before);
    assert_eq!(app.accepted_to(&phone(1)), 0);
}

#[tokio::test]
async fn the_store_opens_after_many_kills_in_a_row() {
    let mut app = patient().start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(app.acme().accept(&text(n)).await);
        app.kill_and_start_again().await;
    }
    for id in &ids {
        app.acme().until(id, "READ").await;
    }
    app.one_more().await;
    assert_eq!(app.sim.messages().len(), 6);
}
