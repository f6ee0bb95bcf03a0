//! Interactive messages.

use serde_json::{Map, Value};

use super::Findings;

const BODY_MAX: usize = 1024;
const LIST_BODY_MAX: usize = 4096;
const HEADER_FOOTER_MAX: usize = 60;
const REPLY_BUTTONS_MAX: usize = 3;
const BUTTON_TITLE_MAX: usize = 20;
const BUTTON_ID_MAX: usize = 256;
const SECTIONS_MAX: usize = 10;
const ROWS_MAX: usize = 10;
const ROW_TITLE_MAX: usize = 24;
const ROW_ID_MAX: usize = 200;
const ROW_DESCRIPTION_MAX: usize = 72;

/// The known kinds, and whether Meta requires a body.
const KINDS: [(&str, bool); 15] = [
    ("button", true),
    ("list", true),
    ("cta_url", true),
    ("flow", true),
    ("product_list", true),
    ("product", false),
    ("catalog_message", false),
    ("carousel", false),
    ("location_request_message", false),
    ("address_message", false),
    ("request_contact_info", false),
    ("voice_call", false),
    ("call_permission_request", false),
    ("order_details", false),
    ("order_status", false),
];

pub(super) fn check(found: &mut Findings, content: &Map<String, Value>, path: &str) {
    // Meta ignores the case of its words.
    let kind = content.get("type").and_then(Value::as_str).map(str::to_ascii_lowercase).unwrap_or_default();
    let known = KINDS.into_iter().find(|(known, _)| *known == kind);
    match known {
        Some(_) => {}
        None if kind.is_empty() => found.refuse(format!("{path}.type"), "is required, such as \"button\" or \"list\""),
        None => found.warn(format!("{path}.type"), "kind of interactive message"),
    }
    // Limits are known for known kinds only.
    let limit = |max| known.map(|_| max);
    for part in ["header", "footer"] {
        if let Some(inner) = found.object_if_any(content, path, part) {
            found.text(inner, &format!("{path}.{part}"), "text", false, limit(HEADER_FOOTER_MAX));
        }
    }
    let has_body = known.is_some_and(|(_, has_body)| has_body);
    let body = if has_body { found.object(content, path, "body") } else { found.object_if_any(content, path, "body") };
    if let Some(body) = body {
        let max = limit(if kind == "list" { LIST_BODY_MAX } else { BODY_MAX });
        found.text(body, &format!("{path}.body"), "text", known.is_some(), max);
    }
    if known.is_none() {
        return;
    }
    let Some(action) = found.object(content, path, "action") else { return };
    let at = format!("{path}.action");
    match kind.as_str() {
        "button" => check_reply_buttons(found, action, &at),
        "list" => check_list(found, action, &at),
        "cta_url" => {
            if let Some(parameters) = found.object(action, &at, "parameters") {
                for name in ["display_text", "url"] {
                    found.text(parameters, &format!("{at}.parameters"), name, true, None);
                }
            }
        }
        "flow" => check_flow(found, action, &at),
        _ => {}
    }
}

fn check_reply_buttons(found: &mut Findings, action: &Map<String, Value>, path: &str) {
    for (at, button) in found.objects(action, path, "buttons", Some(REPLY_BUTTONS_MAX)) {
        let kind = button.get("type").and_then(Value::as_str);
        if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("reply")) {
            found.warn(format!("{at}.type"), "kind of button");
        } else if let Some(reply) = found.object(button, &at, "reply") {
            found.text(reply, &format!("{at}.reply"), "id", true, Some(BUTTON_ID_MAX));
            found.text(reply, &format!("{at}.reply"), "title", true, Some(BUTTON_TITLE_MAX));
        }
    }
}

fn check_list(found: &mut Findings, action: &Map<String, Value>, path: &str) {
    found.text(action, path, "button", true, Some(BUTTON_TITLE_MAX));
    let mut total = 0;
    for (at, section) in found.objects(action, path, "sections", Some(SECTIONS_MAX)) {
        found.text(section, &at, "title", false, Some(ROW_TITLE_MAX));
        for (at, row) in found.objects(section, &at, "rows", None) {
            total += 1;
            found.text(row, &at, "id", true, Some(ROW_ID_MAX));
            found.text(row, &at, "title", true, Some(ROW_TITLE_MAX));
            found.text(row, &at, "description", false, Some(ROW_DESCRIPTION_MAX));
        }
    }
    if total > ROWS_MAX {
        found.refuse(format!("{path}.sections"), format!("has {total} rows in all; WhatsApp allows {ROWS_MAX}"));
    }
}

fn check_flow(found: &mut Findings, action: &Map<String, Value>, path: &str) {
    let Some(parameters) = found.object(action, path, "parameters") else { return };
    let path = format!("{path}.parameters");
    found.text(parameters, &path, "flow_cta", true, None);
    if ["flow_id", "flow_name"].iter().all(|name| parameters.get(*name).is_none_or(Value::is_null)) {
        found.refuse(path, "needs either \"flow_id\" or \"flow_name\"");
    }
}
