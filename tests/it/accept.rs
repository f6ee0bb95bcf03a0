//! Accepting a message: the answers, and that a repeated request never creates a second message.

use serde_json::{Value, json};

use crate::support::{PHONE, Setup, TestApp, seed, send, text, with};

const FIELDS: [&str; 27] = [
    "id",
    "orgId",
    "status",
    "dossierId",
    "channel",
    "from",
    "to",
    "templateCode",
    "payloadJson",
    "subject",
    "idempotencyKey",
    "sendAt",
    "expiresAt",
    "priority",
    "category",
    "onUnknown",
    "providerMessageId",
    "attemptCount",
    "maxAttempts",
    "errorCode",
    "errorMessage",
    "nextRetryAt",
    "createdAt",
    "updatedAt",
    "sentAt",
    "deliveredAt",
    "readAt",
];

#[tokio::test]
async fn the_seed_request_is_accepted_with_every_field_of_the_contract() {
    let app = Setup::new().set("outbound.enabled", false).start().await;
    let answer = app.acme().send_message(&seed("unique-123")).await;
    let message = answer.ok(201);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("idempotent-replay"), "");
    let id = message["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/api/v1/outbound/messages/{id}"));

    let mut names: Vec<_> = message.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted = FIELDS.to_vec();
    names.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    let expected = with(
        seed("unique-123"),
        &json!({"orgId": "acme", "status": "QUEUED", "from": PHONE, "priority": "NORMAL", "category": "TRANSACTIONAL",
            "attemptCount": 0, "maxAttempts": 4, "subject": null, "sendAt": null, "expiresAt": null, "onUnknown": null,
            "providerMessageId": null, "errorCode": null, "errorMessage": null, "nextRetryAt": null, "sentAt": null,
            "deliveredAt": null, "readAt": null}),
    );
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(message[name], *value, "{name}");
    }
    for name in ["createdAt", "updatedAt"] {
        let time = message[name].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{name} is {time}, not RFC 3339 with milliseconds");
    }
    assert_eq!(app.acme().message(id).await, message);
    let at_location = app.acme().get(answer.header("location")).await.ok(200);
    assert_eq!(at_location, message);
}

#[tokio::test]
async fn every_optional_field_comes_back_as_it_was_given() {
    let app = Setup::new().set("outbound.enabled", false).start().await;
    let more = json!({"dossierId": "A-7 ä", "subject": "For people", "idempotencyKey": "k", "from": PHONE,
        "sendAt": "2099-01-01T00:00:00.000Z", "expiresAt": "2099-01-02T00:00:00.000Z", "priority": "HIGH",
        "category": "TRANSACTIONAL", "onUnknown": "HOLD", "channel": "WHATSAPP"});
    let message = app.acme().send_message(&with(text(1), &more)).await.ok(201);
    for (name, value) in more.as_object().unwrap() {
        assert_eq!(message[name], *value, "{name}");
    }
    assert_eq!(message["templateCode"], Value::Null);
}

#[tokio::test]
async fn a_repeated_request_is_answered_with_the_same_message() {
    let app = TestApp::start().await;
    let first = app.acme().send_message(&seed("k")).await.ok(201);
    let id = first["id"].as_str().unwrap();
    app.acme().until(id, "READ").await;
    app.settled().await;
    let again = app.acme().send_message(&seed("k")).await;
    assert_eq!(again.header("idempotent-replay"), "true");
    assert_eq!(again.header("location"), format!("/api/v1/outbound/messages/{id}"));
    assert_eq!(again.ok(200), app.acme().message(id).await);
    // The same JSON in another order and spelling is the same request.
    let mut reordered: Vec<_> = seed("k").as_object().unwrap().clone().into_iter().collect();
    reordered.reverse();
    let members: Vec<_> = reordered.iter().map(|(name, value)| format!(" {}:{value}", json!(name))).collect();
    let spelt = format!("{{{}}}", members.join(","));
    let again = app.acme().post_raw("outbound/messages", "application/json; charset=utf-8", spelt).await;
    assert_eq!(again.ok(200)["id"], id);
    app.one_more().await;
    assert_eq!(app.accepted_to("+1234567890"), 1);
}

#[tokio::test]
async fn a_key_used_for_another_body_is_refused() {
    let app = TestApp::start().await;
    let id = app.acme().accept(&seed("k")).await;
    let other = with(seed("k"), &json!({"to": "+4915199999999"}));
    app.acme().send_message(&other).await.problem(422, "IDEMPOTENCY_KEY_REUSED");
    app.acme().until(&id, "READ").await;
    app.acme().send_message(&other).await.problem(422, "IDEMPOTENCY_KEY_REUSED");
    app.one_more().await;
    assert_eq!(app.accepted_to("+4915199999999"), 0);
}

#[tokio::test]
async fn the_idempotency_key_may_be_a_header_but_must_not_contradict_the_body() {
    let app = TestApp::start().await;
    let post = |key: &str, body: &Value| {
        send(app.acme().request("POST", "outbound/messages").header("idempotency-key", key).json(body))
    };
    let message = post("from-header", &text(1)).await.ok(201);
    assert_eq!(message["idempotencyKey"], "from-header");
    let replayed = post("from-header", &text(1)).await.ok(200);
    assert_eq!(replayed["id"], message["id"]);
    let in_body = app.acme().send_message(&with(text(1), &json!({"idempotencyKey": "from-header"}))).await;
    assert_eq!(in_body.ok(200)["id"], message["id"]);
    assert_eq!(post("same", &seed("same")).await.ok(201)["idempotencyKey"], "same");

    let differs = post("one", &seed("other")).await;
    differs.problem(422, "INVALID");
    assert_eq!(differs.fields(), ["idempotencyKey"]);
    let too_long = post(&"k".repeat(256), &text(2)).await;
    too_long.problem(422, "INVALID");
    assert_eq!(too_long.fields(), ["idempotencyKey"]);
    let unreadable = app.acme().request("POST", "outbound/messages").json(&text(2));
    let unreadable = send(unreadable.header("idempotency-key", &b"k\xe4se"[..])).await;
    // If an unreadable key counted as none, a retry would create a second message.
    unreadable.problem(400, "MALFORMED");
    let twice = app.acme().request("POST", "outbound/messages").json(&text(2));
    let twice = send(twice.header("idempotency-key", "a").header("idempotency-key", "b")).await;
    twice.problem(400, "MALFORMED");
    assert_eq!(app.accepted_to(&crate::support::phone(2)), 0);
}

