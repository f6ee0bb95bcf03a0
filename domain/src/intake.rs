//! A client's request, checked once and completely: every bad field is named at once.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::audit::Hash;
use crate::fields::{FieldError, Fields};
use crate::gate::TemplateKey;
use crate::ids::{MessageId, PhoneNumberId, SenderNo};
use crate::message::{self, Category, Dossier, Message, OnUnknown, Priority, Recipient};
use crate::payload;
use crate::time::Timestamp;
use crate::verbatim;

const IDEMPOTENCY_KEY_MAX: usize = 255;
const DOSSIER_MAX: usize = 255;
const SUBJECT_MAX: usize = 1000;
/// What is said of an `expiresAt` that has passed.
const LATE: &str = "must be in the future";

/// A request that is valid in itself; whether the organisation has its sender is not yet known.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The sender, if the request names one.
    pub from: Option<PhoneNumberId>,
    /// Recognises the same request sent again: SHA-256 over its JSON with sorted keys, and its numbers digit by digit.
    pub fingerprint: Hash,
    /// The same of numbers as they were read, which two requests can share: what messages were kept with at first.
    first_fingerprint: Hash,
    to: Recipient,
    template_code: Option<String>,
    payload: Vec<u8>,
    warnings: Vec<FieldError>,
    dossier: Option<Dossier>,
    subject: Option<String>,
    idempotency_key: Option<String>,
    send_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    priority: Priority,
    category: Category,
    on_unknown: Option<OnUnknown>,
}

impl NewMessage {
    /// Reads a request body. `key_header` is the header `Idempotency-Key`, if sent.
    pub fn parse(body: &Map<String, Value>, key_header: Option<&str>, now: Timestamp) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::new(body, "");
        let to = read_recipient(&mut fields);
        fields.one_of("channel", &[("WHATSAPP", ())]);
        let template_code = fields.text("templateCode").map(str::to_owned);
        if template_code.as_deref().is_some_and(|name| !payload::is_template_name(name)) {
            fields.refuse("templateCode", "must have 1 to 512 lower-case letters, digits and '_'");
        }
        fields.require("payloadJson");
        let mut warnings = Vec::new();
        let payload = match fields.value("payloadJson") {
            Some(Value::Object(object)) => {
                let check = if template_code.is_some() { payload::check_template } else { payload::check_native };
                let found = check(object);
                fields.extend(found.errors);
                warnings = found.warnings;
                serde_json::to_vec(object).unwrap_or_default()
            }
            Some(_) => {
                fields.refuse("payloadJson", "must be an object");
                Vec::new()
            }
            None => Vec::new(),
        };
        let dossier = read_dossier(&mut fields);
        let subject = fields.short_text("subject", SUBJECT_MAX).map(str::to_owned);
        let idempotency_key = read_idempotency_key(&mut fields, key_header);
        let from = fields.parsed("from");
        let send_at = fields.parsed("sendAt");
        let expires_at: Option<Timestamp> = fields.parsed("expiresAt");
        // One that comes with a key may repeat a request that was in time: who knows that judges it, by `late`.
        if expires_at.is_some_and(|at| at <= now) && idempotency_key.is_none() {
            fields.refuse("expiresAt", LATE);
        } else if expires_at.is_some() && send_at >= expires_at {
            fields.refuse("expiresAt", "must be later than sendAt");
        }
        let lanes = [("HIGH", Priority::High), ("NORMAL", Priority::Normal), ("LOW", Priority::Low)];
        let priority = fields.one_of("priority", &lanes).unwrap_or_default();
        let category = fields.one_of("category", &Category::WORDS).unwrap_or_default();
        let on_unknown = fields.one_of("onUnknown", &[("RESEND", OnUnknown::Resend), ("HOLD", OnUnknown::Hold)]);

