//! Invalid requests: each is answered with a problem that says what to change, and leaves no trace.

use serde_json::{Value, json};

use crate::support::{PHONE, Setup, TestApp, seed, send, text, with};

async fn nothing_was_kept(app: &TestApp) {
    let stats = app.acme().stats().await;
    assert!(stats.as_object().unwrap().values().all(|count| *count == 0), "{stats}");
    assert_eq!(app.acme().get("outbound/messages").await.ok(200)["items"], json!([]));
    assert_eq!(app.sim.stats().requests, 0);
}

#[tokio::test]
async fn bodies_that_are_not_a_json_object_are_malformed() {
    let app = TestApp::start().await;
    let mut deep = b"{\"to\":\"+1234567890\",\"payloadJson\":".to_vec();
    deep.extend([b'['; 10_000]);
    let bodies: [&[u8]; 14] = [
        b"",
        b"{",
        b"{\"to\":",
        b"{'to':'+1'}",
        b"{\"to\":\"+1234567890\"} {}",
        b"[]",
        b"null",
        b"7",
        b"\"text\"",
        b"\xff\xfe{}",
        b"{\"to\":\"+12345\xe4\"}",
        b"{\"to\":\"\xed\xa0\x80\"}",
        &[b'['; 10_000],
        &deep,
    ];
    for body in bodies {
        let answer = app.acme().post_raw("outbound/messages", "application/json", body).await;
        answer.problem(400, "MALFORMED");
        let put = app.admin().request("PUT", "admin/orgs/beta").header("content-type", "application/json");
        send(put.body(body.to_vec())).await.problem(400, "MALFORMED");
    }
    nothing_was_kept(&app).await;
}

#[tokio::test]
async fn invalid_fields_are_named() {
    let app = TestApp::start().await;
    let button = json!({"type": "reply", "reply": {"id": "1", "title": "Yes"}});
    let native = |payload: Value| with(text(1), &json!({"payloadJson": payload}));
    let field = |name: &str, value: Value| with(text(1), &json!({ name: value }));
    let cases: Vec<(Value, &str)> = vec![
        (json!({"payloadJson": {"type": "text", "text": {"body": "x"}}}), "to"),
        (json!({"to": "+1234567890"}), "payloadJson"),
        (field("to", json!(1_234_567_890)), "to"),
        (field("to", json!("1234567890")), "to"),
        (field("to", json!("+123456")), "to"),
        (field("to", json!("+1234567890123456")), "to"),
        (field("to", json!("+12345 67890")), "to"),
        (field("to", json!("+0234567890")), "to"),
        (field("to", json!("")), "to"),
        (field("to", json!(["+1234567890"])), "to"),
        (field("channel", json!("SMS")), "channel"),
        (field("payloadJson", json!("text")), "payloadJson"),
        (field("payloadJson", json!([])), "payloadJson"),
        (field("templateCode", json!(7)), "templateCode"),
        (with(seed("k"), &json!({"templateCode": "No Such Name"})), "templateCode"),
        (with(seed("k"), &json!({"payloadJson": {"components": []}})), "payloadJson.language"),
        (with(seed("k"), &json!({"payloadJson": {"language": "en", "components": 7}})), "payloadJson.components"),
        (field("dossierId", json!({"id": 1})), "dossierId"),
        (field("dossierId", json!(true)), "dossierId"),
        (field("subject", json!(5)), "subject"),
        (field("idempotencyKey", json!("")), "idempotencyKey"),
        (field("idempotencyKey", json!(5)), "idempotencyKey"),
        (field("idempotencyKey", json!("k".repeat(256))), "idempotencyKey"),
        (field("from", json!("999")), "from"),
        (field("from", json!(999)), "from"),
        (field("sendAt", json!("tomorrow")), "sendAt"),
        (field("sendAt", json!(1_767_225_600)), "sendAt"),
        (field("expiresAt", json!("2020-01-01T00:00:00Z")), "expiresAt"),
        (field("priority", json!("URGENT")), "priority"),
        (field("category", json!("SPAM")), "category"),
        (field("onUnknown", json!("PANIC")), "onUnknown"),
        (field("surprise", json!(1)), "surprise"),
        (field("orgId", json!("beta")), "orgId"),
        (native(json!({"type": "text", "text": {"body": "x".repeat(4097)}})), "payloadJson.text.body"),
        (native(json!({"type": "text", "text": {"body": ""}})), "payloadJson.text.body"),
        (native(json!({"type": "text", "text": {"body": 7}})), "payloadJson.text.body"),
        (native(json!({"type": "text"})), "payloadJson.text"),
        (native(json!({"type": "", "text": {"body": "x"}})), "payloadJson.type"),
        (native(json!({"type": "audio", "audio": {"id": "1", "caption": "x"}})), "payloadJson.audio.caption"),
        (native(json!({"type": "text", "text": {"body": "x"}, "context": {}})), "payloadJson.context.message_id"),
        (native(json!({})), "payloadJson.type"),
        (
            native(json!({"type": "interactive", "interactive": {"type": "button", "body": {"text": "?"},
                "action": {"buttons": vec![button; 70]}}})),
            "payloadJson.interactive.action.buttons",
        ),
        (native(json!({"type": "text", "text": {"body": "x"}, "to": "+49"})), "payloadJson.to"),
    ];
    for (body, name) in cases {
        let answer = app.acme().send_message(&body).await;
        answer.problem(422, "INVALID");
        assert_eq!(answer.fields(), [name], "{body}");
    }
    nothing_was_kept(&app).await;
}

