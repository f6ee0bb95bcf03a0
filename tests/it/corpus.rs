//! Writes the corpus of the record codec anew: run it when a record's format changes, under a new name, and keep the old files.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::json;
use store::backend::{Backend, Order};
use store::{DataFolder, SledBackend};

use crate::support::{PHONE, TestApp, faults, notification, phone, seed, status, text, with};

/// What is new in this format, in a word.
const NAME: &str = "first.hex";

#[tokio::test]
#[ignore = "writes into the repository"]
async fn the_corpus_of_records_is_written() {
    let mut app = TestApp::start().await;
    let id = app.acme().accept(&seed("k")).await;
    app.acme().until(&id, "READ").await;
    app.sim.set_faults(faults(&json!([{"to": phone(2), "fault": {"kind": "error", "code": 131_026}}])));
    let failed = app.acme().accept(&text(2)).await;
    app.acme().until(&failed, "FAILED").await;
    for (n, more) in [
        (3, json!({"sendAt": "2099-01-01T00:00:00Z", "dossierId": "d", "subject": "s", "priority": "HIGH"})),
        (4, json!({"expiresAt": "2099-01-01T00:00:00Z", "sendAt": "2098-01-01T00:00:00Z", "onUnknown": "HOLD"})),
        (5, json!({"sendAt": "2099-01-01T00:00:00Z", "priority": "LOW"})),
    ] {
        let id = app.acme().accept(&with(text(n), &more)).await;
        if n == 5 {
            app.acme().post(&format!("outbound/messages/{id}/cancel"), &json!({})).await.ok(200);
        }
    }
    app.webhook(notification(PHONE, &[status("wamid.of-nobody", "delivered")]).to_string().as_bytes()).await;
    let said = json!([{"from": "4915112345678", "from_user_id": "DE.1", "id": "wamid.I", "timestamp": "1767225600",
        "type": "text", "text": {"body": "STOP"}}, {"from": "4915112345678", "id": "wamid.J", "timestamp": "1767225601",
        "type": "system", "system": {"type": "user_changed_number", "wa_id": "4915187654321", "previous_user_id": "DE.1"}}]);
    let mut told = notification(PHONE, &[]);
    told["entry"][0]["changes"][0]["value"]["messages"] = said;
    app.webhook(told.to_string().as_bytes()).await;
    app.settled().await;
    app.stop().await;
    let backend = SledBackend::open(DataFolder::open_existing(&app.data()).unwrap(), 16 << 20).unwrap();
    let mut lines = String::new();
    // Keys that begin with 0 are the backend's own.
    backend
        .scan(&[1]..&[u8::MAX], Order::Ascending, &mut |key, value| {
            writeln!(lines, "{} {}", hex::encode(key), hex::encode(value)).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
    std::fs::write(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/records").join(NAME), lines).unwrap();
}
