//! Meta's webhook: whose calls are accepted, what is read, and what is ignored.

use serde_json::{Value, json};

use crate::support::{
    APP_SECRET, PHONE, Setup, TestApp, VERIFY_TOKEN, WEBHOOK, change, eventually, faults, notification, org, seed,
    status, text,
};

/// Sends a message that stays SENT without receipts. Returns its id and WhatsApp's.
async fn sent(app: &TestApp) -> (String, String) {
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "receipts", "lose": true}}])));
    let id = app.acme().accept(&seed("k")).await;
    let message = app.acme().until(&id, "SENT").await;
    (id, message["providerMessageId"].as_str().unwrap().to_owned())
}

fn sign(secret: &str, body: &[u8]) -> String {
    whatsapp::signature::sign(&secret.parse().unwrap(), body)
}

#[tokio::test]
async fn the_webhook_url_is_verified_only_with_the_right_token() {
    let app = TestApp::start().await;
    let verify = async |query: String| app.api(None).get(&format!("{WEBHOOK}?{query}")).await;
    let right = verify(format!("hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=11%3Cb%3E58")).await;
    assert_eq!((right.status, right.text.as_str()), (200, "11<b>58"));
    assert!(right.header("content-type").starts_with("text/plain"), "{right:?}");
    for query in [
        "hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1158".to_owned(),
        "hub.mode=subscribe&hub.verify_token=&hub.challenge=1158".to_owned(),
        "hub.mode=subscribe&hub.challenge=1158".to_owned(),
        format!("hub.mode=unsubscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=1158"),
        format!("hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}"),
        String::new(),
    ] {
        let answer = verify(query).await;
        answer.problem(403, "FORBIDDEN");
        assert!(!answer.text.contains("1158"));
    }
}

#[tokio::test]
async fn a_webhook_without_the_right_signature_changes_nothing() {
    let app = TestApp::start().await;
    let (id, wamid) = sent(&app).await;
    let before = app.acme().message(&id).await;
    let body = notification(PHONE, &[status(&wamid, "read")]).to_string();
    let spaced = serde_json::to_string_pretty(&notification(PHONE, &[status(&wamid, "read")])).unwrap();
    let right = sign(APP_SECRET, body.as_bytes());
    let cases: [(&str, Vec<(&str, String)>); 7] = [
        (&body, vec![]),
        (&body, vec![("x-hub-signature-256", String::new())]),
        (&body, vec![("x-hub-signature-256", right.replace("sha256=", ""))]),
        (&body, vec![("x-hub-signature-256", sign("another-secret", body.as_bytes()))]),
        (&body, vec![("x-hub-signature", right.replace("sha256", "sha1"))]),
        // The same JSON in another formatting, which the signature does not cover.
        (&spaced, vec![("x-hub-signature-256", right.clone())]),
        ("{", vec![("x-hub-signature-256", right.clone())]),
    ];
    for (body, headers) in cases {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        app.webhook_with(body.as_bytes(), &headers).await.problem(401, "UNAUTHORIZED");
    }
    assert_eq!(app.acme().message(&id).await, before);
    assert_eq!(app.acme().timeline(&id).await.len(), 2);
    app.webhook(body.as_bytes()).await.ok(200);
    assert_eq!(app.acme().message(&id).await["status"], "READ", "with the right signature it counts");
}

