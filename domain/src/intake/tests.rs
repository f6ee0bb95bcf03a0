//! Which requests are accepted, and what they become.

use super::*;
use serde_json::json;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn parse(body: &Value, header: Option<&str>) -> Result<NewMessage, Vec<String>> {
    NewMessage::parse(body.as_object().unwrap(), header, NOW)
        .map_err(|errors| errors.into_iter().map(|error| error.field).collect())
}

fn text(extra: Value) -> Value {
    let mut body = json!({"to": "+1234567890", "payloadJson": {"type": "text", "text": {"body": "hi"}}});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[test]
fn the_seed_request_is_accepted() {
    let body = json!({"dossierId": 456, "channel": "WHATSAPP", "to": "+1234567890", "templateCode": "welcome_message",
        "payloadJson": {"language": "en", "components": [{"type": "body", "parameters": [{"type": "text", "text": "John Doe"}]}]},
        "idempotencyKey": "unique-123"});
    let new = parse(&body, None).unwrap();
    assert_eq!(new.idempotency_key(), Some("unique-123"));
    assert_eq!(new.dossier, Some(Dossier::Number("456".into())));
}

#[test]
fn every_bad_field_is_named_at_once() {
    let body = json!({"to": "123", "channel": "SMS", "templateCode": "Bad Name", "payloadJson": {"type": "text"},
        "dossierId": true, "subject": "", "idempotencyKey": "", "from": "a b", "sendAt": "soon", "expiresAt": 5,
        "priority": "URGENT", "category": "SPAM", "onUnknown": "PANIC", "surprise": 1});
    let mut fields = parse(&body, None).unwrap_err();
    fields.sort();
    assert_eq!(
        fields,
        [
            "category",
            "channel",
            "dossierId",
            "expiresAt",
            "from",
            "idempotencyKey",
            "onUnknown",
            "payloadJson.language",
            "payloadJson.type",
            "priority",
            "sendAt",
            "subject",
            "surprise",
            "templateCode",
            "to"
        ]
    );
}

#[test]
fn a_dossier_whose_digits_json_would_lose_must_be_a_string() {
    for number in ["18446744073709551616", "1e5", "4.5"] {
        let body: Value =
            serde_json::from_str(&text(json!({})).to_string().replacen('{', &format!("{{\"dossierId\":{number},"), 1))
                .unwrap();
        assert_eq!(parse(&body, None).unwrap_err(), ["dossierId"], "{number}");
    }
    assert!(parse(&text(json!({"dossierId": u64::MAX})), None).is_ok());
    assert!(parse(&text(json!({"dossierId": "18446744073709551616"})), None).is_ok());
}

#[test]
fn an_empty_request_names_what_is_required() {
    assert_eq!(parse(&json!({}), None).unwrap_err(), ["to", "payloadJson"]);
}

#[test]
fn the_key_may_come_in_the_body_or_the_header_but_not_differ() {
    assert_eq!(parse(&text(json!({})), Some("k")).unwrap().idempotency_key(), Some("k"));
    assert!(parse(&text(json!({"idempotencyKey": "k"})), Some("k")).is_ok());
    assert_eq!(parse(&text(json!({"idempotencyKey": "k"})), Some("other")).unwrap_err(), ["idempotencyKey"]);
    assert_eq!(parse(&text(json!({})), Some("")).unwrap_err(), ["idempotencyKey"]);
    let ours = "consent-reply:REVOKED:x:20000";
    assert_eq!(parse(&text(json!({"idempotencyKey": ours})), None).unwrap_err(), ["idempotencyKey"]);
    assert_eq!(parse(&text(json!({})), Some(ours)).unwrap_err(), ["idempotencyKey"]);
    assert_eq!(parse(&text(json!({})), Some(&"k".repeat(256))).unwrap_err(), ["idempotencyKey"]);
}

#[test]
fn the_fingerprint_ignores_spelling_but_not_content() {
    let print = |text: &str, header| parse(&serde_json::from_str(text).unwrap(), header).unwrap().fingerprint;
    let a = r#"{"to":"+1234567890","payloadJson":{"type":"text","text":{"body":"hi"}},"idempotencyKey":"k"}"#;
    let b = r#"{ "payloadJson": {"text":{"body":"\u0068i"},"type":"text"}, "to": "+1234567890" }"#;
    assert_eq!(print(a, None), print(b, Some("k")));
    assert_ne!(print(a, None), print(&a.replace("hi", "ho"), None));
}

fn written(json: &str) -> NewMessage {
    parse(&serde_json::from_str(json).unwrap(), None).unwrap().as_written(json.as_bytes())
}

#[test]
fn a_payload_is_carried_as_it_was_written() {
    let json = r#"{ "payloadJson": {"type": "location", "location": {"longitude": 106.81666600000001, "latitude": -6.200000000000001,
        "big": 123456789012345678901234, "n": 1.50, "name": "\u0041 \/ \ud83d\ude00"}}, "to": "+1234567890" }"#;
    let payload = String::from_utf8(written(json).payload).unwrap();
    assert_eq!(
        payload,
        r#"{"type":"location","location":{"longitude":106.81666600000001,"latitude":-6.200000000000001,"big":123456789012345678901234,"n":1.50,"name":"\u0041 \/ \ud83d\ude00"}}"#
    );
}

#[test]
fn of_two_payloads_in_one_body_the_one_that_was_checked_is_carried() {
    let json =
        r#"{"to":"+1234567890","payloadJson":{"type":"text"},"payloadJson":{"type":"text","text":{"body":"b"}}}"#;
    assert_eq!(written(json).payload, br#"{"type":"text","text":{"body":"b"}}"#);
}

#[test]
fn a_repeat_is_known_by_its_digits_and_by_what_older_messages_were_kept_with() {
    let body = |longitude: &str| {
        written(&format!(
            r#"{{"to":"+1234567890","payloadJson":{{"type":"location","location":{{"latitude":1,"longitude":{longitude}}}}}}}"#
        ))
    };
    let (exact, near) = (body("106.81666600000001"), body("106.816666"));
    assert!(exact.made(&exact.fingerprint) && !exact.made(&near.fingerprint) && !near.made(&exact.fingerprint));
    // Stored before digits counted.
    assert!(exact.made(&exact.first_fingerprint));
    assert_eq!(hex(near.first_fingerprint), "670cc0cb243ac3d4769c7d7c4283421efcb1b997019eb1c9c6de9689210ac81b");
}

fn hex(hash: Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn times_must_lie_ahead_and_in_order() {
    let at = |secs| NOW.after(std::time::Duration::from_secs(secs)).to_string();
    assert!(parse(&text(json!({"sendAt": at(10), "expiresAt": at(20)})), None).is_ok());
    assert_eq!(parse(&text(json!({"sendAt": at(20), "expiresAt": at(20)})), None).unwrap_err(), ["expiresAt"]);
    assert_eq!(parse(&text(json!({"expiresAt": NOW.to_string()})), None).unwrap_err(), ["expiresAt"]);
    // With a key it may be a repeat, which only the store can tell.
    let repeat = parse(&text(json!({"expiresAt": NOW.to_string()})), Some("k")).unwrap();
    assert_eq!(repeat.late(NOW).map(|error| error.field).as_deref(), Some("expiresAt"));
    assert_eq!(repeat.late(NOW.before(std::time::Duration::from_secs(1))), None);
}
