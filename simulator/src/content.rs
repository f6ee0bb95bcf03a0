//! The schema of each message type, from Meta's published schema and documents for the Cloud API v25.0. Where these
//! disagree or leave a part open, this schema leaves it open too.

use serde_json::{Map, Value};

use crate::errors::Refusal;
use crate::schema::Need::{May, Must};
use crate::schema::Shape::{Any, Degrees, Flag, List, Loose, Text, Word};
use crate::schema::{Need, Object, Shape, given, member};

type Members = &'static [(&'static str, Need, Shape)];

/// The message types and the shape of each one's object.
pub(crate) static TYPES: [(&str, Shape); 11] = [
    ("text", Shape::Object(&closed(&[("body", Must, Text(4096)), ("preview_url", May, Flag)]))),
    ("image", Shape::Object(&media(&[ID, LINK, CAPTION]))),
    ("video", Shape::Object(&media(&[ID, LINK, CAPTION]))),
    ("audio", Shape::Object(&media(&[ID, LINK, ("voice", May, Flag)]))),
    ("document", Shape::Object(&media(&[ID, LINK, CAPTION, FILENAME]))),
    ("sticker", Shape::Object(&media(&[ID, LINK]))),
    ("location", Shape::Object(&LOCATION)),
    ("contacts", List(&Shape::Object(&CONTACT), 1, 257)),
    ("reaction", Shape::Object(&closed(&[("message_id", Must, Text(ANY)), ("emoji", May, Loose(ANY))]))),
    ("interactive", Shape::Object(&INTERACTIVE)),
    ("template", Shape::Object(&TEMPLATE)),
];

/// The message types that a group can receive.
pub(crate) const GROUP_TYPES: [&str; 7] = ["text", "image", "video", "audio", "document", "sticker", "template"];

/// Meta documents no limit.
const ANY: usize = usize::MAX;
const ID: (&str, Need, Shape) = ("id", May, Text(ANY));
const LINK: (&str, Need, Shape) = ("link", May, Text(ANY));
const CAPTION: (&str, Need, Shape) = ("caption", May, Loose(1024));
const FILENAME: (&str, Need, Shape) = ("filename", May, Loose(ANY));
const WORD: (&str, Need, Shape) = ("type", May, Text(ANY));

const fn closed(members: Members) -> Object {
    Object { members, closed: true, rule: None }
}

const fn open(members: Members) -> Object {
    Object { members, closed: false, rule: None }
}

/// A media object: it has an id or a link, and no members beyond those listed.
const fn media(members: Members) -> Object {
    Object { rule: Some(id_or_link), ..closed(members) }
}

/// A media object in a template. It may have members that this schema does not know.
const fn open_media(members: Members) -> Object {
    Object { rule: Some(id_or_link), ..open(members) }
}

fn id_or_link(media: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
    one_of(media, path, "id", "link")
}

fn id_or_name(flow: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
    one_of(flow, path, "flow_id", "flow_name")
}

fn one_of(object: &Map<String, Value>, path: &str, one: &str, other: &str) -> Result<(), Refusal> {
    match (given(object, one), given(object, other)) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        (None, None) => Err(Refusal::missing(&format!("{} or {}", member(path, one), member(path, other)))),
        (Some(_), Some(_)) => Err(Refusal::invalid(format!("Param {path} must have either \"{one}\" or \"{other}\"."))),
    }
}

const LOCATION: Object = closed(&[
    ("latitude", Must, Degrees(90.0)),
    ("longitude", Must, Degrees(180.0)),
    ("name", May, Loose(ANY)),
    ("address", May, Loose(ANY)),
]);

const CONTACT: Object = closed(&[
    ("name", Must, Shape::Object(&NAME)),
    ("birthday", May, Loose(ANY)),
    (
        "phones",
        May,
        List(&Shape::Object(&closed(&[("phone", May, Loose(ANY)), WORD, ("wa_id", May, Text(ANY))])), 0, ANY),
    ),
    ("emails", May, List(&Shape::Object(&closed(&[("email", May, Loose(ANY)), WORD])), 0, ANY)),
    ("urls", May, List(&Shape::Object(&closed(&[("url", May, Loose(ANY)), WORD])), 0, ANY)),
    ("addresses", May, List(&Shape::Object(&ADDRESS), 0, ANY)),
    ("org", May, Shape::Object(&closed(&[("company", May, Any), ("department", May, Any), ("title", May, Any)]))),
]);

const NAME: Object = closed(&[
    ("formatted_name", Must, Text(ANY)),
    ("first_name", May, Loose(ANY)),
    ("last_name", May, Loose(ANY)),
    ("middle_name", May, Loose(ANY)),
    ("prefix", May, Loose(ANY)),
    ("suffix", May, Loose(ANY)),
]);