#[tokio::test]
async fn guessing_signatures_and_tokens_is_throttled_and_the_right_ones_still_pass() {
    let app = Setup::new().behind_a_proxy().start().await;
    let (id, wamid) = sent(&app).await;
    let body = |kind| notification(PHONE, &[status(&wamid, kind)]).to_string();
    let forged = sign("another-secret", body("read").as_bytes());
    let refused = eventually("a wait", async || {
        let answer = app.webhook_with(body("read").as_bytes(), &[("x-hub-signature-256", &forged)]).await;
        if answer.status == 429 { Ok(answer) } else { Err(answer) }
    })
    .await;
    refused.problem(429, "TOO_MANY_TRIES");
    assert!(refused.header("retry-after").parse::<u64>().is_ok());
    let verify = async |token: &str| {
        let query = format!("hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158");
        app.api(None).get(&format!("{WEBHOOK}?{query}")).await.status
    };
    assert_eq!((verify("wrong").await, verify(VERIFY_TOKEN).await), (429, 200));
    // All calls come from one address, as behind a proxy that does not forward addresses.
    app.webhook(body("delivered").as_bytes()).await.ok(200);
    assert_eq!(app.acme().message(&id).await["status"], "DELIVERED");
    let elsewhere = [("x-hub-signature-256", forged.as_str()), ("x-forwarded-for", "198.51.100.8")];
    app.webhook_with(body("read").as_bytes(), &elsewhere).await.problem(401, "UNAUTHORIZED");
    let key = app.key_of("acme", &json!({"name": "new"})).await;
    assert_eq!(key.get("outbound/stats").await.status, 200, "API keys are throttled separately");
    assert_eq!(app.log().matches("is made to wait").count(), 1);
}

#[tokio::test]
async fn a_replayed_webhook_changes_nothing() {
    let app = TestApp::start().await;
    let (id, wamid) = sent(&app).await;
    let body = notification(PHONE, &[status(&wamid, "delivered"), status(&wamid, "read")]).to_string();
    app.webhook(body.as_bytes()).await.ok(200);
    let (message, timeline) = (app.acme().message(&id).await, app.acme().timeline(&id).await);
    assert_eq!((&message["status"], timeline.len()), (&json!("READ"), 4));
    for _ in 0..3 {
        app.webhook(body.as_bytes()).await.ok(200);
    }
    let earlier = notification(PHONE, &[status(&wamid, "sent")]).to_string();
    app.webhook(earlier.as_bytes()).await.ok(200);
    assert_eq!(app.acme().message(&id).await["status"], "READ", "a receipt never moves a message backwards");
    assert_eq!(app.acme().message(&id).await["readAt"], message["readAt"]);
    assert_eq!(app.acme().timeline(&id).await.len(), 5);
}

#[tokio::test]
async fn a_read_receipt_alone_implies_delivered() {
    let app = TestApp::start().await;
    let (id, wamid) = sent(&app).await;
    app.webhook(notification(PHONE, &[status(&wamid, "read")]).to_string().as_bytes()).await.ok(200);
    let message = app.acme().message(&id).await;
    assert_eq!(message["status"], "READ");
    assert!(message["deliveredAt"].is_string() && message["readAt"].is_string(), "{message}");
}

