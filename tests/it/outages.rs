//! WhatsApp is down or refuses: what is retried, what is not, and what the attempts record.

use serde_json::{Value, json};
use simulator::{Settings, Simulator};
use tokio::net::TcpSocket;

use crate::support::{APP_SECRET, Setup, TestApp, eventually, faults, phone, seed, text};

#[tokio::test]
async fn a_message_is_sent_by_the_fourth_attempt_after_an_outage_of_three() {
    let app = TestApp::start().await;
    let outage = json!([{"count": 3, "fault": {"kind": "error", "code": 131016, "httpStatus": 503}}]);
    app.sim.set_faults(faults(&outage));
    let id = app.acme().accept(&seed("k")).await;
    let message = app.acme().until(&id, "READ").await;
    assert_eq!((&message["attemptCount"], &message["errorCode"]), (&json!(4), &Value::Null));

    let attempts = app.acme().attempts(&id).await;
    assert_eq!(attempts.len(), 4);
    for (i, attempt) in attempts.iter().enumerate() {
        assert_eq!(attempt["attemptNo"], i + 1);
        assert!(attempt["finishedAt"].is_string());
        if i < 3 {
            assert_eq!((&attempt["status"], &attempt["errorCode"]), (&json!("FAILED"), &json!("131016")));
            assert!(attempt["errorMessage"].as_str().is_some_and(|text| !text.is_empty()));
            assert_eq!(attempt["providerResponse"]["error"]["code"], 131016);
            let due = attempt["nextRetryAt"].as_str().unwrap();
            assert!(attempts[i + 1]["startedAt"].as_str().unwrap() >= due, "{attempts:?}");
        } else {
            assert_eq!((&attempt["status"], &attempt["errorCode"]), (&json!("ACCEPTED"), &Value::Null));
        }
    }
    let story = app.acme().story(&id).await;
    assert_eq!(story.iter().filter(|step| *step == "MESSAGE_RETRY_SCHEDULED QUEUED").count(), 3, "{story:?}");
    assert_eq!(app.sim.messages().len(), 1);
}

#[tokio::test]
async fn refused_connections_cost_no_attempt_and_are_retried_until_whatsapp_listens() {
    // The port is bound but does not listen: connections are refused, and no other process can take it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let base = format!("http://{}", socket.local_addr().unwrap());
    let app = Setup::new()
        .set("whatsapp.base_url", base.as_str())
        .set("outbound.retry_delays", vec!["0s", "1s", "1s"])
        .start()
        .await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(app.acme().accept(&text(n)).await);
    }
    let orgs = eventually("an outage", async || {
        let orgs = app.admin().get("admin/orgs").await.ok(200);
        if orgs["whatsapp"]["outage"].is_object() { Ok(orgs) } else { Err(orgs) }
    })
    .await;
    assert_eq!((&orgs["whatsapp"]["address"], &orgs["whatsapp"]["outage"]["extent"]), (&json!(base), &json!("ALL")));
    assert_eq!(orgs["items"][0]["senders"][0]["state"], "ACTIVE");
    for id in &ids {
        // One at a time tries whether WhatsApp is back, and is SENDING meanwhile.
        let message = app.acme().until(id, "QUEUED").await;
        assert_eq!(message["attemptCount"], 0, "{message}");
    }
    let explanation = app.acme().get(&format!("outbound/messages/{}/explain", ids[9])).await.ok(200);
    assert!(explanation["summary"].as_str().unwrap().contains("is not reached"), "{explanation}");
    assert!(explanation["remedy"].as_str().unwrap().contains("firewall"), "{explanation}");
    let tree = app.admin().get("admin/actors?format=text").await.text;
    assert!(tree.contains("UNREACHABLE"), "{tree}");

    let webhook = Some(format!("{}/api/v1/webhooks/whatsapp/inbound", app.base()));
    let settings = Settings { app_secret: APP_SECRET.parse().unwrap(), webhook, ..Settings::default() };
    let whatsapp = Simulator::start(socket.listen(64).unwrap(), settings).await.unwrap();
    app.acme().until_stats("READ", 20).await;
    assert_eq!(whatsapp.messages().len(), 20);
    let message = app.acme().message(&ids[0]).await;
    assert_eq!((&message["attemptCount"], &message["errorCode"]), (&json!(1), &Value::Null));
    let orgs = app.admin().get("admin/orgs").await.ok(200);
    assert_eq!(orgs["whatsapp"]["outage"], Value::Null);
}

#[tokio::test]
async fn a_permanent_error_fails_at_once_with_metas_code() {
    let app = TestApp::start().await;
    app.sim.set_faults(faults(&json!([{"to": phone(1), "fault": {"kind": "error", "code": 131026}}])));
    let id = app.acme().accept(&text(1)).await;
    let message = app.acme().until(&id, "FAILED").await;
    assert_eq!((&message["errorCode"], &message["attemptCount"]), (&json!("131026"), &json!(1)));
    assert!(message["errorMessage"].as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!((&message["nextRetryAt"], &message["providerMessageId"]), (&Value::Null, &Value::Null));
    assert_eq!(app.acme().story(&id).await, ["MESSAGE_CREATED QUEUED", "MESSAGE_FAILED FAILED"]);
    let failed = app.acme().get("audit?action=FAILED").await.ok(200);
    assert_eq!(failed["items"].as_array().unwrap().len(), 1);
    app.one_more().await;
    assert_eq!(app.sim.stats().refused.get(&131_026), Some(&1), "one bad recipient does not stop the others");
}

#[tokio::test]
async fn a_message_fails_after_its_last_attempt_and_a_person_can_retry_it() {
    let app = TestApp::start().await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "error", "code": 131016}}])));
    let id = app.acme().accept(&seed("k")).await;
    let message = app.acme().until(&id, "FAILED").await;
    assert_eq!((&message["errorCode"], &message["attemptCount"]), (&json!("131016"), &json!(4)));
    assert_eq!(message["maxAttempts"], 4);

    app.sim.set_faults(faults(&json!([])));
    let retried = app.acme().post(&format!("outbound/messages/{id}/retry"), &json!({})).await.ok(200);
    assert_eq!((&retried["id"], &retried["errorCode"]), (&json!(id), &Value::Null));
    assert_eq!(retried["maxAttempts"], 8, "a retry by a person adds a new budget of attempts");
    let message = app.acme().until(&id, "READ").await;
    assert_eq!(message["attemptCount"], 5);
    assert!(app.acme().story(&id).await.contains(&"MESSAGE_REQUEUED QUEUED".to_owned()));
    assert_eq!(app.sim.messages().len(), 1);
}

#[tokio::test]
async fn a_throttled_number_slows_down_and_delivers_everything_once() {
    let app = Setup::new().set("outbound.retry_delays", vec!["0s"; 100]).start().await;
    app.sim.set_faults(faults(&json!([{"count": 5, "fault": {"kind": "error", "code": 130429}}])));
    for n in 0..10 {
        app.acme().accept(&text(n)).await;
    }
    app.acme().until_stats("READ", 10).await;
    assert_eq!(app.sim.messages().len(), 10);
}

#[tokio::test]
async fn one_organisations_outage_does_not_hold_up_another() {
    let app = TestApp::start().await;
    let beta = app.org("beta", "2066").await;
    app.sim.set_faults(faults(&json!([{"phoneNumberId": "2066", "fault": {"kind": "delay", "ms": 60_000}}])));
    beta.accept(&text(1)).await;
    app.until_accepted(1).await;
    app.one_more().await;
}
