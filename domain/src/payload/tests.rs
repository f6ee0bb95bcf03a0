//! What is refused, what is passed on, and which path is named.

use super::*;
use serde_json::json;

fn refused(payload: &Value) -> Vec<String> {
    check_native(payload.as_object().unwrap()).errors.into_iter().map(|error| error.field).collect()
}

fn warned(payload: &Value) -> Vec<String> {
    let found = check_native(payload.as_object().unwrap());
    assert_eq!(found.errors, Vec::new(), "{payload}");
    found.warnings.into_iter().map(|warning| warning.field).collect()
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
        (json!({"txt": {"body": "x"}}), "payloadJson.type"),
        (json!({"type": ["text"], "text": {"body": "x"}}), "payloadJson.type"),
        (json!({"type": "audio", "audio": {"id": "1", "caption": "x"}}), "payloadJson.audio.caption"),
        (json!({"type": "sticker", "sticker": {"id": "1", "caption": "x"}}), "payloadJson.sticker.caption"),
        (json!({"type": "contacts", "contacts": ["Ada"]}), "payloadJson.contacts[0]"),
        (json!({"type": "text", "text": {"body": "x"}, "context": {}}), "payloadJson.context.message_id"),
        (json!({"type": "text", "text": {"body": "x"}, "context": "wamid.x"}), "payloadJson.context"),
        (json!({"type": "image", "image": {"id": "1", "link": "https://x"}}), "payloadJson.image"),
        (json!({"type": "image", "image": {}}), "payloadJson.image"),
        (json!({"type": "location", "location": {"latitude": 91, "longitude": 0}}), "payloadJson.location.latitude"),
        (
            json!({"type": "interactive", "interactive": {"type": "button", "body": {"text": "?"}, "action": {"buttons": vec![button; 70]}}}),
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
        check_template(payload.as_object().unwrap()).errors.into_iter().map(|error| error.field).collect()
    };
    assert_eq!(check(json!({"language": "en"})), Vec::<String>::new());
    assert_eq!(check(json!({"language": {"code": "en"}, "components": []})), Vec::<String>::new());
    assert_eq!(check(json!({})), ["payloadJson.language"]);
    assert_eq!(check(json!({"language": {"policy": "x"}})), ["payloadJson.language.code"]);
    assert_eq!(check(json!({"language": "en", "extra": 1})), ["payloadJson.extra"]);
    let buttons = vec![json!({"type": "button", "sub_type": "url", "index": "0"}); 70];
    assert_eq!(check(json!({"language": "en", "components": buttons})), ["payloadJson.components"]);
}
#[test]
fn an_interactive_message_is_refused_where_a_part_is_no_object_or_lacks_what_its_kind_needs() {
    let reply = json!({"type": "reply", "reply": {"id": "1", "title": "Yes"}});
    let button = json!({"type": "button", "header": {"type": "text", "text": "h"}, "body": {"text": "b"}, "action": {"buttons": [reply]}});
    let with = |name: &str, value: Value| {
        let mut changed = button.clone();
        changed[name] = value;
        changed
    };
    let action = |kind: &str, action: Value| json!({"type": kind, "body": {"text": "b"}, "action": action});
    for (interactive, field) in [
        (with("header", json!("x")), ".header"),
        (with("body", json!("x")), ".body"),
        (with("body", Value::Null), ".body"),
        (with("footer", json!(["x"])), ".footer"),
        (with("action", json!("x")), ".action"),
        (with("type", Value::Null), ".type"),
        (with("header", json!({"type": "text", "text": "x".repeat(61)})), ".header.text"),
        (action("button", json!({"buttons": ["Yes"]})), ".action.buttons[0]"),
        (action("button", json!({"buttons": [{"type": "reply"}]})), ".action.buttons[0].reply"),
        (action("cta_url", json!({"name": "cta_url"})), ".action.parameters"),
        (action("cta_url", json!({"parameters": {"display_text": "Go"}})), ".action.parameters.url"),
        (action("flow", json!({"parameters": {"flow_cta": "Book"}})), ".action.parameters"),
        (action("flow", json!({"parameters": {"flow_id": "1"}})), ".action.parameters.flow_cta"),
    ] {
        let payload = json!({"type": "interactive", "interactive": interactive});
        assert_eq!(refused(&payload), [format!("payloadJson.interactive{field}")], "{payload}");
    }
    let payload = json!({"type": "interactive", "interactive": with("header", Value::Null)});
    assert_eq!(warned(&payload), Vec::<String>::new());
}

