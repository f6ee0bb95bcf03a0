//! A person with several names: consent given under one name holds under all, and an erasure removes all.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Api, PHONE, Setup, TestApp, eventually, faults, notification, now, status, text, until_eq, with};

const NUMBER: &str = "+4915112345678";
const NEW_NUMBER: &str = "+4915187654321";
const ID: &str = "DE.13491208655302741918";
const NEW_ID: &str = "DE.99991208655302741918";
const PARENT: &str = "DE.ENT.11815799212886844830";

/// A webhook with one item under `field`.
fn webhook(field: &str, item: &Value) -> Vec<u8> {
    let mut body = notification(PHONE, &[]);
    body["entry"][0]["changes"][0]["value"][field] = json!([item]);
    body.to_string().into_bytes()
}

/// A webhook with a message from a person with these names.
fn wrote(names: &Value, words: &str) -> Vec<u8> {
    let item = json!({"id": format!("wamid.{words}-{names}"), "timestamp": now().to_string(), "type": "text",
        "text": {"body": words}});
    webhook("messages", &with(item, names))
}

fn both() -> Value {
    json!({"from": &NUMBER[1..], "from_user_id": ID})
}

/// Meta's `system` message about a user, some seconds in the future so that everything before it is older.
fn renamed(from: &Value, system: &Value) -> Vec<u8> {
    let at = (now() + 1).to_string();
    let item =
        json!({"id": format!("wamid.{system}"), "timestamp": at, "type": "system", "from": from, "system": system});
    webhook("messages", &item)
}

fn to(name: &str) -> Value {
    with(text(1), &json!({ "to": name }))
}

async fn revoke(api: &Api, name: &str) {
    api.put(&format!("consents/{name}"), &json!({"status": "REVOKED"})).await.ok(200);
}

async fn grant(api: &Api, name: &str) {
    api.put(&format!("consents/{name}"), &json!({"status": "GRANTED"})).await.ok(200);
}

async fn may_go(api: &Api, name: &str) -> bool {
    match api.send_message(&to(name)).await.status {
        201 => true,
        422 => false,
        other => panic!("{other}"),
    }
}

async fn said(api: &Api, name: &str) -> Value {
    let known = api.get(&format!("consents/{name}")).await;
    if known.status == 404 { Value::Null } else { known.ok(200)["transactional"]["status"].clone() }
}

async fn names(api: &Api, name: &str) -> Value {
    api.get(&format!("recipients/{name}/export")).await.ok(200)["names"].clone()
}

#[tokio::test]
async fn consent_under_one_name_holds_under_the_other_whether_given_before_or_after_the_link() {
    let app = TestApp::start().await;
    let api = app.acme();
    // The revocation comes before the names are linked.
    revoke(api, NUMBER).await;
    let record = api.get(&format!("consents/{NUMBER}")).await.ok(200);
    assert!(may_go(api, ID).await);
    app.webhook(&wrote(&both(), "hello")).await.ok(200);
    let refused = api.send_message(&to(ID)).await.problem(422, "BLOCKED_BY_POLICY");
    let known = api.get(&format!("consents/{ID}")).await.ok(200);
    let told = &known["history"][0];
    assert_eq!((&told["source"], &told["status"]), (&json!("LINKED_NAME"), &json!("REVOKED")));
    assert_eq!(told["evidence"], json!({"consentId": record["id"], "record": record["transactional"]["record"]}));
    assert!(refused["detail"].as_str().unwrap().contains(known["transactional"]["record"].as_str().unwrap()));
    let audit = api.get("audit?action=BLOCKED_BY_POLICY").await.ok(200);
    assert_eq!(audit["items"][0]["details"]["consentRecord"], known["transactional"]["record"]);
    assert_eq!(audit["items"][0]["entityId"], known["id"]);
    // Later statements count under either name.
    app.webhook(&wrote(&json!({"from_user_id": ID}), "START")).await.ok(200);
    assert!(may_go(api, NUMBER).await && may_go(api, ID).await);
    app.webhook(&wrote(&json!({"from": &NUMBER[1..]}), "STOP")).await.ok(200);
    assert!(!may_go(api, NUMBER).await && !may_go(api, ID).await);
    grant(api, ID).await;
    assert!(may_go(api, NUMBER).await);
    // A choice in WhatsApp's settings that has both names links them, too.
    let switched = json!({"wa_id": &NEW_NUMBER[1..], "user_id": NEW_ID, "parent_user_id": PARENT, "detail": "x",
        "category": "marketing_messages", "value": "stop", "timestamp": now()});
    let mut body: Value = serde_json::from_slice(&webhook("user_preferences", &switched)).unwrap();
    body["entry"][0]["changes"][0]["field"] = json!("user_preferences");
    app.webhook(body.to_string().as_bytes()).await.ok(200);
    assert_eq!(names(api, PARENT).await, json!([PARENT, NEW_NUMBER, NEW_ID]));
    let marketing = api.get(&format!("consents/{PARENT}")).await.ok(200)["marketing"]["status"].clone();
    assert_eq!(marketing, "REVOKED");
}

