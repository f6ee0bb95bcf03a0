//! What Meta allows inside a message, checked when it is accepted, so that a mistake is told to the developer and not
//! found in an attempt. Limits are Meta's, as of the Cloud API v25.0.

use serde_json::{Map, Value};

use crate::fields::{FieldError, Fields};

/// The message types that can be sent.
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

/// Set by twotick itself; a client's value would be overwritten or contradict the request.
const RESERVED: [&str; 4] = ["to", "recipient", "biz_opaque_callback_data", "messaging_product"];

const TEXT_MAX: usize = 4096;
const CAPTION_MAX: usize = 1024;
const INTERACTIVE_BODY_MAX: usize = 1024;
const LIST_BODY_MAX: usize = 4096;
const HEADER_FOOTER_MAX: usize = 60;
const REPLY_BUTTONS_MAX: usize = 3;
const BUTTON_TITLE_MAX: usize = 20;
const BUTTON_ID_MAX: usize = 256;
const LIST_SECTIONS_MAX: usize = 10;
const LIST_ROWS_MAX: usize = 10;
const ROW_TITLE_MAX: usize = 24;
const ROW_ID_MAX: usize = 200;
const ROW_DESCRIPTION_MAX: usize = 72;
const TEMPLATE_NAME_MAX: usize = 512;
const TEMPLATE_BUTTONS_MAX: usize = 10;
const CONTACTS_MAX: usize = 257;

/// The complaints so far, each with the path of its field.
struct Check {
    errors: Vec<FieldError>,
}

impl Check {
    fn refuse(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.errors.push(FieldError { field: field.into(), message: message.into() });
    }

    fn text(&mut self, object: &Map<String, Value>, path: &str, name: &str, required: bool, max: usize) {
        let field = format!("{path}.{name}");
        match object.get(name) {
            None | Some(Value::Null) if !required => {}
            None | Some(Value::Null) => self.refuse(field, "is required"),
            Some(Value::String(text)) => {
                let count = text.chars().count();
                if count > max {
                    self.refuse(field, format!("has {count} characters; WhatsApp allows {max}"));
                } else if required && count == 0 {
                    self.refuse(field, "must not be empty");
                }
            }
            Some(_) => self.refuse(field, "must be a string"),
        }
    }

    fn object<'a>(&mut self, object: &'a Map<String, Value>, path: &str, name: &str) -> Option<&'a Map<String, Value>> {
        match object.get(name) {
            Some(Value::Object(inner)) => Some(inner),
            Some(_) => {
                self.refuse(format!("{path}.{name}"), "must be an object");
                None
            }
            None => {
                self.refuse(format!("{path}.{name}"), "is required");
                None
            }
        }
    }

    fn array<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        path: &str,
        name: &str,
        (min, max): (usize, usize),
    ) -> &'a [Value] {
        let field = format!("{path}.{name}");
        match object.get(name) {
            Some(Value::Array(items)) if (min..=max).contains(&items.len()) => items,
            Some(Value::Array(items)) => {
                self.refuse(field, format!("has {} items; WhatsApp allows {min} to {max}", items.len()));
                &[]
            }
            Some(_) => {
                self.refuse(field, "must be an array");
                &[]
            }
            None => {
                self.refuse(field, "is required");
                &[]
            }
        }
    }
}

/// Checks the `payloadJson` of a template message: `language` and `components`.
pub fn check_template(payload: &Map<String, Value>) -> Vec<FieldError> {
    let mut fields = Fields::new(payload, "payloadJson.");
    fields.require("language");
    match fields.value("language") {
        Some(Value::String(code)) if code.is_empty() => fields.refuse("language", "must not be empty"),
        Some(Value::Object(language)) => {
            if !matches!(language.get("code"), Some(Value::String(code)) if !code.is_empty()) {
                fields.refuse("language.code", "is required, such as \"en\"");
            }
        }
        None | Some(Value::String(_)) => {}
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            fields.refuse("language", "must be a string such as \"en\", or an object with \"code\"");
        }
    }
    let components =
        fields.value("components").map(|components| check_components(components, "payloadJson.components"));
    fields.extend(components.into_iter().flatten());
    fields.finish()
}

