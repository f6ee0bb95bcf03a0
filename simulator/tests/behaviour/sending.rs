//! Sending messages without faults.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::Settings;

use crate::support::{ADA, BOB, PHONE, Rig, Webhook, answer, secret, text};

#[tokio::test]
async fn a_message_is_accepted_recorded_and_followed_by_three_signed_receipts() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    let body = text(ADA, "a:1");
    let sent = rig.send(&body).await;
    let wamid = sent.wamid();
    assert_eq!((sent.status, sent.media_type.as_str()), (200, "application/json; charset=UTF-8"));
    assert!(wamid.starts_with("wamid."), "{wamid}");
    let contacts = json!([{"input": ADA, "wa_id": "4915112345678"}]);
    assert_eq!(
        sent.json(),
        json!({"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": wamid}]})
    );

    let kept = rig.simulator.messages();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].seq, kept[0].to.as_str(), kept[0].phone_number_id.as_str()), (1, ADA, PHONE));
    assert_eq!((kept[0].opaque.as_deref(), &kept[0].wamid), (Some("a:1"), &wamid));
    assert_eq!(serde_json::from_str::<Value>(kept[0].body.get()).unwrap(), body);

    rig.until("receipts", |stats| stats.receipts_sent == 3).await;
    assert_eq!(webhook.words(&wamid), ["delivered", "read", "sent"]);
    for status in webhook.statuses() {
        assert_eq!(status["recipient_id"], "4915112345678");
        assert_eq!(status["biz_opaque_callback_data"], "a:1");
    }
    for (headers, body) in webhook.calls() {
        let signature = headers[whatsapp::signature::HEADER].to_str().unwrap();
        assert!(whatsapp::signature::verify(&secret(), &body, signature));
    }
    let stats = rig.simulator.stats();
    assert_eq!((stats.requests, stats.accepted, stats.receipts_waiting, stats.webhooks_failed), (1, 1, 0, 0));
}

#[tokio::test]
async fn the_version_is_optional_and_a_template_is_answered_with_its_status() {
    let rig = Rig::new(Settings::default()).await;
    let template = json!({"messaging_product": "whatsapp", "to": "+49 (151) 1234-5678", "type": "template",
                          "template": {"name": "hello", "language": {"code": "en"}}});
    let url = rig.url(&format!("/{PHONE}/messages"));
    let sent = answer(rig.client.post(url).bearer_auth("t").json(&template)).await.unwrap().json();
    assert_eq!(sent["messages"][0]["message_status"], "accepted");
    assert_eq!(sent["contacts"][0], json!({"input": "+49 (151) 1234-5678", "wa_id": "4915112345678"}));
}

#[tokio::test]
async fn the_accepted_messages_are_listed_in_order_and_in_pages() {
    let rig = Rig::new(Settings::default()).await;
    let first = rig.sent(ADA, "1").await;
    let second = rig.sent(BOB, "2").await;
    assert_ne!(first, second);
    let all = rig.get("/_sim/messages").await.json();
    let wamids: Vec<&str> = all.as_array().unwrap().iter().map(|m| m["wamid"].as_str().unwrap()).collect();
    assert_eq!(wamids, [&first, &second]);
    assert_eq!((&all[1]["to"], &all[1]["opaque"], &all[1]["phoneNumberId"]), (&json!(BOB), &json!("2"), &json!(PHONE)));
    assert_eq!(all[1]["body"], text(BOB, "2"));
    assert!(all[1]["at"].as_str().unwrap().parse::<domain::Timestamp>().is_ok());
    let part = rig.get("/_sim/messages?after=1&limit=5").await.json();
    assert_eq!(part, json!([all[1]]));
    assert_eq!(rig.get("/_sim/messages?page=1").await.status, 400);
}

#[tokio::test]
async fn an_answer_takes_as_long_as_the_latency() {
    let latency = Duration::from_millis(60);
    let rig = Rig::new(Settings { latency, ..Settings::default() }).await;
    let before = Instant::now();
    rig.sent(ADA, "1").await;
    assert!(before.elapsed() >= latency);
    let before = Instant::now();
    assert_eq!(rig.send(&json!({})).await.status, 400);
    assert!(before.elapsed() >= latency);
}

#[tokio::test]
async fn two_simulators_with_the_same_seed_give_different_ids() {
    let (one, two) = (Rig::new(Settings::default()).await, Rig::new(Settings::default()).await);
    assert_ne!(one.sent(ADA, "1").await, two.sent(ADA, "1").await);
}
