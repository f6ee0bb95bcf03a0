//! The webhook parser.

use std::collections::BTreeSet;

use domain::Timestamp;
use domain::message::Recipient;
use domain::receipt::{Receipt, ReceiptKind, Reported};
use proptest::prelude::*;
use serde_json::Value;
use whatsapp::webhook::{Change, Notification, parse, said};

use crate::changes::changed;
use crate::{corpus, fuzz};

const CASES: u64 = 20_000;
const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const WORDS: &[&[u8]] = &[
    b"\"statuses\":",
    b"\"messages\":",
    b"\"id\":",
    b"\"status\":",
    b"\"errors\":",
    b"\"entry\":",
    b"null",
    b"{}",
    b"[]",
    b"\"\"",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\\u0000",
    b"\\ud800",
    b"\\ud83d",
    b"\"\\udc00\":\"\\ud83d\",",
    b"null,",
    b"\"type\":\"payment\",",
    b"\"payment\":{},",
    b"\"origin\":\"contact_request\",",
    b"1767225600000",
    b"\xed\xa0\xbd",
    b"\xf0\x9f\x91\x8b",
    b"wamid.",
    b"sent",
    b"failed",
];

fn skipped(notification: &Notification) -> usize {
    notification.changes.iter().map(|change| change.skipped).sum()
}

#[test]
fn each_corpus_file_is_read_as_its_name_says() {
    for kept in corpus("webhooks") {
        let (read, name) = (parse(&kept.bytes, NOW), kept.name.join("."));
        match kept.name[0].as_str() {
            "good" => assert_eq!(skipped(&read.unwrap()), 0, "{name}"),
            "odd" => assert!(skipped(&read.unwrap()) > 0, "{name}"),
            "not" => assert!(read.is_err(), "{name}"),
            other => panic!("{other} in {name}"),
        }
    }
}

#[test]
fn nothing_is_read_that_is_not_in_the_webhook() {
    let inputs: Vec<_> = corpus("webhooks").into_iter().map(|kept| kept.bytes).collect();
    fuzz(CASES, &changed(inputs, WORDS), |input| {
        let Ok(read) = parse(&input.0, NOW) else { return Ok(()) };
        // serde_json reads the same bytes independently. Where it refuses deep nesting, there is nothing to compare.
        let Ok(body) = serde_json::from_str::<Value>(&whatsapp::mend(&input.0)) else { return Ok(()) };
        prop_assert!(body["object"].is_string() && body["entry"].is_array());
        let mut there = BTreeSet::new();
        statuses(&body, &mut there);
        for receipt in read.changes.iter().flat_map(|change| &change.receipts).map(|reported| &reported.receipt) {
            let words: &[&str] = match receipt.kind {
                ReceiptKind::Sent => &["sent"],
                ReceiptKind::Delivered => &["delivered"],
                ReceiptKind::Read => &["read", "played"],
                ReceiptKind::Failed => &["failed"],
            };
            let id = receipt.provider_id.as_str();
            let is_there = words.iter().any(|word| there.contains(&(id.to_owned(), (*word).to_owned())));
            prop_assert!(is_there && !id.is_empty(), "a receipt {} of {id:?}", receipt.kind);
        }
        Ok(())
    });
}

/// A description of everything that was read from a webhook.
fn description(notification: &Notification) -> Vec<String> {
    let change = |change: &Change| {
        let inbound = change.inbound.iter().map(|item| {
            let said: Vec<_> = said(&item.raw).into_iter().map(|said| said.text).collect();
            let names = item.link.as_ref().map(|link| (&link.names, &link.before));
            format!(
                "{} {:?} {names:?} {said:?} {}",
                item.id.as_str(),
                item.from.as_ref().map(Recipient::as_str),
                item.at
            )
        });
        let receipts = change.receipts.iter().map(|Reported { receipt, names }| {
            let Receipt { provider_id, attempt, kind, at, error, .. } = receipt;
            format!("{} {attempt:?} {kind} {at} {error:?} {names:?}", provider_id.as_str())
        });
        let preferences = change.preferences.iter().map(|it| format!("{it:?} {:?} {:?}", it.names, it.detail));
        let template = change.template.iter().map(|it| format!("{it:?}"));
        inbound.chain(receipts).chain(preferences).chain(template).collect::<Vec<_>>()
    };
    notification.changes.iter().flat_map(change).collect()
}

/// The same JSON with an irrelevant member at the start of each object and `null` at the start of each list of objects.
fn spoiled(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields =
                fields.iter().map(|(name, field)| format!("{}:{}", Value::from(name.as_str()), spoiled(field)));
            let junk = [r#""\ud83d":"\udc00\ud83d""#, r#""x":[null,1e999]"#].map(str::to_owned);
            format!("{{{}}}", junk.into_iter().chain(fields).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let items = items.iter().map(spoiled);
            format!("[null,{}]", items.collect::<Vec<_>>().join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => value.to_string(),
    }
}

#[test]
fn unpaired_surrogates_and_nulls_in_lists_do_not_change_what_is_read() {
    for kept in corpus("webhooks").into_iter().filter(|kept| kept.name[0] == "good") {
        let body: Value = serde_json::from_str(&whatsapp::mend(&kept.bytes)).unwrap();
        let read = description(&parse(&kept.bytes, NOW).unwrap());
        assert_eq!(description(&parse(spoiled(&body).as_bytes(), NOW).unwrap()), read, "{}", kept.name.join("."));
    }
}

/// The id and status of everything that could be a status, anywhere in the JSON.
fn statuses(value: &Value, found: &mut BTreeSet<(String, String)>) {
    let is_of_a_message =
        value["payment"].is_null() && value["type"].as_str().is_none_or(|of| of.eq_ignore_ascii_case("message"));
    if let (Some(id), Some(status), true) = (value["id"].as_str(), value["status"].as_str(), is_of_a_message) {
        found.insert((id.to_owned(), status.to_ascii_lowercase()));
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| statuses(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| statuses(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
