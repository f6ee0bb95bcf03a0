//! Receipts: their content, their faults, and their retries until the webhook accepts them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::Settings;

use crate::support::{ADA, BOB, Rig, Webhook, answer, nowhere, secret, text, until};

#[tokio::test]
async fn a_message_may_fail_by_receipt() {
    let webhook = Webhook::new().await;
    let rig =
        Rig::with_webhook(&webhook, json!([{"to": ADA, "fault": {"kind": "receiptError", "code": 131_026}}])).await;
    let (failing, good) = (rig.sent(ADA, "1").await, rig.sent(BOB, "2").await);
    rig.until("receipts", |stats| stats.receipts_sent == 4).await;
    assert_eq!(webhook.words(&failing), ["failed"]);
    assert_eq!(webhook.words(&good).len(), 3);
    let statuses = webhook.statuses();
    let failed = statuses.iter().find(|status| status["status"] == "failed").unwrap();
    assert_eq!(failed["errors"][0]["code"], 131_026);
    assert_eq!(failed["biz_opaque_callback_data"], "1");
}

#[tokio::test]
async fn receipts_may_be_doubled_lost_incomplete_or_without_the_opaque_text() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(
        &webhook,
        json!([
            {"count": 1, "fault": {"kind": "receipts", "double": true}},
            {"count": 1, "fault": {"kind": "receipts", "lose": true}},
            {"count": 1, "fault": {"kind": "receipts", "upTo": "delivered", "noOpaque": true}},
        ]),
    )
    .await;
    let doubled = rig.sent(ADA, "1").await;
    let lost = rig.sent(ADA, "2").await;
    let short = rig.sent(ADA, "3").await;
    rig.until("receipts", |stats| stats.receipts_sent == 8 && stats.receipts_waiting == 0).await;
    assert_eq!(webhook.words(&doubled), ["delivered", "delivered", "read", "read", "sent", "sent"]);
    assert!(webhook.words(&lost).is_empty());
    assert_eq!(webhook.words(&short), ["delivered", "sent"]);
    let statuses = webhook.statuses();
    assert!(
        statuses.iter().filter(|status| status["id"] == *short).all(|s| s.get("biz_opaque_callback_data").is_none())
    );
}

#[tokio::test]
async fn receipt_rules_are_not_used_up_by_messages_that_are_refused() {
    let webhook = Webhook::new().await;
    let rules = json!([
        {"count": 1, "fault": {"kind": "receipts", "lose": true}},
        {"count": 1, "fault": {"kind": "error", "code": 131_000}},
    ]);
    let rig = Rig::with_webhook(&webhook, rules).await;
    assert_eq!(rig.statuses(ADA, 3).await, [500, 200, 200]);
    rig.until("receipts", |stats| stats.receipts_sent == 3 && stats.receipts_waiting == 0).await;
    let kept = rig.simulator.messages();
    assert_eq!((webhook.words(&kept[0].wamid).len(), webhook.words(&kept[1].wamid).len()), (0, 3));
}

#[tokio::test]
async fn receipts_may_be_late() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([{"to": ADA, "fault": {"kind": "receipts", "lateMs": 300}}])).await;
    let before = Instant::now();
    let (late, usual) = (rig.sent(ADA, "1").await, rig.sent(BOB, "2").await);
    until("the usual receipts", || webhook.words(&usual).len() == 3).await;
    until("the late receipts", || webhook.words(&late).len() == 3).await;
    assert!(before.elapsed() >= Duration::from_millis(300));
    assert_eq!(webhook.statuses()[0]["id"], usual);
}

#[tokio::test]
async fn receipts_may_come_in_a_wrong_order() {
    let webhook = Webhook::new().await;
    let settings = Settings {
        webhook: Some(webhook.url.clone()),
        app_secret: secret(),
        // All are due at once and go in one call, so that only the simulator decides their order.
        receipt_delay: Duration::ZERO,
        faults: crate::support::faults(&json!([{"fault": {"kind": "receipts", "shuffle": true}}])),
        ..Settings::default()
    };
    let rig = Rig::new(settings).await;
    let wamid = rig.sent(ADA, "1").await;
    until("three receipts", || webhook.words(&wamid).len() == 3).await;
    assert_ne!(webhook.words_in_order(&wamid), ["sent", "delivered", "read"]);
}

#[tokio::test]
async fn a_webhook_call_not_answered_with_200_is_retried_unchanged() {
    let webhook = Webhook::new().await;
    webhook.will_answer([503, 201]);
    let rig = Rig::with_webhook(&webhook, json!([{"fault": {"kind": "receipts", "upTo": "sent"}}])).await;
    let wamid = rig.sent(ADA, "1").await;
    rig.until("the receipt", |stats| stats.receipts_sent == 1).await;
    assert_eq!(webhook.words(&wamid), ["sent", "sent", "sent"]);
    let calls = webhook.calls();
    assert!(calls.iter().all(|(headers, body)| {
        (&headers[whatsapp::signature::HEADER], body) == (&calls[0].0[whatsapp::signature::HEADER], &calls[0].1)
    }));
    let stats = rig.simulator.stats();
    assert_eq!((stats.webhooks_failed, stats.webhooks_delivered, stats.receipts_waiting), (2, 1, 0));
}

#[tokio::test]
async fn retries_go_to_the_new_address_of_a_webhook() {
    let webhook = Webhook::new().await;
    let gone = Some(nowhere().await);
    let rig = Rig::new(Settings { webhook: gone, app_secret: secret(), ..Settings::default() }).await;
    let wamid = rig.sent(ADA, "1").await;
    rig.until("a failed call", |stats| stats.webhooks_failed > 0).await;
    rig.simulator.set_webhook(Some(webhook.url.clone()));
    until("three receipts", || webhook.words(&wamid).len() == 3).await;
}

