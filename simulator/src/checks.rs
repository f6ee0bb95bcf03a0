//! Checks a request to `/messages` as Meta does.

use domain::PhoneNumberId;
use domain::message::Recipient;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::content::{GROUP_TYPES, TYPES};
use crate::errors::{Refusal, code};
use crate::schema::{Shape, given};

/// The longest `biz_opaque_callback_data`. Meta's documents count it in characters or in bytes; a limit in bytes
/// satisfies both.
const OPAQUE_MAX: usize = 512;
/// How many digits an E.164 number has.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// A valid request to `/messages`.
#[derive(Debug)]
pub(crate) enum Posted {
    /// It sends a message.
    Message(Parsed),
    /// It marks a message as read, perhaps with a typing indicator.
    Read,
}

/// A well-formed message.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The sender, from the path.
    pub(crate) phone_number_id: String,
    /// The recipient as the request writes it.
    pub(crate) to: String,
    /// The recipient's digits, or the group's id.
    pub(crate) wa_id: String,
    /// Whether the recipient is a group.
    pub(crate) group: bool,
    /// The message type.
    pub(crate) kind: &'static str,
    /// Whether it is a voice message.
    pub(crate) voice: bool,
    /// The template's name and language.
    pub(crate) template: Option<(String, String)>,
    /// The `biz_opaque_callback_data` that the receipts return.
    pub(crate) opaque: Option<String>,
    /// The whole request.
    pub(crate) body: Box<RawValue>,
}

/// Checks a request in Meta's order: the caller, the object, the parameters.
pub(crate) fn check(phone_number_id: &str, headers: &HeaderMap, body: &[u8]) -> Result<Posted, Refusal> {
    token(headers)?;
    if phone_number_id.parse::<PhoneNumberId>().is_err() {
        return Err(Refusal::no_such_object("post", phone_number_id));
    }
    let (raw, request) = read(headers, body)?;
    match request.get("messaging_product") {
        Some(Value::String(product)) if product == "whatsapp" => {}
        None => return Err(Refusal::malformed("The parameter messaging_product is required.")),
        Some(_) => return Err(Refusal::malformed("Param messaging_product must be one of {WHATSAPP}.")),
    }
    if given(&request, "status").is_some() {
        return mark(&request).map(|()| Posted::Read);
    }
    let group = match given(&request, "recipient_type").map(Value::as_str) {
        None | Some(Some("individual")) => false,
        Some(Some("group")) => true,
        Some(_) => return Err(Refusal::invalid("Param recipient_type must be one of {individual, group}.")),
    };
    let (to, wa_id) = recipient(&request, group)?;
    let opaque = opaque(&request)?;
    let kind = content(&request, group)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Ok(Posted::Message(Parsed {
        phone_number_id: phone_number_id.to_owned(),
        to,
        wa_id,
        group,
        kind,
        voice: request.get("audio").and_then(|audio| audio.get("voice")) == Some(&Value::Bool(true)),
        template: request
            .get("template")
            .and_then(|template| Some((text(template.get("name")?)?, text(template.get("language")?.get("code")?)?))),
        opaque,
        body: raw,
    }))
}

/// The bearer token.
pub(crate) fn token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Err(Refusal::new(code::NO_TOKEN)) };
    let words: Vec<&str> = value.to_str().unwrap_or_default().split_ascii_whitespace().collect();
    match words.as_slice() {
        [] => Err(Refusal::new(code::NO_TOKEN)),
        [scheme] if scheme.eq_ignore_ascii_case("bearer") => Err(Refusal::new(code::NO_TOKEN)),
        [scheme, token] if scheme.eq_ignore_ascii_case("bearer") => Ok(token),
        _ => Err(Refusal::new(code::BAD_TOKEN).saying("Invalid OAuth access token - Cannot parse access token")),
    }
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<(Box<RawValue>, Map<String, Value>), Refusal> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::malformed("The Content-Type must be application/json."));
    }
    let not_json = |error: serde_json::Error| Refusal::malformed(format!("The body is not JSON: {error}."));
    let raw: Box<RawValue> = serde_json::from_slice(body).map_err(not_json)?;
    match serde_json::from_str(raw.get()).map_err(not_json)? {
        Value::Object(request) => Ok((raw, request)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Refusal::malformed("The body must be a JSON object."))
        }
    }
}

