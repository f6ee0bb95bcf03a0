//! Errors that concern more than one message: the sender pauses, slows down or waits, and no message loses an attempt.

use std::time::{Instant, SystemTime};

use domain::Timestamp;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    APP_SECRET, PHONE, Setup, TestApp, eventually, faults, notification, org, phone, seed, text, with,
};

/// The sender of an organisation as the admin sees it.
async fn sender(app: &TestApp, id: &str) -> Value {
    app.admin().get(&format!("admin/orgs/{id}")).await.ok(200)["senders"][0].clone()
}

async fn until_sender(app: &TestApp, state: &str) -> Value {
    eventually(&format!("a sender that is {state}"), async || {
        let sender = sender(app, "acme").await;
        if sender["state"] == state { Ok(sender) } else { Err(sender) }
    })
    .await
}

fn gate(explanation: &Value, name: &str) -> Value {
    let gates = explanation["gates"].as_array().unwrap();
    gates.iter().find(|gate| gate["gate"] == name).cloned().unwrap_or_default()
}

fn in_a_second() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap() + 1000).to_string()
}

#[tokio::test]
async fn a_token_that_expires_among_five_hundred_messages_costs_none_of_them_anything() {
    let app = Setup::new().set("whatsapp.messages_per_second", 400).start().await;
    for n in 0..500 {
        app.acme().accept(&text(n)).await;
        if n == 200 {
            app.sim.set_faults(faults(&json!([{"fault": {"kind": "error", "code": 190}}])));
        }
    }
    let paused = until_sender(&app, "PAUSED").await;
    assert!(paused["pausedReason"].as_str().unwrap().contains("190"), "{paused}");
    assert!(paused["pausedSince"].is_string());
    let stats = app.acme().stats().await;
    assert_eq!(stats["FAILED"], 0);
    assert!(stats["QUEUED"].as_u64().unwrap() > 0);
    let tree = app.admin().get("admin/actors?format=text").await.text;
    assert!(tree.contains("PAUSED") && tree.contains("190"), "{tree}");

    app.sim.set_faults(faults(&json!([])));
    let mut repaired = org(PHONE, APP_SECRET);
    repaired["senders"][0]["accessToken"] = "EAAG-a-new-token".into();
    app.put_org("acme", &repaired).await;
    app.acme().until_stats("READ", 500).await;
    assert_eq!(app.sim.messages().len(), 500);
    let page = app.acme().get("outbound/messages?limit=200").await.ok(200);
    for message in page["items"].as_array().unwrap() {
        assert_eq!((&message["attemptCount"], &message["errorCode"]), (&json!(1), &Value::Null), "{message}");
    }
}

#[tokio::test]
async fn a_throttled_sender_settles_at_its_rate_without_a_storm_and_others_go_on() {
    let app = TestApp::start().await;
    let mut usual = org(PHONE, APP_SECRET);
    usual["senders"][0]["messagesPerSecond"] = 80.into();
    app.put_org("acme", &usual).await;
    let other = app.org("other", "2222").await;
    let throttle = json!([{"phoneNumberId": PHONE, "fault": {"kind": "throttle", "perSecond": 20}}]);
    app.sim.set_faults(faults(&throttle));
    let began = Instant::now();
    // Posted concurrently, because posting one by one could take as long as the throttle on a slow machine.
    let texts: Vec<_> = (0..160).map(text).collect();
    join_all(texts.iter().map(|text| app.acme().accept(text))).await;
    let id = other.accept(&text(1000)).await;
    other.until(&id, "READ").await;
    assert!(app.sim.messages().len() < 161, "the other sender does not wait for the throttled one");
    app.acme().until_stats("READ", 160).await;
    let stats = serde_json::to_value(app.sim.stats()).unwrap();
    let refused = stats["refused"]["130429"].as_u64().unwrap_or(0);
    println!("160 messages at 20/s took {:?}, {refused} refused", began.elapsed());
    assert!(refused <= 40, "{refused} of 160 were refused");
    let page = app.acme().get("outbound/messages?limit=200").await.ok(200);
    assert!(page["items"].as_array().unwrap().iter().all(|message| message["attemptCount"] == 1));
}

