//! The webhook parser.

use std::collections::BTreeSet;

use domain::Timestamp;
use domain::receipt::ReceiptKind;
use proptest::prelude::*;
use serde_json::Value;
use whatsapp::webhook::{Notification, parse};

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
    b"\xf0\x9f\x91\x8b",
    b"wamid.",
    b"sent",
    b"failed",
];

fn skipped(notification: &Notification) -> usize {
    notification.changes.iter().map(|change| change.skipped).sum()
}

#[test]
fn each_of_the_corpus_is_read_as_its_name_says() {
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
fn nothing_is_read_that_is_not_there() {
    let inputs: Vec<_> = corpus("webhooks").into_iter().map(|kept| kept.bytes).collect();
    fuzz(CASES, &changed(inputs, WORDS), |input| {
        let Ok(read) = parse(&input.0, NOW) else { return Ok(()) };
        // Another reader of the same bytes; where it refuses more deeply nested ones, there is nothing to compare.
        let Ok(body) = serde_json::from_slice::<Value>(&input.0) else { return Ok(()) };
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

/// The id and status of everything that might be one, wherever it is.
fn statuses(value: &Value, found: &mut BTreeSet<(String, String)>) {
    if let (Some(id), Some(status)) = (value["id"].as_str(), value["status"].as_str()) {
        found.insert((id.to_owned(), status.to_owned()));
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| statuses(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| statuses(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
