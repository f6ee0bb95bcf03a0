//! Consent, through the API and through what recipients do: who gets messages, who does not, and what proves it.

use serde_json::{Value, json};

use crate::support::{APP_SECRET, Api, PHONE, Setup, TestApp, eventually, faults, now, org, phone, seed, text, with};

fn path(n: usize) -> String {
    format!("consents/{}", phone(n))
}

fn webhook(field: &str, items: &Value) -> Vec<u8> {
    let mut value = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550001111", "phone_number_id": PHONE}});
    value[field] = items.clone();
    json!({"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": [{"field": field, "value": value}]}]})
        .to_string()
        .into_bytes()
}

fn digits(n: usize) -> String {
    phone(n).trim_start_matches('+').to_owned()
}

/// A webhook with a message that the nth recipient writes now.
fn written(n: usize, wamid: &str, what: &Value) -> Vec<u8> {
    let item = json!({"from": digits(n), "id": wamid, "timestamp": now().to_string()});
    webhook("messages", &json!([with(item, what)]))
}

fn wrote(n: usize, wamid: &str, words: &str) -> Vec<u8> {
    written(n, wamid, &json!({"type": "text", "text": {"body": words}}))
}

/// A webhook with the nth recipient's choice in WhatsApp's own settings.
fn switched(n: usize, value: &str, at: u64) -> Vec<u8> {
    webhook(
        "user_preferences",
        &json!([{"wa_id": digits(n), "detail": "User requested it", "category": "marketing_messages", "value": value,
            "timestamp": at}]),
    )
}

fn marketing(n: usize) -> Value {
    with(text(n), &json!({"category": "MARKETING"}))
}

async fn known(api: &Api, n: usize) -> [Value; 2] {
    let known = api.get(&path(n)).await.ok(200);
    [known["transactional"]["status"].clone(), known["marketing"]["status"].clone()]
}

async fn blocked(api: &Api, body: &Value) -> Value {
    api.send_message(body).await.problem(422, "BLOCKED_BY_POLICY")
}

