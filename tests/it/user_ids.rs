//! Recipients without a phone number, known only by Meta's user id.

use serde_json::{Value, json};

use crate::support::{PHONE, TestApp, notification, now, text, with};

const ADA: &str = "US.13491208655302741918";

fn to_ada() -> Value {
    let mut body = with(text(1), &json!({"recipient": ADA, "dossierId": "d"}));
    body.as_object_mut().unwrap().remove("to");
    body
}

fn wrote(words: &str) -> Vec<u8> {
    let mut body = notification(PHONE, &[]);
    body["entry"][0]["changes"][0]["value"] = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550001111", "phone_number_id": PHONE},
        "messages": [{"from_user_id": ADA, "id": format!("wamid.{words}"), "timestamp": now().to_string(), "type": "text",
            "text": {"body": words}}]});
    body.to_string().into_bytes()
}

#[tokio::test]
async fn a_recipient_known_by_metas_id_can_receive_reply_and_stop() {
    let app = TestApp::start().await;
    let api = app.acme();
    let id = api.accept(&to_ada()).await;
    let read = api.until(&id, "READ").await;
    assert_eq!(read["to"], ADA);
    let sent = &app.sim.messages()[0];
    let body: Value = serde_json::from_str(sent.body.get()).unwrap();
    assert_eq!((&body["recipient"], &body["to"]), (&json!(ADA), &Value::Null));
    // The id in `to` means the same recipient, and the list finds both messages.
    let second = api.accept(&with(text(2), &json!({"to": ADA}))).await;
    api.until(&second, "READ").await;
    let list = api.get(&format!("outbound/messages?to={ADA}")).await.ok(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    // A reply belongs to the last message to them, and a stop word applies to them.
    app.webhook(&wrote("hello")).await.ok(200);
    let inbound = api.get(&format!("inbound/messages?from={ADA}")).await.ok(200);
    assert_eq!(inbound["items"][0]["from"], ADA);
    app.webhook(&wrote("STOP")).await.ok(200);
    api.send_message(&to_ada()).await.problem(422, "BLOCKED_BY_POLICY");
    assert_eq!(api.get(&format!("consents/{ADA}")).await.ok(200)["transactional"]["status"], "REVOKED");
    let erased = api.delete(&format!("recipients/{ADA}")).await.ok(200);
    assert_eq!((&erased["messages"], &erased["inboundMessages"]), (&json!(2), &json!(2)));
    assert_eq!(api.message(&id).await["to"], Value::Null);
    api.send_message(&to_ada()).await.problem(422, "BLOCKED_BY_POLICY");
}

#[tokio::test]
async fn a_request_must_name_one_valid_recipient() {
    let app = TestApp::start().await;
    for (change, field) in [
        (json!({"recipient": ADA}), "recipient"),
        (json!({"to": null, "recipient": "+4915112345678"}), "recipient"),
        (json!({"to": null, "recipient": "somebody"}), "recipient"),
        (json!({"to": "us.1"}), "to"),
        (json!({"to": null}), "to"),
    ] {
        let answer = app.acme().send_message(&with(text(1), &change)).await;
        answer.problem(422, "INVALID");
        assert_eq!(answer.fields(), [field], "{change}");
    }
}
