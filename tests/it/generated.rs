//! Thousands of generated bad requests and webhooks go through the parsers and the real server without a panic, a 5xx
//! or an effect. The cases are the same in every run; the environment variable `FUZZ_SEED` changes them.

use std::collections::BTreeSet;

use domain::Timestamp;
use domain::intake::NewMessage;
use domain::org::PutOrg;
use futures_util::StreamExt;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{APP_SECRET, PATIENCE, PHONE, TestApp, notification, seed, send, sender, status};

const REQUESTS: usize = 6000;
const WEBHOOKS: usize = 4000;
const RAW: usize = 300;
const AT_ONCE: usize = 16;
/// An unknown field: a body with it is refused, whatever else it contains.
const UNKNOWN: &str = "zz";
/// Words that the parsers know, so that generated inputs get deep into them. `from` is missing because it could
/// complete a valid inbound message, which would rightly be stored.
const WORDS: &[&str] = &[
    "to",
    "payloadJson",
    "templateCode",
    "type",
    "text",
    "body",
    "language",
    "components",
    "template",
    "interactive",
    "senders",
    "phoneNumberId",
    "accessToken",
    "object",
    "entry",
    "changes",
    "field",
    "value",
    "statuses",
    "messages",
    "metadata",
    "phone_number_id",
    "id",
    "status",
    "timestamp",
    "errors",
    "code",
    "sent",
    "failed",
    "read",
    "image",
    "",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => proptest::sample::select(WORDS).prop_map(str::to_owned), 1 => any::<String>()]
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let object = vec((word(), inner.clone()), 0..5);
        prop_oneof![
            vec(inner, 0..5).prop_map(Value::from),
            object.prop_map(|pairs| pairs.into_iter().collect::<Map<_, _>>().into())
        ]
    })
}

/// A valid value in which something was replaced.
fn bent(good: Value) -> impl Strategy<Value = Value> {
    (any::<proptest::sample::Index>(), tree()).prop_map(move |(index, with)| {
        let mut bent = good.clone();
        let mut paths: Vec<String> = Vec::new();
        paths_of(&good, String::new(), &mut paths);
        *bent.pointer_mut(&paths[index.index(paths.len())]).unwrap() = with;
        bent
    })
}

fn paths_of(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| paths_of(value, format!("{path}/{name}"), paths))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| paths_of(value, format!("{path}/{i}"), paths));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    paths.push(path);
}

fn org() -> Value {
    json!({"name": "x", "senders": [sender("2066", "s")]})
}

/// A webhook about messages that nobody sent.
fn webhook_about_strangers() -> Value {
    let mut failed = status("wamid.of-nobody", "failed");
    failed["errors"] = json!([{"code": 131_026, "title": "t", "error_data": {"details": "d"}}]);
    notification(PHONE, &[status("wamid.of-nobody", "delivered"), failed])
}

/// Bytes that may be JSON but are never a valid request.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let spoiled = |mut value: Value| {
        if let Some(object) = value.as_object_mut() {
            object.insert(UNKNOWN.into(), Value::Bool(true));
        }
        value.to_string().into_bytes()
    };
    prop_oneof![
        1 => vec(any::<u8>(), 0..300),
        2 => tree().prop_map(spoiled),
        4 => bent(seed("k")).prop_map(spoiled),
        2 => bent(org()).prop_map(spoiled),
    ]
}

fn webhook() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => vec(any::<u8>(), 0..300),
        2 => tree().prop_map(|tree| tree.to_string().into_bytes()),
        6 => bent(webhook_about_strangers()).prop_map(|bent| bent.to_string().into_bytes()),
        1 => bent(webhook_about_strangers()).prop_flat_map(|bent| {
            let text = bent.to_string().into_bytes();
            (0..text.len()).prop_map(move |end| text[..end].to_vec())
        }),
    ]
}