#[tokio::test]
async fn the_same_key_in_two_organisations_creates_two_messages() {
    let app = TestApp::start().await;
    let beta = app.org("beta", "2066").await;
    let ours = app.acme().accept(&seed("k")).await;
    let theirs = beta.accept(&seed("k")).await;
    assert_ne!(ours, theirs);
    app.acme().until(&ours, "READ").await;
    beta.until(&theirs, "READ").await;
    assert_eq!(app.accepted_to("+1234567890"), 2);
}

#[tokio::test]
async fn concurrent_requests_with_one_key_create_one_message_even_across_a_restart() {
    let mut app = Setup::new().set("outbound.enabled", false).start().await;
    let body = seed("k");
    let posts = (0..8).map(|_| app.acme().send_message(&body));
    let answers = futures_util::future::join_all(posts).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
    let id = answers[0].json()["id"].clone();
    assert!(answers.iter().all(|answer| answer.json()["id"] == id));

    app.set("outbound.enabled", true);
    app.kill_and_start_again().await;
    let answer = app.acme().send_message(&body).await;
    assert_eq!(answer.header("idempotent-replay"), "true");
    assert_eq!(answer.ok(200)["id"], id);
    app.acme().until(id.as_str().unwrap(), "READ").await;
    app.one_more().await;
    assert_eq!(app.accepted_to("+1234567890"), 1);
}

#[tokio::test]
async fn the_sender_must_be_named_if_there_are_several() {
    let app = TestApp::start().await;
    let senders = json!({"senders": [{"phoneNumberId": PHONE}, crate::support::sender("1067", "s")]});
    app.put_org("acme", &senders).await;
    let unnamed = app.acme().send_message(&text(1)).await;
    unnamed.problem(422, "INVALID");
    assert_eq!(unnamed.fields(), ["from"]);
    let unknown = app.acme().send_message(&with(text(1), &json!({"from": "999"}))).await;
    assert_eq!(unknown.fields(), ["from"]);
    let id = app.acme().accept(&with(text(1), &json!({"from": "1067"}))).await;
    app.until_accepted(1).await;
    assert_eq!(app.sim.messages()[0].phone_number_id, "1067");
    assert_eq!(app.acme().message(&id).await["from"], "1067");
}

#[tokio::test]
async fn a_full_queue_answers_429_and_accepts_nothing() {
    let app = Setup::new().set("outbound.enabled", false).set("outbound.max_queued", 2).start().await;
    app.acme().accept(&seed("1")).await;
    app.acme().accept(&text(2)).await;
    let refused = app.acme().send_message(&text(3)).await;
    refused.problem(429, "QUEUE_FULL");
    assert_ne!(refused.header("retry-after"), "");
    assert_eq!(app.acme().send_message(&seed("1")).await.status, 200, "a replay needs no room");
    app.acme().until_stats("QUEUED", 2).await;
}

#[tokio::test]
async fn numbers_are_sent_and_shown_exactly_as_the_client_wrote_them() {
    let app = TestApp::start().await;
    let location = |longitude: &str| {
        format!(r#""location":{{"longitude":{longitude},"latitude":-6.200000000000001,"name":"\u0041\/"}}"#)
    };
    let body = |longitude: &str| {
        format!(
            r#"{{"to":"+1234567890", "payloadJson": {{"type":"location", {} }}, "idempotencyKey":"k"}}"#,
            location(longitude)
        )
    };
    let post =
        async |longitude: &str| app.acme().post_raw("outbound/messages", "application/json", body(longitude)).await;
    let (exact, near) = ("106.81666600000001", "106.816666");
    let answer = post(exact).await;
    let id = answer.ok(201)["id"].as_str().unwrap().to_owned();
    assert_eq!(post(exact).await.status, 200);
    post(near).await.problem(422, "IDEMPOTENCY_KEY_REUSED");
    app.acme().until(&id, "READ").await;
    let mut shown = vec![answer.text, app.sim.messages()[0].body.get().to_owned()];
    for path in [
        &format!("outbound/messages/{id}"),
        "outbound/messages",
        "outbound/messages/paginated",
        "recipients/+1234567890/export",
    ] {
        shown.push(app.acme().get(path).await.text);
    }
    for text in shown {
        assert!(text.contains(&location(exact)), "{text}");
    }
}

#[tokio::test]
async fn template_components_unknown_to_twotick_are_passed_on() {
    let app = TestApp::start().await;
    let payload = json!({"type": "template", "template": {"name": "promo", "language": {"code": "en_US"}, "components": [
        {"type": "tap_target_configuration", "parameters": [{"type": "tap_target_configuration",
            "tap_target_configuration": [{"url": "https://example.com/offer", "title": "Offer"}]}]}]}});
    let id = app.acme().accept(&json!({"to": "+1234567890", "payloadJson": payload})).await;
    app.acme().until(&id, "READ").await;
    let sent: Value = serde_json::from_str(app.sim.messages()[0].body.get()).unwrap();
    assert_eq!(sent["template"], payload["template"]);
}
