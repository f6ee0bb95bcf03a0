//! The requests that the simulator refuses, and Meta's words for them.

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

fn interactive(kind: &str, action: Value) -> Value {
    of("interactive", json!({"type": kind, "body": {"text": "?"}, "action": action}))
}

fn mark(mut members: Value) -> Value {
    members["messaging_product"] = json!("whatsapp");
    members
}

#[tokio::test]
async fn an_invalid_body_is_refused_with_the_code_and_the_reason() {
    let rig = Rig::new(Settings::default()).await;
    let button = |button: Value| interactive("button", json!({"buttons": [button]}));
    let reply = json!({"id": "1", "title": "Yes"});
    let parameters = |parameters: Value| {
        let components = json!([{"type": "body", "parameters": parameters}]);
        of("template", json!({"name": "hello", "language": {"code": "en"}, "components": components}))
    };
    let pressed = |mut button: Value| {
        button["type"] = json!("button");
        of("template", json!({"name": "hello", "language": {"code": "en"}, "components": [button]}))
    };
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
        (with("type", json!("telegram")), 131_051, "type must be one of"),
        (with("type", json!("image")), 131_008, "image is required"),
        (with("type", json!(1)), 131_009, "type must be a string"),
        (with("text", json!("Hello")), 131_009, "Param text must be a JSON object."),
        (with("text", json!({})), 131_008, "The parameter text['body'] is required."),
        (with("text", json!({"body": ""})), 131_009, "text['body'] must not be empty"),
        (with("text", json!({"body": "x".repeat(4097)})), 131_009, "text['body'] must be at most 4096 characters long"),
        (with("text", json!({"body": "x", "foo": 1})), 100, "Unexpected key \"foo\" on param \"text\"."),
        (with("text", json!({"body": "x", "preview_url": "yes"})), 131_009, "text['preview_url'] must be a boolean"),
        (with("context", json!({})), 131_009, "context['message_id']"),
        (with("biz_opaque_callback_data", json!("x".repeat(513))), 100, "at most 512"),
        (with("biz_opaque_callback_data", json!(7)), 100, "biz_opaque_callback_data must be a string"),
        (of("template", json!({"language": {"code": "en"}})), 131_008, "template['name'] is required"),
        (of("template", json!({"name": "Hello", "language": {"code": "en"}})), 131_009, "template['name']"),
        (of("template", json!({"name": "hello"})), 131_008, "template['language'] is required"),
        (of("template", json!({"name": "hello", "language": {}})), 131_008, "template['language']['code'] is required"),
        (
            of("template", json!({"name": "hello", "language": {"code": "en", "policystring": "x"}})),
            100,
            "Unexpected key \"policystring\" on param \"template['language']\".",
        ),
        (parameters(json!(["Ada"])), 131_009, "template['components'][0]['parameters'][0] must be a JSON object"),
        (parameters(json!({"type": "text"})), 131_009, "template['components'][0]['parameters'] must be an array"),
        (
            parameters(json!([{"type": "text"}])),
            131_008,
            "template['components'][0]['parameters'][0]['text'] is required",
        ),
        (parameters(json!([{"type": "text", "text": 5}])), 131_009, "['parameters'][0]['text'] must be a string"),
        (parameters(json!([{"type": "text", "text": ""}])), 131_008, "['parameters'][0]['text'] is required"),
        (parameters(json!([{"type": "text", "text": null}])), 131_008, "['parameters'][0]['text'] is required"),
        (parameters(json!([{"type": "image", "image": {}}])), 131_008, "['image']['id'] or "),
        (parameters(json!([{"type": "video", "video": {}}])), 131_008, "['video']['id'] or "),
        (parameters(json!([{"type": "document", "document": {"filename": "a"}}])), 131_008, "['document']['id'] or "),
        (pressed(json!({"index": "0"})), 131_008, "template['components'][0]['sub_type'] is required"),
        (pressed(json!({"sub_type": "url"})), 131_008, "template['components'][0]['index'] is required"),
        (pressed(json!({"sub_type": "url", "index": 0})), 131_009, "['components'][0]['index'] must be a string"),
        (of("image", json!({"id": "1", "link": "https://example.com"})), 131_009, "image must have either"),
        (of("image", json!({})), 131_008, "image['id'] or image['link'] is required"),
        (of("audio", json!({"id": "1", "caption": "x"})), 100, "Unexpected key \"caption\" on param \"audio\"."),
        (of("sticker", json!({"id": "1", "caption": "x"})), 100, "Unexpected key \"caption\" on param \"sticker\"."),
        (of("image", json!({"id": "1", "filename": "a.png"})), 100, "Unexpected key \"filename\" on param \"image\"."),
        (of("location", json!({"latitude": 91, "longitude": 0})), 131_009, "location['latitude'] must be degrees"),
        (of("contacts", json!(["Ada"])), 131_009, "contacts[0] must be a JSON object"),
        (of("contacts", json!([])), 131_009, "contacts must have 1 to 257 items"),
        (of("contacts", json!([{"name": {"first_name": "Ada"}}])), 131_008, "contacts[0]['name']['formatted_name']"),
        (
            of("contacts", json!([{"name": {"formatted_name": "Ada"}, "phones": ["+1"]}])),
            131_009,
            "contacts[0]['phones'][0]",
        ),
        (of("reaction", json!({"emoji": "👍"})), 131_008, "reaction['message_id'] is required"),
        (
            interactive("button", json!({"buttons": []})),
            131_009,
            "interactive['action']['buttons'] must have 1 to 3 items",
        ),
        (
            button(json!({"type": "url", "reply": reply})),
            131_009,
            "interactive['action']['buttons'][0]['type'] must be one of",
        ),
        (button(json!({"type": "reply"})), 131_008, "interactive['action']['buttons'][0]['reply'] is required"),
        (
            button(json!({"type": "reply", "reply": {"id": "1", "title": "x".repeat(21)}})),
            131_009,
            "['title'] must be at most 20 characters long",
        ),
        (interactive("foo", json!({})), 131_009, "interactive['type'] must be one of"),
        (
            interactive("flow", json!({"name": "flow", "parameters": {}})),
            131_008,
            "interactive['action']['parameters']['flow_message_version'] is required",
        ),
        (
            interactive("flow", json!({"name": "flow", "parameters": {"flow_message_version": "3", "flow_cta": "Go"}})),
            131_008,
            "['flow_id'] or interactive['action']['parameters']['flow_name'] is required",
        ),
        (
            interactive("cta_url", json!({"name": "cta_url"})),
            131_008,
            "interactive['action']['parameters'] is required",
        ),
        (
            interactive(
                "list",
                json!({"button": "Pick", "sections": [{"rows": vec![json!({"id": "1", "title": "a"}); 11]}]}),
            ),
            131_009,
            "at most 10 rows in all",
        ),
        (
            of("interactive", json!({"type": "button", "header": "x", "action": {}})),
            131_009,
            "interactive['header'] must be a JSON object",
        ),
        (
            of("interactive", json!({"type": "button", "body": "x", "action": {}})),
            131_009,
            "interactive['body'] must be a JSON object",
        ),
        (of("interactive", json!({"type": "list", "action": {}})), 131_008, "interactive['body'] is required"),
        (mark(json!({"status": "unread", "message_id": "wamid.x"})), 131_009, "status must be one of {read}"),
        (mark(json!({"status": "read"})), 131_008, "message_id is required"),
        (mark(json!({"status": "read", "message_id": 7})), 131_009, "message_id must be a string"),
        (
            mark(json!({"status": "read", "message_id": "wamid.x", "typing_indicator": {"type": "dance"}})),
            131_009,
            "typing_indicator['type'] must be one of {text}",
        ),
    ];
    for (body, code, says) in &cases {
        let refused = rig.send(body).await;
        let error = &refused.json()["error"];
        assert_eq!((refused.status, error["code"].as_i64()), (400, Some(*code)), "{body}: {error}");
        assert_eq!(error["type"], "OAuthException");
        assert!(error["message"].as_str().unwrap().starts_with(&format!("(#{code}) ")), "{error}");
        assert_eq!(error["error_data"]["messaging_product"], "whatsapp");
        assert!(*code != 100 || error["message"].as_str().unwrap().contains(says), "{error}");
        let details = error["error_data"]["details"].as_str().unwrap();
        assert!(details.contains(says), "{body}: {details}");
        assert!(error["fbtrace_id"].as_str().unwrap().len() > 10);
    }
    let stats = rig.simulator.stats();
    assert_eq!(stats.refused.values().sum::<u64>(), u64::try_from(cases.len()).unwrap());
    assert_eq!((stats.accepted, rig.simulator.messages().len()), (0, 0));
}