        let errors = fields.finish();
        let Some(to) = to.filter(|_| errors.is_empty()) else { return Err(errors) };
        let first_fingerprint = first_fingerprint(body);
        Ok(Self {
            from,
            fingerprint: fingerprint(&first_fingerprint, &[]),
            first_fingerprint,
            to,
            template_code,
            payload,
            warnings,
            dossier,
            subject,
            idempotency_key,
            send_at,
            expires_at,
            priority,
            category,
            on_unknown,
        })
    }

    /// The same request, to be carried as it was written. `json` is the text that the parsed body was read from.
    #[must_use]
    pub fn as_written(mut self, json: &[u8]) -> Self {
        let Ok(json) = str::from_utf8(json) else { return self };
        if let Some(payload) = verbatim::member(json, "payloadJson") {
            self.payload = verbatim::compact(payload).into_bytes();
        }
        self.fingerprint = fingerprint(&self.first_fingerprint, &verbatim::odd_numbers(json));
        self
    }

    /// What of its payload is passed on though it is not known here: Meta decides.
    pub fn warnings(&self) -> &[FieldError] {
        &self.warnings
    }

    /// Whether the message that was kept with this fingerprint came from the same request.
    pub fn made(&self, kept: &Hash) -> bool {
        // An erased message's fingerprint is gone with it.
        [self.fingerprint, self.first_fingerprint, Hash::default()].contains(kept)
    }

    /// The template that it uses; `None` if it is free-form. Reads the payload, so it is not for a busy path.
    pub fn template(&self) -> Option<TemplateKey> {
        message::template(self.template_code.as_deref(), &self.payload)
    }

    /// Whom it is to go to.
    pub const fn to(&self) -> &Recipient {
        &self.to
    }

    /// Which consent applies.
    pub const fn category(&self) -> Category {
        self.category
    }

    /// The customer file that it belongs to.
    pub const fn dossier(&self) -> Option<&Dossier> {
        self.dossier.as_ref()
    }

    /// The client's name for the request.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    /// What is wrong with it as a new request, if it comes too late.
    pub fn late(&self, now: Timestamp) -> Option<FieldError> {
        let is_late = self.expires_at.is_some_and(|at| at <= now);
        is_late.then(|| FieldError { field: "expiresAt".into(), message: LATE.into() })
    }

    /// The message that this request becomes.
    pub fn into_message(self, id: MessageId, from: PhoneNumberId, sender: SenderNo, now: Timestamp) -> Message {
        Message {
            id,
            from,
            sender,
            to: self.to,
            template_code: self.template_code,
            payload: self.payload.into(),
            dossier: self.dossier,
            subject: self.subject,
            idempotency_key: self.idempotency_key,
            send_at: self.send_at,
            expires_at: self.expires_at,
            priority: self.priority,
            category: self.category,
            on_unknown: self.on_unknown,
            created_at: now,
            erased: None,
        }
    }
}

/// Meta's id of a user may stand in `to`, as a number does, or in `recipient`, as Meta has it.
fn read_recipient(fields: &mut Fields<'_>) -> Option<Recipient> {
    let (to, recipient) = (fields.value("to").is_some(), fields.value("recipient").is_some());
    match (to, recipient) {
        (false, false) => fields.require("to"),
        (true, true) => fields.refuse("recipient", "must not be given together with to"),
        (true, false) | (false, true) => {}
    }
    let named = fields.parsed::<Recipient>("recipient");
    if named.as_ref().is_some_and(|named| !named.is_user_id()) {
        fields
            .refuse("recipient", "must be Meta's id of a user, such as US.13491208655302741918; a number goes into to");
    }
    fields.parsed("to").or(named)
}

fn read_dossier(fields: &mut Fields<'_>) -> Option<Dossier> {
    let dossier = match fields.value("dossierId")? {
        // Others would lose digits on their way through JSON, and two dossiers might become one.
        Value::Number(number) if number.is_i64() || number.is_u64() => Dossier::Number(number.to_string()),
        Value::Number(_) => {
            fields.refuse("dossierId", "must be a whole number of at most 64 bits; send others as a string");
            return None;
        }
        Value::String(text) => Dossier::Text(text.clone()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            fields.refuse("dossierId", "must be a number or a string");
            return None;
        }
    };
    if (1..=DOSSIER_MAX).contains(&dossier.key().chars().count()) {
        Some(dossier)
    } else {
        fields.refuse("dossierId", format!("must have 1 to {DOSSIER_MAX} characters"));
        None
    }
}

/// What the idempotency keys of messages begin with that nobody posted: replies to stop and start words.
pub const OWN_KEYS: &str = "consent-reply:";