#[test]
fn what_is_not_known_here_is_passed_on_with_a_warning() {
    let template = |component: Value| json!({"type": "template", "template": {"name": "x", "language": {"code": "en"}, "components": [component]}});
    let interactive = |interactive: Value| json!({"type": "interactive", "interactive": interactive});
    for (payload, field) in [
        (json!({"type": "hologram", "hologram": 7}), "type"),
        (json!({"type": "TEXT", "text": {"body": "x"}}), "type"),
        (json!({"type": "text", "text": {"body": "x", "mood": 1}}), "text.mood"),
        (json!({"type": "image", "image": {"id": "1", "filename": "a.png"}}), "image.filename"),
        (template(json!({"type": "hologram", "parameters": []})), "template.components[0].type"),
        (template(json!({"type": "button", "sub_type": "hologram", "index": 0})), "template.components[0].sub_type"),
        (interactive(json!({"type": "hologram", "body": {"text": "x".repeat(5000)}})), "interactive.type"),
        (
            interactive(
                json!({"type": "button", "body": {"text": "x"}, "action": {"buttons": [{"type": "url", "url": "x"}]}}),
            ),
            "interactive.action.buttons[0].type",
        ),
    ] {
        assert_eq!(warned(&payload), [format!("payloadJson.{field}")], "{payload}");
    }
    let many: Vec<_> = (0..1000).map(|_| json!({"type": "hologram"})).collect();
    let payload = json!({"language": "en", "components": many});
    assert_eq!(check_template(payload.as_object().unwrap()).warnings.len(), 100);
}

#[test]
fn what_meta_documents_or_takes_is_taken_without_a_warning() {
    let tap = json!({"type": "tap_target_configuration", "parameters": [{"type": "tap_target_configuration",
        "tap_target_configuration": [{"url": "https://example.com", "title": "Offer"}]}]});
    for payload in [
        json!({"text": {"body": "without a type it is text"}}),
        json!({"type": "image", "image": {"id": 1_234_567_890_123_456_u64}}),
        json!({"type": "video", "video": {"link": "https://example.com/a.mp4", "id": null, "caption": null}}),
        json!({"type": "text", "text": {"body": "x"}, "context": null}),
        json!({"type": "template", "template": {"name": "x", "language": {"code": "en"}, "components": [tap]}}),
        json!({"type": "template", "template": {"name": "x", "language": {"code": "en"}, "components": null}}),
        json!({"type": "interactive", "interactive": {"type": "product", "action": {"catalog_id": "1"}}}),
    ] {
        assert_eq!(warned(&payload), Vec::<String>::new(), "{payload}");
    }
}

#[test]
fn parameters_of_a_template_are_objects() {
    let check = |component: Value| -> Vec<String> {
        let payload = json!({"language": "en", "components": [component]});
        check_template(payload.as_object().unwrap()).errors.into_iter().map(|error| error.field).collect()
    };
    assert_eq!(check(json!({"type": "body", "parameters": ["Ada"]})), ["payloadJson.components[0].parameters[0]"]);
    assert_eq!(check(json!({"type": "body", "parameters": "Ada"})), ["payloadJson.components[0].parameters"]);
    assert_eq!(check(json!({"parameters": []})), ["payloadJson.components[0].type"]);
    assert_eq!(check(json!("body")), ["payloadJson.components[0]"]);
}
