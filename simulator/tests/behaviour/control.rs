//! The `/_sim` API and the handle, and how the simulator starts and ends.

use serde_json::json;
use simulator::{Settings, Simulator, StartError};
use tokio::net::TcpStream;

use crate::support::{ADA, Answer, Rig, Webhook, answer, listener, soon, text};

async fn put_faults(rig: &Rig, body: &str) -> Answer {
    answer(rig.client.put(rig.url("/_sim/faults")).body(body.to_owned())).await.unwrap()
}

#[tokio::test]
async fn faults_can_be_changed_while_it_runs_and_invalid_ones_are_refused_with_the_reason() {
    let rig = Rig::new(Settings::default()).await;
    let rules = r#"{"rules":[{"count":1,"fault":{"kind":"error","code":131000}}]}"#;
    assert_eq!(put_faults(&rig, rules).await.status, 200);
    let refused = put_faults(&rig, r#"{"rules":[{"fault":{"kind":"error"}}]}"#).await;
    assert_eq!(refused.status, 400);
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("rules[0]: missing field `code`"));
    assert_eq!(rig.get("/_sim/faults").await.json()["rules"][0]["count"], 1, "the valid rules still apply");
    assert_eq!(rig.statuses(ADA, 2).await, [500, 200]);
    rig.simulator.set_faults(serde_json::from_str(rules).unwrap());
    assert_eq!(rig.statuses(ADA, 2).await, [500, 200]);
}

#[tokio::test]
async fn counts_can_be_read_over_http() {
    let rig = Rig::with_faults(json!([{"count": 1, "fault": {"kind": "error", "code": 131_000}}])).await;
    rig.statuses(ADA, 2).await;
    let stats = rig.get("/_sim/stats").await.json();
    assert_eq!(
        (&stats["requests"], &stats["accepted"], &stats["refused"]),
        (&json!(2), &json!(1), &json!({"131000": 1}))
    );
    for name in ["dropped", "garbled", "webhooksDelivered", "webhooksFailed", "receiptsSent", "receiptsGivenUp"] {
        assert!(stats[name].is_u64(), "{name}");
    }
}

#[tokio::test]
async fn a_reset_deletes_messages_counts_and_receipts_and_restarts_the_rules() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([{"count": 1, "fault": {"kind": "error", "code": 131_000}}])).await;
    rig.simulator.set_receipts(false);
    assert_eq!(rig.statuses(ADA, 2).await, [500, 200]);
    let old = rig.simulator.messages()[0].wamid.clone();
    assert_eq!(answer(rig.client.post(rig.url("/_sim/reset"))).await.unwrap().status, 204);
    assert_eq!((rig.simulator.messages().len(), rig.simulator.stats()), (0, simulator::Stats::default()));
    assert_eq!(rig.statuses(ADA, 2).await, [500, 200]);
    let new = rig.simulator.messages()[0].clone();
    assert!(new.seq == 1 && new.wamid != old, "numbers start again, ids do not");
    rig.simulator.set_receipts(true);
    rig.until("receipts", |stats| stats.receipts_sent == 3).await;
    assert!(webhook.words(&old).is_empty());
}

#[tokio::test]
async fn a_reset_stops_retries_of_receipts() {
    let webhook = Webhook::new().await;
    webhook.will_answer([500; 8]);
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    let old = rig.sent(ADA, "1").await;
    rig.until("failed calls", |stats| stats.webhooks_failed >= 3).await;
    rig.simulator.reset();
    let before = webhook.words(&old).len();
    let new = rig.sent(ADA, "2").await;
    rig.until("receipts", |stats| stats.receipts_sent == 3).await;
    assert_eq!(webhook.words(&old).len(), before);
    assert!(webhook.words(&new).contains(&"read".to_owned()));
}

#[tokio::test]
async fn a_wrong_method_is_answered_with_the_right_one() {
    let rig = Rig::new(Settings::default()).await;
    let refused = rig.get("/_sim/reset").await;
    assert_eq!((refused.status, refused.text.contains("use POST")), (405, true));
}

#[tokio::test]
async fn dropping_the_handle_closes_the_port_and_the_connections() {
    let rig = Rig::new(Settings::default()).await;
    rig.sent(ADA, "1").await;
    let (addr, client, url) = (rig.simulator.addr(), rig.client.clone(), rig.url("/1066/messages"));
    drop(rig.simulator);
    soon(async { while TcpStream::connect(addr).await.is_ok() {} }).await;
    assert!(answer(client.post(url).json(&text(ADA, "2"))).await.is_err());
}

#[tokio::test]
async fn the_simulator_does_not_start_with_an_invalid_webhook_url() {
    for webhook in ["", "here", "ftp://example.com/", "/hook"] {
        let settings = Settings { webhook: Some(webhook.to_owned()), ..Settings::default() };
        let started = Simulator::start(listener().await, settings).await;
        assert!(matches!(started, Err(StartError::Webhook)), "{webhook}");
    }
}

#[tokio::test]
async fn the_account_has_no_problems_until_a_test_sets_some() {
    let rig = Rig::new(Settings::default()).await;
    let look = async |path: &str, token: &str| answer(rig.client.get(rig.url(path)).bearer_auth(token)).await.unwrap();
    let (number, apps) = ("/v25.0/1066?fields=status%2Cquality_rating", "/v25.0/77/subscribed_apps");
    let wanted = json!({"id": "1066", "status": "CONNECTED", "quality_rating": "GREEN"});
    assert_eq!(look(number, "good").await.json(), wanted);
    assert_eq!(look(apps, "good").await.json()["data"].as_array().unwrap().len(), 1);
    assert_eq!((rig.get(apps).await.code(), look("/v25.0/someone", "good").await.code()), (104, 100));
    let put = async |body: &str| answer(rig.client.put(rig.url("/_sim/account")).body(body.to_owned())).await.unwrap();
    let account = r#"{"refusedTokens":["bad"],"disconnected":["1066"],"unsubscribed":["77"]}"#;
    assert_eq!(put(account).await.status, 200);
    assert_eq!(put(r#"{"refused":[]}"#).await.status, 400);
    assert_eq!((look(number, "bad").await.code(), look(number, "bad").await.status), (190, 401));
    assert_eq!(look(number, "good").await.json()["status"], "DISCONNECTED");
    assert_eq!(look(apps, "good").await.json(), json!({"data": []}));
}

#[tokio::test]
async fn every_json_answer_ends_with_a_newline() {
    let rig = Rig::new(Settings::default()).await;
    let sent = rig.send(&text(ADA, "1")).await;
    let refused = rig.send(&json!({})).await;
    for answered in [sent, refused, rig.get("/_sim/stats").await, rig.get("/_sim/reset").await] {
        assert!(answered.text.ends_with("}\n"), "{answered:?}");
    }
}