#[tokio::test]
async fn signed_bodies_that_are_not_in_metas_format_are_answered_200_and_ignored() {
    let app = TestApp::start().await;
    let (id, _) = sent(&app).await;
    let before = app.acme().message(&id).await;
    for body in [
        "{}",
        "[]",
        "null",
        "7",
        "\"text\"",
        "{\"object\":\"whatsapp_business_account\"}",
        "{\"object\":1,\"entry\":{}}",
        "{\"object\":\"whatsapp_business_account\",\"entry\":[1,null,{\"changes\":7},{\"changes\":[null,{}]}]}",
        "{\"object\":\"page\",\"entry\":[]}",
        "not json at all",
        "",
    ] {
        let answer = app.webhook(body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
    }
    assert_eq!(app.webhook(b"\xff\xfe").await.status, 200);
    assert_eq!(app.webhook(&[b'['; 10_000]).await.status, 200);
    assert_eq!(app.acme().message(&id).await, before);
}

#[tokio::test]
async fn unknown_messages_numbers_and_fields_are_answered_200() {
    let app = TestApp::start().await;
    let (id, wamid) = sent(&app).await;
    let before = app.acme().message(&id).await;
    let mut calls = notification(PHONE, &[status(&wamid, "read")]);
    calls["entry"][0]["changes"][0]["field"] = json!("calls");
    for body in [
        notification(PHONE, &[status("wamid.of-nobody", "read")]),
        notification("5550001", &[status(&wamid, "read")]),
        notification(PHONE, &[status(&wamid, "teleported")]),
        calls,
    ] {
        app.webhook(body.to_string().as_bytes()).await.ok(200);
    }
    assert_eq!(app.acme().message(&id).await, before);
}

#[tokio::test]
async fn a_batch_of_a_thousand_applies_its_good_items_and_skips_the_bad() {
    let app = TestApp::start().await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "receipts", "lose": true}}])));
    for n in 0..40 {
        app.acme().accept(&text(n)).await;
    }
    app.acme().until_stats("SENT", 40).await;
    let good: Vec<_> = app.sim.messages().iter().map(|message| status(&message.wamid, "read")).collect();
    let bad = [
        json!(null),
        json!(7),
        json!([]),
        json!({}),
        json!({"id": 5, "status": "read"}),
        json!({"id": "", "status": "read"}),
        json!({"id": "wamid.x", "status": 1}),
        json!({"id": "wamid.unknown", "status": "read", "timestamp": "soon", "errors": 5}),
    ];
    let statuses: Vec<Value> =
        (0..1000).map(|i| if i % 25 == 0 { good[i / 25].clone() } else { bad[i % 8].clone() }).collect();
    let mut body = notification(PHONE, &statuses);
    let changes = body["entry"][0]["changes"].as_array_mut().unwrap();
    changes.insert(0, json!({"field": "messages", "value": {"statuses": "none"}}));
    changes.push(change("5550001", &[status("wamid.other", "read")]));
    app.webhook(body.to_string().as_bytes()).await.ok(200);
    let stats = app.acme().stats().await;
    assert_eq!((&stats["READ"], &stats["SENT"]), (&json!(40), &json!(0)), "recorded before the answer");
}

#[tokio::test]
async fn a_webhook_of_three_megabytes_is_read_and_a_larger_one_is_refused() {
    let app = TestApp::start().await;
    let (id, wamid) = sent(&app).await;
    let mut body = notification(PHONE, &[status(&wamid, "read")]).to_string();
    body.push_str(&" ".repeat(2_900_000));
    app.webhook(body.as_bytes()).await.ok(200);
    assert_eq!(app.acme().message(&id).await["status"], "READ");
    body.push_str(&" ".repeat(400_000));
    app.webhook(body.as_bytes()).await.problem(413, "TOO_LARGE");
}

#[tokio::test]
async fn a_receipt_for_another_organisations_number_is_not_applied() {
    let app = TestApp::start().await;
    let (id, wamid) = sent(&app).await;
    app.put_org("beta", &org("2066", "secret-of-beta")).await;
    let before = app.acme().message(&id).await;
    // beta's app signed it, and it is about acme's number.
    let body = notification(PHONE, &[status(&wamid, "read")]).to_string();
    let forged = sign("secret-of-beta", body.as_bytes());
    app.webhook_with(body.as_bytes(), &[("x-hub-signature-256", &forged)]).await.problem(401, "UNAUTHORIZED");
    // beta's app signed it, and it is about both numbers: acme's part is ignored.
    let mut both = notification("2066", &[status("wamid.y", "read")]);
    both["entry"][0]["changes"].as_array_mut().unwrap().push(change(PHONE, &[status(&wamid, "read")]));
    let both = both.to_string();
    let signature = sign("secret-of-beta", both.as_bytes());
    app.webhook_with(both.as_bytes(), &[("x-hub-signature-256", &signature)]).await.ok(200);
    // It is about beta's own number and names acme's message and attempt.
    let mut named = status(&wamid, "read");
    named["biz_opaque_callback_data"] = json!(app.sim.messages()[0].opaque);
    let named = notification("2066", &[named]).to_string();
    let signature = sign("secret-of-beta", named.as_bytes());
    app.webhook_with(named.as_bytes(), &[("x-hub-signature-256", &signature)]).await.ok(200);
    assert_eq!(app.acme().message(&id).await, before);
}

