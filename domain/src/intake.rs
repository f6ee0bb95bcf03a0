//! A client's request, checked once and completely: every bad field is named at once.

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

    /// The same request, to be carried as it was written. `json` is the text that the parsed body was read from.
    #[must_use]
    pub fn as_written(mut self, json: &[u8]) -> Self {
        let Ok(json) = str::from_utf8(json) else { return self };
        if let Some(payload) = verbatim::member(json, "payloadJson") {
            self.payload = verbatim::compact(payload).into_bytes();
        }
        self.fingerprint = fingerprint::whole(&self.first_fingerprint, &verbatim::odd_numbers(json));
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

#[cfg(test)]
mod tests;
