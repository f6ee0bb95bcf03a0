//! What keeps senders from sending, and what a person can do about it: as the admin sees it.

use actors::SenderLimits;
use domain::circuit::{Extent, Outage};
use domain::org::{Org, PausedBy, Sender};
use serde_json::{Map, Value, json};
use whatsapp::remedy::{meaning, remedy};

use crate::http::routes::webhook_health;
use crate::http::{App, views};

/// An organisation as returned, with what limits its senders now, and the health of their webhooks.
pub(crate) fn org(app: &App, org: &Org) -> Value {
    let mut view = views::org(org, &app.key_log);
    let senders = view.get_mut("senders").and_then(Value::as_array_mut);
    for (shown, sender) in senders.into_iter().flatten().zip(&org.senders) {
        let (outage, limits) = app.outbox.sender_limits(&sender.phone_number_id);
        if let Some(shown) = shown.as_object_mut() {
            shown.extend(self::status(org, sender, outage.as_ref(), &limits));
            let webhooks = webhook_health::view(
                app.outbox.webhook_health(),
                &org.id,
                &sender.phone_number_id,
                app.outbox.clock().now(),
            );
            shown.insert("webhooks".to_owned(), webhooks);
        }
    }
    view
}

/// The way to WhatsApp, which all senders share.
pub(crate) fn way(app: &App) -> Value {
    let (address, outage) = app.outbox.way();
    json!({"address": address, "outage": outage.as_ref().map(self::outage)})
}

/// What limits a sender now, and what a person can do about it.
fn status(org: &Org, sender: &Sender, outage: Option<&Outage>, limits: &SenderLimits) -> Map<String, Value> {
    let (id, number) = (&org.id, &sender.phone_number_id);
    let by_person = |scope: &str| format!("Resume it: `twotick org resume {id}{scope}`.");
    let throttle = limits.throttle.as_ref();
    let remedy = match (&org.paused, &sender.paused, throttle) {
        (Some(_), _, _) => Some(by_person("")),
        (None, Some(pause), _) => Some(match pause.by {
            PausedBy::Operator => by_person(&format!(" --sender {number}")),
            PausedBy::Meta => remedy(pause.meta_code().unwrap_or_default(), id, number),
        }),
        (None, None, Some(throttle)) => Some(remedy(throttle.code, id, number)),
        (None, None, None) => None,
    };
    let by = org.pause_of(sender).map(|pause| match pause.by {
        PausedBy::Operator => "OPERATOR",
        PausedBy::Meta => "META",
    });
    let throttle = throttle.map(|throttle| {
        json!({
            "code": throttle.code, "reason": meaning(throttle.code),
            "since": throttle.since.to_string(), "until": throttle.until.to_string(),
        })
    });
    let told = json!({
        "pausedBy": by, "nextProbeAt": limits.next_probe.map(|at| at.to_string()), "remedy": remedy,
        "outage": outage.map(self::outage), "throttle": throttle,
    });
    if let Value::Object(told) = told { told } else { Map::new() }
}

/// Calls that do not come through to WhatsApp.
fn outage(outage: &Outage) -> Value {
    json!({
        "extent": match outage.extent { Extent::All => "ALL", Extent::Sender => "SENDER" },
        "since": outage.since.to_string(),
        "errorCode": outage.failure.code.to_string(),
        "errorMessage": outage.failure.message,
        "nextProbeAt": outage.next_probe.to_string(),
    })
}