#[tokio::test]
async fn a_queued_message_is_stopped_by_a_revocation_under_another_name() {
    let mut app = Setup::new().set("outbound.enabled", false).start().await;
    let by_id = app.acme().accept(&to(ID)).await;
    app.webhook(&wrote(&json!({"from": &NUMBER[1..]}), "STOP")).await.ok(200);
    app.webhook(&wrote(&both(), "hello")).await.ok(200);
    app.kill();
    app.set("outbound.enabled", true);
    app.start_again().await;
    app.acme().until_error(&by_id, "FAILED", "BLOCKED_BY_POLICY").await;
    assert_eq!(app.sim.messages().len(), 0);
}

#[tokio::test]
async fn receipts_and_contacts_link_users_to_numbers() {
    let app = TestApp::start().await;
    let api = app.acme();
    revoke(api, ID).await;
    let id = api.accept(&to(NUMBER)).await;
    let read = api.until(&id, "READ").await;
    app.settled().await;
    let wamid = read["providerMessageId"].as_str().unwrap();
    // A user who has a new number is not linked to the number that the message went to.
    let told = |number: &str, id| {
        let more = json!({"timestamp": now().to_string(), "recipient_id": number[1..], "recipient_user_id": id});
        with(status(wamid, "read"), &more)
    };
    let mut body = notification(PHONE, &[told(NUMBER, ID), told(NEW_NUMBER, NEW_ID)]);
    body["entry"][0]["changes"][0]["value"]["contacts"] = json!([{"user_id": ID, "parent_user_id": PARENT}]);
    app.webhook(body.to_string().as_bytes()).await.ok(200);
    assert_eq!(names(api, NUMBER).await, json!([NUMBER, ID, PARENT]));
    assert_eq!(names(api, NEW_ID).await, json!([NEW_ID, NEW_NUMBER]));
    assert!(!may_go(api, NUMBER).await && !may_go(api, PARENT).await && may_go(api, NEW_NUMBER).await);
    let linked = api.get("audit?action=UPDATED&limit=200").await.ok(200).to_string();
    assert!(
        linked.contains("PERSON") && !linked.contains(ID) && !linked.contains(&NUMBER[1..]),
        "the audit trail contains no names"
    );
    // The list finds messages to any of the names.
    grant(api, NUMBER).await;
    let second = api.accept(&to(ID)).await;
    let list = api.get(&format!("outbound/messages?to={PARENT}")).await.ok(200);
    let found: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(found, [second.as_str(), &id]);
    let page = api.get(&format!("outbound/messages/paginated?to={ID}&size=1&page=1")).await.ok(200);
    assert_eq!((&page["content"][0]["id"], &page["totalElements"]), (&json!(id), &json!(2)));
    let first = api.get(&format!("outbound/messages?to={NUMBER}&limit=1")).await;
    let next = first.ok(200)["nextCursor"].as_str().unwrap().to_owned();
    let rest = api.get(&format!("outbound/messages?to=%2B{}&limit=1&cursor={next}", &NUMBER[1..])).await.ok(200);
    assert_eq!(rest["items"][0]["id"], json!(id));
}

