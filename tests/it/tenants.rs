//! Isolation of organisations: who may see and do what.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Api, PHONE, Setup, TestApp, phone, seed, text};

async fn items(api: &Api, path: &str) -> usize {
    let page = api.get(path).await.ok(200);
    page.get("items").or(page.get("content")).and_then(Value::as_array).unwrap().len()
}

#[tokio::test]
async fn another_organisations_message_does_not_exist_anywhere() {
    let app = TestApp::start().await;
    let beta = app.org("beta", "2066").await;
    let id = app.acme().accept(&seed("k")).await;
    app.acme().until(&id, "READ").await;
    let missing = "018f2b5e-0000-7000-8000-000000000000";
    for (method, tail) in
        [("GET", ""), ("GET", "/attempts"), ("GET", "/timeline"), ("POST", "/retry"), ("POST", "/cancel")]
    {
        let ask = async |id: &str| {
            let request = beta.request(method, &format!("outbound/messages/{id}{tail}"));
            crate::support::send(request.json(&json!({}))).await
        };
        let answer = ask(&id).await;
        answer.problem(404, "NOT_FOUND");
        assert_eq!(
            answer.text,
            ask(missing).await.text,
            "the answer must be the same as for a message that never existed"
        );
    }
    let to = "%2B1234567890";
    for path in [
        "outbound/messages".to_owned(),
        "outbound/messages?dossierId=456".to_owned(),
        "outbound/messages?status=READ".to_owned(),
        format!("outbound/messages?to={to}"),
        "outbound/messages/paginated".to_owned(),
        "outbound/messages/paginated?dossierId=456".to_owned(),
        "activities?dossierId=456".to_owned(),
        format!("audit?entityId={id}"),
        "audit?action=SENT".to_owned(),
    ] {
        assert_eq!(items(&beta, &path).await, 0, "{path}");
        assert!(items(app.acme(), &path).await > 0, "{path}");
    }
    assert_eq!(items(&beta, &format!("outbound/messages?cursor={id}")).await, 0);
    let stats = beta.stats().await;
    assert!(stats.as_object().unwrap().values().all(|count| *count == 0), "{stats}");
    assert!(!beta.get("audit").await.text.contains("acme"));
}

#[tokio::test]
async fn the_org_header_must_agree_with_the_key() {
    let app = TestApp::start().await;
    let beta = app.org("beta", "2066").await;
    assert_eq!(app.acme().for_org("acme").get("outbound/stats").await.status, 200);
    for other in ["beta", "nobody", "Acme"] {
        app.acme().for_org(other).get("outbound/stats").await.problem(403, "FORBIDDEN");
        app.acme().for_org(other).send_message(&text(1)).await.problem(403, "FORBIDDEN");
    }
    let unreadable = app.acme().request("GET", "outbound/stats").header("x-org-id", &b"b\xe4ta"[..]);
    crate::support::send(unreadable).await.problem(400, "MALFORMED");
    let twice = app.acme().for_org("acme").request("GET", "outbound/stats").header("x-org-id", "beta");
    crate::support::send(twice).await.problem(400, "MALFORMED");
    assert_eq!(beta.stats().await["QUEUED"], 0);
}

#[tokio::test]
async fn the_admin_key_acts_for_the_organisation_it_names() {
    let app = TestApp::start().await;
    app.org("beta", "2066").await;
    let admin = app.admin();
    admin.get("outbound/stats").await.problem(400, "ORG_REQUIRED");
    admin.send_message(&text(1)).await.problem(400, "ORG_REQUIRED");
    admin.for_org("nobody").get("outbound/stats").await.problem(404, "NOT_FOUND");
    let for_beta = admin.for_org("beta");
    let id = for_beta.accept(&text(1)).await;
    for_beta.until(&id, "READ").await;
    assert_eq!(for_beta.message(&id).await["orgId"], "beta");
    assert_eq!(app.sim.messages()[0].phone_number_id, "2066");
    admin.for_org("acme").get(&format!("outbound/messages/{id}")).await.problem(404, "NOT_FOUND");
    let audit = for_beta.get("audit?action=CREATED").await.ok(200);
    assert_eq!(audit["items"][0]["actor"], "admin");
}

#[tokio::test]
async fn an_organisations_key_is_refused_by_every_admin_call() {
    let app = TestApp::start().await;
    for (method, path) in [
        ("GET", "admin/orgs"),
        ("GET", "admin/orgs/acme"),
        ("PUT", "admin/orgs/acme"),
        ("DELETE", "admin/orgs/acme"),
        ("POST", "admin/orgs/acme/keys"),
        ("DELETE", "admin/orgs/acme/keys/x"),
        ("GET", "admin/actors"),
    ] {
        let request = app.acme().request(method, path).json(&json!({"name": "x", "senders": []}));
        crate::support::send(request).await.problem(403, "FORBIDDEN");
    }
    assert_eq!(app.acme().get("outbound/stats").await.status, 200);
}

