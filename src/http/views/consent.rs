//! What recipients agreed to.

use api::{Evidence, Word};
use domain::consent::{Consent, Source, Standing, Statement};
use domain::{AttemptRef, MessageId, Seq};
use serde_json::value::to_raw_value;

use super::audit::actor;
use super::present_owned;
use super::written::as_written;

/// What is known of a recipient's consent.
pub(crate) fn consent(known: &Consent) -> api::Consent {
    api::Consent {
        id: Some(known.id.to_string()),
        recipient: present_owned(&known.recipient),
        transactional: Some(known.transactional.as_ref().map(standing)),
        marketing: Some(known.marketing.as_ref().map(standing)),
    }
}

fn standing(standing: &Standing) -> api::Standing {
    api::Standing {
        status: Word::Borrowed(standing.choice.as_str()),
        at: standing.at.to_string(),
        record: standing.record.to_string(),
    }
}

/// Something that a recipient said. `record` is its id, and the seq of its audit event.
pub(crate) fn statement(record: Seq, statement: &Statement) -> api::Statement {
    let (named, evidence) = match &statement.source {
        Source::Api { name, evidence } => (name.as_deref(), evidence.as_deref().and_then(as_written)),
        Source::Word { .. } | Source::Preference { .. } | Source::OptOut { .. } | Source::Linked { .. } => {
            (None, evidence(statement).and_then(|evidence| to_raw_value(&evidence).ok()))
        }
    };
    api::Statement {
        record: record.to_string(),
        status: Word::Borrowed(statement.choice.as_str()),
        category: statement.covers.as_str().map(Word::Borrowed),
        at: statement.at.to_string(),
        recorded_at: statement.recorded_at.to_string(),
        actor: actor(&statement.by),
        source: named.unwrap_or_else(|| statement.source.kind()).to_owned(),
        evidence,
    }
}

/// What twotick itself knows to show it, unless that was erased.
fn evidence(statement: &Statement) -> Option<Evidence> {
    match &statement.source {
        Source::Api { .. }
        | Source::Word { inbound: MessageId::ERASED }
        | Source::OptOut { attempt: AttemptRef { message: MessageId::ERASED, .. } }
        | Source::Linked { consent: MessageId::ERASED, .. } => None,
        Source::Word { inbound } => Some(Evidence::Word { inbound_message_id: inbound.to_string() }),
        Source::Preference { told_at, detail } => Some(Evidence::Preference {
            detail: detail.clone(),
            // Ahead of our clock: `at` is when it came.
            told_at: (*told_at > statement.at).then(|| told_at.to_string()),
        }),
        Source::OptOut { attempt } => {
            Some(Evidence::OptOut { message_id: attempt.message.to_string(), attempt: attempt.attempt.0 })
        }
        Source::Linked { consent, record } => {
            Some(Evidence::Linked { consent_id: consent.to_string(), record: record.to_string() })
        }
    }
}
