//! Writes the JSON of a send. The client's payload is passed on byte by byte, without parsing and writing it again.

use std::collections::BTreeMap;

use domain::{AttemptRef, Message};
use serde_json::value::{RawValue, to_raw_value};

/// The members of an object, each as it was written.
type Object = BTreeMap<String, Box<RawValue>>;

type Json<T> = Result<T, serde_json::Error>;

/// The body of the call that makes `attempt` of `message`. It fails only if intake would not have accepted the payload.
pub fn body(message: &Message, attempt: AttemptRef) -> Json<Vec<u8>> {
    let payload: Object = serde_json::from_slice(&message.payload)?;
    let mut wire = match &message.template_code {
        Some(name) => template(name, payload)?,
        None => payload,
    };
    if let Some(template) = wire.get_mut("template") {
        with_string_indices(template)?;
    }
    // Written last, so that no payload can redirect the message or its receipts.
    for name in ["to", "recipient"] {
        wire.remove(name);
    }
    let to = if message.to.is_user_id() { "recipient" } else { "to" };
    let opaque = attempt.to_string();
    for (name, value) in [
        ("messaging_product", "whatsapp"),
        ("recipient_type", "individual"),
        (to, message.to.as_str()),
        ("biz_opaque_callback_data", opaque.as_str()),
    ] {
        wire.insert(name.to_owned(), to_raw_value(value)?);
    }
    serde_json::to_vec(&wire)
}

/// The native object of a template given by its name, a language, and perhaps components.
fn template(name: &str, mut payload: Object) -> Json<Object> {
    let language = payload.remove("language").unwrap_or_default();
    // A client may give just the code. An object of Meta's is kept, since it may hold more.
    let language = match serde_json::from_str::<String>(language.get()) {
        Ok(_) => object([("code", language)])?,
        Err(_) => {
            serde_json::from_str::<Object>(language.get())?;
            language
        }
    };
    let mut template = vec![("name", to_raw_value(name)?), ("language", language)];
    let components = payload.remove("components").filter(|components| components.get() != "null");
    template.extend(components.map(|components| ("components", components)));
    Ok(Object::from([("type".to_owned(), to_raw_value("template")?), ("template".to_owned(), object(template)?)]))
}

fn object<'a>(members: impl IntoIterator<Item = (&'a str, Box<RawValue>)>) -> Json<Box<RawValue>> {
    to_raw_value(&members.into_iter().collect::<BTreeMap<_, _>>())
}

/// Meta's samples show a button's index as a number and as a string; only the string works in every version. Malformed
/// components are left for Meta to refuse.
fn with_string_indices(holder: &mut Box<RawValue>) -> Json<()> {
    let Ok(mut members) = serde_json::from_str::<Object>(holder.get()) else { return Ok(()) };
    let Some(components) = members.get_mut("components") else { return Ok(()) };
    let Ok(mut all) = serde_json::from_str::<Vec<Object>>(components.get()) else { return Ok(()) };
    for component in &mut all {
        if let Some(index) = component.get_mut("index")
            && index.get().starts_with(|first: char| first == '-' || first.is_ascii_digit())
        {
            *index = to_raw_value(index.get())?;
        }
        // The cards of a carousel have components of their own.
        if let Some(cards) = component.get_mut("cards")
            && let Ok(mut each) = serde_json::from_str::<Vec<Box<RawValue>>>(cards.get())
        {
            each.iter_mut().try_for_each(with_string_indices)?;
            *cards = to_raw_value(&each)?;
        }
    }
    *components = to_raw_value(&all)?;
    *holder = to_raw_value(&members)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    use domain::message::Category;
    use domain::{AttemptNo, MessageId, Priority, SenderNo, Timestamp};

    const ATTEMPT: AttemptRef = AttemptRef { message: MessageId::from_bytes([7; 16]), attempt: AttemptNo(2) };
    const OPAQUE: &str = "tt1:07070707070707070707070707070707:2";

    fn wire(template_code: Option<&str>, payload: &Value) -> Result<Value, serde_json::Error> {
        written(template_code, &payload.to_string()).map(|body| serde_json::from_str(&body).unwrap())
    }

    fn written(template_code: Option<&str>, payload: &str) -> Result<String, serde_json::Error> {
        let message = Message {
            id: ATTEMPT.message,
            from: "1066".parse().unwrap(),
            sender: SenderNo(1),
            to: "+4915112345678".parse().unwrap(),
            template_code: template_code.map(str::to_owned),
            payload: payload.as_bytes().into(),
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
        body(&message, ATTEMPT).map(|bytes| String::from_utf8(bytes).unwrap())
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
    fn a_number_for_an_index_becomes_a_string_wherever_a_template_may_have_one() {
        let button = |index: Value| json!({"type": "button", "sub_type": "url", "index": index, "parameters": []});
        let carousel = |index: Value| json!([{"type": "carousel", "cards": [{"card_index": 0, "components": [button(index.clone())]}]}, button(index)]);
        let native = |index: Value| json!({"type": "template", "template": {"name": "x", "language": {"code": "en"}, "components": carousel(index)}});
        assert_eq!(wire(None, &native(json!(1))).unwrap()["template"], native(json!("1"))["template"]);
        let coded = wire(Some("x"), &json!({"language": "en", "components": carousel(json!(1))})).unwrap();
        assert_eq!(coded["template"]["components"], carousel(json!("1")));
        for odd in
            [json!(7), json!([7]), json!({"components": 7}), json!({"components": [{"cards": [7], "index": null}]})]
        {
            assert_eq!(wire(None, &json!({"type": "template", "template": odd})).unwrap()["template"], odd);
        }
    }

    #[test]
    fn what_the_client_wrote_is_sent_digit_by_digit() {
        let numbers = r#"{"longitude":106.81666600000001,"big":123456789012345678901234,"n":1.50e3,"s":"\u0041\/"}"#;
        let sent = written(None, &format!(r#"{{"type":"location","location":{numbers}}}"#)).unwrap();
        assert!(sent.contains(&format!(r#""location":{numbers}"#)), "{sent}");
        let components = format!(r#"[{{"type":"button","index":0,"parameters":[{numbers}]}}]"#);
        let payload = format!(r#"{{"language":{{"code":"en","n":1.50}},"components":{components}}}"#);
        let sent = written(Some("x"), &payload).unwrap();
        assert!(sent.contains(numbers) && sent.contains(r#""index":"0""#) && sent.contains("1.50}"), "{sent}");
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
