//! What the simulator refuses, and how it says so.

use serde_json::{Value, json};
use simulator::Settings;

use crate::support::{ADA, PHONE, Rig, answer, text};

fn with(path: &str, value: Value) -> Value {
    let mut body = text(ADA, "a:1");
    if value.is_null() {
        body.as_object_mut().unwrap().remove(path);
    } else {
        body[path] = value;
    }
    body
}

fn of(kind: &str, content: Value) -> Value {
    json!({"messaging_product": "whatsapp", "to": ADA, "type": kind, kind: content})
}

#[tokio::test]
async fn a_wrong_body_is_refused_with_its_code_and_what_is_wrong() {
    let rig = Rig::new(Settings::default()).await;
    let cases = [
        (json!([]), 100, "JSON object"),
        (with("messaging_product", Value::Null), 100, "messaging_product is required"),
        (with("messaging_product", json!("sms")), 100, "messaging_product"),
        (with("recipient_type", json!("crowd")), 131_009, "recipient_type"),
        (with("to", Value::Null), 131_008, "parameter to is required"),
        (with("to", json!(49)), 131_009, "to must be a string"),
        (with("to", json!("4915112345678")), 131_009, "prepend the business's own country calling code"),
        (with("to", json!("+0151123456")), 131_009, "7 to 15 digits"),
        (with("to", json!("+49123")), 131_009, "7 to 15 digits"),
        (with("to", json!("+49151x2345678")), 131_009, "7 to 15 digits"),
        (with("type", Value::Null), 131_008, "type is required"),
        (with("type", json!("telegram")), 131_051, "type must be one of"),
        (with("type", json!("image")), 131_008, "image is required"),
        (with("text", json!("Hello")), 131_009, "text must be an object"),
        (with("text", json!({})), 131_008, "text.body is required"),
        (with("text", json!({"body": "x".repeat(4097)})), 131_009, "text.body has 4097 characters"),
        (with("context", json!({})), 131_009, "context.message_id"),
        (with("biz_opaque_callback_data", json!("x".repeat(513))), 100, "at most 512"),
        (with("biz_opaque_callback_data", json!(7)), 100, "biz_opaque_callback_data must be a string"),
        (of("template", json!({"language": {"code": "en"}})), 131_008, "template.name is required"),
        (of("template", json!({"name": "Hello", "language": {"code": "en"}})), 131_009, "template.name"),
        (of("template", json!({"name": "hello"})), 131_008, "template.language is required"),
        (of("template", json!({"name": "hello", "language": {}})), 131_008, "template.language.code is required"),
        (of("image", json!({"id": "1", "link": "https://example.com"})), 131_009, "image needs either"),
        (
            of("interactive", json!({"type": "button", "action": {"buttons": []}})),
            131_009,
            "action.buttons has 0 items",
        ),
    ];
    for (body, code, says) in &cases {
        let refused = rig.send(body).await;
        let error = &refused.json()["error"];
        assert_eq!((refused.status, error["code"].as_i64()), (400, Some(*code)), "{body}: {error}");
        assert_eq!(error["type"], "OAuthException");
        assert!(error["message"].as_str().unwrap().starts_with(&format!("(#{code}) ")), "{error}");
        assert_eq!(error["error_data"]["messaging_product"], "whatsapp");
        let details = error["error_data"]["details"].as_str().unwrap();
        assert!(details.contains(says), "{body}: {details}");
        assert!(error["fbtrace_id"].as_str().unwrap().len() > 10);
    }
    let stats = rig.simulator.stats();
    assert_eq!(stats.refused.values().sum::<u64>(), u64::try_from(cases.len()).unwrap());
    assert_eq!((stats.accepted, rig.simulator.messages().len()), (0, 0));
}

#[tokio::test]
async fn a_call_without_a_good_token_or_media_type_is_refused() {
    let rig = Rig::new(Settings::default()).await;
    let url = rig.url(&format!("/v25.0/{PHONE}/messages"));
    let body = text(ADA, "a:1").to_string();
    let json = "application/json";
    for (token, media_type, status, code) in [
        (None, json, 401, 104),
        (Some(""), json, 401, 104),
        (Some("Bearer "), json, 401, 104),
        (Some("Basic dTpw"), json, 401, 190),
        (Some("Bearer two words"), json, 401, 190),
        (Some("Bearer t"), "text/plain", 400, 100),
        (Some("Bearer t"), "application/jsonp", 400, 100),
    ] {
        let mut request = rig.client.post(&url).header("content-type", media_type).body(body.clone());
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let refused = answer(request).await.unwrap();
        assert_eq!((refused.status, refused.code()), (status, code), "{token:?} {media_type}");
    }
    let broken = rig.client.post(&url).bearer_auth("t").header("content-type", "application/json; charset=utf-8");
    let refused = answer(broken.body("{\"to\":")).await.unwrap();
    assert_eq!((refused.status, refused.code()), (400, 100));
}

#[tokio::test]
async fn paths_that_meta_does_not_have_get_an_envelope() {
    let rig = Rig::new(Settings::default()).await;
    for path in ["/", "/v25.0/1066/media", "/latest/1066/messages", "/v25.0/1066/media/messages", "/_sim/nothing"] {
        let refused = rig.get(path).await;
        assert_eq!((refused.status, refused.code()), (404, 2500), "{path}");
    }
    let refused = rig.get(&format!("/v25.0/{PHONE}/messages")).await;
    assert_eq!((refused.status, refused.code()), (400, 100));
    let url = rig.url("/v25.0/no.such.id/messages");
    let refused = answer(rig.client.post(url).bearer_auth("t").json(&text(ADA, "1"))).await.unwrap();
    assert_eq!((refused.status, refused.json()["error"]["error_subcode"].as_i64()), (400, Some(33)));
}

#[tokio::test]
async fn a_body_beyond_a_mebibyte_is_refused() {
    let rig = Rig::new(Settings::default()).await;
    let url = rig.url(&format!("/{PHONE}/messages"));
    let body = vec![b' '; 1024 * 1024 + 1];
    // The server may close before it has read all, and then the client may see no answer.
    if let Ok(refused) = answer(rig.client.post(url).bearer_auth("t").body(body)).await {
        assert_eq!((refused.status, refused.code()), (413, 100));
    }
    rig.until("the refusal", |stats| stats.refused.contains_key(&100)).await;
}

#[tokio::test]
async fn every_type_that_the_domain_knows_is_accepted_and_groups_take_some() {
    let rig = Rig::new(Settings::default()).await;
    for body in [
        of("text", json!({"body": "x".repeat(4096)})),
        of("image", json!({"link": "https://example.com/a.png"})),
        of("audio", json!({"id": "1"})),
        of("location", json!({"latitude": 52.5, "longitude": 13.4})),
        of("contacts", json!([{"name": {"formatted_name": "Ada"}}])),
        of("reaction", json!({"message_id": "wamid.x", "emoji": "👍"})),
        of("interactive", json!({"type": "cta_url", "body": {"text": "?"}, "action": {"name": "cta_url"}})),
    ] {
        assert_eq!(rig.send(&body).await.status, 200, "{body}");
    }
    let mut group = text("120363-group", "1");
    group["recipient_type"] = json!("group");
    assert_eq!(rig.send(&group).await.json()["contacts"][0]["wa_id"], "120363-group");
    let mut group = of("location", json!({"latitude": 1, "longitude": 1}));
    group["recipient_type"] = json!("group");
    assert_eq!(rig.send(&group).await.code(), 131_051);
}
