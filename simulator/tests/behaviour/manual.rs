//! The examples in docs/simulator.md work, and the page is complete.

use serde_json::{Value, json};

use crate::support::{ADA, PHONE, Rig, Webhook, answer};

const MANUAL: &str = include_str!("../../../docs/simulator.md");

/// The JSON values of the examples. A block holds several values, one after the other.
fn examples() -> Vec<Value> {
    let blocks = MANUAL.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(|block| serde_json::Deserializer::from_str(block).into_iter().map(Result::unwrap)).collect()
}

#[tokio::test]
async fn every_example_is_accepted() {
    let webhook = Webhook::new().await;
    let rig = Rig::with_webhook(&webhook, json!([])).await;
    rig.sent(ADA, "1").await;
    let (mut inbound, mut put) = (0, 0);
    for example in examples() {
        let of = |name: &str| example.get(name).is_some();
        let target = match () {
            () if of("rules") => "faults",
            () if of("templates") => "templates",
            () if of("refusedTokens") => "account",
            () => "inbound",
        };
        let url = rig.url(&format!("/_sim/{target}"));
        let request = if target == "inbound" { rig.client.post(url) } else { rig.client.put(url) };
        let status = answer(request.json(&example)).await.unwrap().status;
        assert_eq!(status, if target == "inbound" { 202 } else { 200 }, "{example}");
        *(if target == "inbound" { &mut inbound } else { &mut put }) += 1;
    }
    rig.until("all inbound", |stats| stats.inbound_sent == inbound).await;
    assert!(inbound > 12 && put > 10, "{inbound} {put}");
    assert!(webhook.calls().iter().all(|(_, body)| String::from_utf8_lossy(body).contains(PHONE)));
}

#[tokio::test]
async fn every_count_call_and_fault_is_documented() {
    let rig = Rig::with_faults(json!([])).await;
    let stats = rig.get("/_sim/stats").await.json();
    let counts = stats.as_object().unwrap().keys().map(String::as_str);
    let members =
        ["accept", "httpStatus", "subcode", "perSecond", "lateMs", "double", "shuffle", "lose", "noOpaque", "upTo"];
    let kinds =
        ["error", "receiptError", "throttle", "delay", "dropBefore", "dropAfter", "notJson", "noEnvelope", "receipts"];
    for name in counts.chain(members).chain(kinds).chain(["share", "count", "phoneNumberId"]) {
        assert!(MANUAL.contains(&format!("`{name}`")), "{name}");
    }
    for call in ["messages", "stats", "reset", "faults", "account", "templates", "inbound"] {
        assert!(MANUAL.contains(&format!("/_sim/{call}`")), "{call}");
    }
}
