//! The audit trail and the timelines.

use api::{ActivityDetails, Details, MessageRef, Word};
use domain::audit::{By, Entry, Fact, ReceiptEffect, Subject};
use domain::consent::Refusal;
use domain::notice::Notice;
use domain::receipt::Receipt;
use domain::{AttemptNo, Failure, OrgId, OurCode, Seq, Timestamp};

use super::person::{erased, purged};
use super::present_owned;

const QUEUED: Word = Word::Borrowed("QUEUED");
const SENDING: Word = Word::Borrowed("SENDING");
const FAILED: Word = Word::Borrowed("FAILED");

/// An audit event.
pub(crate) fn event(org: &OrgId, seq: Seq, entry: &Entry) -> api::Event {
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
    api::Event {
        seq,
        at: entry.at.to_string(),
        entity_type: Word::Borrowed(kind),
        entity_id: id,
        action: Word::Borrowed(entry.fact.action().as_str()),
        actor: actor(&entry.by),
        details: details(entry),
    }
}

/// A step on a timeline. On a dossier's, it names its message.
pub(crate) fn activity(entry: &Entry) -> api::Activity {
    let (message, inbound) = match &entry.subject {
        Subject::Message(id) => (Some(id.to_string()), None),
        Subject::Inbound(id) => (None, Some(id.to_string())),
        Subject::Organisation
        | Subject::ApiKey(_)
        | Subject::Sender(_)
        | Subject::Consent(_)
        | Subject::Erasure(_)
        | Subject::Person(_) => (None, None),
    };
    api::Activity {
        kind: Word::Borrowed(entry.fact.activity()),
        at: entry.at.to_string(),
        details: ActivityDetails { message_id: message, inbound_message_id: inbound, details: details(entry) },
    }
}

pub(super) fn actor(by: &By) -> String {
    match by {
        By::System => "system".into(),
        By::ApiKey(name) => format!("api-key:{name}"),
        By::Admin => "admin".into(),
        By::WhatsApp => "whatsapp".into(),
        By::Config => "config".into(),
    }
}

fn details(entry: &Entry) -> Details {
    let fact = &entry.fact;
    match fact {
        Fact::Created | Fact::Requeued => Details::Status { status: QUEUED },
        Fact::Cancelled => Details::Status { status: Word::Borrowed("CANCELLED") },
        Fact::Accepted { attempt, provider_id } => Details::Sent {
            status: Word::Borrowed("SENT"),
            attempt: attempt.0,
            provider_message_id: present_owned(provider_id.as_str()),
        },
        Fact::RetryScheduled { attempt, failure, due } | Fact::Postponed { attempt, failure, due } => {
            retry(*attempt, failure, *due)
        }
        Fact::OutcomeUnknown { attempt, failure, settle_by } => Details::Unknown {
            status: SENDING,
            attempt: attempt.0,
            error_code: failure.code.to_string(),
            error_message: present_owned(&failure.message),
            settle_by: settle_by.to_string(),
        },
        Fact::Resending { attempt } => Details::Resending {
            status: QUEUED,
            attempt: attempt.0,
            error_code: Word::Borrowed(OurCode::OutcomeUnknown.as_str()),
        },
        Fact::Failed { attempt, failure } => Details::Failed {
            status: FAILED,
            attempt: attempt.map(|no| no.0),
            error_code: failure.code.to_string(),
            error_message: present_owned(&failure.message),
        },
        Fact::Receipt { attempt, receipt, effect } => self::receipt(*attempt, receipt, *effect),
        Fact::Paused { reason } => Details::Reason { reason: reason.clone() },
        Fact::Denied { denial } => Details::Reason { reason: denial.as_str().to_owned() },
        Fact::Resumed | Fact::ErasureBegun => Details::None {},
        Fact::Erased(erased) => Details::Erased(self::erased(erased)),
        Fact::Purged(purged) => Details::Purged(self::purged(purged)),
        Fact::Linked { names, former } => Details::Linked { names: *names, former_names: *former },
        Fact::Restored { backup, taken_at, held } => {
            Details::Restored { backup: backup.clone(), taken_at: taken_at.to_string(), held: *held }
        }
        Fact::Released { messages } => Details::Released { messages: *messages },
        Fact::TemplateBilled { account, template, language, category, message } => Details::TemplateBilled {
            account: account.clone(),
            template: template.clone(),
            language: language.clone(),
            category: Word::Borrowed(category.as_str()),
            message_id: message.to_string(),
        },
        Fact::Throttled { code, until } => Details::Throttled { code: *code, until: until.to_string() },
        Fact::Unthrottled { code } => Details::Unthrottled { code: *code },
        Fact::Noticed(Notice { item, word, code }) => {
            Details::Noticed { item: item.clone(), word: word.clone(), error_code: code.map(|code| code.to_string()) }
        }
        Fact::IdTaken { attempt, holder } => Details::IdTaken {
            attempt: attempt.0,
            holder: MessageRef { message_id: holder.message.to_string(), attempt: holder.attempt.0 },
        },
        Fact::Repaired { keys } => Details::Repaired { keys: *keys },
        Fact::Received { kind } => Details::Received { kind: kind.clone() },
        Fact::Consent { choice, covers } => {
            Details::Consent { status: Word::Borrowed(choice.as_str()), category: covers.as_str().map(Word::Borrowed) }
        }
        Fact::Blocked(refusal) => Details::Blocked {
            // A request that was refused has no message to end.
            status: matches!(entry.subject, Subject::Message(_)).then_some(FAILED),
            error_code: Word::Borrowed(Refusal::CODE),
            error_message: refusal.to_string(),
            category: Word::Borrowed(refusal.category.as_str()),
            consent_record: refusal.revoked.map(|standing| standing.record.to_string()),
        },
        Fact::OrgPut | Fact::KeyCreated | Fact::KeyRevoked | Fact::OrgDeleted => {
            Details::Change { change: Word::Borrowed(fact.activity()) }
        }
    }
}

fn retry(attempt: AttemptNo, failure: &Failure, due: Timestamp) -> Details {
    Details::Retry {
        status: QUEUED,
        attempt: attempt.0,
        error_code: failure.code.to_string(),
        error_message: present_owned(&failure.message),
        next_retry_at: due.to_string(),
    }
}

fn receipt(attempt: AttemptNo, receipt: &Receipt, effect: ReceiptEffect) -> Details {
    let error = receipt.error.as_ref();
    Details::Receipt {
        status: receipt.kind.as_str().to_uppercase(),
        attempt: attempt.0,
        provider_message_id: present_owned(receipt.provider_id.as_str()),
        reported_at: receipt.at.to_string(),
        effect: Word::Borrowed(match effect {
            ReceiptEffect::Applied => "APPLIED",
            ReceiptEffect::Kept => "KEPT",
            ReceiptEffect::Anomaly => "ANOMALY",
            ReceiptEffect::Overruled => "OVERRULED",
        }),
        error_code: error.map(|error| error.code.to_string()),
        error_message: error.and_then(|error| present_owned(&error.message)),
        pricing: receipt.pricing.as_ref().and_then(|json| serde_json::from_slice(json).ok()),
    }
}