#[tokio::test]
async fn a_person_who_changes_number_keeps_consent_and_leaves_no_grant_behind() {
    let app = TestApp::start().await;
    let api = app.acme();
    app.webhook(&wrote(&both(), "hello")).await.ok(200);
    grant(api, NUMBER).await;
    let before = api.accept(&to(NUMBER)).await;
    api.until(&before, "READ").await;
    let changed = json!({"type": "user_changed_number", "body": "x", "wa_id": &NEW_NUMBER[1..], "user_id": NEW_ID,
        "previous_user_id": ID});
    let changed = renamed(&json!(&NUMBER[1..]), &changed);
    app.webhook(&changed).await.ok(200);
    assert_eq!((said(api, NEW_NUMBER).await, said(api, NEW_ID).await), (json!("GRANTED"), json!("GRANTED")));
    assert_eq!(said(api, NUMBER).await, Value::Null, "the next owner of the number has granted nothing");
    let export = api.get(&format!("recipients/{NEW_ID}/export")).await.ok(200);
    assert_eq!(export["names"], json!([NEW_ID, ID, NEW_NUMBER]));
    assert_eq!(export["formerNames"][0]["name"], json!(NUMBER));
    assert_eq!(
        export["messages"][0]["message"]["id"],
        json!(before),
        "messages to the old number belong to the person"
    );
    // From here on, the old number belongs to another person.
    app.webhook(&wrote(&json!({"from": &NEW_NUMBER[1..]}), "STOP")).await.ok(200);
    assert!(!may_go(api, ID).await && !may_go(api, NEW_ID).await && may_go(api, NUMBER).await);
    // Repeated and late webhooks change nothing.
    app.webhook(&changed).await.ok(200);
    let late =
        json!({"id": "wamid.late", "timestamp": (now() - 60).to_string(), "type": "text", "text": {"body": "hi"}});
    app.webhook(&webhook("messages", &with(late, &both()))).await.ok(200);
    assert!(may_go(api, NUMBER).await);
    assert_eq!(names(api, NUMBER).await, json!([NUMBER]));
}

#[tokio::test]
async fn the_new_owner_of_a_number_gets_neither_the_grant_nor_the_messages_of_the_former() {
    const ANOTHER: &str = "DE.33391208655302741918";
    let app = TestApp::start().await;
    let api = app.acme();
    app.webhook(&wrote(&json!({"from": &NEW_NUMBER[1..], "from_user_id": ANOTHER}), "START")).await.ok(200);
    let anothers = api.accept(&to(NEW_NUMBER)).await;
    api.until(&anothers, "READ").await;
    app.settled().await;
    app.webhook(&wrote(&both(), "hello")).await.ok(200);
    let changed = json!({"type": "user_changed_number", "body": "x", "wa_id": &NEW_NUMBER[1..], "user_id": NEW_ID,
        "previous_user_id": ID});
    app.webhook(&renamed(&json!(&NUMBER[1..]), &changed)).await.ok(200);
    for name in [NEW_NUMBER, NEW_ID, ID] {
        assert_eq!(said(api, name).await, Value::Null, "{name}");
    }
    let export = api.get(&format!("recipients/{NEW_ID}/export")).await.ok(200);
    assert_eq!(export["names"], json!([NEW_ID, ID, NEW_NUMBER]));
    assert_eq!(said(api, ANOTHER).await, "GRANTED", "the former owner keeps the consent under the remaining name");
    let export = api.get(&format!("recipients/{ANOTHER}/export")).await.ok(200);
    assert_eq!((&export["names"], &export["formerNames"][0]["name"]), (&json!([ANOTHER]), &json!(NEW_NUMBER)));
    assert_eq!(export["messages"][0]["message"]["id"], json!(anothers));
    // From here on, the two persons are independent.
    let since = now() + 1;
    until_eq("a time after that of the webhook", true, || now() > since).await;
    app.webhook(&wrote(&json!({"from": &NEW_NUMBER[1..]}), "STOP")).await.ok(200);
    assert!(may_go(api, ANOTHER).await && !may_go(api, NEW_ID).await);
}