#[tokio::test]
async fn one_recipient_gets_no_more_than_meta_allows_and_others_go_on() {
    let app = Setup::new().set("whatsapp.pair_interval", "400ms").set("whatsapp.pair_burst", 2).start().await;
    for _ in 0..5 {
        app.acme().accept(&text(1)).await;
    }
    let other = app.acme().accept(&text(2)).await;
    app.acme().until(&other, "READ").await;
    app.acme().until_stats("READ", 6).await;
    let times: Vec<u64> = app
        .sim
        .messages()
        .iter()
        .filter(|message| message.to == phone(1))
        .map(|message| message.at.as_millis())
        .collect();
    assert_eq!(times.len(), 5);
    let spread = times[4] - times[0];
    assert!(spread >= 3 * 400 - 100, "five with two ahead take three intervals, not {spread} ms");
}

#[tokio::test]
async fn the_pair_limit_counts_all_names_of_a_person_together() {
    let app = Setup::new().set("whatsapp.pair_interval", "1h").set("whatsapp.pair_burst", 3).start().await;
    let user = json!({"to": "DE.13491208655302741918"});
    // Messages sent before the names were linked to one person count, too.
    for to in [json!({}), user.clone()] {
        let id = app.acme().accept(&with(text(1), &to)).await;
        app.acme().until(&id, "READ").await;
    }
    let mut linked = notification(PHONE, &[]);
    linked["entry"][0]["changes"][0]["value"]["messages"] = json!([{"id": "wamid.linked", "type": "text",
        "from": phone(1)[1..], "from_user_id": user["to"], "text": {"body": "hello"}}]);
    app.webhook(linked.to_string().as_bytes()).await.ok(200);
    let third = app.acme().accept(&text(1)).await;
    app.acme().until(&third, "READ").await;
    for to in [user, json!({})] {
        let id = app.acme().accept(&with(text(1), &to)).await;
        eventually("a pair that waits", async || {
            let explanation = app.acme().get(&format!("outbound/messages/{id}/explain")).await.ok(200);
            if gate(&explanation, "pair")["state"] == "WAITING" { Ok(()) } else { Err(explanation) }
        })
        .await;
    }
    app.one_more().await;
    assert_eq!(app.sim.messages().len(), 4);
}

#[tokio::test]
async fn a_pair_that_meta_throttles_waits_and_loses_no_attempt() {
    let app = TestApp::start().await;
    let limited = json!([{"to": phone(1), "count": 2, "fault": {"kind": "error", "code": 131056}}]);
    app.sim.set_faults(faults(&limited));
    let held = app.acme().accept(&text(1)).await;
    let other = app.acme().accept(&text(2)).await;
    app.acme().until(&other, "READ").await;
    let message = app.acme().until(&held, "READ").await;
    assert_eq!(message["attemptCount"], 1);
    let waited = app.sim.messages().iter().find(|m| m.to == phone(1)).unwrap().at;
    assert!(waited.as_millis() >= app.sim.messages()[0].at.as_millis() + 4_000, "1 s and 4 s after the first two");
}

