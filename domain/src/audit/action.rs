//! The names that clients know facts by: a few actions to filter by, and a type for each fact on the timeline.

use super::fact::Fact;
use crate::billing::BilledAs;
use crate::consent::{Choice, Refusal};

/// Actions that clients filter audit entries by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A message was accepted, or something else was created.
    Created,
    /// The provider accepted a message.
    Sent,
    /// Something changed.
    Updated,
    /// A message ended as FAILED.
    Failed,
    /// A key was refused.
    Denied,
    /// A message, or a request to send one, was refused because the recipient did not consent.
    BlockedByPolicy,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Sent, Self::Updated, Self::Failed, Self::BlockedByPolicy, Self::Denied];

    /// The action as clients write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Sent => "SENT",
            Self::Updated => "UPDATED",
            Self::Failed => "FAILED",
            Self::Denied => "DENIED",
            Self::BlockedByPolicy => Refusal::CODE,
        }
    }

    /// Reads an action as clients write it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

impl Fact {
    /// The action that lists it.
    pub const fn action(&self) -> Action {
        match self {
            Self::Created | Self::KeyCreated | Self::Received { .. } => Action::Created,
            Self::Accepted { .. } => Action::Sent,
            Self::Failed { .. } => Action::Failed,
            Self::Denied { .. } => Action::Denied,
            Self::Blocked(_) => Action::BlockedByPolicy,
            Self::RetryScheduled { .. }
            | Self::OutcomeUnknown { .. }
            | Self::Resending { .. }
            | Self::Receipt { .. }
            | Self::Cancelled
            | Self::Requeued
            | Self::OrgPut
            | Self::KeyRevoked
            | Self::OrgDeleted
            | Self::Postponed { .. }
            | Self::Paused { .. }
            | Self::Resumed
            | Self::Consent { .. }
            | Self::ErasureBegun
            | Self::Erased(_)
            | Self::Purged(_)
            | Self::Linked { .. }
            | Self::Restored { .. }
            | Self::Released { .. }
            | Self::TemplateBilled { .. }
            | Self::Throttled { .. }
            | Self::Unthrottled { .. }
            | Self::Noticed(_)
            | Self::IdTaken { .. }
            | Self::Repaired { .. } => Action::Updated,
        }
    }

    /// Its type on a message's timeline.
    pub const fn activity(&self) -> &'static str {
        match self {
            Self::Created => "MESSAGE_CREATED",
            Self::Accepted { .. } => "MESSAGE_SENT",
            Self::RetryScheduled { .. } => "MESSAGE_RETRY_SCHEDULED",
            Self::OutcomeUnknown { .. } => "MESSAGE_OUTCOME_UNKNOWN",
            Self::Resending { .. } => "MESSAGE_RESENDING",
            Self::Failed { .. } => "MESSAGE_FAILED",
            Self::Receipt { .. } => "MESSAGE_STATUS_UPDATE",
            Self::Cancelled => "MESSAGE_CANCELLED",
            Self::Requeued => "MESSAGE_REQUEUED",
            Self::OrgPut => "ORGANISATION_UPDATED",
            Self::KeyCreated => "API_KEY_CREATED",
            Self::KeyRevoked => "API_KEY_REVOKED",
            Self::OrgDeleted => "ORGANISATION_DELETED",
            Self::Postponed { .. } => "MESSAGE_POSTPONED",
            Self::Paused { .. } => "SENDING_PAUSED",
            Self::Resumed => "SENDING_RESUMED",
            Self::Received { .. } => "MESSAGE_RECEIVED",
            Self::Denied { .. } => "API_KEY_DENIED",
            Self::Consent { choice: Choice::Granted, .. } => "CONSENT_GRANTED",
            Self::Consent { choice: Choice::Revoked, .. } => "CONSENT_REVOKED",
            Self::Blocked(_) => "MESSAGE_BLOCKED_BY_POLICY",
            Self::ErasureBegun => "ERASURE_BEGUN",
            Self::Erased(_) => "RECIPIENT_ERASED",
            Self::Purged(_) => "RECORDS_PURGED",
            Self::Linked { .. } => "NAMES_LINKED",
            Self::Restored { .. } => "RESTORED_FROM_BACKUP",
            Self::Released { .. } => "HELD_MESSAGES_RELEASED",
            Self::TemplateBilled { category: BilledAs::Marketing, .. } => "TEMPLATE_BILLED_AS_MARKETING",
            Self::TemplateBilled { category: BilledAs::Transactional, .. } => "TEMPLATE_NO_LONGER_BILLED_AS_MARKETING",
            Self::Throttled { .. } => "SENDING_THROTTLED",
            Self::Unthrottled { .. } => "SENDING_UNTHROTTLED",
            Self::Noticed(_) => "WHATSAPP_NOTICE",
            Self::IdTaken { .. } => "MESSAGE_PROVIDER_ID_TAKEN",
            Self::Repaired { .. } => "INDEXES_REPAIRED",
        }
    }
}
