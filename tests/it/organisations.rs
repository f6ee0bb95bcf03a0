//! Organisations and their keys through the admin API, and from the configuration file.

use serde_json::{Value, json};

use crate::support::{ACCESS_TOKEN, APP_SECRET, PHONE, Setup, TestApp, VERIFY_TOKEN, org, seed, sender, text};

#[tokio::test]
async fn an_organisation_is_returned_as_put_with_its_secrets_masked() {
    let app = TestApp::start().await;
    let mut body = org("2066", "secret-of-beta");
    body["consent"] = json!("required");
    body["senders"][0]["wabaId"] = json!("1022");
    let created = app.admin().put("admin/orgs/beta", &body).await.ok(201);
    assert_eq!(
        (&created["id"], &created["name"], &created["consent"]),
        (&json!("beta"), &json!("Test"), &json!("required"))
    );
    let wanted = json!({"phoneNumberId": "2066", "wabaId": "1022", "accessToken": "set", "appSecret": "set",
        "previousAppSecret": null, "verifyToken": "set", "messagesPerSecond": 1000, "state": "ACTIVE", "pausedBy": null, "pausedReason": null, "pausedSince": null,
        "nextProbeAt": null, "remedy": null, "outage": null, "throttle": null,
        "webhooks": {"proven": {"count": 0, "lastAt": null}, "unproven": {"count": 0, "lastAt": null}, "unansweredSince": null,
            "fault": null, "remedy": null, "notices": []}});
    assert_eq!(created["senders"], json!([wanted]));
    let mut shown = app.admin().get("admin/orgs/beta").await.ok(200);
    let mut only_shown = |name: &str| shown.as_object_mut().unwrap().remove(name).unwrap();
    let (upkeep, restored) = (only_shown("upkeep"), only_shown("restored"));
    assert_eq!((shown, &upkeep["lastLookAt"], restored), (created.clone(), &json!(null), json!(null)));
    let again = app.admin().put("admin/orgs/beta", &body).await.ok(200);
    assert_eq!(again["senders"], created["senders"]);
    let listed = app.admin().get("admin/orgs").await.ok(200);
    let ids: Vec<_> = listed["items"].as_array().unwrap().iter().map(|org| org["id"].clone()).collect();
    assert_eq!(ids, ["acme", "beta"]);
}

#[tokio::test]
async fn no_answer_contains_a_secret() {
    let app = TestApp::start().await;
    let made = app.admin().post("admin/orgs/acme/keys", &json!({"name": "n"})).await.ok(201);
    let id = app.acme().accept(&seed("k")).await;
    app.acme().until(&id, "READ").await;
    let admin_key = app.admin().key().to_owned();
    let secrets = [ACCESS_TOKEN, APP_SECRET, VERIFY_TOKEN, &admin_key, app.acme().key(), made["key"].as_str().unwrap()];
    let mut answers = vec![app.admin().put("admin/orgs/acme", &org(PHONE, APP_SECRET)).await.text];
    for path in ["admin/orgs", "admin/orgs/acme", "admin/actors", "admin/actors?format=text"] {
        answers.push(app.admin().get(path).await.text);
    }
    for path in ["audit", "outbound/messages", "activities?dossierId=456"] {
        answers.push(app.acme().get(path).await.text);
    }
    for tail in ["", "/attempts", "/timeline"] {
        answers.push(app.acme().get(&format!("outbound/messages/{id}{tail}")).await.text);
    }
    for answer in answers {
        assert!(!secrets.iter().any(|secret| answer.contains(secret)), "{answer}");
    }
}

#[tokio::test]
async fn a_sender_put_again_without_its_secrets_keeps_them() {
    let app = TestApp::start().await;
    app.put_org("acme", &json!({"name": "New name", "senders": [{"phoneNumberId": PHONE}]})).await;
    app.one_more().await;
    let incomplete = json!({"senders": [{"phoneNumberId": PHONE}, {"phoneNumberId": "1067", "accessToken": "t"}]});
    let answer = app.admin().put("admin/orgs/acme", &incomplete).await;
    answer.problem(422, "INVALID");
    assert_eq!(answer.fields(), ["senders[1].appSecret", "senders[1].verifyToken"]);
    app.one_more().await;
}