#[tokio::test]
async fn a_request_without_a_type_is_a_text_or_the_type_it_contains() {
    let rig = Rig::new(Settings::default()).await;
    assert_eq!(rig.send(&with("type", Value::Null)).await.status, 200);
    let mut list = interactive("list", json!({"button": "Pick", "sections": [{"rows": [{"id": "1", "title": "a"}]}]}));
    list.as_object_mut().unwrap().remove("type");
    assert_eq!(rig.send(&list).await.status, 200, "as in Meta's own example");
    let refused = rig.send(&json!({"messaging_product": "whatsapp", "to": ADA})).await;
    assert_eq!(refused.code(), 131_008);
    assert!(refused.text.contains("The parameter text is required."));
}

#[tokio::test]
async fn null_counts_as_absent() {
    let rig = Rig::new(Settings::default()).await;
    let mut body = text(ADA, "1");
    for name in ["context", "recipient_type", "status", "recipient", "type", "image", "biz_opaque_callback_data"] {
        body[name] = Value::Null;
    }
    assert_eq!(rig.send(&body).await.status, 200, "{body}");
}

#[tokio::test]
async fn a_message_is_marked_as_read_with_or_without_typing() {
    let rig = Rig::new(Settings::default()).await;
    let read = json!({"status": "read", "message_id": "wamid.HBgL"});
    let mut typing = read.clone();
    typing["typing_indicator"] = json!({"type": "text"});
    for body in [read, typing] {
        let answered = rig.send(&mark(body)).await;
        assert_eq!((answered.status, answered.json()), (200, json!({"success": true})));
    }
    let stats = rig.simulator.stats();
    assert_eq!((stats.marked_read, stats.requests, stats.accepted), (2, 0, 0), "nothing was sent");
}