/// Checks a template's name.
pub fn is_template_name(name: &str) -> bool {
    (1..=TEMPLATE_NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn check_components(components: &Value, path: &str) -> Vec<FieldError> {
    let mut check = Check { errors: Vec::new() };
    let Value::Array(components) = components else {
        check.refuse(path, "must be an array");
        return check.errors;
    };
    let mut buttons = 0;
    for (i, component) in components.iter().enumerate() {
        let at = format!("{path}[{i}]");
        let Value::Object(component) = component else {
            check.refuse(at, "must be an object");
            continue;
        };
        match component.get("type").and_then(Value::as_str).map(str::to_ascii_lowercase).as_deref() {
            Some("button") => buttons += 1,
            Some("header" | "body" | "footer" | "carousel" | "limited_time_offer" | "order_status") => {}
            Some(_) | None => {
                check.refuse(
                    format!("{at}.type"),
                    "must be header, body, footer, button, carousel, limited_time_offer or order_status",
                );
            }
        }
        match component.get("parameters") {
            None | Some(Value::Array(_)) => {}
            Some(_) => check.refuse(format!("{at}.parameters"), "must be an array"),
        }
    }
    if buttons > TEMPLATE_BUTTONS_MAX {
        check.refuse(path, format!("has {buttons} buttons; WhatsApp allows {TEMPLATE_BUTTONS_MAX}"));
    }
    check.errors
}

/// Checks a native WhatsApp object: `type` and the object that it names.
pub fn check_native(payload: &Map<String, Value>) -> Vec<FieldError> {
    let mut check = Check { errors: Vec::new() };
    for name in RESERVED {
        if payload.contains_key(name) {
            check.refuse(format!("payloadJson.{name}"), "is set by twotick; leave it out");
        }
    }
    if payload.get("recipient_type").is_some_and(|kind| kind.as_str() != Some("individual")) {
        check.refuse("payloadJson.recipient_type", "must be \"individual\" or left out");
    }
    let kind = payload.get("type").and_then(Value::as_str);
    let Some(kind) = kind.filter(|kind| TYPES.contains(kind)) else {
        check.refuse("payloadJson.type", format!("must be one of {} (or give templateCode)", TYPES.join(", ")));
        return check.errors;
    };
    let path = format!("payloadJson.{kind}");
    if kind == "contacts" {
        check.array(payload, "payloadJson", "contacts", (1, CONTACTS_MAX));
        return check.errors;
    }
    let Some(content) = check.object(payload, "payloadJson", kind) else { return check.errors };
    match kind {
        "text" => check.text(content, &path, "body", true, TEXT_MAX),
        "image" | "video" | "document" | "audio" | "sticker" => check_media(&mut check, content, &path),
        "location" => check_location(&mut check, content, &path),
        "reaction" => check.text(content, &path, "message_id", true, usize::MAX),
        "interactive" => check_interactive(&mut check, content, &path),
        _ => check_native_template(&mut check, content, &path),
    }
    check.errors
}

fn check_media(check: &mut Check, content: &Map<String, Value>, path: &str) {
    let given = |name| matches!(content.get(name), Some(Value::String(text)) if !text.is_empty());
    if given("id") == given("link") {
        check.refuse(path, "needs either \"id\" or \"link\"");
    }
    check.text(content, path, "caption", false, CAPTION_MAX);
}

fn check_location(check: &mut Check, content: &Map<String, Value>, path: &str) {
    for (name, most) in [("latitude", 90.0), ("longitude", 180.0)] {
        let degrees = content.get(name).and_then(|value| match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
        if !degrees.is_some_and(|degrees: f64| degrees.abs() <= most) {
            check.refuse(format!("{path}.{name}"), format!("must be degrees from -{most} to {most}"));
        }
    }
}

fn check_native_template(check: &mut Check, content: &Map<String, Value>, path: &str) {
    if !content.get("name").and_then(Value::as_str).is_some_and(is_template_name) {
        check.refuse(format!("{path}.name"), "must be a template's name: lower-case letters, digits and '_'");
    }
    if let Some(language) = check.object(content, path, "language") {
        check.text(language, &format!("{path}.language"), "code", true, 16);
    }
    if let Some(components) = content.get("components") {
        check.errors.extend(check_components(components, &format!("{path}.components")));
    }
}

fn check_interactive(check: &mut Check, content: &Map<String, Value>, path: &str) {
    let kind = content.get("type").and_then(Value::as_str);
    if kind.is_none() {
        check.refuse(format!("{path}.type"), "is required, such as \"button\" or \"list\"");
    }
    for part in ["header", "footer"] {
        if let Some(Value::Object(inner)) = content.get(part) {
            check.text(inner, &format!("{path}.{part}"), "text", false, HEADER_FOOTER_MAX);
        }
    }
    if let Some(Value::Object(body)) = content.get("body") {
        let max = if kind == Some("list") { LIST_BODY_MAX } else { INTERACTIVE_BODY_MAX };
        check.text(body, &format!("{path}.body"), "text", true, max);
    }
    let Some(action) = check.object(content, path, "action") else { return };
    let at = format!("{path}.action");
    match kind {
        Some("button") => check_reply_buttons(check, action, &at),
        Some("list") => check_list(check, action, &at),
        Some(_) | None => {}
    }
}

fn check_reply_buttons(check: &mut Check, action: &Map<String, Value>, path: &str) {
    for (i, button) in check.array(action, path, "buttons", (1, REPLY_BUTTONS_MAX)).iter().enumerate() {
        let at = format!("{path}.buttons[{i}].reply");
        match button.get("reply") {
            Some(Value::Object(reply)) => {
                check.text(reply, &at, "id", true, BUTTON_ID_MAX);
                check.text(reply, &at, "title", true, BUTTON_TITLE_MAX);
            }
            _ => check.refuse(at, "must be an object with id and title"),
        }
    }
}

fn check_list(check: &mut Check, action: &Map<String, Value>, path: &str) {
    check.text(action, path, "button", true, BUTTON_TITLE_MAX);
    let mut total = 0;
    for (i, section) in check.array(action, path, "sections", (1, LIST_SECTIONS_MAX)).iter().enumerate() {
        let at = format!("{path}.sections[{i}]");
        let Value::Object(section) = section else {
            check.refuse(at, "must be an object");
            continue;
        };
        check.text(section, &at, "title", false, ROW_TITLE_MAX);
        let rows = check.array(section, &at, "rows", (1, usize::MAX));
        total += rows.len();
        for (j, row) in rows.iter().enumerate() {
            let at = format!("{at}.rows[{j}]");
            let Value::Object(row) = row else {
                check.refuse(at, "must be an object");
                continue;
            };
            check.text(row, &at, "id", true, ROW_ID_MAX);
            check.text(row, &at, "title", true, ROW_TITLE_MAX);
            check.text(row, &at, "description", false, ROW_DESCRIPTION_MAX);
        }
    }
    if total > LIST_ROWS_MAX {
        check.refuse(format!("{path}.sections"), format!("has {total} rows in all; WhatsApp allows {LIST_ROWS_MAX}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(payload: &Value) -> Vec<String> {
        check_native(payload.as_object().unwrap()).into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn every_native_type_has_a_form_that_is_accepted() {
        let reply = json!({"type": "reply", "reply": {"id": "1", "title": "Yes"}});
        for payload in [
            json!({"type": "text", "text": {"body": "x".repeat(TEXT_MAX)}}),
            json!({"type": "image", "image": {"link": "https://example.com/a.png", "caption": "hi"}}),
            json!({"type": "video", "video": {"id": "1"}}),
            json!({"type": "audio", "audio": {"id": "1"}}),
            json!({"type": "document", "document": {"id": "1", "filename": "a.pdf"}}),
            json!({"type": "sticker", "sticker": {"id": "1"}}),
            json!({"type": "location", "location": {"latitude": 52.5, "longitude": "13.4"}}),
            json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "Ada"}}]}),
            json!({"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": ""}}),
            json!({"type": "interactive", "interactive": {"type": "button", "body": {"text": "?"}, "action": {"buttons": [reply]}}}),
            json!({"type": "template", "template": {"name": "hello", "language": {"code": "en"}}}),
        ] {
            assert_eq!(refused(&payload), Vec::<String>::new(), "{payload}");
        }
    }

    #[test]
    fn what_meta_would_refuse_is_named_by_its_path() {
        let button = json!({"type": "reply", "reply": {"id": "1", "title": "Yes"}});
        for (payload, field) in [
            (json!({"type": "text", "text": {"body": "ä".repeat(TEXT_MAX + 1)}}), "payloadJson.text.body"),
            (json!({"type": "text", "text": {"body": ""}}), "payloadJson.text.body"),
            (json!({"type": "text"}), "payloadJson.text"),
            (json!({"type": "txt", "txt": {}}), "payloadJson.type"),
            (json!({"text": {"body": "x"}}), "payloadJson.type"),
            (json!({"type": "image", "image": {"id": "1", "link": "https://x"}}), "payloadJson.image"),
            (json!({"type": "image", "image": {}}), "payloadJson.image"),
            (
                json!({"type": "location", "location": {"latitude": 91, "longitude": 0}}),
                "payloadJson.location.latitude",
            ),
            (
                json!({"type": "interactive", "interactive": {"type": "button", "action": {"buttons": vec![button; 70]}}}),
                "payloadJson.interactive.action.buttons",
            ),
            (json!({"type": "text", "text": {"body": "x"}, "to": "+1"}), "payloadJson.to"),
            (
                json!({"type": "template", "template": {"name": "Hello", "language": {"code": "en"}}}),
                "payloadJson.template.name",
            ),
        ] {
            assert_eq!(refused(&payload), [field], "{payload}");
        }
    }

    #[test]
    fn a_template_needs_a_language_and_at_most_ten_buttons() {
        let check = |payload: Value| -> Vec<String> {
            check_template(payload.as_object().unwrap()).into_iter().map(|error| error.field).collect()
        };
        assert_eq!(check(json!({"language": "en"})), Vec::<String>::new());
        assert_eq!(check(json!({"language": {"code": "en"}, "components": []})), Vec::<String>::new());
        assert_eq!(check(json!({})), ["payloadJson.language"]);
        assert_eq!(check(json!({"language": {"policy": "x"}})), ["payloadJson.language.code"]);
        assert_eq!(check(json!({"language": "en", "extra": 1})), ["payloadJson.extra"]);
        let buttons = vec![json!({"type": "button", "sub_type": "url", "index": "0"}); 70];
        assert_eq!(check(json!({"language": "en", "components": buttons})), ["payloadJson.components"]);
    }
}