#[tokio::test]
async fn an_invalid_organisation_id_is_refused() {
    let app = TestApp::start().await;
    for id in ["a%20b", "%2e%2e%2fetc", "%00", &"x".repeat(300), "%C3%A4", "inbound", "...."] {
        let answer = app.admin().put(&format!("admin/orgs/{id}"), &org("2066", "s")).await;
        answer.problem(400, "MALFORMED");
        assert_eq!(answer.fields(), ["orgId"], "{id}");
        assert!(answer.text.contains("not dots alone and not \\\"inbound\\\""), "{answer:?}");
        assert_eq!(app.admin().get(&format!("admin/orgs/{id}")).await.status, 404, "{id}");
    }
    // HTTP clients resolve these path segments before they send the request.
    for id in [".", "..", "%2e%2e"] {
        let (head, body) = (format!("authorization: Bearer {}", app.admin().key()), org("2066", "s").to_string());
        let length = body.len();
        let answer = app
            .raw(&format!(
                "PUT /api/v1/admin/orgs/{id} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{head}\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("orgId"), "{id}: {answer}");
    }
    app.admin().post("admin/orgs/nobody/keys", &json!({"name": "n"})).await.problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_key_is_shown_once_and_listed_without_its_secret() {
    let app = TestApp::start().await;
    let body = json!({"name": "back end", "scopes": ["send", "read"], "expiresAt": "2099-01-01T00:00:00.000Z"});
    let made = app.admin().post("admin/orgs/acme/keys", &body).await.ok(201);
    assert!(made["key"].as_str().unwrap().len() > 40);
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(made[name], *value, "{name}");
    }
    let org = app.admin().get("admin/orgs/acme").await.ok(200);
    let listed = org["keys"].as_array().unwrap().iter().find(|key| key["id"] == made["id"]).unwrap().clone();
    assert_eq!((&listed["name"], listed.get("key")), (&json!("back end"), None));
    let audit = app.acme().get(&format!("audit?entityId={}", made["id"].as_str().unwrap())).await.ok(200);
    assert_eq!(audit["items"][0]["action"], "CREATED");
}

const DECLARED: &str = r#"
[[orgs]]
id = "declared"
name = "Declared"
api_keys = ["env:TEST_ORG_KEY"]
[[orgs.senders]]
phone_number_id = "3066"
access_token = "env:TEST_ORG_TOKEN"
app_secret = "env:TEST_ORG_SECRET"
verify_token = "env:TEST_ORG_VERIFY"
messages_per_second = 500
"#;
const KEY: &str = "key-of-the-declared-organisation";

fn declared() -> Setup {
    Setup::new()
        .toml(DECLARED)
        .env("TEST_ORG_KEY", KEY)
        .env("TEST_ORG_TOKEN", ACCESS_TOKEN)
        .env("TEST_ORG_SECRET", APP_SECRET)
        .env("TEST_ORG_VERIFY", "declared-verify-token")
}

#[tokio::test]
async fn organisations_in_the_configuration_take_their_secrets_from_the_environment() {
    let mut app = declared().start_empty().await;
    let api = app.api(Some(KEY));
    let id = api.accept(&seed("k")).await;
    api.until(&id, "READ").await;
    assert_eq!(app.sim.messages()[0].phone_number_id, "3066");
    let query = "hub.mode=subscribe&hub.verify_token=declared-verify-token&hub.challenge=7";
    assert_eq!(app.api(None).get(&format!("webhooks/whatsapp/inbound?{query}")).await.text, "7");
    let shown = async |app: &TestApp| {
        let mut org = app.admin().get("admin/orgs/declared").await.ok(200);
        // These counts begin again at each start.
        org["senders"][0].as_object_mut().unwrap().remove("webhooks").unwrap();
        org
    };
    let before = shown(&app).await;
    assert_eq!(before["senders"][0]["accessToken"], "set");

    app.stop().await;
    app.start_again().await;
    assert_eq!(shown(&app).await, before, "the same declaration changes nothing");
    assert_eq!(api.message(&id).await["status"], "READ");
    let puts = api.get("audit?entityId=declared").await.ok(200);
    assert_eq!(puts["items"].as_array().unwrap().len(), 1, "{puts}");
}

#[tokio::test]
async fn an_organisation_in_the_configuration_can_have_more_keys_and_keeps_them() {
    let mut app = declared().start_empty().await;
    let more = app.key_of("declared", &json!({"name": "more"})).await;
    app.kill_and_start_again().await;
    assert_eq!(more.get("outbound/stats").await.status, 200);
    assert_eq!(app.api(Some(KEY)).get("outbound/stats").await.status, 200);
}

#[tokio::test]
async fn a_new_sender_and_a_new_token_are_used_at_once() {
    let app = TestApp::start().await;
    app.put_org("acme", &json!({"senders": [sender("1067", APP_SECRET)]})).await;
    app.one_more().await;
    assert_eq!(app.sim.messages()[0].phone_number_id, "1067");
    let gone = app.acme().send_message(&crate::support::with(text(1), &json!({"from": PHONE}))).await;
    assert_eq!(gone.fields(), ["from"]);
    assert_eq!(app.admin().get("admin/orgs/acme").await.ok(200)["senders"][0]["wabaId"], Value::Null);
}