#[tokio::test]
async fn a_paused_template_waits_until_meta_approves_it_and_others_go_on() {
    let app = TestApp::start().await;
    let mut body = org(PHONE, APP_SECRET);
    body["senders"][0]["wabaId"] = "waba-1".into();
    app.put_org("acme", &body).await;
    app.sim.set_faults(faults(&json!([{"count": 1, "fault": {"kind": "error", "code": 132015}}])));
    let held = app.acme().accept(&with(seed("a"), &json!({"to": phone(1)}))).await;
    let explanation = eventually("a template that is shut", async || {
        let explanation = app.acme().get(&format!("outbound/messages/{held}/explain")).await.ok(200);
        if gate(&explanation, "template")["state"] == "WAITING" { Ok(explanation) } else { Err(explanation) }
    })
    .await;
    assert!(gate(&explanation, "template")["until"].is_string(), "{explanation}");
    assert!(explanation["summary"].as_str().unwrap().contains("template"), "{explanation}");
    let other = with(seed("b"), &json!({"to": phone(2), "templateCode": "another_template"}));
    let other = app.acme().accept(&other).await;
    app.acme().until(&other, "READ").await;
    assert_eq!(app.acme().message(&held).await["status"], "QUEUED");

    let approved = json!({"object": "whatsapp_business_account", "entry": [{"id": "waba-1", "changes": [
        {"field": "message_template_status_update", "value": {"event": "APPROVED", "message_template_id": 1,
            "message_template_name": "welcome_message", "message_template_language": "en"}}]}]});
    app.webhook(approved.to_string().as_bytes()).await.ok(200);
    let message = app.acme().until(&held, "READ").await;
    assert_eq!(message["attemptCount"], 1);
}

#[tokio::test]
async fn an_operator_pauses_and_resumes_and_explain_says_so() {
    let app = TestApp::start().await;
    app.admin().post("admin/orgs/acme/pause", &json!({"reason": "stock-taking"})).await.ok(200);
    let id = app.acme().accept(&text(1)).await;
    let expiring = app.acme().accept(&with(text(2), &json!({"expiresAt": in_a_second()}))).await;
    let explanation = app.acme().get(&format!("outbound/messages/{id}/explain")).await.ok(200);
    assert_eq!(explanation["status"], "QUEUED");
    assert_eq!(gate(&explanation, "org")["state"], "CLOSED");
    assert!(explanation["summary"].as_str().unwrap().contains("stock-taking"), "{explanation}");
    let names: Vec<&str> =
        explanation["gates"].as_array().unwrap().iter().map(|gate| gate["gate"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "enabled", "org", "sender", "template", "consent", "window", "schedule", "retry", "sequence", "pair",
            "rate", "capacity"
        ]
    );
    app.acme().until_error(&expiring, "FAILED", "EXPIRED").await;
    assert_eq!(app.sim.messages().len(), 0);

    app.admin().post(&format!("admin/orgs/acme/pause?sender={PHONE}"), &json!({})).await.ok(200);
    app.admin().post("admin/orgs/acme/resume", &json!({})).await.ok(200);
    assert_eq!(sender(&app, "acme").await["state"], "PAUSED", "the sender itself is still paused");
    app.admin().post("admin/orgs/acme/pause?sender=", &json!({})).await.problem(422, "INVALID");
    app.admin().post("admin/orgs/acme/resume?sender=0000", &json!({})).await.problem(404, "NOT_FOUND");
    app.admin().post(&format!("admin/orgs/acme/resume?sender={PHONE}"), &json!({})).await.ok(200);
    app.acme().until(&id, "READ").await;
    let audit = app.acme().get("audit").await.ok(200).to_string();
    assert!(audit.contains("SENDING_PAUSED") || audit.contains("stock-taking"), "{audit}");
}

#[tokio::test]
async fn a_pause_survives_a_restart() {
    let mut app = TestApp::start().await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "error", "code": 131031}}])));
    let id = app.acme().accept(&text(1)).await;
    until_sender(&app, "PAUSED").await;
    app.kill_and_start_again().await;
    assert_eq!(sender(&app, "acme").await["state"], "PAUSED");
    let message = app.acme().message(&id).await;
    assert_eq!((&message["status"], &message["attemptCount"]), (&json!("QUEUED"), &json!(0)));
    app.sim.set_faults(faults(&json!([])));
    app.admin().post(&format!("admin/orgs/acme/resume?sender={PHONE}"), &json!({})).await.ok(200);
    app.acme().until(&id, "READ").await;
}

