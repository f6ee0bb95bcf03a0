//! Templates, by name or as a native object.

use serde_json::{Map, Value};

use super::Findings;
use crate::fields::Fields;

const NAME_MAX: usize = 512;
const BUTTONS_MAX: usize = 10;
/// The known components, and the known sub-types of buttons.
const COMPONENTS: [&str; 9] = [
    "header",
    "body",
    "footer",
    "button",
    "carousel",
    "limited_time_offer",
    "order_status",
    "order_details",
    "tap_target_configuration",
];
const SUB_TYPES: [&str; 10] = [
    "quick_reply",
    "url",
    "copy_code",
    "flow",
    "catalog",
    "mpm",
    "order_details",
    "voice_call",
    "phone_number",
    "reminder",
];

/// Checks the `payloadJson` of a template message: `language` and `components`.
pub fn check_template(payload: &Map<String, Value>) -> Findings {
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
    fields.value("components");
    let mut found = Findings { errors: fields.finish(), ..Findings::default() };
    check_components(&mut found, payload, "payloadJson");
    found
}

/// Checks a template's name.
pub fn is_template_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

pub(super) fn check_native_template(found: &mut Findings, content: &Map<String, Value>, path: &str) {
    if !content.get("name").and_then(Value::as_str).is_some_and(is_template_name) {
        found.refuse(format!("{path}.name"), "must be a template's name: lower-case letters, digits and '_'");
    }
    if let Some(language) = found.object(content, path, "language") {
        found.text(language, &format!("{path}.language"), "code", true, None);
    }
    check_components(found, content, path);
}

fn check_components(found: &mut Findings, template: &Map<String, Value>, path: &str) {
    let path = format!("{path}.components");
    let components = match template.get("components") {
        Some(Value::Array(components)) => found.each(components, &path),
        None | Some(Value::Null) => return,
        Some(_) => return found.refuse(path, "must be an array"),
    };
    let mut buttons = 0;
    for (at, component) in components {
        // Meta ignores the case of its words.
        let word = |name| component.get(name).and_then(Value::as_str).map(str::to_ascii_lowercase);
        match word("type") {
            Some(kind) if kind == "button" => {
                buttons += 1;
                if word("sub_type").is_some_and(|kind| !SUB_TYPES.contains(&kind.as_str())) {
                    found.warn(format!("{at}.sub_type"), "kind of button");
                }
            }
            Some(kind) if COMPONENTS.contains(&kind.as_str()) => {}
            Some(kind) if !kind.is_empty() => found.warn(format!("{at}.type"), "kind of component"),
            Some(_) | None => found.refuse(format!("{at}.type"), "is required, such as \"body\""),
        }
        match component.get("parameters") {
            Some(Value::Array(parameters)) => {
                found.each(parameters, &format!("{at}.parameters"));
            }
            None | Some(Value::Null) => {}
            Some(_) => found.refuse(format!("{at}.parameters"), "must be an array"),
        }
    }
    if buttons > BUTTONS_MAX {
        found.refuse(path, format!("has {buttons} buttons; WhatsApp allows {BUTTONS_MAX}"));
    }
}
