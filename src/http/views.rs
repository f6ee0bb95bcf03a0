//! How things look from outside: camelCase, RFC 3339 times, absent values as null.

mod carrying;
mod pages;
pub(super) mod sender_status;

use std::borrow::Cow;

use domain::audit::{By, Entry, Fact, ReceiptEffect, Subject};
use domain::consent::{Choice, Consent, Refusal, Source, Standing, Statement};
use domain::erasure::Erased;
use domain::notice::Notice;
use domain::org::{ApiKey, Org, Pause, Sender};
use domain::people::Former;
use domain::receipt::Receipt;
use domain::retention::Purged;
use domain::{
    Attempt, AttemptNo, AttemptRef, Dossier, Failure, Inbound, Message, MessageId, OnUnknown, OrgId, OurCode, Priority,
    Seq, State, Timestamp,
};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use store::{Restored, Upkeep};

use super::Answer;
use super::key_log::KeyLog;
use super::problem::Problem;
pub(crate) use carrying::Carrying;
pub(crate) use pages::{ConsentHistory, Export, Listing, Numbered, Whole};

/// A JSON response.
pub(crate) fn json<T: Serialize>(status: StatusCode, body: &T) -> Answer {
    let mut bytes = serde_json::to_vec(body).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        Problem::internal()
    })?;
    // At a terminal, what follows stands on a line of its own.
    bytes.push(b'\n');
    let mut response = Response::new(bytes);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A message as returned.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageView<'a> {
    id: String,
    org_id: &'a str,
    status: &'static str,
    dossier_id: Value,
    channel: &'static str,
    from: &'a str,
    to: Option<&'a str>,
    template_code: Option<&'a str>,
    payload_json: Option<&'a RawValue>,
    subject: Option<&'a str>,
    idempotency_key: Option<&'a str>,
    send_at: Option<String>,
    expires_at: Option<String>,
    priority: &'static str,
    category: &'static str,
    on_unknown: Option<&'static str>,
    provider_message_id: Option<&'a str>,
    attempt_count: u16,
    max_attempts: u16,
    error_code: Option<String>,
    error_message: Option<&'a str>,
    next_retry_at: Option<String>,
    created_at: String,
    updated_at: String,
    sent_at: Option<String>,
    delivered_at: Option<String>,
    read_at: Option<String>,
    /// Not of the contract: only where it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_at: Option<String>,
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

fn code(failure: Option<&Failure>) -> Option<String> {
    failure.map(|failure| failure.code.to_string())
}

fn text(failure: Option<&Failure>) -> Option<&str> {
    failure.and_then(|failure| present(&failure.message))
}