#[tokio::test]
async fn receipts_are_held_back_and_released() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([{"to": BOB, "fault": {"kind": "receipts", "lateMs": 50}}])).await;
    rig.simulator.set_receipts(false);
    let held = rig.sent(ADA, "1").await;
    // The receipts of this message are due later, so those of the first would have been sent by then.
    rig.sent(BOB, "2").await;
    let due = Instant::now() + Duration::from_millis(100);
    until("all to be due", || Instant::now() > due).await;
    assert_eq!((webhook.calls().len(), rig.simulator.stats().receipts_waiting), (0, 6));
    rig.simulator.set_receipts(true);
    until("three receipts", || webhook.words(&held).len() == 3).await;
}

#[tokio::test]
async fn receipts_due_together_go_in_calls_of_at_most_a_thousand() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    rig.simulator.set_receipts(false);
    for i in 0..400 {
        rig.sent(ADA, &format!("{i}")).await;
    }
    let due = Instant::now() + Duration::from_millis(40);
    until("all to be due", || Instant::now() > due).await;
    rig.simulator.set_receipts(true);
    rig.until("all receipts", |stats| stats.receipts_sent == 1200).await;
    assert_eq!(webhook.calls().len(), 2);
}

#[tokio::test]
async fn receipts_name_the_recipient_and_the_pricing_category() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    let templates = json!({"templates": [{"name": "code", "language": "en", "category": "AUTHENTICATION"}]});
    answer(rig.client.put(rig.url("/_sim/templates")).json(&templates)).await.unwrap();
    let template = |name: &str| {
        json!({"messaging_product": "whatsapp", "to": ADA, "type": "template",
               "template": {"name": name, "language": {"code": "en"}}})
    };
    let mut group = text("120363-group", "1");
    group["recipient_type"] = json!("group");
    let user = json!({"messaging_product": "whatsapp", "recipient": "DE.1", "text": {"body": "Hello"}});
    let voice =
        json!({"messaging_product": "whatsapp", "to": ADA, "type": "audio", "audio": {"id": "1", "voice": true}});
    let mut sent = Vec::new();
    for body in [&text(ADA, "1"), &template("code"), &template("unknown"), &group, &user, &voice] {
        sent.push(rig.send(body).await.wamid());
    }
    rig.until("receipts", |stats| stats.receipts_sent == 19).await;
    let statuses = webhook.statuses();
    let told =
        |wamid: &str| statuses.iter().find(|status| status["id"] == wamid && status["status"] == "sent").unwrap();
    let categories: Vec<_> = sent.iter().map(|wamid| told(wamid)["pricing"]["category"].as_str().unwrap()).collect();
    assert_eq!(categories, ["service", "authentication", "utility", "group_service", "service", "service"]);
    assert_eq!((&told(&sent[3])["recipient_type"], &told(&sent[0])["recipient_type"]), (&json!("group"), &Value::Null));
    assert_eq!(told(&sent[4])["recipient_user_id"], "DE.1");
    assert_eq!(webhook.words(&sent[5]), ["delivered", "played", "read", "sent"]);
    for value in webhook.values() {
        for status in value["statuses"].as_array().unwrap() {
            let named = |contact: &Value| match status["recipient_user_id"].as_str() {
                Some(id) => contact["user_id"] == id,
                None if status["recipient_type"] == "group" => contact["wa_id"] == status["recipient_participant_id"],
                None => contact["wa_id"] == status["recipient_id"],
            };
            assert!(value["contacts"].as_array().unwrap().iter().any(named), "{value}");
        }
    }
}

#[tokio::test]
async fn a_batch_of_one_puts_one_status_in_each_call() {
    let webhook = Webhook::new().await;
    let settings =
        Settings { webhook: Some(webhook.url.clone()), receipt_delay: Duration::ZERO, batch: 1, ..Settings::default() };
    let rig = Rig::new(settings).await;
    rig.sent(ADA, "1").await;
    rig.until("receipts", |stats| stats.receipts_sent == 3).await;
    assert_eq!(webhook.calls().len(), 3);
}

#[tokio::test]
async fn with_a_batch_of_one_the_statuses_of_a_message_come_in_order() {
    let webhook = Webhook::new().await;
    // The webhook refuses one status, and the later ones of the same message wait for it.
    webhook.will_answer([503]);
    let settings =
        Settings { webhook: Some(webhook.url.clone()), receipt_delay: Duration::ZERO, batch: 1, ..Settings::default() };
    let rig = Rig::new(settings).await;
    let mut sent = Vec::new();
    for i in 0..20 {
        sent.push(rig.sent(ADA, &format!("{i}")).await);
    }
    rig.until("receipts", |stats| stats.receipts_sent == 60 && stats.receipts_waiting == 0).await;
    for wamid in &sent {
        let mut words = webhook.words_in_order(wamid);
        words.dedup();
        assert_eq!(words, ["sent", "delivered", "read"]);
    }
    assert_eq!(webhook.calls().len(), 61, "60 statuses, one of them twice");
}

#[tokio::test]
async fn without_a_webhook_receipts_are_given_up() {
    let rig = Rig::new(Settings::default()).await;
    rig.send(&text(ADA, "1")).await;
    rig.until("three given up", |stats| stats.receipts_given_up == 3 && stats.receipts_waiting == 0).await;
}