#[tokio::test]
async fn a_consent_is_recorded_shown_with_its_history_and_listed() {
    let app = TestApp::start().await;
    let api = app.acme();
    api.get(&path(1)).await.problem(404, "NOT_FOUND");
    let grant = json!({"status": "GRANTED", "category": "MARKETING", "source": "web-form", "evidence": {"ip": "::1"}});
    let granted = api.put(&path(1), &grant).await.ok(200);
    assert_eq!((&granted["recipient"], &granted["transactional"]), (&json!(phone(1)), &Value::Null));
    assert_eq!(granted["marketing"]["status"], "GRANTED");
    api.put(&path(1), &json!({"status": "REVOKED", "evidence": "by telephone"})).await.ok(200);
    let all = api.get(&path(1)).await.ok(200);
    assert_eq!(known(api, 1).await, ["REVOKED", "REVOKED"]);
    let [last, first] = all["history"].as_array().unwrap().as_slice() else { panic!("{all}") };
    assert_eq!((&first["status"], &first["category"]), (&json!("GRANTED"), &json!("MARKETING")));
    assert_eq!((&first["source"], &first["evidence"]), (&json!("web-form"), &json!({"ip": "::1"})));
    assert_eq!((&first["actor"], &first["record"]), (&json!("api-key:test"), &granted["marketing"]["record"]));
    assert_eq!((&last["source"], &last["category"]), (&json!("API"), &Value::Null));
    assert_eq!((&last["evidence"], &last["record"]), (&json!("by telephone"), &all["marketing"]["record"]));
    let page = api.get(&format!("{}?limit=1", path(1))).await.ok(200);
    assert_eq!((&page["history"], &page["nextCursor"]), (&json!([last]), &last["record"]));
    let next = api.get(&format!("{}?limit=1&cursor={}", path(1), last["record"].as_str().unwrap())).await.ok(200);
    assert_eq!((&next["history"], &next["nextCursor"]), (&json!([first]), &Value::Null));
    let audit = api.get(&format!("audit?entityId={}", all["id"].as_str().unwrap())).await.ok(200);
    let events: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|event| (&event["seq"], &event["entityType"])).collect();
    assert_eq!(events.len(), 2, "{audit}");
    assert_eq!(
        events[0].0.to_string(),
        last["record"].as_str().unwrap(),
        "a consent's record is the seq of its audit entry"
    );
    assert!(events.iter().all(|(_, kind)| **kind == "CONSENT"));
    assert!(!audit.to_string().contains(&digits(1)), "the audit trail contains no number");

    for n in 2..=5 {
        api.put(&path(n), &json!({"status": "GRANTED"})).await.ok(200);
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("consents?limit=2{cursor}")).await.ok(200);
        found.extend(page["items"].as_array().unwrap().iter().map(|item| item["recipient"].clone()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    found.sort_by_key(Value::to_string);
    assert_eq!(found, (1..=5).map(|n| json!(phone(n))).collect::<Vec<_>>());
    let other = app.org("other", "2222").await;
    assert_eq!(other.get("consents").await.ok(200)["items"], json!([]));
    other.get(&path(1)).await.problem(404, "NOT_FOUND");
}

#[tokio::test]
async fn every_wrong_field_is_named_and_every_key_needs_its_scope() {
    let app = TestApp::start().await;
    let bad = json!({"status": "MAYBE", "category": "BOTH", "source": "", "evidence": 7, "at": "now"});
    let answer = app.acme().put("consents/12345", &bad).await;
    answer.problem(422, "INVALID");
    assert_eq!(answer.fields(), ["at", "category", "evidence", "recipient", "source", "status"]);
    assert_eq!(app.acme().put(&path(1), &json!({})).await.fields(), ["status"]);
    let long = json!({"status": "GRANTED", "evidence": "x".repeat(2000)});
    assert_eq!(app.acme().put(&path(1), &long).await.fields(), ["evidence"]);
    let nobody = format!("consents/US.{}", "1".repeat(300));
    assert_eq!(app.acme().put(&nobody, &json!({"status": "GRANTED"})).await.fields(), ["recipient"]);
    for nobody in ["consents/0.5", "consents/us.1"] {
        let answer = app.acme().put(nobody, &json!({"status": "GRANTED"})).await;
        answer.problem(422, "INVALID");
        assert_eq!(answer.fields(), ["recipient"], "{nobody} is not a valid recipient");
    }
    assert_eq!(app.acme().get("consents/me").await.fields(), ["recipient"]);
    assert_eq!(app.acme().get("consents?cursor=x").await.fields(), ["cursor"]);
    assert_eq!(app.acme().get(&format!("{}?cursor=x", path(1))).await.fields(), ["cursor"]);
    app.acme().delete(&path(1)).await.problem(405, "METHOD_NOT_ALLOWED");
    let grant = json!({"status": "GRANTED"});
    for (scope, may_put, may_get) in [("send", 403, 403), ("read", 403, 200), ("manage", 200, 403)] {
        app.acme().put(&path(1), &grant).await.ok(200);
        let key = app.key_of("acme", &json!({"name": scope, "scopes": [scope]})).await;
        assert_eq!(key.put(&path(1), &grant).await.status, may_put, "{scope}");
        assert_eq!(key.get(&path(1)).await.status, may_get, "{scope}");
        assert_eq!(key.get("consents").await.status, may_get, "{scope}");
    }
}

#[tokio::test]
async fn each_policy_lets_the_right_messages_through() {
    let app = TestApp::start().await;
    let api = app.acme();
    let statuses = async |n| [api.send_message(&text(n)).await.status, api.send_message(&marketing(n)).await.status];
    for (policy, nothing, revoked, granted) in [
        ("default", [201, 422], [422, 422], [201, 201]),
        ("required", [422, 422], [422, 422], [201, 201]),
        ("off", [201, 201], [201, 201], [201, 201]),
    ] {
        app.put_org("acme", &with(org(PHONE, APP_SECRET), &json!({"consent": policy}))).await;
        assert_eq!(statuses(1).await, nothing, "{policy}");
        api.put(&path(2), &json!({"status": "REVOKED"})).await.ok(200);
        assert_eq!(statuses(2).await, revoked, "{policy}");
        api.put(&path(2), &json!({"status": "GRANTED"})).await.ok(200);
        assert_eq!(statuses(2).await, granted, "{policy}");
    }
    let audit = api.get("audit?action=BLOCKED_BY_POLICY").await.ok(200);
    let records: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|event| event["details"]["consentRecord"].is_string()).collect();
    // Newest first: the policy `required`, then `default`.
    assert_eq!(records, [true, true, false, false, true, true, false], "{audit}");
}