/// Checks a request that marks a message as read.
fn mark(request: &Map<String, Value>) -> Result<(), Refusal> {
    if request.get("status").and_then(Value::as_str) != Some("read") {
        return Err(Refusal::invalid("Param status must be one of {read}."));
    }
    match request.get("message_id") {
        None | Some(Value::Null) => return Err(Refusal::missing("message_id")),
        Some(id) => Shape::Text(usize::MAX).check(id, "message_id")?,
    }
    match request.get("typing_indicator") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(typing)) => {
            let kind = typing.get("type").ok_or_else(|| Refusal::missing("typing_indicator['type']"))?;
            Shape::Word(&["text"]).check(kind, "typing_indicator['type']")
        }
        Some(_) => Err(Refusal::invalid("Param typing_indicator must be a JSON object.")),
    }
}

/// Returns `to` as written, and its digits. Like Meta, it allows blanks, dashes and parentheses.
fn recipient(request: &Map<String, Value>, group: bool) -> Result<(String, String), Refusal> {
    let to = match request.get("to") {
        // If both are given, Meta uses `to`.
        None | Some(Value::Null) if !group && given(request, "recipient").is_some() => {
            let id = request
                .get("recipient")
                .and_then(Value::as_str)
                .filter(|id| id.parse::<Recipient>().is_ok_and(|recipient| recipient.is_user_id()));
            let id = id.ok_or_else(|| Refusal::invalid("Param recipient must be the id of a user."))?;
            return Ok((id.to_owned(), id.to_owned()));
        }
        None | Some(Value::Null) => return Err(Refusal::missing("to")),
        Some(Value::String(to)) => to,
        Some(_) => return Err(Refusal::invalid("Param to must be a string.")),
    };
    if group {
        return if to.is_empty() {
            Err(Refusal::invalid("Param to must be a group id."))
        } else {
            Ok((to.clone(), to.clone()))
        };
    }
    let written: String = to.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect();
    let Some(digits) = written.strip_prefix('+') else {
        return Err(Refusal::invalid(
            "Param to must begin with '+'. The Cloud API would prepend the business's own country calling code to a \
             number without it, and so send to somebody else; the simulator refuses it.",
        ));
    };
    let e164 = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0') && DIGITS.contains(&digits.len());
    if e164 {
        Ok((to.clone(), digits.to_owned()))
    } else {
        Err(Refusal::invalid("Param to must be '+' and 7 to 15 digits, beginning with a country calling code."))
    }
}

fn opaque(request: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    match request.get("biz_opaque_callback_data") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(opaque)) if opaque.len() <= OPAQUE_MAX => Ok(Some(opaque.clone())),
        Some(Value::String(_)) => {
            Err(Refusal::malformed("Param biz_opaque_callback_data must be at most 512 characters long."))
        }
        Some(_) => Err(Refusal::malformed("Param biz_opaque_callback_data must be a string.")),
    }
}

/// Checks the type and the object that belongs to it.
fn content(request: &Map<String, Value>, group: bool) -> Result<&'static str, Refusal> {
    let named = |kind: &str| TYPES.iter().find(|(known, _)| *known == kind);
    let found = match request.get("type") {
        // Meta treats a missing type as text, and its own examples send a list without a type.
        None | Some(Value::Null) => {
            TYPES.iter().find(|(kind, _)| given(request, kind).is_some()).or_else(|| named("text"))
        }
        Some(Value::String(kind)) => named(kind),
        Some(_) => return Err(Refusal::invalid("Param type must be a string.")),
    };
    let Some((kind, shape)) = found else {
        let known: Vec<&str> = TYPES.iter().map(|(kind, _)| *kind).collect();
        let details = format!("Param type must be one of {{{}}}.", known.join(", "));
        return Err(Refusal::new(code::UNSUPPORTED_TYPE).because(details));
    };
    if group && !GROUP_TYPES.contains(kind) {
        return Err(Refusal::new(code::UNSUPPORTED_TYPE).because(format!("A group cannot be sent {kind}.")));
    }
    if let Some(context) = given(request, "context") {
        let quoted = context.get("message_id").and_then(Value::as_str);
        if quoted.is_none_or(str::is_empty) {
            return Err(Refusal::invalid("Param context['message_id'] must be the id of a message."));
        }
    }
    match request.get(*kind) {
        None | Some(Value::Null) => Err(Refusal::missing(kind)),
        Some(content) => shape.check(content, kind).map(|()| *kind),
    }
}