#[tokio::test]
async fn a_receipt_with_the_org_header_of_another_organisation_is_not_applied() {
    let app = TestApp::start().await;
    let (id, wamid) = sent(&app).await;
    app.put_org("beta", &org("2066", APP_SECRET)).await;
    app.put_org("gamma", &org("3066", "secret-of-gamma")).await;
    let before = app.acme().message(&id).await;
    let body = notification(PHONE, &[status(&wamid, "read")]).to_string();
    let signature = sign(APP_SECRET, body.as_bytes());
    for (header, wanted) in [("beta", vec![200, 401]), ("gamma", vec![401]), ("nobody", vec![401]), ("b d", vec![401])]
    {
        let headers = [("x-hub-signature-256", signature.as_str()), ("x-org-id", header)];
        let answer = app.webhook_with(body.as_bytes(), &headers).await;
        assert!(wanted.contains(&answer.status), "{header}: {answer:?}");
        assert_eq!(app.acme().message(&id).await, before, "{header}");
    }
    let headers = [("x-hub-signature-256", signature.as_str()), ("x-org-id", "acme")];
    app.webhook_with(body.as_bytes(), &headers).await.ok(200);
    assert_eq!(app.acme().message(&id).await["status"], "READ");
}

/// Posts a webhook to the URL of one organisation.
async fn post_to(app: &TestApp, org: &str, secret: &str, body: &str) -> u16 {
    let request = app.api(None).request("POST", &format!("webhooks/whatsapp/{org}"));
    let request = request.header("x-hub-signature-256", sign(secret, body.as_bytes())).body(body.to_owned());
    crate::support::send(request).await.status
}

#[tokio::test]
async fn a_webhook_url_with_an_organisation_serves_only_that_organisation() {
    let app = TestApp::start().await;
    let (id, wamid) = sent(&app).await;
    // beta shares acme's app; gamma has its own.
    app.put_org("beta", &org("2066", APP_SECRET)).await;
    let mut gamma = org("3066", "secret-of-gamma");
    gamma["senders"][0]["verifyToken"] = json!("verify-of-gamma");
    app.put_org("gamma", &gamma).await;
    let before = app.acme().message(&id).await;
    let body = notification(PHONE, &[status(&wamid, "read")]).to_string();
    for (other, wanted) in [("beta", vec![200, 401]), ("gamma", vec![401]), ("nobody", vec![401]), ("a%20b", vec![401])]
    {
        let status = post_to(&app, other, APP_SECRET, &body).await;
        assert!(wanted.contains(&status), "{other}: {status}");
    }
    assert_eq!(post_to(&app, "acme", "secret-of-gamma", &body).await, 401);
    assert_eq!(
        post_to(&app, "gamma", "secret-of-gamma", &body).await,
        200,
        "a number that is not gamma's counts as unknown"
    );
    assert_eq!(app.acme().message(&id).await, before);
    // The path and the header must agree.
    let both = app.api(None).for_org("beta").request("POST", "webhooks/whatsapp/acme");
    let both = both.header("x-hub-signature-256", sign(APP_SECRET, body.as_bytes())).body(body.clone());
    assert_eq!(crate::support::send(both).await.status, 401);
    assert_eq!(app.acme().message(&id).await, before);
    assert_eq!(post_to(&app, "acme", APP_SECRET, &body).await, 200);
    assert_eq!(app.acme().message(&id).await["status"], "READ");

    let verify = async |org: &str, token: &str| {
        let query = format!("hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158");
        app.api(None).get(&format!("webhooks/whatsapp/{org}?{query}")).await.status
    };
    for (org, token, status) in [
        ("acme", VERIFY_TOKEN, 200),
        ("gamma", "verify-of-gamma", 200),
        ("gamma", VERIFY_TOKEN, 403),
        ("acme", "verify-of-gamma", 403),
        ("nobody", VERIFY_TOKEN, 403),
    ] {
        assert_eq!(verify(org, token).await, status, "{org} {token}");
    }
}

