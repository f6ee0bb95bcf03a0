//! The request bodies of the API: messages and organisations.

use domain::FieldError;
use domain::Timestamp;
use domain::intake::NewMessage;
use domain::org::PutOrg;
use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::changes::changed;
use crate::{corpus, fuzz};

const CASES: u64 = 20_000;
const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
/// All fields of a message.
const FIELDS: &[&str] = &[
    "to",
    "channel",
    "templateCode",
    "payloadJson",
    "dossierId",
    "subject",
    "idempotencyKey",
    "from",
    "sendAt",
    "expiresAt",
    "priority",
    "category",
    "onUnknown",
];
const WORDS: &[&[u8]] = &[
    b"\"to\":\"+1234567890\",",
    b"\"payloadJson\":",
    b"\"templateCode\":\"x\",",
    b"null",
    b"{}",
    b"[]",
    b"\"\"",
    b"-1",
    b"1e999",
    b"9",
    b"+",
    b" ",
    b"\\u0000",
    b"\xd9\xa1",
    b"HIGH",
    b"2099-01-01T00:00:00Z",
    b"\"type\":\"text\",",
    b"true",
];

#[test]
fn each_corpus_file_is_accepted_or_refused_as_its_name_says() {
    for kept in corpus("requests") {
        let (body, name): (Map<String, Value>, _) = (serde_json::from_slice(&kept.bytes).unwrap(), kept.name.join("."));
        let message = || NewMessage::parse(&body, None, NOW);
        match kept.name[0].as_str() {
            "good" => assert!(message().is_ok(), "{name}: {:?}", message().err()),
            "bad" => {
                let errors = message().err().unwrap_or_else(|| panic!("{name} is accepted"));
                assert!(errors.iter().any(|error| error.field == kept.name[1]), "{name}: {errors:?}");
            }
            "org" => assert!(PutOrg::parse(&body).is_ok(), "{name}: {:?}", PutOrg::parse(&body).err()),
            other => panic!("{other} in {name}"),
        }
    }
}

#[test]
fn no_message_that_breaks_a_rule_is_accepted_and_each_refusal_names_a_field() {
    let inputs: Vec<_> = corpus("requests").into_iter().map(|kept| kept.bytes).collect();
    fuzz(CASES, &changed(inputs, WORDS), |input| {
        let Ok(body) = serde_json::from_slice::<Map<String, Value>>(&input.0) else { return Ok(()) };
        if let Err(errors) = PutOrg::parse(&body) {
            prop_assert!(!errors.is_empty());
        }
        let message = match NewMessage::parse(&body, None, NOW) {
            Ok(message) => message,
            Err(errors) => {
                // A field name may be empty, and is then unknown.
                let is_named = |error: &FieldError| !error.field.is_empty() || body.contains_key("");
                prop_assert!(!errors.is_empty() && errors.iter().all(is_named), "{errors:?}");
                return Ok(());
            }
        };
        // The rules of the contract, implemented independently.
        let to = body["to"].as_str().unwrap_or_default();
        let is_e164 = to.strip_prefix('+').is_some_and(|digits| {
            (7..=15).contains(&digits.len())
                && digits.bytes().all(|digit| digit.is_ascii_digit())
                && !digits.starts_with('0')
        });
        prop_assert!(is_e164, "to {to:?}");
        prop_assert!(body["payloadJson"].is_object());
        prop_assert!(body.keys().all(|name| FIELDS.contains(&name.as_str())), "an unknown field was accepted");
        let key = body.get("idempotencyKey").and_then(Value::as_str);
        prop_assert_eq!(message.idempotency_key(), key);
        prop_assert!(key.is_none_or(|key| (1..=255).contains(&key.chars().count())), "{key:?}");
        let time = |name| body.get(name).and_then(|at: &Value| at.as_str()?.parse::<Timestamp>().ok());
        let (send_at, expires_at) = (time("sendAt"), time("expiresAt"));
        prop_assert!(expires_at.is_none_or(|end| end > NOW && send_at.is_none_or(|send| send < end)));
        Ok(())
    });
}
