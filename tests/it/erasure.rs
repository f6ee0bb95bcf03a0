//! The rights of recipients: the export of their data, and its erasure.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::support::{Api, PHONE, Setup, TestApp, eventually, files_holding, now, path, run_with, text, with};

/// Both spellings of one number.
const ADA: [&str; 2] = ["+525512345678", "+5215512345678"];
const DIGITS: &str = "5512345678";
const AT_ONCE: usize = 64;

fn to_ada(n: usize) -> Value {
    json!({"to": ADA[n % 2], "dossierId": "d", "subject": "a subject of Ada", "idempotencyKey": format!("key-of-Ada-{n}"),
        "payloadJson": {"type": "text", "text": {"body": format!("a secret of Ada, {}", "x".repeat(4000 * (n % 2)))}}})
}

fn wrote(wamid: &str) -> Vec<u8> {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550001111", "phone_number_id": PHONE},
        "messages": [{"from": &ADA[1][1..], "id": wamid, "timestamp": now().to_string(), "type": "text",
            "text": {"body": "a secret of Ada"}}]}}]}]})
    .to_string()
    .into_bytes()
}

/// Everything that the API returns about an organisation and some messages.
async fn everything(api: &Api, ids: &[String]) -> String {
    let mut all = String::new();
    for list in ["outbound/messages?limit=200", "inbound/messages?limit=200", "audit?limit=200", "consents?limit=200"] {
        let mut cursor = String::new();
        loop {
            let page = api.get(&format!("{list}{cursor}")).await.ok(200);
            all += &page.to_string();
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
    }
    for id in ids {
        for part in ["", "/attempts", "/timeline", "/explain"] {
            all += &api.get(&format!("outbound/messages/{id}{part}")).await.ok(200).to_string();
        }
    }
    all + &api.get("activities?dossierId=d&limit=200").await.ok(200).to_string()
}

/// Erases a person who received and wrote messages, among `others` messages to other recipients.
async fn erase_a_recipient_among(others: usize) {
    let mut app = TestApp::start().await;
    let posts = (0..others).map(|n| {
        let api = app.acme().clone();
        async move { api.accept(&with(text(n), &json!({"dossierId": "d"}))).await }
    });
    let kept: Vec<_> = stream::iter(posts).buffer_unordered(AT_ONCE).collect().await;
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(app.acme().accept(&to_ada(n)).await);
    }
    app.acme().until_stats("READ", others + 6).await;
    let waiting = with(to_ada(7), &json!({"sendAt": "2099-01-01T00:00:00Z"}));
    ids.push(app.acme().accept(&waiting).await);
    let written = wrote("wamid.of-Ada");
    app.webhook(&written).await.ok(200);
    let consent = json!({"status": "REVOKED", "category": "MARKETING", "evidence": "a secret of Ada"});
    app.acme().put(&format!("consents/{}", ADA[0]), &consent).await.ok(200);
    app.settled().await;
    let wamid = app.acme().message(&ids[0]).await["providerMessageId"].as_str().unwrap().to_owned();
    let texts = [DIGITS, "of Ada", "key-of-Ada", "of-Ada", wamid.as_str()];
    let (stats, others_before) = (app.acme().stats().await, app.acme().message(&kept[0]).await);

    let export = app.acme().get(&format!("recipients/{}/export", ADA[1])).await.ok(200);
    assert_eq!(export["names"], json!(ADA));
    let messages = export["messages"].as_array().unwrap();
    assert_eq!((messages.len(), export["inboundMessages"].as_array().unwrap().len()), (7, 1));
    assert_eq!(messages[0]["message"]["subject"], "a subject of Ada");
    assert_eq!(messages[0]["attempts"][0]["providerResponse"]["messages"][0]["id"], json!(wamid));
    assert_eq!(messages[0]["timeline"][0]["type"], "MESSAGE_CREATED");
    assert_eq!(export["consents"][0]["history"][0]["evidence"], "a secret of Ada");
    let page = app.acme().get(&format!("recipients/{}/export?limit=5", ADA[0])).await.ok(200);
    let rest = format!("recipients/{}/export?limit=5&cursor={}", ADA[0], page["nextCursor"].as_str().unwrap());
    let rest = app.acme().get(&rest).await.ok(200);
    assert_eq!((page["messages"].as_array().unwrap().len(), &rest["nextCursor"]), (5, &Value::Null));
    assert_eq!(rest["messages"].as_array().unwrap().len(), 2);

    let erased = app.acme().delete(&format!("recipients/{}", ADA[0])).await.ok(200);
    let counts =
        json!({"status": "ERASED", "messages": 7, "inboundMessages": 1, "consentStatements": 1, "parkedReceipts": 0});
    assert_eq!(erased, counts);
    app.webhook(&written).await.ok(200);
    let all = everything(app.acme(), &ids).await;
    let traces: Vec<_> = texts.iter().filter(|text| all.contains(*text)).collect();
    assert!(traces.is_empty(), "{traces:?}");
    let mut expected = stats;
    expected["QUEUED"] = json!(0);
    expected["CANCELLED"] = json!(1);
    assert_eq!(app.acme().stats().await, expected);
    assert_eq!(app.acme().message(&kept[0]).await, others_before);
    assert_eq!(app.acme().message(&ids[0]).await["to"], Value::Null);
    app.acme().post(&format!("outbound/messages/{}/retry", ids[0]), &json!({})).await.problem(409, "NOT_RETRYABLE");
    let to = |name: &str| format!("outbound/messages?to=%2B{}", &name[1..]);
    assert_eq!(app.acme().get(&to(ADA[0])).await.ok(200)["items"], json!([]));
    let marketing = with(to_ada(9), &json!({"category": "MARKETING", "idempotencyKey": "new"}));
    app.acme().send_message(&marketing).await.problem(422, "BLOCKED_BY_POLICY");
    let told = app.acme().get("audit?limit=3").await.ok(200);
    assert_eq!(told["items"][1]["entityType"], "ERASURE", "{told}");

    let holds = |app: &TestApp| -> Vec<String> {
        let holding = |text: &&str| {
            let files = files_holding(&app.data(), text.as_bytes());
            files.into_iter().map(|file| format!("{text} in {file}")).collect::<Vec<_>>()
        };
        texts.iter().flat_map(holding).collect()
    };
    assert_eq!(app.stop().await.code, Some(0));
    assert!(!holds(&app).is_empty(), "sled keeps what was deleted until it is compacted");
    let folder = tempfile::tempdir().unwrap();
    for command in ["verify", "compact", "verify"] {
        let exit = run_with(folder.path(), &[command, "--data", path(&app.data())], &[]).await;
        assert_eq!(exit.code, Some(0), "{command}: {exit:?}");
    }
    assert_eq!(holds(&app), Vec::<String>::new());
    app.start_again().await;
    let reached = app.acme().message(&kept[0]).await;
    assert_eq!(reached, others_before);
    app.one_more().await;
    let log = app.log();
    assert!(!log.contains(DIGITS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_is_erased_from_every_answer_and_after_compaction_from_the_folder() {
    erase_a_recipient_among(150).await;
}

/// `cargo test --release --test it -- --ignored erased_among_ten_thousand`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute in a release build"]
async fn a_recipient_is_erased_among_ten_thousand_messages() {
    erase_a_recipient_among(10_000).await;
}

#[tokio::test]
async fn an_erasure_waits_for_a_call_in_flight_and_a_repeated_request_reports_it_done() {
    let app = Setup::new().start().await;
    app.sim.set_faults(crate::support::faults(
        &json!([{"fault": {"kind": "delay", "ms": 4500}}, {"fault": {"kind": "receipts", "lose": true}}]),
    ));
    let id = app.acme().accept(&to_ada(0)).await;
    app.acme().until(&id, "SENDING").await;
    let erasing = app.acme().delete(&format!("recipients/{}", ADA[0])).await;
    assert_eq!((erasing.ok(202)["status"].clone(), erasing.header("retry-after")), (json!("ERASING"), "5"));
    let gone = eventually("the erasure", async || {
        let message = app.acme().message(&id).await;
        if message["to"].is_null() { Ok(message) } else { Err(message) }
    });
    assert_eq!(gone.await["status"], "SENT");
    app.acme().delete(&format!("recipients/{}", ADA[0])).await.ok(200);
}

#[tokio::test]
async fn only_keys_with_the_scope_manage_can_export_or_erase_and_only_their_own_recipients() {
    let app = TestApp::start().await;
    let reader = app.key_of("acme", &json!({"name": "reader", "scopes": ["read", "send"]})).await;
    reader.delete(&format!("recipients/{}", ADA[0])).await.problem(403, "FORBIDDEN");
    reader.get(&format!("recipients/{}/export", ADA[0])).await.problem(403, "FORBIDDEN");
    let other = app.org("other", "777").await;
    let id = app.acme().accept(&to_ada(0)).await;
    other.delete(&format!("recipients/{}", ADA[0])).await.ok(200);
    assert_eq!(other.get(&format!("recipients/{}/export", ADA[0])).await.ok(200)["messages"], json!([]));
    assert_eq!(app.acme().message(&id).await["to"], ADA[0]);
    app.acme().delete("recipients/nobody").await.problem(422, "INVALID");
    app.acme().get(&format!("recipients/{}", ADA[0])).await.problem(405, "METHOD_NOT_ALLOWED");
}
