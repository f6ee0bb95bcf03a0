//! Every error code of Meta through the real pipeline: its effect on the message, on the number of attempts, and on
//! another message of the same sender.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Api, TestApp, eventually, faults, phone, seed, with};

/// The effect of a code on a message and on another message of the same sender.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// It is retried on schedule, and the attempt counts. The other is sent.
    Retried,
    /// It is retried later or at a slower rate, and the attempt does not count. The other is sent.
    Slowed,
    /// It stays QUEUED for hours unless a person retries it, and the attempt does not count. The other waits, too.
    Limited,
    /// It is FAILED at once. The other is sent.
    Failed,
    /// It stays QUEUED, and the attempt does not count. The sender is paused, and the other waits, too.
    SenderPaused,
    /// It stays QUEUED until its template is resumed, and the attempt does not count. The other is sent.
    TemplateShut,
    /// It stays QUEUED until tomorrow, and the attempt does not count. The other is sent.
    Deferred,
}

use Then::{Deferred, Failed, Limited, Retried, SenderPaused, Slowed, TemplateShut};

const CODES: &[(Then, &[i64])] = &[
    (Retried, &[1, 2, 131000, 131016, 133004, 134101]),
    (Slowed, &[4, 17, 341, 613, 80007, 130429, 131056, 131057]),
    (Limited, &[131048, 131064]),
    (
        Failed,
        &[
            100, 506, 130403, 130472, 131001, 131008, 131009, 131021, 131026, 131047, 131050, 131051, 131053, 131055,
            131062, 132000, 132001, 132005, 132007, 132008, 132012, 132016, 132018, 132068, 134100, 135000, 137000,
            999_999,
        ],
    ),
    (
        SenderPaused,
        &[
            0, 3, 10, 33, 102, 104, 190, 200, 210, 299, 368, 803, 131005, 131031, 131037, 131042, 131045, 133010,
            134011, 134102, 141006,
        ],
    ),
    (TemplateShut, &[132015, 131063]),
    (Deferred, &[131049]),
];

#[tokio::test]
async fn each_code_has_its_effect_on_its_message_and_on_others() {
    let app = TestApp::start().await;
    let cases: Vec<(Then, i64)> =
        CODES.iter().flat_map(|(then, codes)| codes.iter().map(move |code| (*then, *code))).collect();
    // Each code has its own organisation and number, so that codes cannot affect each other.
    let rules: Vec<Value> = cases
        .iter()
        .map(|(_, code)| json!({"phoneNumberId": number(*code), "count": 1, "fault": {"kind": "error", "code": code}}))
        .collect();
    app.sim.set_faults(faults(&json!(rules)));
    join_all(cases.iter().map(|(then, code)| check(&app, *then, *code))).await;
}

fn number(code: i64) -> String {
    format!("77{code}")
}

async fn check(app: &TestApp, then: Then, code: i64) {
    let id = format!("org-{code}");
    let org = app.org(&id, &number(code)).await;
    let first = org.accept(&with(seed("first"), &json!({"to": phone(1)}))).await;
    let text = code.to_string();
    match then {
        Retried | Slowed => {
            let message = org.until(&first, "READ").await;
            let charged = if matches!(then, Retried) { 2 } else { 1 };
            assert_eq!(message["attemptCount"], charged, "{code}: {message}");
        }
        Failed => {
            let message = org.until_error(&first, "FAILED", &text).await;
            assert_eq!(message["attemptCount"], 1, "{code}: {message}");
        }
        SenderPaused | Limited | TemplateShut | Deferred => {
            let message = org.until_error(&first, "QUEUED", &text).await;
            assert_eq!(message["attemptCount"], 0, "{code}: {message}");
        }
    }
    if let SenderPaused = then {
        eventually(&format!("{code}: a paused sender"), async || {
            let sender = app.admin().get(&format!("admin/orgs/{id}")).await.ok(200)["senders"][0].clone();
            if sender["state"] == "PAUSED" { Ok(()) } else { Err(sender) }
        })
        .await;
    }
    let other = other_message(&org).await;
    if let SenderPaused | Limited = then {
        assert_eq!(org.message(&other).await["status"], "QUEUED", "{code}");
    }
    if let Limited = then {
        app.admin().post(&format!("admin/orgs/{id}/resume?sender={}", number(code)), &json!({})).await.ok(200);
        let message = org.until(&first, "READ").await;
        assert_eq!(message["attemptCount"], 1, "{code}: {message}");
    }
    if !matches!(then, SenderPaused) {
        org.until(&other, "READ").await;
    }
}

async fn other_message(org: &Api) -> String {
    let other = json!({"to": phone(2), "templateCode": "another_template"});
    org.accept(&with(seed("other"), &other)).await
}
