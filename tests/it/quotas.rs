//! Quotas through the API and the configuration: messages beyond a quota wait, are explained, and are sent when there
//! is room.

use serde_json::{Value, json};

use crate::support::{APP_SECRET, PHONE, Setup, TestApp, eventually, org, phone, text, with};

async fn put(app: &TestApp, quotas: &Value) -> Value {
    app.put_org("acme", &with(org(PHONE, APP_SECRET), &json!({"quotas": quotas}))).await
}

/// Waits until the gate `rate` holds a message and returns the gate.
async fn held(app: &TestApp, id: &str) -> Value {
    eventually("a message that is held", async || {
        let explained = app.acme().get(&format!("outbound/messages/{id}/explain")).await.ok(200);
        let gates = explained["gates"].as_array().cloned().unwrap_or_default();
        let gate =
            gates.into_iter().find(|gate| gate["gate"] == "rate" && gate["detail"].to_string().contains("quota"));
        gate.ok_or(explained)
    })
    .await
}

#[tokio::test]
async fn a_message_beyond_the_daily_quota_waits_across_a_crash_until_the_quota_is_raised() {
    let mut app = TestApp::start().await;
    put(&app, &json!({"recipientsPerDay": 1})).await;
    let first = app.acme().accept(&text(1)).await;
    app.acme().until(&first, "READ").await;
    let second = app.acme().accept(&text(2)).await;
    let gate = held(&app, &second).await;
    assert_eq!(gate["state"], "WAITING");
    assert!(gate["detail"].as_str().unwrap().contains("recipientsPerDay"), "{gate}");
    app.kill_and_start_again().await;
    let third = app.acme().accept(&text(3)).await;
    held(&app, &third).await;
    let again = app.acme().accept(&text(1)).await;
    app.acme().until(&again, "READ").await;
    let waiting = app.acme().message(&second).await;
    assert_eq!((&waiting["status"], &waiting["attemptCount"]), (&json!("QUEUED"), &json!(0)));
    assert_eq!((app.accepted_to(&phone(2)[1..]), app.accepted_to(&phone(3)[1..])), (0, 0));
    put(&app, &json!({"recipientsPerDay": 3})).await;
    for id in [&second, &third] {
        app.acme().until(id, "READ").await;
    }
}

#[tokio::test]
async fn quotas_are_set_shown_configured_and_validated() {
    let mut app = Setup::new().set("outbound.enabled", false).start().await;
    let quotas = json!({"messagesPerDay": 5, "maxQueued": 2, "recipientsPerDay": null});
    assert_eq!(put(&app, &quotas).await["quotas"], quotas);
    assert_eq!(app.put_org("acme", &org(PHONE, APP_SECRET)).await["quotas"], quotas, "a put without quotas keeps them");
    for n in 0..2 {
        app.acme().accept(&text(n)).await;
    }
    let full = app.acme().send_message(&text(3)).await;
    full.problem(429, "QUEUE_FULL");
    assert!(!full.header("retry-after").is_empty());
    let wrong = with(org(PHONE, APP_SECRET), &json!({"quotas": {"maxQueued": 0, "perHour": 1}}));
    let answer = app.admin().put("admin/orgs/acme", &wrong).await;
    answer.problem(422, "INVALID");
    assert_eq!(answer.fields(), ["quotas.maxQueued", "quotas.perHour"]);
    put(&app, &json!({})).await;
    app.acme().accept(&text(3)).await;

    app.stop().await;
    let declared = "[[orgs]]\nid = \"declared\"\n[orgs.quotas]\nmessages_per_day = 7\n";
    let config = std::fs::read_to_string(app.config_file()).unwrap() + declared;
    let file = app.folder().join("declared.toml");
    std::fs::write(&file, config).unwrap();
    let args = ["check-config", "--config", file.to_str().unwrap()];
    let shown = crate::support::run_with(app.folder(), &args, &[]).await;
    assert!(shown.code == Some(0) && shown.stdout.contains("messages_per_day = 7"), "{shown:?}");
    let app = Setup::new().toml(declared).start().await;
    let listed = app.admin().get("admin/orgs/declared").await.ok(200);
    assert_eq!(listed["quotas"], json!({"messagesPerDay": 7, "maxQueued": null, "recipientsPerDay": null}));
}