#[tokio::test]
async fn errors_of_the_graph_api_have_only_a_message() {
    let rig = Rig::new(Settings::default()).await;
    let refused = rig.get("/v25.0/1066/nothing").await.json();
    assert_eq!(refused["error"]["message"], "Unknown path components: /v25.0/1066/nothing");
    assert!(refused["error"].get("error_data").is_none());
    let missing = answer(rig.client.get(rig.url("/v25.0/1013859600285441")).bearer_auth("t")).await.unwrap();
    let error = &missing.json()["error"];
    assert_eq!((missing.status, &error["type"]), (400, &json!("GraphMethodException")));
    assert!(
        error["message"].as_str().unwrap().starts_with("Unsupported get request. Object with ID '1013859600285441'")
    );
}

#[tokio::test]
async fn a_call_without_a_valid_token_or_media_type_is_refused() {
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
async fn every_type_is_accepted_and_groups_accept_some() {
    let rig = Rig::new(Settings::default()).await;
    for body in [
        of("text", json!({"body": "x".repeat(4096)})),
        of("image", json!({"link": "https://example.com/a.png"})),
        of("audio", json!({"id": "1"})),
        of("location", json!({"latitude": 52.5, "longitude": 13.4})),
        of("contacts", json!([{"name": {"formatted_name": "Ada"}}])),
        of("reaction", json!({"message_id": "wamid.x", "emoji": "👍"})),
        of("audio", json!({"id": "1", "voice": true})),
        of("document", json!({"link": "https://example.com/a.pdf", "caption": "hi", "filename": "a.pdf"})),
        of("sticker", json!({"id": "1"})),
        interactive("cta_url", json!({"name": "cta_url", "parameters": {"display_text": "Go", "url": "https://x.y"}})),
        interactive(
            "flow",
            json!({"name": "flow", "parameters": {"flow_message_version": "3", "flow_cta": "Go", "flow_name": "f"}}),
        ),
        interactive("location_request_message", json!({"name": "send_location"})),
        interactive("request_contact_info", json!({"name": "request_contact_info"})),
        of("interactive", json!({"type": "product", "action": {"catalog_id": "1", "product_retailer_id": "2"}})),
        of(
            "interactive",
            json!({"type": "button", "body": {"text": "?"}, "header": {"type": "image", "image": {"id": "1"}},
            "action": {"buttons": [{"type": "reply", "reply": {"id": "1", "title": "Yes"}}]}}),
        ),
        of(
            "template",
            json!({"name": "hello", "language": {"code": "en"}, "components": [
            {"type": "BODY", "parameters": [{"type": "text", "text": "Ada", "parameter_name": "name"}]},
            {"type": "tap_target_configuration", "parameters": [{"type": "tap_target_configuration",
                "tap_target_configuration": [{"url": "https://x.y", "title": "Go"}]}]},
            {"type": "button", "sub_type": "CATALOG", "index": "0", "parameters": [{"type": "action", "action": {}}]}]}),
        ),
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
