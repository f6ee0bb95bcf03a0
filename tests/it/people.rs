//! One person, several names, through the real binary: what they say under one holds under all, and goes with all.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Api, PHONE, Setup, TestApp, eventually, faults, notification, now, status, text, until_eq, with};

const NUMBER: &str = "+4915112345678";
const NEW_NUMBER: &str = "+4915187654321";
const ID: &str = "DE.13491208655302741918";
const NEW_ID: &str = "DE.99991208655302741918";
const PARENT: &str = "DE.ENT.11815799212886844830";

/// A webhook with one item.
fn webhook(field: &str, item: &Value) -> Vec<u8> {
    let mut body = notification(PHONE, &[]);
    body["entry"][0]["changes"][0]["value"][field] = json!([item]);
    body.to_string().into_bytes()
}

/// A message that somebody of these names writes.
fn wrote(names: &Value, words: &str) -> Vec<u8> {
    let item = json!({"id": format!("wamid.{words}-{names}"), "timestamp": now().to_string(), "type": "text",
        "text": {"body": words}});
    webhook("messages", &with(item, names))
}

fn both() -> Value {
    json!({"from": &NUMBER[1..], "from_user_id": ID})
}

/// Meta's news of a user, some seconds from now: what came before it is older.
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
async fn what_is_said_under_one_name_holds_under_the_other_whichever_comes_first() {
    let app = TestApp::start().await;
    let api = app.acme();
    // Said before the names are known to be one person's.
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
    // Said afterwards, under either.
    app.webhook(&wrote(&json!({"from_user_id": ID}), "START")).await.ok(200);
    assert!(may_go(api, NUMBER).await && may_go(api, ID).await);
    app.webhook(&wrote(&json!({"from": &NUMBER[1..]}), "STOP")).await.ok(200);
    assert!(!may_go(api, NUMBER).await && !may_go(api, ID).await);
    grant(api, ID).await;
    assert!(may_go(api, NUMBER).await);
    // A switch in WhatsApp that names both links them, too.
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
async fn a_message_that_waits_is_stopped_by_what_is_said_under_another_name() {
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
async fn receipts_and_contacts_tell_who_has_which_number() {
    let app = TestApp::start().await;
    let api = app.acme();
    revoke(api, ID).await;
    let id = api.accept(&to(NUMBER)).await;
    let read = api.until(&id, "READ").await;
    app.settled().await;
    let wamid = read["providerMessageId"].as_str().unwrap();
    // One who has another number by now is not linked to that which the message went to.
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
        "the trail names nobody"
    );
    // The list of messages finds those to any of them.
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
async fn who_changes_their_number_takes_consent_along_and_leaves_no_grant_behind() {
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
    assert_eq!(said(api, NUMBER).await, Value::Null, "whoever has it next has granted nothing");
    let export = api.get(&format!("recipients/{NEW_ID}/export")).await.ok(200);
    assert_eq!(export["names"], json!([NEW_ID, ID, NEW_NUMBER]));
    assert_eq!(export["formerNames"][0]["name"], json!(NUMBER));
    assert_eq!(export["messages"][0]["message"]["id"], json!(before), "what they got under the old number is theirs");
    // From here on they are two.
    app.webhook(&wrote(&json!({"from": &NEW_NUMBER[1..]}), "STOP")).await.ok(200);
    assert!(!may_go(api, ID).await && !may_go(api, NEW_ID).await && may_go(api, NUMBER).await);
    // News that come again, or late, change nothing.
    app.webhook(&changed).await.ok(200);
    let late =
        json!({"id": "wamid.late", "timestamp": (now() - 60).to_string(), "type": "text", "text": {"body": "hi"}});
    app.webhook(&webhook("messages", &with(late, &both()))).await.ok(200);
    assert!(may_go(api, NUMBER).await);
    assert_eq!(names(api, NUMBER).await, json!([NUMBER]));
}

#[tokio::test]
async fn who_moves_to_a_number_that_was_anothers_gets_neither_their_grant_nor_their_messages() {
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
    assert_eq!(said(api, ANOTHER).await, "GRANTED", "they are who they were, under what is left to them");
    let export = api.get(&format!("recipients/{ANOTHER}/export")).await.ok(200);
    assert_eq!((&export["names"], &export["formerNames"][0]["name"]), (&json!([ANOTHER]), &json!(NEW_NUMBER)));
    assert_eq!(export["messages"][0]["message"]["id"], json!(anothers));
    // Nor does one of them speak for the other from here on.
    let since = now() + 1;
    until_eq("a later time than that of the news", true, || now() > since).await;
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
    assert_eq!(names(api, NEW_ID).await, json!([NEW_ID, ID]), "the number may be somebody else's by now");
    // Who has the number now wants to be written to; the other still does not.
    grant(api, NUMBER).await;
    assert!(may_go(api, NUMBER).await && !may_go(api, NEW_ID).await && !may_go(api, ID).await);
}

#[tokio::test]
async fn an_erasure_under_one_name_is_one_of_all_and_the_revocation_holds_for_each() {
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
    assert_eq!(history[0]["status"], "GRANTED", "that it was said stays, without its proof: {history}");
    // They are nobody's names again: one alone is not the other.
    grant(api, ID).await;
    assert!(may_go(api, ID).await && !may_go(api, NEW_NUMBER).await);
}

#[tokio::test]
async fn a_receipt_that_waits_for_its_message_is_found_by_what_it_calls_its_recipient() {
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
async fn what_is_posted_after_an_erasure_was_asked_for_lives_on_and_a_second_one_takes_it() {
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
    eventually("it is erased", async || {
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

/// All ids within what the API says.
fn ids_in(value: &Value) -> BTreeSet<String> {
    let text = value.to_string();
    text.split('"').filter(|word| word.len() == 36 && word.matches('-').count() == 4).map(str::to_owned).collect()
}

#[tokio::test]
async fn nothing_that_is_left_of_an_erased_person_tells_that_two_names_were_theirs() {
    let mut app = TestApp::start().await;
    let api = app.acme().clone();
    // Said under one name and repeated under the other, said under both at once, and told by Meta of a message.
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
    assert!(shared(before) >= 3, "each proof is known under both");
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
async fn webhooks_that_come_again_after_an_erasure_bring_no_name_back() {
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
async fn what_was_said_before_a_number_changed_hands_is_of_who_had_it_then_however_late_it_comes() {
    let app = TestApp::start().await;
    let api = app.acme();
    app.webhook(&wrote(&both(), "hello")).await.ok(200);
    let changed = json!({"type": "user_changed_number", "body": "x", "wa_id": &NEW_NUMBER[1..]});
    app.webhook(&renamed(&json!(&NUMBER[1..]), &changed)).await.ok(200);
    // Both were written under the old number, and are told after it was given up.
    let late = |names: &Value, words: &str, secs: u64| {
        let item = json!({"id": format!("wamid.late-{words}"), "timestamp": (now() - secs).to_string(), "type": "text",
            "text": {"body": words}});
        webhook("messages", &with(item, names))
    };
    let old = json!({"from": &NUMBER[1..]});
    app.webhook(&late(&both(), "START", 60)).await.ok(200);
    assert_eq!(said(api, NUMBER).await, Value::Null, "who has the number now has granted nothing");
    assert_eq!((said(api, NEW_NUMBER).await, said(api, ID).await), (json!("GRANTED"), json!("GRANTED")));
    app.webhook(&late(&old, "STOP", 30)).await.ok(200);
    for name in [NUMBER, ID, NEW_NUMBER] {
        assert!(!may_go(api, name).await, "{name}");
    }
}

#[tokio::test]
async fn what_a_person_wrote_is_listed_under_each_of_their_names() {
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