#[tokio::test]
async fn a_key_can_do_only_what_its_scopes_allow() {
    let app = TestApp::start().await;
    let sends = app.key_of("acme", &json!({"name": "send only", "scopes": ["send"]})).await;
    let reads = app.key_of("acme", &json!({"name": "read only", "scopes": ["read"]})).await;
    let id = sends.accept(&seed("k")).await;
    for path in ["outbound/messages", "outbound/stats", "audit", "activities?dossierId=456"] {
        sends.get(path).await.problem(403, "FORBIDDEN");
        assert_eq!(reads.get(path).await.status, 200, "{path}");
    }
    reads.until(&id, "READ").await;
    reads.send_message(&text(2)).await.problem(403, "FORBIDDEN");
    for action in ["retry", "cancel"] {
        reads.post(&format!("outbound/messages/{id}/{action}"), &json!({})).await.problem(403, "FORBIDDEN");
        assert_eq!(sends.post(&format!("outbound/messages/{id}/{action}"), &json!({})).await.status, 409);
    }
    sends.get(&format!("outbound/messages/{id}")).await.problem(403, "FORBIDDEN");
    let unknown = app.admin().post("admin/orgs/acme/keys", &json!({"name": "x", "scopes": ["fly"]})).await;
    unknown.problem(422, "INVALID");
    assert_eq!(unknown.fields(), ["scopes[0]"]);
}

#[tokio::test]
async fn a_revoked_key_is_unknown_at_once_and_after_a_restart() {
    let mut app = TestApp::start().await;
    let made = app.admin().post("admin/orgs/acme/keys", &json!({"name": "second"})).await.ok(201);
    let second = app.api(made["key"].as_str());
    assert_eq!(second.get("outbound/stats").await.status, 200);
    let path = format!("admin/orgs/acme/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(app.admin().delete(&path).await.status, 204);
    second.get("outbound/stats").await.problem(401, "UNAUTHORIZED");
    app.admin().delete(&path).await.problem(404, "NOT_FOUND");
    app.kill_and_start_again().await;
    second.get("outbound/stats").await.problem(401, "UNAUTHORIZED");
    assert_eq!(app.acme().get("outbound/stats").await.status, 200, "the other key is still valid");
}

#[tokio::test]
async fn a_key_past_its_expiry_is_unknown() {
    let app = TestApp::start().await;
    let expired = json!({"name": "x", "expiresAt": "2020-01-01T00:00:00Z"});
    let answer = app.admin().post("admin/orgs/acme/keys", &expired).await;
    answer.problem(422, "INVALID");
    let soon = app.acme().clock().await.after(Duration::from_secs(5)).to_string();
    let short = app.key_of("acme", &json!({"name": "short", "expiresAt": soon})).await;
    crate::support::eventually("the key's expiry", async || {
        let answer = short.get("outbound/stats").await;
        if answer.status == 401 { Ok(()) } else { Err(answer.status) }
    })
    .await;
}

#[tokio::test]
async fn a_phone_number_of_another_organisation_cannot_be_taken() {
    let app = TestApp::start().await;
    let taken = app.admin().put("admin/orgs/beta", &crate::support::org(PHONE, "s")).await;
    taken.problem(409, "SENDER_TAKEN");
    app.admin().get("admin/orgs/beta").await.problem(404, "NOT_FOUND");
    app.one_more().await;
    // Once its owner gives it up, the other organisation can take it.
    app.put_org("acme", &json!({"senders": []})).await;
    app.put_org("beta", &crate::support::org(PHONE, "s")).await;
    app.admin().put("admin/orgs/acme", &crate::support::org(PHONE, "s")).await.problem(409, "SENDER_TAKEN");
}

#[tokio::test]
async fn a_deleted_organisation_is_gone_and_the_others_are_untouched() {
    let mut app = Setup::new().start().await;
    let beta = app.org("beta", "2066").await;
    let ours = app.acme().accept(&seed("k")).await;
    let theirs = beta.accept(&text(1)).await;
    app.acme().until(&ours, "READ").await;
    beta.until(&theirs, "READ").await;
    app.settled().await;
    let kept = beta.message(&theirs).await;

    assert_eq!(app.admin().delete("admin/orgs/acme").await.status, 204);
    app.acme().get("outbound/stats").await.problem(401, "UNAUTHORIZED");
    app.acme().send_message(&text(2)).await.problem(401, "UNAUTHORIZED");
    app.admin().get("admin/orgs/acme").await.problem(404, "NOT_FOUND");
    app.admin().delete("admin/orgs/acme").await.problem(404, "NOT_FOUND");
    app.admin().for_org("acme").get("outbound/stats").await.problem(404, "NOT_FOUND");
    assert_eq!(beta.message(&theirs).await, kept);

    app.kill_and_start_again().await;
    app.acme().get("outbound/stats").await.problem(401, "UNAUTHORIZED");
    assert_eq!(items(&app.admin(), "admin/orgs").await, 1);
    // Created again, it is empty: nothing of the old one comes back, not even its idempotency keys.
    let acme = app.org("acme", PHONE).await;
    assert_eq!(items(&acme, "outbound/messages").await, 0);
    acme.get(&format!("outbound/messages/{ours}")).await.problem(404, "NOT_FOUND");
    let again = acme.accept(&seed("k")).await;
    acme.until(&again, "READ").await;
    assert_eq!(beta.message(&theirs).await, kept);
    assert_eq!(app.accepted_to(&phone(1)), 1);
}

#[tokio::test]
async fn an_organisation_created_again_right_after_its_deletion_works() {
    let app = TestApp::start().await;
    for n in 0..10 {
        assert_eq!(app.admin().delete("admin/orgs/acme").await.status, 204);
        let acme = app.org("acme", PHONE).await;
        let id = acme.accept(&text(n)).await;
        acme.until(&id, "READ").await;
    }
    assert_eq!(app.sim.messages().len(), 10);
}