#[tokio::test]
async fn a_body_about_several_numbers_reaches_each_owner_that_shares_the_app() {
    let app = TestApp::start().await;
    let (ours, our_wamid) = sent(&app).await;
    let beta = app.org("beta", "2066").await;
    let theirs = beta.accept(&text(2)).await;
    let their_wamid = beta.until(&theirs, "SENT").await["providerMessageId"].as_str().unwrap().to_owned();
    app.put_org("gamma", &org("3066", "secret-of-gamma")).await;
    // Each organisation's message is under its own number, and beta's is also under acme's.
    let mut body = notification(PHONE, &[status(&our_wamid, "delivered"), status(&their_wamid, "read")]);
    let changes = body["entry"][0]["changes"].as_array_mut().unwrap();
    changes.push(change("2066", &[status(&their_wamid, "delivered")]));
    changes.push(change("3066", &[status(&our_wamid, "read")]));
    let body = body.to_string();
    for _ in 0..2 {
        app.webhook(body.as_bytes()).await.ok(200);
        assert_eq!(app.acme().message(&ours).await["status"], "DELIVERED", "gamma's secret did not sign the receipt");
        assert_eq!(
            beta.message(&theirs).await["status"],
            "DELIVERED",
            "a receipt under acme's number does not apply to beta's message"
        );
    }
}

#[tokio::test]
async fn both_app_secrets_are_valid_during_a_rotation() {
    let app = TestApp::start().await;
    let (id, wamid) = sent(&app).await;
    let put = async |more: Value| {
        let mut sender = json!({"phoneNumberId": PHONE});
        sender.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        app.put_org("acme", &json!({"senders": [sender]})).await["senders"][0]["previousAppSecret"].clone()
    };
    let deliver = async |secret: &str, word: &str| {
        let body = notification(PHONE, &[status(&wamid, word)]).to_string();
        let signature = sign(secret, body.as_bytes());
        app.webhook_with(body.as_bytes(), &[("x-hub-signature-256", &signature)]).await.status
    };
    assert_eq!(deliver("the-new-secret", "delivered").await, 401);
    let shown = put(json!({"appSecret": "the-new-secret", "previousAppSecret": APP_SECRET})).await;
    assert_eq!(shown, "set");
    assert_eq!((deliver(APP_SECRET, "delivered").await, deliver("the-new-secret", "delivered").await), (200, 200));
    assert_eq!(put(json!({})).await, "set", "a put without the secret keeps it");
    assert_eq!(deliver(APP_SECRET, "delivered").await, 200);
    assert_eq!(put(json!({"previousAppSecret": null})).await, Value::Null);
    assert_eq!((deliver(APP_SECRET, "read").await, deliver("the-new-secret", "delivered").await), (401, 200));
    assert_eq!(app.acme().message(&id).await["status"], "DELIVERED");
}

#[tokio::test]
async fn an_unreadable_org_header_does_not_count_as_absent() {
    let app = TestApp::start().await;
    let (id, wamid) = sent(&app).await;
    let body = notification(PHONE, &[status(&wamid, "read")]).to_string();
    let request = app.api(None).request("POST", WEBHOOK).header("x-org-id", &b"\xe4cme"[..]);
    let request = request.header("x-hub-signature-256", sign(APP_SECRET, body.as_bytes())).body(body);
    crate::support::send(request).await.problem(400, "MALFORMED");
    assert_eq!(app.acme().message(&id).await["status"], "SENT");
}

#[tokio::test]
async fn receipts_recorded_before_a_kill_survive_it() {
    let mut app = Setup::new().start().await;
    let (id, wamid) = sent(&app).await;
    app.webhook(notification(PHONE, &[status(&wamid, "delivered")]).to_string().as_bytes()).await.ok(200);
    let before = app.acme().message(&id).await;
    app.kill_and_start_again().await;
    assert_eq!(before["status"], "DELIVERED");
    assert_eq!(app.acme().message(&id).await, before);
}