#[derive(Debug, Clone)]
struct Bad {
    method: &'static str,
    path: String,
    is_admin: bool,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn bad() -> impl Strategy<Value = Bad> {
    let calls: &[(&str, &str, bool)] = &[
        ("POST", "/api/v1/outbound/messages", false),
        ("POST", "/api/v1/outbound/messages", false),
        ("GET", "/api/v1/outbound/messages?Q", false),
        ("GET", "/api/v1/outbound/messages/paginated?Q", false),
        ("GET", "/api/v1/outbound/messages/ID", false),
        ("GET", "/api/v1/outbound/messages/ID/explain", false),
        ("POST", "/api/v1/outbound/messages/ID/retry", false),
        ("POST", "/api/v1/outbound/messages/ID/cancel", false),
        ("POST", "/api/v1/outbound/messages/retry", false),
        ("POST", "/api/v1/outbound/messages/cancel", false),
        ("GET", "/api/v1/inbound/messages?Q", false),
        ("GET", "/api/v1/activities?Q", false),
        ("GET", "/api/v1/audit?Q", false),
        ("GET", "/api/v1/consents?Q", false),
        ("GET", "/api/v1/consents/ID?Q", false),
        ("PUT", "/api/v1/consents/ID", false),
        ("GET", "/api/v1/recipients/ID/export?Q", false),
        ("DELETE", "/api/v1/recipients/ID", false),
        ("GET", "/api/v1/admin/actors?Q", true),
        ("GET", "/api/v1/admin/tries?Q", true),
        ("PUT", "/api/v1/admin/orgs/ID", true),
        ("PUT", "/api/v1/admin/orgs/beta", true),
        ("POST", "/api/v1/admin/orgs/acme/keys", true),
        ("POST", "/api/v1/admin/orgs/acme/check?Q", true),
        ("POST", "/api/v1/admin/key/rotate", true),
        ("DELETE", "/api/v1/admin/orgs/ID", true),
        ("DELETE", "/api/v1/admin/orgs/acme/keys/ID", true),
        ("GET", "/api/v1/webhooks/whatsapp/ID?Q", false),
        ("PATCH", "/api/v1/outbound/messages?Q", false),
    ];
    let escaped = |text: String| -> String {
        let escape = |b: u8| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") };
        text.bytes().map(escape).collect()
    };
    let id = word().prop_map(move |word| escaped(if word.is_empty() { "x".into() } else { word }));
    let names = &["limit", "cursor", "status", "to", "page", "size", "dossierId", "hub.mode", "action", "depth", "Q"];
    let query = vec((proptest::sample::select(&names[..]), word()), 0..4).prop_map(move |pairs| {
        pairs.into_iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&")
    });
    let header = prop_oneof![
        "[ -~]{0,40}".prop_map(|text| ("content-type", text)),
        "[ -~]{0,300}".prop_map(|text| ("idempotency-key", text)),
        "[ -~]{0,40}".prop_map(|text| ("x-org-id", text)),
        Just(("content-type", "application/json".to_owned())),
    ];
    (proptest::sample::select(calls), id, query, vec(header, 0..3), body()).prop_map(
        |((method, path, is_admin), id, query, headers, body)| {
            // A rotation without a body would be valid.
            let body = if body.is_empty() { b"{".to_vec() } else { body };
            Bad { method, path: path.replace("ID", &id).replace('Q', &query), is_admin, headers, body }
        },
    )
}

fn runner() -> TestRunner {
    let seed: u64 = std::env::var("FUZZ_SEED").map_or(0, |seed| seed.parse().unwrap());
    let bytes: Vec<u8> = seed.to_be_bytes().repeat(4);
    TestRunner::new_with_rng(ProptestConfig::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn generate<T>(runner: &mut TestRunner, strategy: &impl Strategy<Value = T>, count: usize) -> Vec<T> {
    (0..count).map(|_| strategy.new_tree(runner).unwrap().current()).collect()
}

/// Everything that a request or a webhook could have changed.
async fn everything(app: &TestApp) -> Vec<String> {
    let mut seen = vec![format!("{:?}", app.sim.stats().requests)];
    for path in [
        "outbound/messages",
        "outbound/stats",
        "inbound/messages",
        "consents",
        "audit?action=CREATED",
        "audit?action=SENT",
    ] {
        seen.push(app.acme().get(path).await.text);
    }
    let mut orgs = app.admin().get("admin/orgs").await.ok(200);
    for org in orgs["items"].as_array_mut().unwrap() {
        for key in org["keys"].as_array_mut().unwrap() {
            key["lastUsedAt"] = Value::Null;
        }
        for sender in org["senders"].as_array_mut().unwrap() {
            sender["webhooks"] = Value::Null;
        }
    }
    seen.push(orgs.to_string());
    seen
}

#[tokio::test]
async fn bad_requests_and_webhooks_are_answered_below_500_and_change_nothing() {
    let app = TestApp::start().await;
    let id = app.acme().accept(&seed("k")).await;
    app.acme().until(&id, "READ").await;
    app.settled().await;
    let before = everything(&app).await;
    let mut runner = runner();

    let admin = app.admin();
    let requests = generate(&mut runner, &bad(), REQUESTS).into_iter().map(async |bad| {
        let who = if bad.is_admin { &admin } else { app.acme() };
        let request = who.request(bad.method, &bad.path);
        let request = bad.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let answer = send(request.body(bad.body.clone())).await;
        let is_read = bad.method == "GET" && answer.status == 200;
        assert!(is_read || (400..500).contains(&answer.status), "{bad:?}: {answer:?}");
        answer.status
    });
    let met: BTreeSet<u16> = futures_util::stream::iter(requests).buffer_unordered(AT_ONCE).collect().await;
    assert!(
        [200, 400, 403, 404, 405, 415, 422].iter().all(|status| met.contains(status)),
        "the inputs do not get deep enough: {met:?}"
    );

    let webhooks = generate(&mut runner, &webhook(), WEBHOOKS).into_iter().enumerate().map(async |(n, body)| {
        // Some have the signature of another app. They are refused and soon throttled.
        let (secret, wanted): (_, &[u16]) = if n % 4 == 0 { ("another", &[401, 429]) } else { (APP_SECRET, &[200]) };
        let signature = whatsapp::signature::sign(&secret.parse().unwrap(), &body);
        let answer = app.webhook_with(&body, &[(whatsapp::signature::HEADER, &signature)]).await;
        assert!(wanted.contains(&answer.status), "{}: {answer:?}", String::from_utf8_lossy(&body));
    });
    futures_util::stream::iter(webhooks).buffer_unordered(AT_ONCE).for_each(async |()| ()).await;

    // Bytes that are not even HTTP.
    let address = app.base().trim_start_matches("http://").to_owned();
    let head = prop_oneof![
        vec(any::<u8>(), 1..200),
        "(GET|POST|PUT) [ -~]{0,60} HTTP/1\\.[0-9]\r\n([ -~]{0,30}: [ -~]{0,30}\r\n){0,4}\r\n"
            .prop_map(String::into_bytes),
    ];
    let raw = generate(&mut runner, &head, RAW).into_iter().map(async |head| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // The server may close the connection before all is written.
        let _ = stream.write_all(&head).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection hangs");
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 5"), "{head:?}: {answer}");
    });
    futures_util::stream::iter(raw).buffer_unordered(AT_ONCE).for_each(async |()| ()).await;

    assert_eq!(everything(&app).await, before);
    app.one_more().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_parsers_name_what_they_refuse_and_never_panic(request in body(), bytes in webhook()) {
        let now = Timestamp::from_secs(1_767_225_600);
        if let Ok(Value::Object(object)) = serde_json::from_slice(&request) {
            for refused in [NewMessage::parse(&object, None, now).err(), PutOrg::parse(&object).err()] {
                let errors = refused.expect("a field is unknown");
                prop_assert!(errors.iter().any(|error| error.field == UNKNOWN), "{errors:?}");
            }
        }
        if let Ok(notification) = whatsapp::webhook::parse(&bytes, now) {
            prop_assert!(notification.changes.iter().flat_map(|change| &change.receipts).all(|receipt| !receipt.receipt.provider_id.as_str().is_empty()));
        }
    }
}