#[tokio::test]
async fn several_invalid_fields_are_named_at_once() {
    let app = TestApp::start().await;
    let body = json!({"to": "1", "channel": "SMS", "payloadJson": {"type": "text"}, "priority": "URGENT", "x": 1});
    let answer = app.acme().send_message(&body).await;
    answer.problem(422, "INVALID");
    assert_eq!(answer.fields(), ["channel", "payloadJson.text", "priority", "to", "x"]);
    let org = json!({"name": 7, "senders": [{"phoneNumberId": PHONE, "appSecret": ""}], "color": "red"});
    let answer = app.admin().put("admin/orgs/beta", &org).await;
    answer.problem(422, "INVALID");
    let named = answer.fields();
    assert!(
        ["name", "senders[0].appSecret", "color"].iter().all(|name| named.contains(&(*name).to_owned())),
        "{named:?}"
    );
    nothing_was_kept(&app).await;
}

#[tokio::test]
async fn an_unsafe_text_in_a_field_name_does_not_break_the_answer() {
    let app = TestApp::start().await;
    let answer = app.acme().send_message(&with(text(1), &json!({"\"<script>\n\u{0}": 1}))).await;
    answer.problem(422, "INVALID");
    assert_eq!(answer.fields(), ["\"<script>\n\u{0}"]);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_is_sent() {
    let app = Setup::new().set("http.max_body", "2KiB").start().await;
    let exact = |size: usize| {
        let body = text(1).to_string();
        format!("{body}{}", " ".repeat(size - body.len()))
    };
    for size in [2049, 100_000, 2_000_000] {
        let answer = app.acme().post_raw("outbound/messages", "application/json", exact(size)).await;
        answer.problem(413, "TOO_LARGE");
    }
    // Chunked, without a content length.
    let chunk = exact(1024);
    let head = format!(
        "POST /api/v1/outbound/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
        app.acme().key()
    );
    let chunks = format!("400\r\n{chunk}\r\n").repeat(3);
    let answer = app.raw(&format!("{head}{chunks}0\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // With `Expect: 100-continue`.
    let head = head.replace("transfer-encoding: chunked", "content-length: 5000000\r\nexpect: 100-continue");
    let answer = app.raw(&head).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    nothing_was_kept(&app).await;
    assert_eq!(app.acme().post_raw("outbound/messages", "application/json", exact(2048)).await.status, 201);
}

#[tokio::test]
async fn requests_without_a_valid_key_are_unauthorized() {
    let app = TestApp::start().await;
    let acme = app.acme().key().to_owned();
    let swapped = format!("{}0", &acme[..acme.len() - 1]);
    let swapped = if swapped == acme { format!("{}1", &acme[..acme.len() - 1]) } else { swapped };
    let headers = [
        None,
        Some(String::new()),
        Some("Bearer".into()),
        Some("Bearer ".into()),
        Some("Bearer wrong".into()),
        Some(format!("Bearer {swapped}")),
        Some(format!("Bearer {acme}x")),
        Some(format!("Basic {acme}")),
        Some(acme.clone()),
    ];
    for header in headers {
        for (method, path) in [("POST", "outbound/messages"), ("GET", "outbound/stats"), ("GET", "admin/orgs")] {
            let mut request = app.api(None).request(method, path);
            if let Some(header) = &header {
                request = request.header("authorization", header);
            }
            let answer = send(request.json(&text(1))).await;
            answer.problem(401, "UNAUTHORIZED");
            assert_ne!(answer.header("www-authenticate"), "");
        }
    }
    let lower = app.api(None).request("GET", "outbound/stats").header("authorization", format!("bearer {acme}"));
    assert_eq!(send(lower).await.status, 200);
    nothing_was_kept(&app).await;
}

#[tokio::test]
async fn wrong_content_types_paths_and_methods_have_different_answers() {
    let app = TestApp::start().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/xml", "multipart/form-data", "json"] {
        let answer = app.acme().post_raw("outbound/messages", kind, text(1).to_string()).await;
        answer.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v2/outbound/messages",
        "/metricz",
        "/api/v1/outbound",
        "/api/v1/outbound/messages/",
    ] {
        let answer = app.acme().get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        answer.problem(404, answer.json()["code"].as_str().unwrap());
    }
    for (method, path, allow) in [
        ("DELETE", "/api/v1/outbound/messages", "GET, HEAD, POST"),
        ("PATCH", "/api/v1/outbound/messages/x", "GET, HEAD"),
        ("GET", "/api/v1/outbound/messages/x/cancel", "POST"),
        ("POST", "/api/v1/outbound/stats", "GET, HEAD"),
        ("PUT", "/api/v1/webhooks/whatsapp/inbound", "GET, HEAD, POST"),
        ("PATCH", "/api/v1/admin/orgs/acme", "DELETE, GET, HEAD, PUT"),
        ("POST", "/healthz", "GET, HEAD"),
        ("DELETE", "/readyz", "GET, HEAD"),
    ] {
        let answer = send(app.acme().request(method, path).json(&text(1))).await;
        answer.problem(405, "METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
    nothing_was_kept(&app).await;
}

#[tokio::test]
async fn malformed_query_parameters_are_named() {
    let app = TestApp::start().await;
    for (path, field) in [
        ("outbound/messages?limit=abc", "limit"),
        ("outbound/messages?limit=0", "limit"),
        ("outbound/messages?limit=201", "limit"),
        ("outbound/messages?limit=-1", "limit"),
        ("outbound/messages?status=SLEEPING", "status"),
        ("outbound/messages?status=read", "status"),
        ("outbound/messages?to=12", "to"),
        ("outbound/messages?cursor=nonsense", "cursor"),
        ("outbound/messages?dossier=1", "dossier"),
        ("outbound/messages/paginated?page=-1", "page"),
        ("outbound/messages/paginated?page=99999999999999999999", "page"),
        ("outbound/messages/paginated?size=0", "size"),
        ("outbound/messages/paginated?size=201", "size"),
        ("outbound/messages/paginated?status=%FF", "status"),
        ("activities", "dossierId"),
        ("activities?dossierId=1&limit=x", "limit"),
        ("audit?action=DANCED", "action"),
        ("audit?cursor=x", "cursor"),
        ("audit?limit=1e3", "limit"),
        ("outbound/messages?to=", "to"),
        ("outbound/messages?status=", "status"),
        ("outbound/messages/paginated?dossierId=", "dossierId"),
        ("outbound/messages?cursor=", "cursor"),
        ("inbound/messages?from=", "from"),
        ("activities?dossierId=", "dossierId"),
        ("audit?entityId=", "entityId"),
        ("consents?limit=", "limit"),
    ] {
        let answer = app.acme().get(path).await;
        answer.problem(422, "INVALID");
        assert_eq!(answer.fields(), [field], "{path}");
    }
    for path in ["admin/actors?depth=x", "admin/actors?format=xml", "admin/actors?limit=-1", "admin/actors?orgs=a"] {
        app.admin().get(path).await.problem(422, "INVALID");
    }
}