const ADDRESS: Object = closed(&[
    ("street", May, Loose(ANY)),
    ("city", May, Loose(ANY)),
    ("state", May, Loose(ANY)),
    ("zip", May, Loose(ANY)),
    ("country", May, Loose(ANY)),
    ("country_code", May, Loose(ANY)),
    WORD,
]);

const INTERACTIVE: Object = Object {
    rule: Some(interactive),
    ..open(&[
        ("type", Must, Word(&INTERACTIVE_TYPES)),
        ("header", May, Shape::Object(&HEADER)),
        ("body", May, Shape::Object(&open(&[("text", Must, Text(4096))]))),
        ("footer", May, Shape::Object(&open(&[("text", Must, Text(60))]))),
        ("action", Must, Shape::Object(&open(&[]))),
    ])
};

const INTERACTIVE_TYPES: [&str; 15] = [
    "button",
    "list",
    "cta_url",
    "flow",
    "product",
    "product_list",
    "catalog_message",
    "carousel",
    "location_request_message",
    "address_message",
    "request_contact_info",
    "voice_call",
    "call_permission_request",
    "order_details",
    "order_status",
];

const HEADER: Object = open(&[
    ("type", Must, Text(ANY)),
    ("text", May, Text(60)),
    ("sub_text", May, Text(60)),
    ("image", May, Shape::Object(&media(&[ID, LINK]))),
    ("video", May, Shape::Object(&media(&[ID, LINK]))),
    ("document", May, Shape::Object(&media(&[ID, LINK, FILENAME]))),
]);

/// Checks what differs between the types of interactive messages.
fn interactive(interactive: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
    let header = interactive.get("header").and_then(Value::as_object);
    if let Some((header, kind)) = header.and_then(|header| Some((header, header.get("type")?.as_str()?))) {
        let content = ["text", "image", "video", "document"].into_iter().find(|content| *content == kind);
        if let Some(missing) = content.filter(|content| given(header, content).is_none()) {
            return Err(Refusal::missing(&member(&member(path, "header"), missing)));
        }
    }
    let kind = interactive.get("type").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let body = interactive.get("body").and_then(|body| body.get("text")?.as_str());
    // Meta accepts a product and a catalogue message without a body.
    if body.is_none() && matches!(kind.as_str(), "button" | "list" | "cta_url" | "flow" | "product_list") {
        return Err(Refusal::missing(&member(path, "body")));
    }
    if kind != "list" && body.is_some_and(|body| body.chars().count() > 1024) {
        let body = member(&member(path, "body"), "text");
        return Err(Refusal::invalid(format!("Param {body} must be at most 1024 characters long.")));
    }
    let action = interactive.get("action").unwrap_or(&Value::Null);
    let shape = match kind.as_str() {
        "button" => &BUTTONS,
        "list" => &LIST,
        "cta_url" => &CTA_URL,
        "flow" => &FLOW,
        "product" => &PRODUCT,
        "product_list" => &PRODUCTS,
        _ => return Ok(()),
    };
    shape.check(action, &member(path, "action"))
}

const BUTTONS: Shape = Shape::Object(&open(&[("buttons", Must, List(&Shape::Object(&BUTTON), 1, 3))]));
const BUTTON: Object = open(&[("type", Must, Word(&["reply"])), ("reply", Must, Shape::Object(&REPLY))]);
const REPLY: Object = open(&[("id", Must, Text(256)), ("title", Must, Text(20))]);

const LIST: Shape = Shape::Object(&Object {
    rule: Some(rows),
    ..open(&[("button", Must, Text(20)), ("sections", Must, List(&Shape::Object(&SECTION), 1, 10))])
});
const SECTION: Object = open(&[("title", May, Loose(24)), ("rows", Must, List(&Shape::Object(&ROW), 1, ANY))]);
const ROW: Object = open(&[("id", Must, Text(200)), ("title", Must, Text(24)), ("description", May, Loose(72))]);

/// All sections together have at most ten rows.
fn rows(action: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
    let sections = action.get("sections").and_then(Value::as_array).into_iter().flatten();
    let rows: usize = sections.filter_map(|section| Some(section.get("rows")?.as_array()?.len())).sum();
    if rows > 10 {
        let sections = member(path, "sections");
        return Err(Refusal::invalid(format!("Param {sections} must have at most 10 rows in all - got {rows}.")));
    }
    Ok(())
}

const CTA_URL: Shape = Shape::Object(&open(&[
    ("name", Must, Word(&["cta_url"])),
    ("parameters", Must, Shape::Object(&open(&[("display_text", Must, Text(20)), ("url", Must, Text(ANY))]))),
]));