#[tokio::test]
async fn a_message_whose_consent_is_revoked_while_it_waits_fails_before_the_call() {
    let mut app = Setup::new().set("outbound.enabled", false).start().await;
    let id = app.acme().accept(&with(text(1), &json!({"dossierId": "d"}))).await;
    app.acme().put(&path(1), &json!({"status": "REVOKED"})).await.ok(200);
    let record = app.acme().get(&path(1)).await.ok(200)["transactional"]["record"].clone();
    let explained = app.acme().get(&format!("outbound/messages/{id}/explain")).await.ok(200);
    let gates = explained["gates"].as_array().unwrap();
    let gate = gates.iter().find(|gate| gate["gate"] == "consent").unwrap();
    assert_eq!(gate["state"], "CLOSED");
    assert!(gate["detail"].as_str().unwrap().contains(&format!("record {}", record.as_str().unwrap())), "{gate}");
    app.stop().await;
    app.set("outbound.enabled", true);
    app.start_again().await;
    let failed = app.acme().until_error(&id, "FAILED", "BLOCKED_BY_POLICY").await;
    assert_eq!(failed["attemptCount"], 0);
    assert_eq!(app.sim.messages().len(), 0);
    assert_eq!(app.acme().story(&id).await, ["MESSAGE_CREATED QUEUED", "MESSAGE_BLOCKED_BY_POLICY FAILED"]);
    let audit = app.acme().get(&format!("audit?entityId={id}&action=BLOCKED_BY_POLICY")).await.ok(200);
    assert_eq!(audit["items"][0]["details"]["consentRecord"], record);
    let retry = app.acme().post(&format!("outbound/messages/{id}/retry"), &json!({})).await;
    retry.problem(422, "BLOCKED_BY_POLICY");
    let bulk = app.acme().post("outbound/messages/retry", &json!({"errorCode": "BLOCKED_BY_POLICY"})).await.ok(200);
    assert_eq!((&bulk["matched"], &bulk["done"], &bulk["skipped"]), (&json!(1), &json!(0), &json!(1)));
    app.acme().put(&path(1), &json!({"status": "GRANTED"})).await.ok(200);
    app.acme().post(&format!("outbound/messages/{id}/retry"), &json!({})).await.ok(200);
    app.acme().until(&id, "READ").await;
}

#[tokio::test]
async fn error_131050_in_an_answer_or_a_receipt_blocks_only_marketing() {
    let app = TestApp::start().await;
    let api = app.acme();
    app.sim.set_faults(faults(&json!([
        {"to": phone(1), "count": 1, "fault": {"kind": "error", "code": 131050}},
        {"to": phone(2), "count": 1, "fault": {"kind": "receiptError", "code": 131050}}])));
    for n in 1..=2 {
        api.put(&path(n), &json!({"status": "GRANTED"})).await.ok(200);
        let first = api.accept(&marketing(n)).await;
        api.until_error(&first, "FAILED", "131050").await;
        assert_eq!(known(api, n).await, ["GRANTED", "REVOKED"]);
        let history = api.get(&path(n)).await.ok(200)["history"].clone();
        assert_eq!((&history[0]["source"], &history[0]["actor"]), (&json!("META_131050"), &json!("whatsapp")));
        assert_eq!(history[0]["evidence"], json!({"messageId": first, "attempt": 1}));
        blocked(api, &marketing(n)).await;
        let next = api.accept(&text(n)).await;
        api.until(&next, "READ").await;
    }
}