#[tokio::test]
async fn marketing_that_meta_withholds_waits_a_day() {
    let app = TestApp::start().await;
    app.sim.set_faults(faults(&json!([{"count": 1, "fault": {"kind": "receiptError", "code": 131049}}])));
    let id = app.acme().accept(&seed("a")).await;
    let message = app.acme().until_error(&id, "QUEUED", "131049").await;
    let retry = message["nextRetryAt"].as_str().unwrap().to_owned();
    let updated = message["updatedAt"].as_str().unwrap().to_owned();
    assert!(retry > updated && retry[..10] != updated[..10], "{retry} is a day after {updated}");
    assert_eq!(message["attemptCount"], 0);
}

#[tokio::test]
async fn failed_messages_are_retried_in_bulk_by_a_filter() {
    let app = TestApp::start().await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "error", "code": 131026}}])));
    for n in 0..30 {
        app.acme().accept(&text(n)).await;
    }
    app.acme().until_stats("FAILED", 30).await;
    app.sim.set_faults(faults(&json!([])));
    let wish = json!({"errorCode": "131026", "dryRun": true});
    let counted = app.acme().post("outbound/messages/retry", &wish).await.ok(200);
    assert_eq!((&counted["matched"], &counted["done"]), (&json!(30), &json!(0)));
    let none = app.acme().post("outbound/messages/retry", &json!({"errorCode": "130429"})).await.ok(200);
    assert_eq!(none["matched"], 0);
    let part = app.acme().post("outbound/messages/retry", &json!({"limit": 10, "all": true})).await.ok(200);
    assert_eq!((&part["matched"], &part["done"]), (&json!(10), &json!(10)));
    let rest = json!({"cursor": part["nextCursor"], "all": true});
    assert_eq!(app.acme().post("outbound/messages/retry", &rest).await.ok(200)["done"], 20);
    app.acme().until_stats("READ", 30).await;
    app.acme().post("outbound/messages/cancel", &json!({"status": "READ"})).await.problem(422, "INVALID");
}

#[tokio::test]
async fn a_bulk_call_needs_a_filter_or_an_explicit_all_and_a_dry_run_counts() {
    let app = Setup::new().set("outbound.enabled", false).start().await;
    for n in 0..12 {
        app.acme().accept(&with(text(n), &json!({"dossierId": n % 3}))).await;
    }
    for path in ["outbound/messages/retry", "outbound/messages/cancel"] {
        for wish in [
            json!({}),
            json!({"all": false}),
            json!({"dryRun": true}),
            json!({"limit": 5}),
            json!({"errorCode": null}),
            json!({"all": true, "dossierId": 1}),
            json!({"all": "yes", "dossierId": 1}),
        ] {
            let answer = app.acme().post(path, &wish).await;
            answer.problem(422, "INVALID");
            assert_eq!(answer.fields(), ["all"], "{wish}");
        }
    }
    assert_eq!(app.acme().stats().await["QUEUED"], 12, "nothing was changed");
    let cancel = async |wish| app.acme().post("outbound/messages/cancel", &wish).await.ok(200);
    for (wish, matched) in [
        (json!({"dossierId": 1, "dryRun": true, "limit": 2}), 4),
        (json!({"all": true, "dryRun": true, "limit": 2}), 12),
        (json!({"from": "9999", "dryRun": true}), 0),
    ] {
        let counted = cancel(wish).await;
        assert_eq!((&counted["matched"], &counted["done"]), (&json!(matched), &json!(0)));
        assert!(counted["nextCursor"].is_null(), "{counted}");
    }
    assert_eq!(cancel(json!({"all": true})).await["done"], 12);
}

#[tokio::test]
async fn queued_messages_are_cancelled_in_bulk_by_a_filter() {
    let app = Setup::new().set("outbound.enabled", false).start().await;
    for n in 0..12 {
        app.acme().accept(&with(text(n), &json!({"dossierId": n % 3}))).await;
    }
    let done = app.acme().post("outbound/messages/cancel", &json!({"dossierId": 1})).await.ok(200);
    assert_eq!(done["done"], 4);
    let stats = app.acme().stats().await;
    assert_eq!((&stats["CANCELLED"], &stats["QUEUED"]), (&json!(4), &json!(8)));
}