#[tokio::test]
async fn a_revocation_stays_with_the_number_and_goes_with_the_person() {
    let app = TestApp::start().await;
    let api = app.acme();
    app.webhook(&wrote(&both(), "STOP")).await.ok(200);
    let changed = json!({"type": "user_changed_user_id", "user_id": NEW_ID, "previous_user_id": ID});
    app.webhook(&renamed(&Value::Null, &changed)).await.ok(200);
    for name in [NUMBER, ID, NEW_ID] {
        assert!(!may_go(api, name).await, "{name}");
    }
    assert_eq!(names(api, NEW_ID).await, json!([NEW_ID, ID]), "the number may belong to somebody else by now");
    // The new owner of the number consents; the former owner still does not.
    grant(api, NUMBER).await;
    assert!(may_go(api, NUMBER).await && !may_go(api, NEW_ID).await && !may_go(api, ID).await);
}

#[tokio::test]
async fn an_erasure_under_one_name_erases_all_and_the_revocation_holds_for_each() {
    let app = TestApp::start().await;
    let api = app.acme();
    let evidence = json!({"status": "GRANTED", "source": "a form of Ada", "evidence": "a secret of Ada"});
    api.put(&format!("consents/{NUMBER}"), &evidence).await.ok(200);
    let mut ids = vec![api.accept(&to(NUMBER)).await, api.accept(&to(ID)).await];
    for id in &ids {
        api.until(id, "READ").await;
    }
    app.webhook(&wrote(&both(), "hello")).await.ok(200);
    let changed = json!({"type": "user_changed_number", "wa_id": &NEW_NUMBER[1..], "previous_user_id": ID});
    app.webhook(&renamed(&json!(&NUMBER[1..]), &changed)).await.ok(200);
    ids.push(api.accept(&to(NEW_NUMBER)).await);
    api.until(&ids[2], "READ").await;
    app.webhook(&wrote(&json!({"from_user_id": ID}), "STOP")).await.ok(200);
    app.settled().await;
    let erased = api.delete(&format!("recipients/{ID}")).await.ok(200);
    assert_eq!((&erased["messages"], &erased["inboundMessages"]), (&json!(3), &json!(3)), "{erased}");
    for id in &ids {
        assert_eq!(api.message(id).await["to"], Value::Null);
    }
    for name in [ID, NEW_NUMBER] {
        assert!(!may_go(api, name).await, "{name}");
        let known = api.get(&format!("consents/{name}")).await.ok(200);
        assert_eq!((&known["recipient"], &known["transactional"]["status"]), (&Value::Null, &json!("REVOKED")));
    }
    for name in [ID, NEW_NUMBER, NUMBER] {
        let export = api.get(&format!("recipients/{name}/export")).await.ok(200);
        assert_eq!((export["names"].as_array().map(Vec::len), &export["formerNames"]), (Some(1), &json!([])), "{name}");
        let text = export["consents"].to_string() + &api.get("audit?limit=200").await.ok(200).to_string();
        assert!(!text.contains("Ada") && !text.contains(ID) && !text.contains(&NUMBER[1..]), "{text}");
    }
    let history = api.get(&format!("consents/{NUMBER}")).await.ok(200)["history"].clone();
    assert_eq!(history[0]["status"], "GRANTED", "the statement stays, without its evidence: {history}");
    // The names are no longer linked.
    grant(api, ID).await;
    assert!(may_go(api, ID).await && !may_go(api, NEW_NUMBER).await);
}