pub(crate) fn message<'a>(org: &'a OrgId, message: &'a Message, state: &'a State) -> MessageView<'a> {
    let failure = state.failure.as_ref();
    MessageView {
        id: message.id.to_string(),
        org_id: org.as_str(),
        status: state.phase.status().as_str(),
        dossier_id: message.dossier.as_ref().map_or(Value::Null, dossier),
        channel: "WHATSAPP",
        from: message.from.as_str(),
        to: present(message.to.as_str()),
        template_code: message.template_code.as_deref(),
        payload_json: serde_json::from_slice(&message.payload).ok(),
        subject: message.subject.as_deref(),
        idempotency_key: message.idempotency_key.as_deref(),
        send_at: time(message.send_at),
        expires_at: time(message.expires_at),
        priority: match message.priority {
            Priority::High => "HIGH",
            Priority::Normal => "NORMAL",
            Priority::Low => "LOW",
        },
        category: message.category.as_str(),
        on_unknown: message.on_unknown.map(|policy| match policy {
            OnUnknown::Resend => "RESEND",
            OnUnknown::Hold => "HOLD",
        }),
        provider_message_id: state.provider_id().and_then(|id| present(id.as_str())),
        attempt_count: state.attempt_count(),
        max_attempts: state.max_attempts,
        error_code: code(failure),
        error_message: text(failure),
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

/// An attempt; `response` is the provider's answer, as JSON where it is JSON.
pub(crate) fn attempt(attempt: &Attempt, response: Option<&[u8]>) -> Carrying {
    let view = json!({
        "attemptNo": attempt.no.0,
        "charged": attempt.charged,
        "status": attempt.status.as_str(),
        "errorCode": code(attempt.failure.as_ref()),
        "errorMessage": text(attempt.failure.as_ref()),
        "nextRetryAt": time(attempt.next_retry_at),
        "startedAt": attempt.started_at.to_string(),
        "finishedAt": time(attempt.finished_at),
    });
    Carrying::new(view, "providerResponse", response)
}

/// A message that a recipient wrote. One who shows no phone number is named by Meta's id.
pub(crate) fn inbound(org: &OrgId, inbound: &Inbound) -> Carrying {
    let view = json!({
        "id": inbound.id.to_string(),
        "orgId": org.as_str(),
        "from": inbound.names().next(),
        "phoneNumberId": inbound.sender.as_str(),
        "type": inbound.kind,
        "receivedAt": inbound.received_at.to_string(),
        "providerMessageId": inbound.provider_id.as_str(),
    });
    Carrying::new(view, "payloadJson", Some(&inbound.payload))
}

/// What is known of a recipient's consent.
pub(crate) fn consent(known: &Consent) -> Value {
    json!({
        "id": known.id.to_string(),
        "recipient": present(&known.recipient),
        "transactional": known.transactional.as_ref().map(standing),
        "marketing": known.marketing.as_ref().map(standing),
    })
}

fn standing(standing: &Standing) -> Value {
    json!({
        "status": standing.choice.as_str(),
        "at": standing.at.to_string(),
        "record": standing.record.to_string(),
    })
}

/// Something that a recipient said. `record` is its id, and the seq of its audit event.
pub(crate) fn statement(record: Seq, statement: &Statement) -> Carrying {
    let ours = |evidence: Value| (None, Some(Cow::Owned(evidence.to_string().into_bytes())));
    let (source, evidence) = match &statement.source {
        Source::Api { name, evidence } => (name.as_deref(), evidence.as_deref().map(Cow::Borrowed)),
        Source::Word { inbound: MessageId::ERASED }
        | Source::OptOut { attempt: AttemptRef { message: MessageId::ERASED, .. } }
        | Source::Linked { consent: MessageId::ERASED, .. } => (None, None),
        Source::Word { inbound } => ours(json!({"inboundMessageId": inbound.to_string()})),
        Source::Preference { told_at, detail } => {
            // Ahead of our clock: `at` is when it came.
            let told_at = (*told_at > statement.at).then(|| told_at.to_string());
            ours(json!({"detail": detail, "toldAt": told_at}))
        }
        Source::OptOut { attempt } => {
            ours(json!({"messageId": attempt.message.to_string(), "attempt": attempt.attempt.0}))
        }
        Source::Linked { consent, record } => {
            ours(json!({"consentId": consent.to_string(), "record": record.to_string()}))
        }
    };
    let view = json!({
        "record": record.to_string(),
        "status": statement.choice.as_str(),
        "category": statement.covers.as_str(),
        "at": statement.at.to_string(),
        "recordedAt": statement.recorded_at.to_string(),
        "actor": actor(&statement.by),
        "source": source.unwrap_or_else(|| statement.source.kind()),
    });
    Carrying::new(view, "evidence", evidence.as_deref())
}

/// An audit event.
pub(crate) fn event(org: &OrgId, seq: Seq, entry: &Entry) -> Value {
    let (kind, id) = match &entry.subject {
        Subject::Message(id) => ("MESSAGE", id.to_string()),
        Subject::Organisation => ("ORGANISATION", org.to_string()),
        Subject::ApiKey(id) => ("API_KEY", id.clone()),
        Subject::Sender(number) => ("SENDER", number.to_string()),
        Subject::Inbound(id) => ("INBOUND", id.to_string()),
        Subject::Consent(id) => ("CONSENT", id.to_string()),
        Subject::Erasure(id) => ("ERASURE", id.to_string()),
        Subject::Person(id) => ("PERSON", id.to_string()),
    };
    json!({
        "seq": seq,
        "at": entry.at.to_string(),
        "entityType": kind,
        "entityId": id,
        "action": entry.fact.action().as_str(),
        "actor": actor(&entry.by),
        "details": details(entry),
    })
}

/// A step on a timeline. On a dossier's, it names its message.
pub(crate) fn activity(entry: &Entry) -> Value {
    let mut details = details(entry);
    let named = match &entry.subject {
        Subject::Message(id) => Some(("messageId", id)),
        Subject::Inbound(id) => Some(("inboundMessageId", id)),
        Subject::Organisation
        | Subject::ApiKey(_)
        | Subject::Sender(_)
        | Subject::Consent(_)
        | Subject::Erasure(_)
        | Subject::Person(_) => None,
    };
    if let (Some((name, id)), Some(details)) = (named, details.as_object_mut()) {
        details.insert(name.into(), id.to_string().into());
    }
    json!({"type": entry.fact.activity(), "at": entry.at.to_string(), "details": details})
}

fn actor(by: &By) -> String {
    match by {
        By::System => "system".into(),
        By::ApiKey(name) => format!("api-key:{name}"),
        By::Admin => "admin".into(),
        By::WhatsApp => "whatsapp".into(),
        By::Config => "config".into(),
    }
}

fn details(entry: &Entry) -> Value {
    let fact = &entry.fact;
    match fact {
        Fact::Created => json!({"status": "QUEUED"}),
        Fact::Accepted { attempt, provider_id } => {
            json!({"status": "SENT", "attempt": attempt.0, "providerMessageId": present(provider_id.as_str())})
        }
        Fact::RetryScheduled { attempt, failure, due } | Fact::Postponed { attempt, failure, due } => json!({
            "status": "QUEUED", "attempt": attempt.0, "errorCode": failure.code.to_string(), "errorMessage": present(&failure.message),
            "nextRetryAt": due.to_string(),
        }),
        Fact::OutcomeUnknown { attempt, failure, settle_by } => json!({
            "status": "SENDING", "attempt": attempt.0, "errorCode": failure.code.to_string(), "errorMessage": present(&failure.message),
            "settleBy": settle_by.to_string(),
        }),
        Fact::Resending { attempt } => {
            json!({"status": "QUEUED", "attempt": attempt.0, "errorCode": OurCode::OutcomeUnknown.as_str()})
        }
        Fact::Failed { attempt, failure } => json!({
            "status": "FAILED", "attempt": attempt.map(|no| no.0), "errorCode": failure.code.to_string(),
            "errorMessage": present(&failure.message),
        }),
        Fact::Receipt { attempt, receipt, effect } => receipt_details(*attempt, receipt, *effect),
        Fact::Cancelled => json!({"status": "CANCELLED"}),
        Fact::Requeued => json!({"status": "QUEUED"}),
        Fact::Paused { reason } => json!({"reason": reason}),
        Fact::Resumed => json!({}),
        Fact::Denied { denial } => json!({"reason": denial.as_str()}),
        Fact::ErasureBegun => json!({}),
        Fact::Erased(erased) => self::erased(erased),
        Fact::Purged(purged) => self::purged(purged),
        Fact::Linked { names, former } => json!({"names": names, "formerNames": former}),
        Fact::Restored { backup, taken_at, held } => {
            json!({"backup": backup, "takenAt": taken_at.to_string(), "held": held})
        }
        Fact::Released { messages } => json!({"messages": messages}),
        Fact::TemplateBilled { account, template, language, category, message } => json!({
            "account": account, "template": template, "language": language, "category": category.as_str(), "messageId": message.to_string(),
        }),
        Fact::Throttled { code, until } => json!({"code": code, "until": until.to_string()}),
        Fact::Unthrottled { code } => json!({"code": code}),
        Fact::Noticed(Notice { item, word, code }) => {
            json!({"item": item, "word": word, "errorCode": code.map(|code| code.to_string())})
        }
        Fact::IdTaken { attempt, holder } => json!({
            "attempt": attempt.0, "holder": {"messageId": holder.message.to_string(), "attempt": holder.attempt.0},
        }),
        Fact::Repaired { keys } => json!({"keys": keys}),
        Fact::Received { kind } => json!({"type": kind}),
        Fact::Consent { choice, covers } => json!({"status": choice.as_str(), "category": covers.as_str()}),
        // A request that was refused has no message to end.
        Fact::Blocked(refusal) => json!({
            "status": matches!(entry.subject, Subject::Message(_)).then_some("FAILED"),
            "errorCode": Refusal::CODE, "errorMessage": refusal.to_string(), "category": refusal.category.as_str(),
            "consentRecord": refusal.revoked.map(|standing| standing.record.to_string()),
        }),
        Fact::OrgPut | Fact::KeyCreated | Fact::KeyRevoked | Fact::OrgDeleted => {
            json!({"change": fact.activity()})
        }
    }
}

/// A name that a person had before.
pub(crate) fn former(former: &Former) -> Value {
    json!({"name": former.name, "until": former.until.to_string()})
}

/// How much was erased.
pub(crate) fn erased(erased: &Erased) -> Value {
    json!({
        "messages": erased.messages, "inboundMessages": erased.inbound, "consentStatements": erased.statements,
        "parkedReceipts": erased.receipts,
    })
}

/// What an organisation's retention has done.
pub(crate) fn upkeep(upkeep: &Upkeep) -> Value {
    let looked_at = Some(upkeep.looked_at).filter(|at| *at > Timestamp::EPOCH);
    json!({
        "lastLookAt": time(looked_at), "purged": purged(&upkeep.purged), "auditBeginsAfter": upkeep.cut,
    })
}

/// What an organisation was restored from.
pub(crate) fn restored(mark: &Restored) -> Value {
    json!({
        "backup": mark.backup, "takenAt": mark.taken_at.to_string(), "restoredAt": mark.at.to_string(), "held": mark.held,
    })
}

/// How much went because it was old.
fn purged(purged: &Purged) -> Value {
    json!({
        "messages": purged.messages, "payloads": purged.payloads, "inboundMessages": purged.inbound,
        "auditEvents": purged.entries,
    })
}

/// A text of Meta's; `None` once it was erased.
fn present(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn receipt_details(attempt: AttemptNo, receipt: &Receipt, effect: ReceiptEffect) -> Value {
    let error = receipt.error.as_ref();
    json!({
        "status": receipt.kind.as_str().to_uppercase(),
        "attempt": attempt.0,
        "providerMessageId": present(receipt.provider_id.as_str()),
        "reportedAt": receipt.at.to_string(),
        "effect": match effect {
            ReceiptEffect::Applied => "APPLIED",
            ReceiptEffect::Kept => "KEPT",
            ReceiptEffect::Anomaly => "ANOMALY",
            ReceiptEffect::Overruled => "OVERRULED",
        },
        "errorCode": error.map(|error| error.code.to_string()),
        "errorMessage": error.and_then(|error| present(&error.message)),
        "pricing": receipt.pricing.as_ref().and_then(|json| serde_json::from_slice::<Value>(json).ok()),
    })
}

/// An organisation as returned: what is secret only shows as set.
pub(crate) fn org(org: &Org, log: &KeyLog) -> Value {
    json!({
        "id": org.id.as_str(),
        "name": org.name,
        "consent": org.consent.as_str(),
        "stopWords": org.words.stop(),
        "startWords": org.words.start(),
        "stopReply": org.words.reply(Choice::Revoked),
        "startReply": org.words.reply(Choice::Granted),
        "retention": org.retention.to_json(),
        "quotas": {
            "messagesPerDay": org.quotas.messages_per_day,
            "maxQueued": org.quotas.max_queued,
            "recipientsPerDay": org.quotas.recipients_per_day,
        },
        "paused": org.paused.as_ref().map(|pause| json!({"reason": pause.reason, "since": pause.since.to_string()})),
        "senders": org.senders.iter().map(|sender| self::sender(sender, org.pause_of(sender))).collect::<Vec<_>>(),
        "keys": org.keys.iter().map(|key| self::key(key, log.last_used(&key.hash))).collect::<Vec<_>>(),
        "createdAt": org.created_at.to_string(),
        "updatedAt": org.updated_at.to_string(),
    })
}

fn sender(sender: &Sender, pause: Option<&Pause>) -> Value {
    json!({
        "phoneNumberId": sender.phone_number_id.as_str(),
        "wabaId": sender.waba_id,
        "accessToken": "set",
        "appSecret": "set",
        "previousAppSecret": sender.previous_app_secret.as_ref().map(|_| "set"),
        "verifyToken": "set",
        "messagesPerSecond": sender.messages_per_second,
        "state": if pause.is_some() { "PAUSED" } else { "ACTIVE" },
        "pausedReason": pause.map(|pause| pause.reason.as_str()),
        "pausedSince": pause.map(|pause| pause.since.to_string()),
    })
}

pub(crate) fn key(key: &ApiKey, last_used: Option<Timestamp>) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
        "createdAt": key.created_at.to_string(),
        "expiresAt": time(key.expires_at),
        "lastUsedAt": time(last_used),
    })
}
