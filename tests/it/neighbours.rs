//! Noisy neighbours: if one tenant asks for too much, only that tenant waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use futures_util::{StreamExt, stream};
use serde_json::{Map, json};

use crate::support::{PHONE, Setup, TestApp, eventually, notification, phone, status, text, with};

/// The number of connections of the greedy tenant.
const GREEDY: usize = 150;
const MESSAGES: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_reads_on_many_connections_does_not_block_the_others() {
    let app = Setup::new().set("outbound.enabled", false).set("outbound.max_wait", "3s").start().await;
    let other = app.org("other", "5066").await;
    let bodies: Vec<_> = (0..MESSAGES).map(|_| with(text(1), &json!({"dossierId": 1}))).collect();
    stream::iter(&bodies).for_each_concurrent(64, async |body| drop(app.acme().accept(body).await)).await;
    let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    // One query that is slow to answer and one that is fast.
    let slow = format!("outbound/messages/paginated?dossierId=1&to={}&size=1", phone(1));
    let greedy: Vec<_> = (0..GREEDY)
        .map(|n| {
            let (api, is_over, answered) = (app.acme().clone(), Arc::clone(&is_over), Arc::clone(&answered));
            let path = if n % 3 == 0 { "outbound/messages/paginated?status=FAILED".to_owned() } else { slow.clone() };
            tokio::spawn(async move {
                while !is_over.load(Relaxed) {
                    let status = api.get(&path).await.status;
                    assert!(matches!(status, 200 | 503), "{status}");
                    answered.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    eventually("a crowd", async || {
        let seen = answered.load(Relaxed);
        if seen >= GREEDY / 2 { Ok(()) } else { Err(seen) }
    })
    .await;
    for n in 0..15 {
        other.accept(&text(n)).await;
        other.get("outbound/messages?status=QUEUED").await.ok(200);
        let receipt = notification(PHONE, &[status(&format!("wamid.{n}"), "sent")]);
        assert_eq!(app.webhook(receipt.to_string().as_bytes()).await.status, 200);
    }
    assert_eq!(app.api(None).get("/healthz").await.status, 200);
    is_over.store(true, Relaxed);
    for one in greedy {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn a_problem_names_a_hundred_errors_and_counts_the_others() {
    let app = TestApp::start().await;
    let mut body: Map<_, _> = (0..80_000).map(|n| (format!("x{n}"), json!(1))).collect();
    body.insert("to".into(), phone(1).into());
    let answer = app.acme().send_message(&body.into()).await;
    let problem = answer.problem(422, "INVALID");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 100);
    // The one more error is the missing payload.
    assert_eq!(problem["moreErrors"], 80_000 + 1 - 100);
    assert!(answer.text.len() < 100_000, "{}", answer.text.len());
    let few = app.acme().send_message(&json!({"a": 1})).await.problem(422, "INVALID");
    assert!(few["moreErrors"].is_null(), "{few}");
}

#[tokio::test]
async fn receipts_of_unknown_messages_are_parked_without_their_large_fields() {
    let app = TestApp::start().await;
    let status = |id: String, pricing: String| {
        json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
            "messaging_product": "whatsapp", "metadata": {"phone_number_id": PHONE}, "statuses": [
                {"id": id, "status": "delivered", "timestamp": "1767225600", "pricing": {"category": pricing}}]}}]}]})
    };
    for (id, pricing) in [("x".repeat(1 << 20), "x".into()), ("wamid.A".into(), "x".repeat(1 << 20))] {
        let body = status(id, pricing).to_string();
        assert_eq!(app.webhook(body.as_bytes()).await.status, 200);
    }
    let tree = app.admin().get("admin/actors").await.ok(200);
    assert!(tree.to_string().contains("\"parkedReceipts\":1"), "a receipt with an impossible id is not parked: {tree}");
}

#[tokio::test]
async fn a_page_of_large_messages_is_shorter_and_continues_at_its_cursor() {
    let app = Setup::new().set("outbound.enabled", false).start().await;
    let large = "x".repeat(900_000);
    for n in 0..12 {
        let contact = json!({"name": {"formatted_name": large}});
        app.acme().accept(&json!({"to": phone(n), "payloadJson": {"type": "contacts", "contacts": [contact]}})).await;
    }
    let (mut found, mut path) = (0, "outbound/messages".to_owned());
    loop {
        let answer = app.acme().get(&path).await;
        assert!(answer.text.len() < 6 << 20, "{}", answer.text.len());
        let page = answer.ok(200);
        found += page["items"].as_array().unwrap().len();
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("outbound/messages?cursor={cursor}");
    }
    assert_eq!(found, 12);
    let answer = app.acme().get("outbound/messages/paginated").await;
    answer.problem(422, "INVALID");
    assert_eq!(answer.fields(), ["size"]);
    app.acme().get("outbound/messages/paginated?size=3&page=3").await.ok(200);
}