#[tokio::test]
async fn a_stop_word_in_a_text_or_a_button_revokes_and_a_start_word_grants_again() {
    let app = TestApp::start().await;
    let api = app.acme();
    for (n, what) in [
        json!({"type": "text", "text": {"body": " Abmelden\n"}}),
        json!({"type": "button", "button": {"payload": "STOP", "text": "No more, thanks"}}),
        json!({"type": "button", "button": {"payload": "btn-7", "text": "Stop"}}),
        json!({"type": "interactive", "interactive": {"type": "button_reply",
            "button_reply": {"id": "stop", "title": "Bye"}}}),
        json!({"type": "interactive", "interactive": {"type": "list_reply",
            "list_reply": {"id": "row-3", "title": "Ｓtop!", "description": "no more news"}}}),
    ]
    .iter()
    .enumerate()
    {
        let stop = written(n, &format!("wamid.stop-{n}"), what);
        app.webhook(&stop).await.ok(200);
        assert_eq!(known(api, n).await, ["REVOKED", "REVOKED"], "{what}");
        blocked(api, &text(n)).await;
        app.webhook(&wrote(n, &format!("wamid.start-{n}"), "START")).await.ok(200);
        app.webhook(&stop).await.ok(200);
        assert_eq!(known(api, n).await, ["GRANTED", "GRANTED"], "the repeated stop has no effect");
        api.accept(&marketing(n)).await;
    }
    for what in [
        json!({"type": "text", "text": {"body": "stop writing to me"}}),
        json!({"type": "text", "text": {"body": "stop"}, "group_id": "g-1"}),
        json!({"type": "image", "image": {"caption": "stop here for a look"}}),
    ] {
        app.webhook(&written(9, &format!("wamid.{what}"), &what)).await.ok(200);
        api.get(&path(9)).await.problem(404, "NOT_FOUND");
    }
    let history = api.get(&path(0)).await.ok(200)["history"].clone();
    let inbound = api.get(&format!("inbound/messages?from={}", digits(0))).await;
    assert_eq!(inbound.fields(), ["from"], "a number needs its '+'");
    let inbound = api.get(&format!("inbound/messages?from=%2B{}", digits(0))).await.ok(200);
    assert_eq!(history[0]["evidence"]["inboundMessageId"], inbound["items"][0]["id"]);
    assert_eq!(history.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_organisation_has_its_own_words_and_confirms_them_once_a_day() {
    let app = TestApp::start().await;
    let words = json!({"stopWords": ["Schluss"], "stopReply": "Erledigt.", "consent": "required"});
    let put = app.put_org("acme", &with(org(PHONE, APP_SECRET), &words)).await;
    assert_eq!((&put["stopWords"], &put["stopReply"]), (&json!(["Schluss"]), &json!("Erledigt.")));
    assert_eq!(put["startReply"], Value::Null);
    assert!(put["startWords"].as_array().unwrap().contains(&json!("start")));
    for wamid in ["wamid.1", "wamid.2"] {
        app.webhook(&wrote(1, wamid, "schluss")).await.ok(200);
    }
    app.webhook(&wrote(2, "wamid.3", "stop")).await.ok(200);
    app.acme().get(&path(2)).await.problem(404, "NOT_FOUND");
    let reply = eventually("the reply", async || {
        let page = app.acme().get("outbound/messages?status=READ").await.ok(200);
        if page["items"].as_array().unwrap().len() == 1 { Ok(page["items"][0].clone()) } else { Err(page) }
    })
    .await;
    assert_eq!((&reply["to"], &reply["category"]), (&json!(phone(1)), &json!("CONFIRMATION")));
    assert_eq!((&reply["payloadJson"]["text"]["body"], &reply["from"]), (&json!("Erledigt."), &json!(PHONE)));
    assert!(reply["idempotencyKey"].as_str().unwrap().starts_with("consent-reply:REVOKED:"));
    assert_eq!(app.sim.messages().len(), 1);
    let created =
        app.acme().get(&format!("audit?entityId={}&action=CREATED", reply["id"].as_str().unwrap())).await.ok(200);
    assert_eq!(created["items"][0]["actor"], "system");
    let mine = with(text(1), &json!({"category": "CONFIRMATION"}));
    assert_eq!(app.acme().send_message(&mine).await.fields(), ["category"], "clients cannot set this category");
    let both = with(org(PHONE, APP_SECRET), &json!({"startWords": ["SCHLUSS"]}));
    assert_eq!(app.admin().put("admin/orgs/acme", &both).await.fields(), ["startWords"]);
}

#[tokio::test]
async fn whatsapps_own_setting_stops_and_resumes_marketing_and_a_repetition_changes_nothing() {
    let app = TestApp::start().await;
    let api = app.acme();
    api.put(&path(1), &json!({"status": "GRANTED"})).await.ok(200);
    let stop = switched(1, "stop", now());
    app.webhook(&stop).await.ok(200);
    assert_eq!(known(api, 1).await, ["GRANTED", "REVOKED"]);
    blocked(api, &marketing(1)).await;
    api.accept(&text(1)).await;
    api.put(&path(1), &json!({"status": "GRANTED", "category": "MARKETING"})).await.ok(200);
    app.webhook(&stop).await.ok(200);
    app.webhook(&switched(1, "stop", now() - 3600)).await.ok(200);
    assert_eq!(known(api, 1).await, ["GRANTED", "GRANTED"]);
    app.webhook(&switched(2, "resume", now())).await.ok(200);
    api.accept(&marketing(2)).await;
    let history = api.get(&path(1)).await.ok(200)["history"].clone();
    let sources: Vec<_> = history.as_array().unwrap().iter().map(|said| said["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["API", "USER_PREFERENCES", "API"]);
}

#[tokio::test]
async fn a_choice_with_a_time_in_the_future_counts_from_its_arrival() {
    let app = TestApp::start().await;
    let api = app.acme();
    let ahead = switched(1, "stop", now() + 365 * 24 * 3600);
    app.webhook(&ahead).await.ok(200);
    assert_eq!(known(api, 1).await, [Value::Null, json!("REVOKED")]);
    let told = api.get(&path(1)).await.ok(200)["history"][0].clone();
    assert_eq!(told["at"], told["recordedAt"]);
    let year = |time: &Value| time.as_str().unwrap()[..4].parse::<u32>().unwrap();
    assert_eq!(year(&told["evidence"]["toldAt"]), year(&told["at"]) + 1, "{told}");
    // The next choice holds, and the first does not come back.
    app.webhook(&switched(1, "resume", now() + 1)).await.ok(200);
    assert_eq!(known(api, 1).await, [Value::Null, json!("GRANTED")]);
    app.webhook(&ahead).await.ok(200);
    assert_eq!(known(api, 1).await, [Value::Null, json!("GRANTED")]);
}

#[tokio::test]
async fn a_repetition_does_not_undo_a_choice_of_the_same_second() {
    let app = TestApp::start().await;
    let at = now();
    let (resume, stop) = (switched(1, "resume", at), switched(1, "stop", at));
    for said in [&resume, &stop, &resume, &stop, &resume] {
        app.webhook(said).await.ok(200);
    }
    assert_eq!(known(app.acme(), 1).await, [Value::Null, json!("REVOKED")]);
    assert_eq!(app.acme().get(&path(1)).await.ok(200)["history"].as_array().unwrap().len(), 2);
    // Different choices within one second all count.
    app.webhook(&wrote(1, "wamid.stop", "STOP")).await.ok(200);
    app.webhook(&wrote(1, "wamid.start", "START")).await.ok(200);
    app.webhook(&wrote(1, "wamid.stop", "STOP")).await.ok(200);
    assert_eq!(known(app.acme(), 1).await, ["GRANTED", "GRANTED"]);
}

#[tokio::test]
async fn another_spelling_of_a_number_does_not_bypass_a_revocation() {
    let app = TestApp::start().await;
    app.acme().put("consents/+5215512345678", &json!({"status": "REVOKED"})).await.ok(200);
    for to in ["+525512345678", "+5215512345678"] {
        blocked(app.acme(), &with(seed(to), &json!({ "to": to }))).await;
        assert_eq!(app.acme().get(&format!("consents/{to}")).await.ok(200)["recipient"], "+525512345678");
    }
}

#[tokio::test]
async fn consents_survive_a_kill_and_the_words_can_be_configured_in_the_file() {
    let declared = format!(
        "[[orgs]]\nid = \"declared\"\napi_keys = [\"a-key-of-the-configuration\"]\nconsent = \"required\"\n\
         stop_words = [\"basta\"]\nstop_reply = \"Fatto.\"\n[[orgs.senders]]\nphone_number_id = \"3033\"\n\
         access_token = \"t\"\napp_secret = \"{APP_SECRET}\"\nverify_token = \"v\"\n"
    );
    let mut app = Setup::new().toml(&declared).start().await;
    let listed = app.admin().get("admin/orgs/declared").await.ok(200);
    assert_eq!((&listed["stopWords"], &listed["stopReply"]), (&json!(["basta"]), &json!("Fatto.")));
    let api = app.api(Some("a-key-of-the-configuration"));
    blocked(&api, &text(1)).await;
    api.put(&path(1), &json!({"status": "GRANTED"})).await.ok(200);
    app.kill_and_start_again().await;
    assert_eq!(known(&api, 1).await, ["GRANTED", "GRANTED"]);
    api.accept(&text(1)).await;
}

#[tokio::test]
async fn a_template_billed_as_marketing_needs_a_grant_even_after_a_restart() {
    let mut app = TestApp::start().await;
    let id = app.acme().accept(&seed("first")).await;
    let message = app.acme().until(&id, "READ").await;
    app.settled().await;
    let wamid = message["providerMessageId"].as_str().unwrap();
    let told = json!({"id": wamid, "status": "delivered", "timestamp": now().to_string(), "recipient_id": "1234567890",
        "pricing": {"billable": true, "pricing_model": "PMP", "type": "regular", "category": "marketing"}});
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": [{"field": "messages",
        "value": {"messaging_product": "whatsapp", "metadata": {"phone_number_id": PHONE}, "statuses": [told]}}]}]});
    assert_eq!(app.webhook(body.to_string().as_bytes()).await.status, 200);
    for _ in 0..2 {
        let refused = blocked(app.acme(), &seed("second")).await;
        assert!(refused["detail"].as_str().unwrap().contains("WhatsApp bills its template as marketing"), "{refused}");
        app.acme().accept(&text(1)).await;
        app.kill_and_start_again().await;
    }
    let events = app.acme().get(&format!("audit?entityId={PHONE}")).await.ok(200);
    let told = events["items"].as_array().unwrap().first().cloned().unwrap_or_default();
    assert_eq!(told["details"]["template"], "welcome_message", "{events}");
    assert_eq!((&told["details"]["category"], &told["entityType"]), (&json!("MARKETING"), &json!("SENDER")));
    let grant = json!({"status": "GRANTED", "category": "MARKETING"});
    app.acme().put("consents/%2B1234567890", &grant).await.ok(200);
    app.acme().accept(&seed("third")).await;
}
