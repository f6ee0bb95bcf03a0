//! The audit trail: what happened, who did it, and the hash chain that seals it.

mod kept;

use sha2::{Digest, Sha256};

use crate::billing::BilledAs;
use crate::consent::{Choice, Covers, Refusal};
use crate::erasure::Erased;
use crate::failure::Failure;
use crate::ids::{AttemptNo, AttemptRef, MessageId, PhoneNumberId, ProviderId, Seq};
use crate::notice::Notice;
use crate::receipt::Receipt;
use crate::retention::Purged;
use crate::time::Timestamp;

pub use kept::{Kept, Personal, Salt};

/// One entry of an organisation's audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// To what.
    pub subject: Subject,
    /// By whom.
    pub by: By,
    /// What.
    pub fact: Fact,
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A message.
    Message(MessageId),
    /// The organisation itself.
    Organisation,
    /// One of its API keys, by id.
    ApiKey(String),
    /// One of its senders.
    Sender(PhoneNumberId),
    /// A message that a recipient wrote.
    Inbound(MessageId),
    /// What is known of a recipient's consent, by its id: the trail outlives the recipient's number.
    Consent(MessageId),
    /// The erasure of a person's data, which has an id so that the trail need not name the person.
    Erasure(MessageId),
    /// Somebody who is known by several names, by the id that stands for them.
    Person(MessageId),
}

/// Who caused something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// twotick itself.
    System,
    /// A holder of the organisation's API key of this name.
    ApiKey(String),
    /// A holder of the admin key.
    Admin,
    /// Meta, by webhook.
    WhatsApp,
    /// The configuration file, at start.
    Config,
}

/// What happened. New variants go at the end: entries are kept for years.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The message was accepted.
    Created,
    /// The provider took the message.
    Accepted {
        /// The attempt that it took.
        attempt: AttemptNo,
        /// The provider's id.
        provider_id: ProviderId,
    },
    /// An attempt failed and the next is scheduled.
    RetryScheduled {
        /// The attempt that failed.
        attempt: AttemptNo,
        /// Why.
        failure: Failure,
        /// When the next is due.
        due: Timestamp,
    },
    /// Whether the provider took the attempt is not known.
    OutcomeUnknown {
        /// The attempt.
        attempt: AttemptNo,
        /// What was lost.
        failure: Failure,
        /// Until when a receipt may settle it before policy does.
        settle_by: Timestamp,
    },
    /// No receipt settled the attempt in time; it will be sent again, as the policy says.
    Resending {
        /// The attempt whose outcome stayed unknown.
        attempt: AttemptNo,
    },
    /// The message ended as FAILED.
    Failed {
        /// The attempt that decided it, if one did.
        attempt: Option<AttemptNo>,
        /// Why.
        failure: Failure,
    },
    /// A receipt came.
    Receipt {
        /// The attempt that it is about.
        attempt: AttemptNo,
        /// What Meta said.
        receipt: Box<Receipt>,
        /// What became of it.
        effect: ReceiptEffect,
    },
    /// The message was cancelled.
    Cancelled,
    /// A person queued the message again.
    Requeued,
    /// The organisation was created or changed.
    OrgPut,
    /// An API key was made.
    KeyCreated,
    /// An API key was revoked.
    KeyRevoked,
    /// The organisation was deleted.
    OrgDeleted,
    /// An attempt was refused for something beyond the message, which waits and is not charged for it.
    Postponed {
        /// The attempt.
        attempt: AttemptNo,
        /// Why.
        failure: Failure,
        /// Until when it waits, at most.
        due: Timestamp,
    },
    /// A sender, or the whole organisation, sends no more.
    Paused {
        /// Why.
        reason: String,
    },
    /// A sender, or the whole organisation, sends again.
    Resumed,
    /// A recipient wrote.
    Received {
        /// Meta's word for the kind of message.
        kind: String,
    },
    /// An API key was refused.
    Denied {
        /// Why.
        denial: Denial,
    },
    /// A recipient's consent was granted or revoked. The statement of the same number has its source and proof.
    Consent {
        /// What the recipient said.
        choice: Choice,
        /// About which messages.
        covers: Covers,
    },
    /// A message, or a request to send one, was refused for want of consent.
    Blocked(Refusal),
    /// A person's data is being erased.
    ErasureBegun,
    /// A person's data is erased.
    Erased(Erased),
    /// What was kept long enough is gone, by the organisation's retention.
    Purged(Purged),
    /// Names turned out to be those of one person, or a person gave one up.
    Linked {
        /// How many names they have now.
        names: u8,
        /// How many they gave up.
        former: u8,
    },
    /// The store was restored from a backup: what was not finished is held until a person decides.
    Restored {
        /// The backup's id.
        backup: String,
        /// The moment that the backup is of.
        taken_at: Timestamp,
        /// Messages that are held.
        held: u64,
    },
    /// A person has decided about messages held since a restore; each has an entry of its own.
    Released {
        /// How many.
        messages: u64,
    },
    /// A receipt told that WhatsApp bills a template otherwise than was known.
    TemplateBilled {
        /// The WhatsApp business account, or the phone number where that is not known.
        account: String,
        /// The template's name.
        template: String,
        /// Its language's code.
        language: String,
        /// As what.
        category: BilledAs,
        /// The message whose receipt told it.
        message: MessageId,
    },
    /// Meta throttles a sender, for longer than a moment.
    Throttled {
        /// Meta's code.
        code: i64,
        /// When it is tried again.
        until: Timestamp,
    },
    /// Meta throttles a sender no longer.
    Unthrottled {
        /// Meta's code.
        code: i64,
    },
    /// Meta told something of a sender that changes no message; of one kind, once a day.
    Noticed(Notice),
    /// Meta named an attempt by an id that it had given to another: receipts that tell only the id are of that other one.
    IdTaken {
        /// The attempt that was named so second.
        attempt: AttemptNo,
        /// The one that has the id.
        holder: AttemptRef,
    },
    /// What leads to records was built anew from the records, by a person's wish.
    Repaired {
        /// How many keys were put, or removed.
        keys: u64,
    },
}

