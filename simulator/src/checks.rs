//! What Meta refuses: the checks of a request to send a message.

use domain::PhoneNumberId;
use domain::message::Recipient;
use domain::payload::{TYPES, check_native};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::errors::Refusal;

/// Meta's codes for what can be wrong with a request.
pub(crate) mod code {
    pub(crate) const INVALID_REQUEST: i64 = 100;
    pub(crate) const NO_TOKEN: i64 = 104;
    pub(crate) const BAD_TOKEN: i64 = 190;
    pub(crate) const MISSING: i64 = 131_008;
    pub(crate) const INVALID: i64 = 131_009;
    pub(crate) const UNSUPPORTED_TYPE: i64 = 131_051;
}

/// The subcode of "object does not exist", which comes with code 100.
const NO_SUCH_OBJECT: i64 = 33;
/// The longest `biz_opaque_callback_data`. Meta's texts disagree on characters or bytes; bytes satisfies both.
const OPAQUE_MAX: usize = 512;
/// The digits of an E.164 number.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// The members of the request that are not content; what remains is what the domain's checks know.
const ENVELOPE: [&str; 5] = ["messaging_product", "recipient_type", "to", "recipient", "biz_opaque_callback_data"];
/// What a group can be sent.
const GROUP_TYPES: [&str; 7] = ["text", "image", "video", "audio", "document", "sticker", "template"];

/// A well-formed request.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The sender in the path.
    pub(crate) phone_number_id: String,
    /// The recipient as written.
    pub(crate) to: String,
    /// The recipient's digits, or the group's id.
    pub(crate) wa_id: String,
    /// The message type.
    pub(crate) kind: &'static str,
    /// What the receipts have to bring back.
    pub(crate) opaque: Option<String>,
    /// The whole request.
    pub(crate) body: Box<RawValue>,
}

/// Checks a request in Meta's order: who calls, for which object, and then the parameters.
pub(crate) fn check(phone_number_id: &str, headers: &HeaderMap, body: &[u8]) -> Result<Parsed, Refusal> {
    token(headers)?;
    if phone_number_id.parse::<PhoneNumberId>().is_err() {
        return Err(no_such_object(phone_number_id));
    }
    let (raw, mut request) = read(headers, body)?;
    match request.get("messaging_product") {
        Some(Value::String(product)) if product == "whatsapp" => {}
        None => return Err(refuse(code::INVALID_REQUEST, "The parameter messaging_product is required.")),
        Some(_) => return Err(refuse(code::INVALID_REQUEST, "messaging_product must be \"whatsapp\".")),
    }
    let group = match request.get("recipient_type").map(Value::as_str) {
        None | Some(Some("individual")) => false,
        Some(Some("group")) => true,
        Some(_) => return Err(refuse(code::INVALID, "recipient_type must be individual or group.")),
    };
    let (to, wa_id) = recipient(&request, group)?;
    let opaque = opaque(&request)?;
    for name in ENVELOPE {
        request.remove(name);
    }
    let kind = content(&request, group)?;
    Ok(Parsed { phone_number_id: phone_number_id.to_owned(), to, wa_id, kind, opaque, body: raw })
}

/// An id in the path that Meta does not know.
pub(crate) fn no_such_object(id: &str) -> Refusal {
    let details = format!(
        "Unsupported request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or \
         does not support this operation."
    );
    Refusal { subcode: Some(NO_SUCH_OBJECT), ..refuse(code::INVALID_REQUEST, details) }
}

fn refuse(code: i64, details: impl Into<String>) -> Refusal {
    Refusal::new(code, details)
}

/// The bearer token.
pub(crate) fn token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Err(refuse(code::NO_TOKEN, "An access token is required to request this resource."));
    };
    let words: Vec<&str> = value.to_str().unwrap_or_default().split_ascii_whitespace().collect();
    match words.as_slice() {
        [] => Err(refuse(code::NO_TOKEN, "An access token is required to request this resource.")),
        [scheme] if scheme.eq_ignore_ascii_case("bearer") => Err(refuse(code::NO_TOKEN, "The access token is empty.")),
        [scheme, token] if scheme.eq_ignore_ascii_case("bearer") => Ok(token),
        _ => Err(refuse(code::BAD_TOKEN, "Cannot parse access token.")),
    }
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<(Box<RawValue>, Map<String, Value>), Refusal> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(refuse(code::INVALID_REQUEST, "The Content-Type must be application/json."));
    }
    let not_json = |error: serde_json::Error| refuse(code::INVALID_REQUEST, format!("The body is not JSON: {error}."));
    let raw: Box<RawValue> = serde_json::from_slice(body).map_err(not_json)?;
    match serde_json::from_str(raw.get()).map_err(not_json)? {
        Value::Object(request) => Ok((raw, request)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(refuse(code::INVALID_REQUEST, "The body must be a JSON object."))
        }
    }
}