fn read_idempotency_key(fields: &mut Fields<'_>, header: Option<&str>) -> Option<String> {
    let key = fields.short_text("idempotencyKey", IDEMPOTENCY_KEY_MAX);
    match (key, header) {
        (Some(key), Some(header)) if key != header => {
            fields.refuse("idempotencyKey", "differs from the header Idempotency-Key");
        }
        (None, Some(header)) if !(1..=IDEMPOTENCY_KEY_MAX).contains(&header.chars().count()) => {
            let message = format!("header Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_MAX} characters");
            fields.refuse("idempotencyKey", message);
        }
        (Some(_) | None, Some(_) | None) => {}
    }
    let key = key.or(header);
    if key.is_some_and(|key| key.starts_with(OWN_KEYS)) {
        let message = format!("must not begin with {OWN_KEYS:?}: keys of replies that are sent by themselves do");
        fields.refuse("idempotencyKey", message);
    }
    key.map(str::to_owned)
}

/// `serde_json` keeps objects sorted, so two texts of the same JSON have the same fingerprint. The idempotency key may
/// stand in the body or in the header, so it is left out.
fn first_fingerprint(body: &Map<String, Value>) -> Hash {
    let rest: BTreeMap<_, _> = body.iter().filter(|(name, _)| *name != "idempotencyKey").collect();
    Sha256::digest(serde_json::to_vec(&rest).unwrap_or_default()).into()
}

