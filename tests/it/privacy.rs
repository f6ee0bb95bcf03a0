//! The log: it must help operators and contain no personal data and no secrets.

use serde_json::json;

use crate::support::{
    ACCESS_TOKEN, APP_SECRET, PHONE, Setup, VERIFY_TOKEN, WEBHOOK, faults, notification, status, text, with,
};

#[tokio::test]
async fn the_log_never_holds_numbers_secrets_or_bodies() {
    let mut app = Setup::new().set("log.level", "debug").start().await;
    let body = json!({"type": "text", "text": {"body": "a very private matter"}});
    let number = "+4915155512345";
    let private = with(
        text(1),
        &json!({"to": number, "payloadJson": body, "subject": "a private subject",
        "dossierId": "a private dossier", "idempotencyKey": "a-private-key"}),
    );
    app.sim.set_faults(faults(&json!([{"count": 1, "fault": {"kind": "error", "code": 131016}},
        {"count": 1, "fault": {"kind": "notJson"}}])));
    let id = app.acme().accept(&private).await;
    app.acme().until(&id, "SENDING").await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "error", "code": 131026}}])));
    let second = app.acme().accept(&with(private, &json!({"idempotencyKey": "another-private-key"}))).await;
    app.acme().until(&second, "FAILED").await;
    app.acme().get("outbound/messages?to=%2B4915155512345").await.ok(200);
    app.acme().send_message(&json!({"to": number, "surprise": "a private surprise"})).await.problem(422, "INVALID");
    let odd = json!({"id": "wamid.private", "status": "read", "recipient_id": &number[1..], "timestamp": {}});
    app.webhook(notification(PHONE, &[odd, json!("a private item")]).to_string().as_bytes()).await.ok(200);
    app.webhook(b"{\"a private\": \"webhook\"}").await.ok(200);
    let stranger = notification(PHONE, &[status("wamid.forged", "read")]).to_string();
    app.webhook_with(stranger.as_bytes(), &[]).await.problem(401, "UNAUTHORIZED");
    app.api(None).get(&format!("{WEBHOOK}?hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=1")).await;
    app.api(Some("tt_a-wrong-key")).get("outbound/stats").await.problem(401, "UNAUTHORIZED");
    let admin_key = app.admin().key().to_owned();
    app.admin().get("admin/orgs/acme").await.ok(200);
    app.kill_and_start_again().await;
    app.stop().await;

    let log = app.log();
    assert!(log.contains("\"ready\"") && log.contains("\"stopped\""), "it is JSON and reports what happens: {log}");
    let secrets = [ACCESS_TOKEN, APP_SECRET, VERIFY_TOKEN, &admin_key, app.acme().key(), "tt_a-wrong-key"];
    let personal = [&number[1..], "private", "John Doe"];
    for text in secrets.iter().chain(&personal) {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(text)).collect();
        assert!(lines.is_empty(), "{text} is in the log: {lines:#?}");
    }
}
