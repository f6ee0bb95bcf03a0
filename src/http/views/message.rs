//! Messages, attempts, and what recipients wrote.

use std::borrow::Cow;

use api::Word;
use domain::{Attempt, Dossier, Failure, Inbound, Message, OnUnknown, OrgId, Priority, State};
use serde_json::Value;

use super::written::as_written;
use super::{present, present_owned, time};

pub(crate) fn message<'a>(org: &'a OrgId, message: &'a Message, state: &'a State) -> api::Message<'a> {
    let failure = state.failure.as_ref();
    let text = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
    api::Message {
        id: message.id.to_string(),
        org_id: Cow::Borrowed(org.as_str()),
        status: Word::Borrowed(state.phase.status().as_str()),
        dossier_id: message.dossier.as_ref().map_or(Value::Null, dossier),
        channel: Word::Borrowed("WHATSAPP"),
        from: Cow::Borrowed(message.from.as_str()),
        to: present(message.to.as_str()).map(Cow::Borrowed),
        template_code: text(&message.template_code),
        payload_json: serde_json::from_slice(&message.payload).ok(),
        subject: text(&message.subject),
        idempotency_key: text(&message.idempotency_key),
        send_at: time(message.send_at),
        expires_at: time(message.expires_at),
        priority: Word::Borrowed(match message.priority {
            Priority::High => "HIGH",
            Priority::Normal => "NORMAL",
            Priority::Low => "LOW",
        }),
        category: Word::Borrowed(message.category.as_str()),
        on_unknown: message.on_unknown.map(|policy| {
            Word::Borrowed(match policy {
                OnUnknown::Resend => "RESEND",
                OnUnknown::Hold => "HOLD",
            })
        }),
        provider_message_id: state.provider_id().and_then(|id| present(id.as_str())).map(Cow::Borrowed),
        attempt_count: state.attempt_count(),
        max_attempts: state.max_attempts,
        error_code: failure.map(|failure| Cow::Owned(failure.code.to_string())),
        error_message: failure.and_then(|failure| present(&failure.message)).map(Cow::Borrowed),
        next_retry_at: time(state.next_retry_at()),
        created_at: message.created_at.to_string(),
        updated_at: state.updated_at.to_string(),
        sent_at: time(state.sent_at),
        delivered_at: time(state.delivered_at),
        read_at: time(state.read_at),
        erased_at: time(message.erased.map(|mark| mark.at)),
    }
}

/// A dossier's name as it was given.
fn dossier(dossier: &Dossier) -> Value {
    match dossier {
        Dossier::Text(text) => Value::String(text.clone()),
        Dossier::Number(text) => serde_json::from_str(text).unwrap_or(Value::Null),
    }
}

/// An attempt; `response` is the provider's answer.
pub(crate) fn attempt(attempt: &Attempt, response: Option<&[u8]>) -> api::Attempt {
    let failure: Option<&Failure> = attempt.failure.as_ref();
    api::Attempt {
        attempt_no: attempt.no.0,
        charged: attempt.charged,
        status: Word::Borrowed(attempt.status.as_str()),
        error_code: failure.map(|failure| failure.code.to_string()),
        error_message: failure.and_then(|failure| present_owned(&failure.message)),
        next_retry_at: time(attempt.next_retry_at),
        started_at: attempt.started_at.to_string(),
        finished_at: time(attempt.finished_at),
        provider_response: response.and_then(as_written),
    }
}

/// A message that a recipient wrote. One who shows no phone number is named by Meta's id.
pub(crate) fn inbound(org: &OrgId, inbound: &Inbound) -> api::Inbound {
    api::Inbound {
        id: inbound.id.to_string(),
        org_id: org.to_string(),
        from: inbound.names().next().map(str::to_owned),
        phone_number_id: inbound.sender.to_string(),
        kind: inbound.kind.clone(),
        received_at: inbound.received_at.to_string(),
        provider_message_id: inbound.provider_id.as_str().to_owned(),
        payload_json: as_written(&inbound.payload),
    }
}