#[tokio::test]
async fn a_parked_receipt_is_erased_by_any_name_of_its_recipient() {
    let app = TestApp::start().await;
    let api = app.acme();
    app.webhook(&wrote(&both(), "hello")).await.ok(200);
    for (n, whose) in [json!({"recipient_id": &NUMBER[1..]}), json!({"recipient_id": null, "recipient_user_id": ID})]
        .iter()
        .enumerate()
    {
        let told = with(status(&format!("wamid.opaque-{n}"), "delivered"), whose);
        app.webhook(notification(PHONE, &[told]).to_string().as_bytes()).await.ok(200);
    }
    app.webhook(notification(PHONE, &[status("wamid.of-another", "delivered")]).to_string().as_bytes()).await.ok(200);
    let export = api.get(&format!("recipients/{NUMBER}/export")).await.ok(200);
    assert_eq!(export["parkedReceipts"].as_array().unwrap().len(), 2);
    let erased = api.delete(&format!("recipients/{ID}")).await.ok(200);
    assert_eq!(erased["parkedReceipts"], 2);
    let other = api.get("recipients/+1234567890/export").await.ok(200);
    assert_eq!(other["parkedReceipts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn data_posted_after_an_erasure_request_survives_until_a_second_one() {
    let app = TestApp::start().await;
    let api = app.acme();
    app.sim.set_faults(faults(&json!([{"count": 1, "fault": {"kind": "delay", "ms": 4500}},
        {"fault": {"kind": "receipts", "lose": true}}])));
    let under_way = api.accept(&to(NUMBER)).await;
    api.until(&under_way, "SENDING").await;
    api.delete(&format!("recipients/{NUMBER}")).await.ok(202);
    let put = json!({"status": "GRANTED", "evidence": "given anew"});
    api.put(&format!("consents/{NUMBER}"), &put).await.ok(200);
    let after = api.accept(&to(NUMBER)).await;
    app.webhook(&wrote(&both(), "I am back")).await.ok(200);
    eventually("the erasure", async || {
        let page = api.get("audit?limit=200").await.ok(200).to_string();
        if page.contains("RECIPIENT_ERASED") || page.contains("consentStatements") { Ok(()) } else { Err(page) }
    })
    .await;
    assert_eq!(api.message(&under_way).await["to"], Value::Null);
    assert_eq!(api.message(&after).await["to"], NUMBER);
    let known = api.get(&format!("consents/{NUMBER}")).await.ok(200);
    assert_eq!((&known["recipient"], &known["history"][0]["evidence"]), (&json!(NUMBER), &json!("given anew")));
    assert_eq!(names(api, NUMBER).await, json!([NUMBER, ID]));
    api.until(&after, "SENT").await;
    let erased = api.delete(&format!("recipients/{ID}")).await.ok(200);
    assert_eq!((&erased["messages"], &erased["inboundMessages"]), (&json!(1), &json!(1)));
    assert_eq!(api.message(&after).await["to"], Value::Null);
}

/// All ids in a JSON value.
fn ids_in(value: &Value) -> BTreeSet<String> {
    let text = value.to_string();
    text.split('"').filter(|word| word.len() == 36 && word.matches('-').count() == 4).map(str::to_owned).collect()
}

#[tokio::test]
async fn nothing_left_of_an_erased_person_links_their_two_names() {
    let mut app = TestApp::start().await;
    let api = app.acme().clone();
    // Consent under one name and copied to the other, consent under both at once, and consent from an error of Meta.
    app.webhook(&wrote(&json!({"from": &NUMBER[1..]}), "STOP")).await.ok(200);
    app.webhook(&wrote(&both(), "hello")).await.ok(200);
    app.webhook(&wrote(&json!({"from_user_id": ID}), "START")).await.ok(200);
    app.sim.set_faults(faults(&json!([{"fault": {"kind": "error", "code": 131_050}}])));
    let refused = api.accept(&to(NUMBER)).await;
    api.until(&refused, "FAILED").await;
    app.webhook(&wrote(&both(), "STOP")).await.ok(200);
    let history = async || {
        let (number, id) = (api.get(&format!("consents/{NUMBER}")).await, api.get(&format!("consents/{ID}")).await);
        [number.ok(200), id.ok(200)]
    };
    let shared = |[number, id]: [Value; 2]| ids_in(&number).intersection(&ids_in(&id)).count();
    let before = history().await;
    assert!(before[0]["history"].as_array().unwrap().len() >= 4, "{before:#?}");
    assert!(shared(before) >= 3, "each record is known under both names");
    api.delete(&format!("recipients/{ID}")).await.ok(200);
    app.kill_and_start_again().await;
    let after = history().await;
    for known in &after {
        assert_eq!(known["transactional"]["status"], "REVOKED");
        let told = known["history"].as_array().unwrap();
        assert!(told.iter().all(|told| told["evidence"].is_null() && told["source"].is_string()), "{known:#}");
    }
    assert_eq!(shared(after), 0);
}

#[tokio::test]
async fn webhooks_repeated_after_an_erasure_do_not_restore_names() {
    let mut app = TestApp::start().await;
    let api = app.acme().clone();
    let switched = json!({"wa_id": &NUMBER[1..], "user_id": ID, "category": "marketing_messages", "value": "resume",
        "timestamp": now()});
    let mut switched: Value = serde_json::from_slice(&webhook("user_preferences", &switched)).unwrap();
    switched["entry"][0]["changes"][0]["field"] = json!("user_preferences");
    let changed = json!({"type": "user_changed_number", "body": "x", "wa_id": &NEW_NUMBER[1..], "user_id": NEW_ID,
        "previous_user_id": ID});
    let bodies = [
        wrote(&both(), "START"),
        switched.to_string().into_bytes(),
        wrote(&json!({"from": &NUMBER[1..], "from_user_id": ID, "from_parent_user_id": PARENT}), "hello"),
        renamed(&json!(&NUMBER[1..]), &changed),
    ];
    for body in &bodies {
        app.webhook(body).await.ok(200);
    }
    api.delete(&format!("recipients/{NEW_ID}")).await.ok(200);
    let held = async || {
        let mut all = Vec::new();
        for name in [NUMBER, ID, PARENT, NEW_NUMBER, NEW_ID] {
            all.push(api.get(&format!("recipients/{name}/export")).await.ok(200));
        }
        all
    };
    let before = held().await;
    for n in 0..2 {
        for body in &bodies {
            app.webhook(body).await.ok(200);
        }
        assert_eq!(held().await, before);
        if n == 0 {
            app.kill_and_start_again().await;
        }
    }
}

#[tokio::test]
async fn a_late_statement_from_before_a_number_changed_hands_belongs_to_its_owner_then() {
    let app = TestApp::start().await;
    let api = app.acme();
    app.webhook(&wrote(&both(), "hello")).await.ok(200);
    let changed = json!({"type": "user_changed_number", "body": "x", "wa_id": &NEW_NUMBER[1..]});
    app.webhook(&renamed(&json!(&NUMBER[1..]), &changed)).await.ok(200);
    // Both were written under the old number and arrive after it was given up.
    let late = |names: &Value, words: &str, secs: u64| {
        let item = json!({"id": format!("wamid.late-{words}"), "timestamp": (now() - secs).to_string(), "type": "text",
            "text": {"body": words}});
        webhook("messages", &with(item, names))
    };
    let old = json!({"from": &NUMBER[1..]});
    app.webhook(&late(&both(), "START", 60)).await.ok(200);
    assert_eq!(said(api, NUMBER).await, Value::Null, "the current owner of the number has granted nothing");
    assert_eq!((said(api, NEW_NUMBER).await, said(api, ID).await), (json!("GRANTED"), json!("GRANTED")));
    app.webhook(&late(&old, "STOP", 30)).await.ok(200);
    for name in [NUMBER, ID, NEW_NUMBER] {
        assert!(!may_go(api, name).await, "{name}");
    }
}

#[tokio::test]
async fn inbound_messages_are_listed_under_each_name_of_their_author() {
    let app = TestApp::start().await;
    let api = app.acme();
    for (names, words) in [
        (json!({"from": &NUMBER[1..]}), "one"),
        (json!({"from_user_id": ID}), "two"),
        (json!({"from": "1234567890"}), "another's"),
        (json!({"from": &NUMBER[1..], "from_user_id": ID, "from_parent_user_id": PARENT}), "three"),
        (json!({"from_parent_user_id": PARENT}), "four"),
    ] {
        app.webhook(&wrote(&names, words)).await.ok(200);
    }
    for name in [NUMBER, ID, PARENT] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api.get(&format!("inbound/messages?from={name}&limit=3{cursor}")).await.ok(200);
            let items = page["items"].as_array().unwrap();
            found.extend(items.iter().map(|item| item["payloadJson"]["text"]["body"].as_str().unwrap().to_owned()));
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found, ["four", "three", "two", "one"], "{name}");
    }
}
