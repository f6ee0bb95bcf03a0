//! Many messages of many organisations at once.

use std::collections::HashMap;

use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::support::{Setup, eventually, phone, text, with};

const MESSAGES: usize = 500;
const ORGS: usize = 10;
const AT_ONCE: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_messages_of_ten_organisations_are_read_and_sent_once_each() {
    let app = Setup::new().start_empty().await;
    let mut orgs = Vec::new();
    for n in 0..ORGS {
        orgs.push(app.org(&format!("org-{n}"), &format!("5066{n}")).await);
    }
    let posts = (0..MESSAGES).map(|n| {
        let org = orgs[n % ORGS].clone();
        async move { org.accept(&with(text(n), &json!({"dossierId": "load", "idempotencyKey": n.to_string()}))).await }
    });
    let ids: Vec<_> = stream::iter(posts).buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(ids.len(), MESSAGES);
    for org in &orgs {
        org.until_stats("READ", MESSAGES / ORGS).await;
    }
    let mut accepted: HashMap<(String, String), usize> = HashMap::new();
    for message in app.sim.messages() {
        *accepted.entry((message.phone_number_id.clone(), message.to.clone())).or_default() += 1;
    }
    assert_eq!(accepted.len(), MESSAGES);
    for n in 0..MESSAGES {
        assert_eq!(accepted.get(&(format!("5066{}", n % ORGS), phone(n))), Some(&1), "message {n}");
    }
    // Once all is done, no actor is active.
    eventually("an idle actor tree", async || {
        let tree = app.admin().get("admin/actors").await.ok(200)["root"].clone();
        let messages = |org: &serde_json::Value| {
            org["children"].as_array().unwrap().iter().filter(|child| child["kind"] == "message").count()
        };
        let residents: usize = tree["children"].as_array().unwrap().iter().map(messages).sum();
        if residents == 0 && tree["counters"]["sendsUnderWay"] == 0 { Ok(()) } else { Err(tree) }
    })
    .await;
}