/// `to` as written, and its digits. Blanks, dashes and parentheses are allowed, as by Meta.
fn recipient(request: &Map<String, Value>, group: bool) -> Result<(String, String), Refusal> {
    let to = match request.get("to") {
        // Meta takes `to` where both are given.
        None | Some(Value::Null) if !group && request.contains_key("recipient") => {
            let id = request
                .get("recipient")
                .and_then(Value::as_str)
                .filter(|id| id.parse::<Recipient>().is_ok_and(|recipient| recipient.is_user_id()));
            let id = id.ok_or_else(|| refuse(code::INVALID, "recipient must be the id of a user."))?;
            return Ok((id.to_owned(), id.to_owned()));
        }
        None | Some(Value::Null) => return Err(refuse(code::MISSING, "The parameter to is required.")),
        Some(Value::String(to)) => to,
        Some(_) => return Err(refuse(code::INVALID, "to must be a string.")),
    };
    if group {
        return if to.is_empty() {
            Err(refuse(code::INVALID, "to must be a group id."))
        } else {
            Ok((to.clone(), to.clone()))
        };
    }
    let written: String = to.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect();
    let Some(digits) = written.strip_prefix('+') else {
        let details = "to must begin with '+'. The Cloud API would prepend the business's own country calling code to \
                       a number without it, and so send to somebody else; the simulator refuses it.";
        return Err(refuse(code::INVALID, details));
    };
    let e164 = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0') && DIGITS.contains(&digits.len());
    if e164 {
        Ok((to.clone(), digits.to_owned()))
    } else {
        Err(refuse(code::INVALID, "to must be '+' and 7 to 15 digits, beginning with a country calling code."))
    }
}

fn opaque(request: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    match request.get("biz_opaque_callback_data") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(opaque)) if opaque.len() <= OPAQUE_MAX => Ok(Some(opaque.clone())),
        Some(Value::String(_)) => {
            Err(refuse(code::INVALID_REQUEST, "biz_opaque_callback_data must be at most 512 characters long."))
        }
        Some(_) => Err(refuse(code::INVALID_REQUEST, "biz_opaque_callback_data must be a string.")),
    }
}

/// Checks the type and its object, without the envelope.
fn content(content: &Map<String, Value>, group: bool) -> Result<&'static str, Refusal> {
    let kind = match content.get("type") {
        None | Some(Value::Null) => return Err(refuse(code::MISSING, "The parameter type is required.")),
        Some(Value::String(kind)) => TYPES.into_iter().find(|known| known == kind),
        Some(_) => return Err(refuse(code::INVALID, "type must be a string.")),
    };
    let Some(kind) = kind else {
        return Err(refuse(code::UNSUPPORTED_TYPE, format!("type must be one of {}.", TYPES.join(", "))));
    };
    if group && !GROUP_TYPES.contains(&kind) {
        return Err(refuse(code::UNSUPPORTED_TYPE, format!("A group cannot be sent {kind}.")));
    }
    let quoted = content.get("context").map(|context| context.get("message_id").and_then(Value::as_str));
    if quoted.is_some_and(|id| id.is_none_or(str::is_empty)) {
        return Err(refuse(code::INVALID, "context.message_id must be the id of a message."));
    }
    // The domain's complaint about a name that is not there is about its form; Meta's is that it is missing.
    if kind == "template" && content.get("template").is_some_and(|t| t.is_object() && t.get("name").is_none()) {
        return Err(refuse(code::MISSING, "template.name is required."));
    }
    match check_native(content).errors.first() {
        None => Ok(kind),
        Some(wrong) => {
            let code = if wrong.message.starts_with("is required") { code::MISSING } else { code::INVALID };
            let path = wrong.field.strip_prefix("payloadJson.").unwrap_or(&wrong.field);
            Err(refuse(code, format!("{path} {}.", wrong.message)))
        }
    }
}