const FLOW: Shape = Shape::Object(&open(&[
    ("name", Must, Word(&["flow"])),
    ("parameters", Must, Shape::Object(&Object { rule: Some(id_or_name), ..FLOW_PARAMETERS })),
]));
const FLOW_PARAMETERS: Object = open(&[
    ("flow_message_version", Must, Any),
    ("flow_cta", Must, Text(30)),
    ("flow_id", May, Text(ANY)),
    ("flow_name", May, Text(ANY)),
    ("mode", May, Word(&["draft", "published"])),
    ("flow_token", May, Loose(ANY)),
    ("flow_action", May, Word(&["navigate", "data_exchange"])),
    ("flow_action_payload", May, Shape::Object(&open(&[]))),
]);

const PRODUCT: Shape =
    Shape::Object(&open(&[("catalog_id", Must, Text(ANY)), ("product_retailer_id", Must, Text(ANY))]));
const PRODUCTS: Shape = Shape::Object(&open(&[
    ("catalog_id", Must, Text(ANY)),
    (
        "sections",
        Must,
        List(&Shape::Object(&open(&[("product_items", Must, List(&Shape::Object(&ITEM), 1, 30))])), 1, 10),
    ),
]));
const ITEM: Object = open(&[("product_retailer_id", Must, Text(ANY))]);

const TEMPLATE: Object = Object {
    rule: Some(template),
    ..open(&[
        ("name", Must, Text(512)),
        ("language", Must, Shape::Object(&closed(&[("code", Must, Text(ANY)), ("policy", May, Text(ANY))]))),
        ("components", May, List(&Shape::Object(&COMPONENT), 0, ANY)),
    ])
};

/// Checks the template's name and its number of buttons.
fn template(template: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
    let name = template.get("name").and_then(Value::as_str).unwrap_or_default();
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        let name = member(path, "name");
        return Err(Refusal::invalid(format!("Param {name} must be of lower-case letters, digits and '_'.")));
    }
    let components = template.get("components").and_then(Value::as_array).into_iter().flatten();
    let kinds = components.filter_map(|component| component.get("type")?.as_str());
    if kinds.filter(|kind| kind.eq_ignore_ascii_case("button")).count() > 10 {
        return Err(Refusal::invalid(format!("Param {} must have at most 10 buttons.", member(path, "components"))));
    }
    Ok(())
}

/// A template component. It is open because Meta adds kinds, sub-types and members before it publishes them.
const COMPONENT: Object = Object {
    rule: Some(component),
    ..open(&[
        ("type", Must, Text(ANY)),
        ("sub_type", May, Text(ANY)),
        ("index", May, Text(ANY)),
        ("parameters", May, List(&Shape::Object(&PARAMETER), 0, ANY)),
    ])
};

/// A button must name its sub-type and its index among the template's buttons.
fn component(component: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
    let kind = component.get("type").and_then(Value::as_str).unwrap_or_default();
    let missing = ["sub_type", "index"].into_iter().find(|name| given(component, name).is_none());
    match missing.filter(|_| kind.eq_ignore_ascii_case("button")) {
        Some(missing) => Err(Refusal::missing(&member(path, missing))),
        None => Ok(()),
    }
}

const PARAMETER: Object = Object {
    rule: Some(parameter),
    ..open(&[
        ("type", Must, Text(ANY)),
        ("parameter_name", May, Text(ANY)),
        ("text", May, Loose(ANY)),
        ("image", May, Shape::Object(&open_media(&[ID, LINK]))),
        ("video", May, Shape::Object(&open_media(&[ID, LINK]))),
        ("document", May, Shape::Object(&open_media(&[ID, LINK, FILENAME]))),
        ("currency", May, Shape::Object(&open(&[("fallback_value", Must, Text(ANY)), ("code", Must, Text(3))]))),
        ("date_time", May, Shape::Object(&open(&[("fallback_value", Must, Text(ANY))]))),
        ("payload", May, Loose(ANY)),
        ("coupon_code", May, Text(ANY)),
        ("action", May, Shape::Object(&open(&[]))),
    ])
};

/// The member that the parameter's type names is required.
fn parameter(parameter: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
    let kind = parameter.get("type").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let named = ["text", "image", "video", "document", "currency", "date_time", "payload", "coupon_code", "action"];
    // Meta treats an empty text as absent.
    let is_there =
        |name: &str| given(parameter, name).is_some_and(|value| name != "text" || value.as_str() != Some(""));
    match named.into_iter().find(|name| *name == kind).filter(|name| !is_there(name)) {
        Some(missing) => Err(Refusal::missing(&member(path, missing))),
        None => Ok(()),
    }
}
