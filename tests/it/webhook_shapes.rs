//! The formats in which Meta reports consent and identity, and the parts of a webhook that twotick does not understand.

use serde_json::{Value, json};

use crate::support::{APP_SECRET, PHONE, TestApp, change, eventually, faults, now, org, phone, text, with};

/// A webhook with one item in one list.
fn webhook_with(field: &str, list: &str, item: &Value) -> String {
    let mut change = change(PHONE, &[]);
    change["field"] = json!(field);
    change["value"][list] = json!([item]);
    json!({"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": [change]}]}).to_string()
}

fn message(id: &str, more: &Value) -> Value {
    with(json!({"id": id, "timestamp": now().to_string(), "type": "text"}), more)
}

async fn hear(app: &TestApp, item: &Value) {
    app.webhook(webhook_with("messages", "messages", item).as_bytes()).await.ok(200);
}

/// The recorded consent under a name, for transactional messages and for marketing.
async fn consent(app: &TestApp, name: &str) -> [Value; 2] {
    let known = app.acme().get(&format!("consents/{}", name.replace('+', "%2B"))).await;
    let known = if known.status == 404 { json!({}) } else { known.ok(200) };
    [known["transactional"]["status"].clone(), known["marketing"]["status"].clone()]
}

#[tokio::test]
async fn a_stop_is_recognised_in_every_format() {
    let app = TestApp::start().await;
    let (both, marketing) = ([json!("REVOKED"), json!("REVOKED")], [Value::Null, json!("REVOKED")]);
    let flow = json!({"flow_token": "t", "choice": "0_Stop"}).to_string();
    for (n, (item, revoked)) in [
        (json!({"text": {"body": "PARAR"}}), &both),
        (json!({"type": "button", "button": {"payload": "Stop promotions", "text": "Stop promotions"}}), &marketing),
        (json!({"type": "button", "button": {"payload": "Parar promoções", "text": "Parar promoções"}}), &marketing),
        (json!({"type": "edit", "edit": {"original_message_id": "x", "message": {"type": "text", "text": {"body": "stop"}}}}), &both),
        (json!({"type": "image", "image": {"id": "1", "caption": "Stop."}}), &both),
        (json!({"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"id": "opt_out", "title": "x"}}}), &both),
        (json!({"type": "interactive", "interactive": {"nfm_reply": {"name": "flow", "body": "Sent", "response_json": flow}}}), &both),
    ]
    .into_iter()
    .enumerate()
    {
        let name = phone(n);
        hear(&app, &message(&format!("wamid.{n}"), &with(json!({"from": name}), &item))).await;
        assert_eq!(consent(&app, &name).await, *revoked, "{item}");
    }
    let id = json!({"from": "US.1", "text": {"body": "STOP"}});
    hear(&app, &message("wamid.id", &id)).await;
    assert_eq!(consent(&app, "US.1").await, both);
}

#[tokio::test]
async fn an_unpaired_surrogate_hides_nothing_and_what_is_stored_is_valid_json() {
    let app = TestApp::start().await;
    let item =
        json!({"from": phone(1), "text": {"body": "STOP"}, "referral": {"body": "HALF", "HALF": [null, "HALF"]}});
    let body = webhook_with("messages", "messages", &message("wamid.1", &item)).replace("HALF", r"caf\ud83d");
    app.webhook(body.as_bytes()).await.ok(200);
    assert_eq!(consent(&app, &phone(1)).await, [json!("REVOKED"), json!("REVOKED")]);
    let kept = app.acme().get("inbound/messages").await.ok(200);
    assert_eq!(kept["items"][0]["payloadJson"]["referral"]["body"], "caf\u{fffd}");
}

#[tokio::test]
async fn a_requested_contact_card_links_an_id_to_a_number_and_a_signup_grants_marketing() {
    let app = TestApp::start().await;
    for (n, origin, revoked) in [(1, "contact_request", json!("REVOKED")), (2, "other", Value::Null)] {
        let id = format!("US.{n}");
        hear(&app, &message(&format!("wamid.a{n}"), &json!({"from_user_id": id, "text": {"body": "STOP"}}))).await;
        let card =
            json!([{"origin": origin, "phones": [{"phone": phone(n), "wa_id": phone(n).trim_start_matches('+')}]}]);
        let item = json!({"from_user_id": id, "type": "contacts", "contacts": card});
        hear(&app, &message(&format!("wamid.b{n}"), &item)).await;
        assert_eq!(consent(&app, &phone(n)).await[0], revoked, "{origin}");
    }
    let signup =
        json!({"wa_id": phone(3), "category": "marketing_messages", "value": "signup", "timestamp": 1_767_225_600});
    app.webhook(webhook_with("user_preferences", "user_preferences", &signup).as_bytes()).await.ok(200);
    assert_eq!(consent(&app, &phone(3)).await, [Value::Null, json!("GRANTED")]);
}

#[tokio::test]
async fn a_failed_payment_is_not_a_failed_message() {
    let app = TestApp::start().await;
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "receipts", "lose": true}}])));
    let id = app.acme().accept(&text(1)).await;
    let wamid = app.acme().until(&id, "SENT").await["providerMessageId"].clone();
    for status in ["pending", "failed", "captured"] {
        let payment = json!({"id": wamid, "type": "payment", "status": status, "payment": {"reference_id": "r"}});
        app.webhook(webhook_with("messages", "statuses", &payment).as_bytes()).await.ok(200);
    }
    assert_eq!(app.acme().message(&id).await["status"], "SENT");
    let delivered = json!({"id": wamid, "status": "delivered", "timestamp": "99999999999999"});
    app.webhook(webhook_with("messages", "statuses", &delivered).as_bytes()).await.ok(200);
    let message = app.acme().message(&id).await;
    assert_eq!(message["status"], "DELIVERED");
    assert!(message["deliveredAt"].as_str().unwrap().starts_with("20"), "{message}");
}

