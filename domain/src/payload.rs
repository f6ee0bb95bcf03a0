//! What Meta allows inside a message. It is checked when the message is accepted, so that the developer hears of a
//! mistake at once. Only what Meta certainly refuses is refused; what is unknown here may be newer than this code, so
//! it is passed on with a warning, and Meta decides. The limits are Meta's, as of the Cloud API v25.0.

mod check;
mod interactive;
mod template;

use serde_json::{Map, Value};

pub use check::Findings;
pub use template::{check_template, is_template_name};

/// The message types that are known.
pub const TYPES: [&str; 11] = [
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "interactive",
    "template",
];

/// twotick sets these itself: a client's value would be overwritten, or contradict the request.
const RESERVED: [&str; 4] = ["to", "recipient", "biz_opaque_callback_data", "messaging_product"];

const TEXT_MAX: usize = 4096;
const CAPTION_MAX: usize = 1024;
const CONTACTS_MAX: usize = 257;

/// Checks a native WhatsApp object: `type` and the object that it names.
pub fn check_native(payload: &Map<String, Value>) -> Findings {
    let mut found = Findings::default();
    for name in RESERVED {
        if payload.contains_key(name) {
            found.refuse(format!("payloadJson.{name}"), "is set by twotick; leave it out");
        }
    }
    if payload.get("recipient_type").is_some_and(|kind| kind.as_str() != Some("individual")) {
        found.refuse("payloadJson.recipient_type", "must be \"individual\" or left out");
    }
    if let Some(context) = found.object_if_any(payload, "payloadJson", "context") {
        found.text(context, "payloadJson.context", "message_id", true, None);
    }
    match payload.get("type") {
        Some(Value::String(kind)) if !kind.is_empty() => check_content(&mut found, payload, kind),
        // Without a type, Meta takes it as text.
        None | Some(Value::Null) if payload.contains_key("text") => check_content(&mut found, payload, "text"),
        Some(_) | None => {
            let message = format!("is required: one of {}, or a newer one (or give templateCode)", TYPES.join(", "));
            found.refuse("payloadJson.type", message);
        }
    }
    found
}

fn check_content(found: &mut Findings, payload: &Map<String, Value>, kind: &str) {
    if !TYPES.contains(&kind) {
        return found.warn("payloadJson.type", "message type");
    }
    if kind == "contacts" {
        found.objects(payload, "payloadJson", kind, Some(CONTACTS_MAX));
        return;
    }
    let Some(content) = found.object(payload, "payloadJson", kind) else { return };
    let path = format!("payloadJson.{kind}");
    match kind {
        "text" => {
            found.text(content, &path, "body", true, Some(TEXT_MAX));
            found.warn_of_others(content, &path, &["body", "preview_url"]);
        }
        "location" => check_location(found, content, &path),
        "reaction" => found.text(content, &path, "message_id", true, None),
        "interactive" => interactive::check(found, content, &path),
        "template" => template::check_native_template(found, content, &path),
        _ => check_media(found, content, &path, kind),
    }
}

fn check_media(found: &mut Findings, content: &Map<String, Value>, path: &str, kind: &str) {
    let given = |name| content.get(name).is_some_and(|value| !value.is_null() && value.as_str() != Some(""));
    if given("id") == given("link") {
        found.refuse(path, "needs either \"id\" or \"link\"");
    }
    if matches!(kind, "audio" | "sticker") && given("caption") {
        found.refuse(format!("{path}.caption"), format!("is refused by WhatsApp: {kind} has no caption"));
    }
    found.text(content, path, "caption", false, Some(CAPTION_MAX));
    let known: &[&str] = match kind {
        "audio" => &["id", "link", "provider", "caption", "voice"],
        "document" => &["id", "link", "provider", "caption", "filename"],
        _ => &["id", "link", "provider", "caption"],
    };
    found.warn_of_others(content, path, known);
}

fn check_location(found: &mut Findings, content: &Map<String, Value>, path: &str) {
    for (name, most) in [("latitude", 90.0), ("longitude", 180.0)] {
        let degrees = content.get(name).and_then(|value| match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
        if !degrees.is_some_and(|degrees: f64| degrees.abs() <= most) {
            found.refuse(format!("{path}.{name}"), format!("must be degrees from -{most} to {most}"));
        }
    }
}

#[cfg(test)]
mod tests;
