//! Many faults at once: every recipient gets every message, and none twice.

use std::collections::HashMap;

use serde_json::json;

use crate::support::{Setup, TestApp, faults, text};

/// Connections dropped after the message was accepted, server errors, and answers that are too late. Receipts are
/// shuffled, doubled and late, but come before `stale_after`.
fn trouble() -> serde_json::Value {
    json!([
        {"share": 0.05, "fault": {"kind": "dropAfter"}},
        {"share": 0.05, "fault": {"kind": "noEnvelope", "accept": true}},
        {"share": 0.05, "fault": {"kind": "delay", "ms": 1500}},
        {"share": 0.5, "fault": {"kind": "receipts", "double": true, "shuffle": true, "lateMs": 5000}},
    ])
}

fn setup() -> Setup {
    Setup::new()
        .set("whatsapp.request_timeout", "1s")
        .set("outbound.stale_after", "20s")
        .set("outbound.retry_delays", ["0s"].into_iter().chain(["200ms"; 20]).collect::<Vec<_>>())
}

async fn start() -> TestApp {
    let app = setup().start().await;
    app.sim.set_faults(faults(&trouble()));
    app
}

async fn post(app: &TestApp, range: std::ops::Range<usize>) {
    let posts = range.map(|n| async move { app.acme().accept(&text(n)).await });
    let mut posts: Vec<_> = posts.map(Box::pin).collect();
    while !posts.is_empty() {
        let rest = posts.split_off(posts.len().min(64));
        futures_util::future::join_all(posts).await;
        posts = rest;
    }
}

fn most_to_one(app: &TestApp) -> usize {
    let mut served: HashMap<String, usize> = HashMap::new();
    for message in app.sim.messages() {
        *served.entry(message.to).or_default() += 1;
    }
    served.values().copied().max().unwrap_or(0)
}

#[tokio::test]
async fn two_thousand_messages_through_a_bad_network_are_sent_once_each() {
    let app = start().await;
    post(&app, 0..2000).await;
    app.acme().until_stats("READ", 2000).await;
    assert_eq!(most_to_one(&app), 1);
    assert_eq!(app.sim.messages().len(), 2000);
}

#[tokio::test]
async fn a_service_killed_every_second_on_a_bad_network_sends_each_message_once() {
    let mut app = start().await;
    for round in 0..10 {
        post(&app, round * 200..(round + 1) * 200).await;
        app.kill_and_start_again().await;
    }
    app.acme().until_stats("READ", 2000).await;
    assert_eq!(most_to_one(&app), 1);
    assert_eq!(app.sim.messages().len(), 2000);
}