/// Why an API key was refused, although it is known whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It has expired.
    Expired,
    /// It does not have the scope.
    Scope,
    /// `X-Org-Id` named another organisation.
    OtherOrg,
    /// It takes the admin key.
    NotAdmin,
    /// It was revoked.
    Revoked,
}

impl Denial {
    /// The reason as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "EXPIRED",
            Self::Scope => "SCOPE",
            Self::OtherOrg => "OTHER_ORGANISATION",
            Self::NotAdmin => "NOT_ADMIN",
            Self::Revoked => "REVOKED",
        }
    }
}

/// What a receipt changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReceiptEffect {
    /// Moved the message on.
    Applied,
    /// Kept, but told nothing new: an earlier state, or another attempt.
    Kept,
    /// Contradicts what is known (failed after delivered): kept, not applied.
    Anomaly,
    /// Proved the delivery of a message that had ended otherwise.
    Overruled,
}

/// Kinds of audit entry, as clients filter by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A message was accepted, or another thing made.
    Created,
    /// The provider took a message.
    Sent,
    /// Something changed.
    Updated,
    /// A message ended as FAILED.
    Failed,
    /// A key was refused.
    Denied,
    /// A message, or a request to send one, was refused for want of consent.
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
    /// Under which action it is listed.
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

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// A sealed run of audit entries. Its hash covers the block before it, so no entry can be changed or removed without
/// changing every later block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first entry in it.
    pub first: Seq,
    /// The last entry in it.
    pub last: Seq,
    /// The hash of the block before; zeros for the first.
    pub previous: Hash,
    /// The hash of this block.
    pub hash: Hash,
}

impl Block {
    /// Seals entries `first..`, given by what it covers of each ([`Kept::sealed`], as bytes), after the block whose hash is `previous`.
    pub fn seal<'a>(first: Seq, previous: Hash, entries: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(previous);
        let mut next = first;
        for bytes in entries {
            hasher.update(next.to_be_bytes());
            hasher.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(bytes);
            next += 1;
        }
        Self { first, last: next.saturating_sub(1), previous, hash: hasher.finalize().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(previous: Hash, entries: &[&[u8]]) -> Hash {
        Block::seal(1, previous, entries.iter().copied()).hash
    }

    #[test]
    fn a_block_changes_with_any_entry_its_order_its_borders_and_its_past() {
        let whole = seal([0; 32], &[b"ab", b"c"]);
        assert_ne!(whole, seal([0; 32], &[b"ab", b"d"]));
        assert_ne!(whole, seal([0; 32], &[b"c", b"ab"]));
        assert_ne!(whole, seal([0; 32], &[b"a", b"bc"]));
        assert_ne!(whole, seal([0; 32], &[b"ab"]));
        assert_ne!(whole, seal([1; 32], &[b"ab", b"c"]));
    }
}