/// The organisation's only sender, as the operator sees it.
async fn seen(app: &TestApp) -> Value {
    app.admin().get("admin/orgs/acme").await.ok(200)["senders"][0].clone()
}

#[tokio::test]
async fn unknown_webhook_parts_are_counted_and_a_locked_account_pauses_its_sender() {
    let app = TestApp::start().await;
    let unknown = json!({"id": "wamid.A", "status": "in_orbit", "recipient_id": "4915112345678"});
    for _ in 0..3 {
        app.webhook(webhook_with("messages", "statuses", &unknown).as_bytes()).await.ok(200);
        app.webhook(webhook_with("calls", "calls", &json!({"id": "wacid.1", "from": "4915112345678"})).as_bytes())
            .await
            .ok(200);
    }
    let throttled = json!({"code": 130_429, "title": "Rate limit hit"});
    app.webhook(webhook_with("messages", "errors", &throttled).as_bytes()).await.ok(200);
    let sender = seen(&app).await;
    assert_eq!(sender["state"], "ACTIVE");
    let notices = sender["webhooks"]["notices"].as_array().unwrap();
    let counts: Vec<_> = notices.iter().map(|notice| (notice["item"].clone(), notice["count"].clone())).collect();
    assert_eq!(counts, [(json!("calls"), json!(3)), (json!("errors"), json!(1)), (json!("statuses"), json!(3))]);

    let locked = json!({"code": 131_031, "title": "Account has been locked", "error_data": {"details": "+4915112345678 said so"}});
    app.webhook(webhook_with("messages", "errors", &locked).as_bytes()).await.ok(200);
    let sender = seen(&app).await;
    assert_eq!(sender["state"], "ACTIVE", "the next send shows whether the lock still holds");
    assert!(sender["webhooks"]["notices"].to_string().contains("131031"), "{sender}");
    let trail = app.acme().get("audit?limit=100").await.ok(200);
    let told: Vec<_> =
        trail["items"].as_array().unwrap().iter().filter(|event| event["entityType"] == "SENDER").collect();
    let words = |event: &&Value| {
        event["details"]["errorCode"].as_str().or(event["details"]["word"].as_str()).map(str::to_owned)
    };
    let noticed: Vec<_> = told.iter().filter_map(words).collect();
    assert_eq!(noticed, ["131031", "130429", "in_orbit"], "{told:?}");
    let log = app.log();
    for said in ["statuses in_orbit", "calls", "errors 130429", "errors 131031"] {
        assert_eq!(log.matches(&format!("\"told\":{said:?}")).count(), 1, "{said}: {log}");
    }
    assert!(!log.contains("4915112345678"));
}

#[tokio::test]
async fn a_wrong_app_secret_is_reported_everywhere_until_the_right_one_is_set() {
    let app = TestApp::start().await;
    app.put_org("acme", &org(PHONE, "the-secret-of-another-app")).await;
    let id = app.acme().accept(&text(1)).await;
    app.acme().until(&id, "SENT").await;
    let sender = eventually("a webhook with a wrong signature", async || {
        let sender = seen(&app).await;
        if sender["webhooks"]["unproven"]["count"].as_u64() > Some(0) { Ok(sender) } else { Err(sender) }
    })
    .await;
    let heard = &sender["webhooks"];
    assert!(heard["fault"].as_str().unwrap().contains("app secret"), "{heard}");
    assert!(heard["remedy"].as_str().unwrap().contains("twotick org put"), "{heard}");
    assert_eq!(heard["proven"]["count"], 0);
    let explained = app.acme().get(&format!("outbound/messages/{id}/explain")).await.ok(200);
    assert!(explained["summary"].as_str().unwrap().contains("its app secret does not fit"), "{explained}");
    assert_eq!(explained["remedy"], heard["remedy"]);
    let log = app.log();
    assert!(log.contains("its app secret does not fit") && log.contains(PHONE), "{log}");
    assert!(!log.contains(&phone(1)[1..]), "{log}");

    app.put_org("acme", &org(PHONE, APP_SECRET)).await;
    let next = app.acme().accept(&text(2)).await;
    app.acme().until(&next, "READ").await;
    let heard = seen(&app).await["webhooks"].clone();
    assert_eq!((&heard["fault"], &heard["unansweredSince"]), (&Value::Null, &Value::Null), "{heard}");
    assert!(heard["proven"]["count"].as_u64() > Some(0), "{heard}");
}
