//! Faults that the caller sees in the answer.

use std::time::{Duration, Instant};

use serde_json::json;
use simulator::{Fault, Faults, Rule, Settings};

use crate::support::{ADA, BOB, Rig, Webhook, text};

#[tokio::test]
async fn a_connection_dropped_before_acceptance_leaves_no_message() {
    let rig = Rig::with_faults(json!([{"count": 1, "fault": {"kind": "dropBefore"}}])).await;
    let error = rig.try_send(&text(ADA, "1")).await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout() && !error.is_connect(), "{error:?}");
    assert!(rig.simulator.messages().is_empty());
    assert_eq!(rig.simulator.stats().dropped, 1);
    rig.sent(ADA, "2").await;
}

#[tokio::test]
async fn a_connection_dropped_after_acceptance_leaves_a_message_whose_receipts_come() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([{"to": ADA, "fault": {"kind": "dropAfter"}}])).await;
    rig.sent(BOB, "0").await;
    // The connection was used before, so the client might retry on a new one.
    let error = rig.try_send(&text(ADA, "1")).await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    let kept = rig.simulator.messages();
    assert_eq!((kept.len(), kept[1].opaque.as_deref()), (2, Some("1")), "accepted once, not repeated by the client");
    rig.until("receipts", |stats| stats.receipts_sent == 6).await;
    assert_eq!(webhook.words(&kept[1].wamid), ["delivered", "read", "sent"]);
}

#[tokio::test]
async fn an_error_has_metas_status_or_the_one_of_the_rule() {
    let rig = Rig::with_faults(json!([
        {"to": ADA, "fault": {"kind": "error", "code": 131_056}},
        {"to": BOB, "fault": {"kind": "error", "code": 190, "subcode": 463, "httpStatus": 400, "accept": true}},
    ]))
    .await;
    let refused = rig.send(&text(ADA, "1")).await;
    assert_eq!((refused.status, refused.code()), (429, 131_056));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("pair rate limit"));
    assert!(rig.simulator.messages().is_empty());
    let refused = rig.send(&text(BOB, "2")).await;
    assert_eq!((refused.status, refused.json()["error"]["error_subcode"].as_i64()), (400, Some(463)));
    assert_eq!(rig.simulator.messages().len(), 1);
    assert_eq!(rig.simulator.stats().refused, [(190, 1), (131_056, 1)].into());
}

#[tokio::test]
async fn an_error_has_metas_title_and_details_in_answers_and_receipts() {
    let webhook = Webhook::new().await;
    let rules = json!([
        {"count": 1, "fault": {"kind": "error", "code": 131_047}},
        {"count": 1, "fault": {"kind": "error", "code": 190, "subcode": 463}},
        {"count": 1, "fault": {"kind": "error", "code": 100, "subcode": 33}},
        {"fault": {"kind": "receiptError", "code": 131_049}},
    ]);
    let rig = Rig::with_webhook(&webhook, rules).await;
    let error = async || rig.send(&text(ADA, "1")).await.json()["error"].clone();
    let late = error().await;
    assert_eq!(late["message"], "(#131047) Re-engagement message");
    assert!(late["error_data"]["details"].as_str().unwrap().contains("more than 24 hours"), "{late}");
    let expired = error().await;
    assert_eq!(expired["message"], "Error validating access token: Session has expired.");
    assert!(expired.get("error_data").is_none());
    assert!(error().await["message"].as_str().unwrap().starts_with("Unsupported post request."));
    rig.sent(ADA, "2").await;
    rig.until("the receipt", |stats| stats.receipts_sent == 1).await;
    let failed = &webhook.statuses()[0]["errors"][0];
    assert_eq!(failed["title"], "This message was not delivered to maintain healthy ecosystem engagement.");
    assert_eq!(failed["title"], failed["message"]);
    assert_ne!(failed["title"], failed["error_data"]["details"]);
}

#[tokio::test]
async fn a_rule_can_answer_with_a_page_or_a_bare_server_error() {
    let rig = Rig::with_faults(json!([
        {"count": 1, "fault": {"kind": "notJson", "accept": true}},
        {"count": 1, "fault": {"kind": "noEnvelope", "status": 502}},
    ]))
    .await;
    let page = rig.send(&text(ADA, "1")).await;
    assert_eq!((page.status, page.media_type.as_str()), (200, "text/html; charset=utf-8"));
    assert!(serde_json::from_str::<serde_json::Value>(&page.text).is_err());
    assert_eq!(rig.simulator.messages().len(), 1);
    let bare = rig.send(&text(ADA, "2")).await;
    assert_eq!((bare.status, bare.text.contains("error\":")), (502, false));
    assert_eq!(rig.simulator.messages().len(), 1);
    assert_eq!(rig.simulator.stats().garbled, 2);
}

#[tokio::test]
async fn a_delayed_answer_comes_after_the_receipts() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([{"fault": {"kind": "delay", "ms": 400}}])).await;
    let before = Instant::now();
    let wamid = rig.sent(ADA, "1").await;
    assert!(before.elapsed() >= Duration::from_millis(400));
    assert!(webhook.words(&wamid).contains(&"sent".to_owned()));
}

#[tokio::test]
async fn a_throttle_refuses_what_exceeds_its_rate() {
    let rig = Rig::with_faults(json!([{"fault": {"kind": "throttle", "perSecond": 3}}])).await;
    let before = Instant::now();
    let statuses = rig.statuses(ADA, 40).await;
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(statuses[..3], [200, 200, 200]);
    assert!(statuses.contains(&429), "{statuses:?}");
    let most = 3.0 + 3.0 * before.elapsed().as_secs_f64();
    assert!(f64::from(u32::try_from(passed).unwrap()) <= most, "{passed} > {most}");
    assert!(rig.simulator.stats().refused.contains_key(&130_429));
}

#[tokio::test]
async fn a_rule_for_a_recipient_or_a_sender_does_not_affect_others() {
    let rig = Rig::with_faults(json!([
        {"to": "+49 151 12345678", "phoneNumberId": "1066", "fault": {"kind": "error", "code": 131_000}},
        {"phoneNumberId": "2077", "fault": {"kind": "error", "code": 2}},
    ]))
    .await;
    assert_eq!(rig.send(&text(ADA, "1")).await.status, 500);
    assert_eq!(rig.send(&text(BOB, "1")).await.status, 200);
}

#[tokio::test]
async fn a_rule_with_a_count_ends_and_the_next_of_its_family_takes_over() {
    let rig = Rig::with_faults(json!([
        {"count": 2, "fault": {"kind": "error", "code": 131_000}},
        {"count": 1, "fault": {"kind": "noEnvelope", "status": 503}},
    ]))
    .await;
    assert_eq!(rig.statuses(ADA, 5).await, [500, 500, 503, 200, 200]);
}

#[tokio::test]
async fn a_rule_with_a_share_applies_to_about_that_share_of_requests() {
    let rig = Rig::with_faults(json!([{"share": 0.25, "fault": {"kind": "error", "code": 131_000}}])).await;
    let failed = rig.statuses(ADA, 400).await.into_iter().filter(|status| *status == 500).count();
    assert!((60..=140).contains(&failed), "{failed}");
}

#[tokio::test]
async fn the_same_seed_decides_the_same_and_another_does_not() {
    let faults = Faults {
        rules: vec![Rule::new(Fault::Error { code: 1, subcode: None, http_status: None, accept: false }).share(0.5)],
    };
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let rig = Rig::new(Settings { seed, faults: faults.clone(), ..Settings::default() }).await;
        runs.push(rig.statuses(ADA, 64).await);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}
