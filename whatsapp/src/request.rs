//! Writes the JSON of a send.

use domain::{AttemptRef, Message};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// `payloadJson` of a template message.
#[derive(Deserialize)]
struct TemplatePayload {
    language: Language,
    components: Option<Vec<Value>>,
}

/// A template's language as clients may write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Language {
    /// The code alone.
    Code(String),
    /// Meta's own object; kept as it is, since it may hold more than the code.
    Object(Map<String, Value>),
}

/// The body of the call that makes `attempt` of `message`. Fails only if the payload is not what intake lets in.
pub fn body(message: &Message, attempt: AttemptRef) -> Result<Vec<u8>, serde_json::Error> {
    let mut wire = match &message.template_code {
        Some(name) => template(name, &message.payload)?,
        None => serde_json::from_slice(&message.payload)?,
    };
    // Written last, so that no payload can send to somebody else or break the way back of receipts.
    for name in ["to", "recipient"] {
        wire.remove(name);
    }
    let to = if message.to.is_user_id() { "recipient" } else { "to" };
    let ours = [
        ("messaging_product", "whatsapp".to_owned()),
        ("recipient_type", "individual".to_owned()),
        (to, message.to.as_str().to_owned()),
        ("biz_opaque_callback_data", attempt.to_string()),
    ];
    wire.extend(ours.map(|(name, value)| (name.to_owned(), Value::String(value))));
    serde_json::to_vec(&wire)
}

fn template(name: &str, payload: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    let payload: TemplatePayload = serde_json::from_slice(payload)?;
    let language = match payload.language {
        Language::Code(code) => json!({ "code": code }),
        Language::Object(object) => Value::Object(object),
    };
    let mut template = Map::from_iter([("name".to_owned(), json!(name)), ("language".to_owned(), language)]);
    if let Some(mut components) = payload.components {
        // Meta's samples show a button's index as a number and as a string; only the string is taken by every version.
        for index in components.iter_mut().filter_map(|component| component.get_mut("index")) {
            if index.is_number() {
                *index = Value::String(index.to_string());
            }
        }
        template.insert("components".to_owned(), Value::Array(components));
    }
    Ok(Map::from_iter([("type".to_owned(), json!("template")), ("template".to_owned(), Value::Object(template))]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::message::Category;
    use domain::{AttemptNo, MessageId, Priority, SenderNo, Timestamp};

    const ATTEMPT: AttemptRef = AttemptRef { message: MessageId::from_bytes([7; 16]), attempt: AttemptNo(2) };
    const OPAQUE: &str = "tt1:07070707070707070707070707070707:2";

    fn wire(template_code: Option<&str>, payload: &Value) -> Result<Value, serde_json::Error> {
        let message = Message {
            id: ATTEMPT.message,
            from: "1066".parse().unwrap(),
            sender: SenderNo(1),
            to: "+4915112345678".parse().unwrap(),
            template_code: template_code.map(str::to_owned),
            payload: serde_json::to_vec(payload).unwrap().into(),
            dossier: None,
            subject: Some("never sent".to_owned()),
            idempotency_key: Some("never sent".to_owned()),
            send_at: None,
            expires_at: None,
            priority: Priority::Normal,
            category: Category::Transactional,
            on_unknown: None,
            created_at: Timestamp::EPOCH,
            erased: None,
        };
        body(&message, ATTEMPT).map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn a_template_is_sent_with_its_language_components_and_indices_as_strings() {
        let components = json!([
            {"type": "body", "parameters": [{"type": "text", "text": "Ada"}]},
            {"type": "button", "sub_type": "url", "index": 0, "parameters": [{"type": "text", "text": "A%2F77"}]},
            {"type": "button", "sub_type": "quick_reply", "index": "1", "parameters": []}]);
        let mut sent = components.clone();
        sent[1]["index"] = json!("0");
        assert_eq!(
            wire(Some("order_ready"), &json!({"language": "de", "components": components})).unwrap(),
            json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "+4915112345678",
                "biz_opaque_callback_data": OPAQUE, "type": "template",
                "template": {"name": "order_ready", "language": {"code": "de"}, "components": sent}})
        );
    }

    #[test]
    fn a_template_language_given_as_an_object_is_kept_as_given() {
        let language = json!({"code": "en_US", "policy": "deterministic"});
        let sent = wire(Some("hello"), &json!({"language": language})).unwrap();
        assert_eq!(sent["template"], json!({"name": "hello", "language": language}));
    }

    #[test]
    fn a_native_payload_is_sent_with_all_its_keys() {
        for payload in [
            json!({"type": "text", "text": {"body": "Grüße 👋", "preview_url": true}}),
            json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "Ada L", "first_name": "Ada"}}]}),
            json!({"type": "text", "text": {"body": "yes"}, "context": {"message_id": "wamid.A"}}),
            json!({"type": "location", "location": {"latitude": 52.520_008, "longitude": 13.404_954}}),
        ] {
            let mut whole = payload.clone();
            whole["messaging_product"] = json!("whatsapp");
            whole["recipient_type"] = json!("individual");
            whole["to"] = json!("+4915112345678");
            whole["biz_opaque_callback_data"] = json!(OPAQUE);
            assert_eq!(wire(None, &payload).unwrap(), whole);
        }
    }

    #[test]
    fn a_native_payload_cannot_override_what_is_ours() {
        let payload = json!({"type": "text", "text": {"body": "x"}, "to": "+1999999999", "messaging_product": "sms",
            "recipient_type": "group", "biz_opaque_callback_data": "theirs"});
        let sent = wire(None, &payload).unwrap();
        assert_eq!(sent["to"], "+4915112345678");
        assert_eq!(sent["messaging_product"], "whatsapp");
        assert_eq!(sent["recipient_type"], "individual");
        assert_eq!(sent["biz_opaque_callback_data"], OPAQUE);
    }

    #[test]
    fn a_payload_that_intake_would_refuse_is_an_error_and_not_a_panic() {
        assert!(wire(None, &json!(["text"])).is_err());
        assert!(wire(Some("hello"), &json!({"components": []})).is_err());
        assert!(wire(Some("hello"), &json!({"language": 7})).is_err());
    }
}
