//! A client's request, checked once and completely: all bad fields are named at once.

mod fingerprint;

use serde_json::{Map, Value};

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
/// The error for an `expiresAt` that has passed.
const LATE: &str = "must be in the future";

/// A request that is valid in itself. Whether the organisation has its sender is not known yet.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The sender, if the request names one.
    pub from: Option<PhoneNumberId>,
    /// Recognises a repeat of the request: SHA-256 over its JSON with sorted keys and with its numbers digit by digit.
    pub fingerprint: Hash,
    /// The same with the numbers as they were parsed, which two requests can share. Old messages were stored with this
    /// one.
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
        // With an idempotency key it may repeat a request that was in time: the caller checks that, with `late`.
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
        let first_fingerprint = fingerprint::first(body);
        Ok(Self {
            from,
            fingerprint: fingerprint::whole(&first_fingerprint, &[]),
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

    /// The same request, with its payload as it was written. `json` is the text of the parsed body.
    #[must_use]
    pub fn as_written(mut self, json: &[u8]) -> Self {
        let Ok(json) = str::from_utf8(json) else { return self };
        if let Some(payload) = verbatim::member(json, "payloadJson") {
            self.payload = verbatim::compact(payload).into_bytes();
        }
        self.fingerprint = fingerprint::whole(&self.first_fingerprint, &verbatim::odd_numbers(json));
        self
    }

    /// Parts of its payload that we do not know. They are passed on, and Meta decides.
    pub fn warnings(&self) -> &[FieldError] {
        &self.warnings
    }

    /// Whether a message stored with this fingerprint came from the same request.
    pub fn made(&self, kept: &Hash) -> bool {
        // An erased message has no fingerprint left.
        [self.fingerprint, self.first_fingerprint, Hash::default()].contains(kept)
    }

    /// The template that it uses; `None` if it is free-form. This parses the payload, so it is not for a hot path.
    pub fn template(&self) -> Option<TemplateKey> {
        message::template(self.template_code.as_deref(), &self.payload)
    }

    /// Whom to send it to.
    pub const fn to(&self) -> &Recipient {
        &self.to
    }

    /// Which consent it needs.
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

    /// The error if it has expired already, for a new request.
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

/// Meta's id of a user may come in `to`, like a number, or in `recipient`, as in Meta's API.
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
        // Other numbers would lose digits in JSON, and two dossiers could become one.
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

/// The idempotency keys of twotick's own messages, the replies to stop and start words, begin with this.
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

#[cfg(test)]
mod tests;