/// With the numbers that lose digits when they are read. Never the same as the first, so that neither passes for the other.
fn fingerprint(first: &Hash, odd_numbers: &[&str]) -> Hash {
    Sha256::new().chain_update(first).chain_update(odd_numbers.join(",")).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    fn parse(body: &Value, header: Option<&str>) -> Result<NewMessage, Vec<String>> {
        NewMessage::parse(body.as_object().unwrap(), header, NOW)
            .map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    fn text(extra: Value) -> Value {
        let mut body = json!({"to": "+1234567890", "payloadJson": {"type": "text", "text": {"body": "hi"}}});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    }

    #[test]
    fn the_seed_request_is_accepted() {
        let body = json!({"dossierId": 456, "channel": "WHATSAPP", "to": "+1234567890", "templateCode": "welcome_message",
            "payloadJson": {"language": "en", "components": [{"type": "body", "parameters": [{"type": "text", "text": "John Doe"}]}]},
            "idempotencyKey": "unique-123"});
        let new = parse(&body, None).unwrap();
        assert_eq!(new.idempotency_key(), Some("unique-123"));
        assert_eq!(new.dossier, Some(Dossier::Number("456".into())));
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let body = json!({"to": "123", "channel": "SMS", "templateCode": "Bad Name", "payloadJson": {"type": "text"},
            "dossierId": true, "subject": "", "idempotencyKey": "", "from": "a b", "sendAt": "soon", "expiresAt": 5,
            "priority": "URGENT", "category": "SPAM", "onUnknown": "PANIC", "surprise": 1});
        let mut fields = parse(&body, None).unwrap_err();
        fields.sort();
        assert_eq!(
            fields,
            [
                "category",
                "channel",
                "dossierId",
                "expiresAt",
                "from",
                "idempotencyKey",
                "onUnknown",
                "payloadJson.language",
                "payloadJson.type",
                "priority",
                "sendAt",
                "subject",
                "surprise",
                "templateCode",
                "to"
            ]
        );
    }

    #[test]
    fn a_dossier_whose_digits_json_would_lose_must_be_a_string() {
        for number in ["18446744073709551616", "1e5", "4.5"] {
            let body: Value = serde_json::from_str(&text(json!({})).to_string().replacen(
                '{',
                &format!("{{\"dossierId\":{number},"),
                1,
            ))
            .unwrap();
            assert_eq!(parse(&body, None).unwrap_err(), ["dossierId"], "{number}");
        }
        assert!(parse(&text(json!({"dossierId": u64::MAX})), None).is_ok());
        assert!(parse(&text(json!({"dossierId": "18446744073709551616"})), None).is_ok());
    }

    #[test]
    fn an_empty_request_names_what_is_required() {
        assert_eq!(parse(&json!({}), None).unwrap_err(), ["to", "payloadJson"]);
    }

    #[test]
    fn the_key_may_come_in_the_body_or_the_header_but_not_differ() {
        assert_eq!(parse(&text(json!({})), Some("k")).unwrap().idempotency_key(), Some("k"));
        assert!(parse(&text(json!({"idempotencyKey": "k"})), Some("k")).is_ok());
        assert_eq!(parse(&text(json!({"idempotencyKey": "k"})), Some("other")).unwrap_err(), ["idempotencyKey"]);
        assert_eq!(parse(&text(json!({})), Some("")).unwrap_err(), ["idempotencyKey"]);
        let ours = "consent-reply:REVOKED:x:20000";
        assert_eq!(parse(&text(json!({"idempotencyKey": ours})), None).unwrap_err(), ["idempotencyKey"]);
        assert_eq!(parse(&text(json!({})), Some(ours)).unwrap_err(), ["idempotencyKey"]);
        assert_eq!(parse(&text(json!({})), Some(&"k".repeat(256))).unwrap_err(), ["idempotencyKey"]);
    }

    #[test]
    fn the_fingerprint_ignores_spelling_but_not_content() {
        let print = |text: &str, header| parse(&serde_json::from_str(text).unwrap(), header).unwrap().fingerprint;
        let a = r#"{"to":"+1234567890","payloadJson":{"type":"text","text":{"body":"hi"}},"idempotencyKey":"k"}"#;
        let b = r#"{ "payloadJson": {"text":{"body":"\u0068i"},"type":"text"}, "to": "+1234567890" }"#;
        assert_eq!(print(a, None), print(b, Some("k")));
        assert_ne!(print(a, None), print(&a.replace("hi", "ho"), None));
    }

    fn written(json: &str) -> NewMessage {
        parse(&serde_json::from_str(json).unwrap(), None).unwrap().as_written(json.as_bytes())
    }

    #[test]
    fn a_payload_is_carried_as_it_was_written() {
        let json = r#"{ "payloadJson": {"type": "location", "location": {"longitude": 106.81666600000001, "latitude": -6.200000000000001,
            "big": 123456789012345678901234, "n": 1.50, "name": "\u0041 \/ \ud83d\ude00"}}, "to": "+1234567890" }"#;
        let payload = String::from_utf8(written(json).payload).unwrap();
        assert_eq!(
            payload,
            r#"{"type":"location","location":{"longitude":106.81666600000001,"latitude":-6.200000000000001,"big":123456789012345678901234,"n":1.50,"name":"\u0041 \/ \ud83d\ude00"}}"#
        );
    }

    #[test]
    fn of_two_payloads_in_one_body_the_one_that_was_checked_is_carried() {
        let json =
            r#"{"to":"+1234567890","payloadJson":{"type":"text"},"payloadJson":{"type":"text","text":{"body":"b"}}}"#;
        assert_eq!(written(json).payload, br#"{"type":"text","text":{"body":"b"}}"#);
    }

    #[test]
    fn a_repeat_is_known_by_its_digits_and_by_what_older_messages_were_kept_with() {
        let body = |longitude: &str| {
            written(&format!(
                r#"{{"to":"+1234567890","payloadJson":{{"type":"location","location":{{"latitude":1,"longitude":{longitude}}}}}}}"#
            ))
        };
        let (exact, near) = (body("106.81666600000001"), body("106.816666"));
        assert!(exact.made(&exact.fingerprint) && !exact.made(&near.fingerprint) && !near.made(&exact.fingerprint));
        // Kept before digits counted.
        assert!(exact.made(&exact.first_fingerprint));
        assert_eq!(hex(near.first_fingerprint), "670cc0cb243ac3d4769c7d7c4283421efcb1b997019eb1c9c6de9689210ac81b");
    }

    fn hex(hash: Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn times_must_lie_ahead_and_in_order() {
        let at = |secs| NOW.after(std::time::Duration::from_secs(secs)).to_string();
        assert!(parse(&text(json!({"sendAt": at(10), "expiresAt": at(20)})), None).is_ok());
        assert_eq!(parse(&text(json!({"sendAt": at(20), "expiresAt": at(20)})), None).unwrap_err(), ["expiresAt"]);
        assert_eq!(parse(&text(json!({"expiresAt": NOW.to_string()})), None).unwrap_err(), ["expiresAt"]);
        // With a key it may be a repeat: that is judged where the key is known.
        let repeat = parse(&text(json!({"expiresAt": NOW.to_string()})), Some("k")).unwrap();
        assert_eq!(repeat.late(NOW).map(|error| error.field).as_deref(), Some("expiresAt"));
        assert_eq!(repeat.late(NOW.before(std::time::Duration::from_secs(1))), None);
    }
}
