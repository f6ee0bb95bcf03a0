//! Retention: expired data is deleted automatically, and the deletion is reported.

use serde_json::json;

use crate::support::{PHONE, TestApp, eventually, org, run_with, text, with};

#[tokio::test]
async fn data_is_deleted_after_its_retention_and_the_deletion_is_reported() {
    let app = TestApp::start().await;
    let id = app.acme().accept(&text(1)).await;
    app.acme().until(&id, "READ").await;
    app.settled().await;
    let waiting = app.acme().accept(&with(text(2), &json!({"sendAt": "2099-01-01T00:00:00Z"}))).await;
    let retention = json!({"messages": "1s", "payloads": "1s", "inbound": "30d", "audit": null});
    let put =
        app.put_org("acme", &with(org(PHONE, crate::support::APP_SECRET), &json!({"retention": retention}))).await;
    let shown = json!({"messages": "1s", "payloads": "1s", "inbound": "30days", "audit": null});
    assert_eq!(put["retention"], shown);
    eventually("the message is deleted", async || {
        let answer = app.acme().get(&format!("outbound/messages/{id}")).await;
        if answer.status == 404 { Ok(()) } else { Err(answer) }
    })
    .await;
    eventually("an audit entry", async || {
        let audit = app.acme().get("audit?limit=200").await.ok(200);
        let is_told = |event: &serde_json::Value| event["details"]["messages"] == 1;
        if audit["items"].as_array().unwrap().iter().any(is_told) { Ok(()) } else { Err(audit) }
    })
    .await;
    assert_eq!(app.acme().message(&waiting).await["status"], "QUEUED");
    let stats = app.acme().stats().await;
    assert_eq!((&stats["READ"], &stats["QUEUED"]), (&json!(0), &json!(1)));
    let shown = app.admin().get("admin/orgs/acme").await.ok(200);
    assert_eq!(shown["upkeep"]["purged"]["messages"], 1, "{shown}");
    assert!(shown["upkeep"]["lastLookAt"].is_string());
    // A put without `retention` keeps it.
    let put = app.put_org("acme", &org(PHONE, crate::support::APP_SECRET)).await;
    assert_eq!(put["retention"]["messages"], "1s");
}

#[tokio::test]
async fn an_invalid_retention_is_refused_with_its_field() {
    let app = TestApp::start().await;
    for (retention, fields) in [
        (json!({"messages": "soon", "other": "1d"}), vec!["retention.messages", "retention.other"]),
        (json!({"messages": "1d", "payloads": "2d"}), vec!["retention.payloads"]),
        (json!("30d"), vec!["retention"]),
    ] {
        let body = with(org(PHONE, crate::support::APP_SECRET), &json!({"retention": retention}));
        let answer = app.admin().put("admin/orgs/acme", &body).await;
        answer.problem(422, "INVALID");
        assert_eq!(answer.fields(), fields);
    }
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("config.toml"), "[[orgs]]\nid = \"a\"\nretention = { messages = \"soon\" }\n")
        .unwrap();
    let exit = run_with(temp.path(), &["check-config"], &[]).await;
    assert!(exit.code == Some(2) && exit.stderr.contains("retention.messages must be a duration"), "{exit:?}");
}
