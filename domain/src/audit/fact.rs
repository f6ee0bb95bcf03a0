//! What an entry says: one variant for each thing that can happen.

use crate::billing::BilledAs;
use crate::consent::{Choice, Covers, Refusal};
use crate::erasure::Erased;
use crate::failure::Failure;
use crate::ids::{AttemptNo, AttemptRef, MessageId, ProviderId};
use crate::notice::Notice;
use crate::receipt::Receipt;
use crate::retention::Purged;
use crate::time::Timestamp;

/// What happened. New variants go at the end: entries are kept for years.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The message was accepted.
    Created,
    /// The provider accepted the message.
    Accepted {
        /// The attempt that it accepted.
        attempt: AttemptNo,
        /// The provider's id.
        provider_id: ProviderId,
    },
    /// An attempt failed, and the next one is scheduled.
    RetryScheduled {
        /// The attempt that failed.
        attempt: AttemptNo,
        /// Why.
        failure: Failure,
        /// When the next one is due.
        due: Timestamp,
    },
    /// Nobody knows whether the provider accepted the attempt.
    OutcomeUnknown {
        /// The attempt.
        attempt: AttemptNo,
        /// How its outcome was lost.
        failure: Failure,
        /// How long it waits for a receipt before the policy decides.
        settle_by: Timestamp,
    },
    /// No receipt settled the attempt in time, so the policy sends the message again.
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
        /// What Meta reported.
        receipt: Box<Receipt>,
        /// What the receipt changed.
        effect: ReceiptEffect,
    },
    /// The message was cancelled.
    Cancelled,
    /// A person queued the message again.
    Requeued,
    /// The organisation was created or changed.
    OrgPut,
    /// An API key was created.
    KeyCreated,
    /// An API key was revoked.
    KeyRevoked,
    /// The organisation was deleted.
    OrgDeleted,
    /// An attempt was refused through no fault of the message. The message waits, and the attempt is not charged.
    Postponed {
        /// The attempt.
        attempt: AttemptNo,
        /// Why.
        failure: Failure,
        /// How long it waits at most.
        due: Timestamp,
    },
    /// A sender, or the whole organisation, was paused.
    Paused {
        /// Why.
        reason: String,
    },
    /// A sender, or the whole organisation, was resumed.
    Resumed,
    /// A recipient wrote a message.
    Received {
        /// Meta's word for the kind of message.
        kind: String,
    },
    /// An API key was refused.
    Denied {
        /// Why.
        denial: Denial,
    },
    /// A recipient granted or revoked consent. The statement with the same number holds the source and the proof.
    Consent {
        /// What the recipient said.
        choice: Choice,
        /// About which messages.
        covers: Covers,
    },
    /// A message, or a request to send one, was refused because the recipient did not consent.
    Blocked(Refusal),
    /// A person's data is being erased.
    ErasureBegun,
    /// A person's data has been erased.
    Erased(Erased),
    /// The organisation's retention removed what was old enough.
    Purged(Purged),
    /// Several names turned out to belong to one person, or a person gave one up.
    Linked {
        /// How many names the person has now.
        names: u8,
        /// How many names the person gave up.
        former: u8,
    },
    /// The store was restored from a backup. Unfinished messages are held until a person decides.
    Restored {
        /// The backup's id.
        backup: String,
        /// The moment that the backup is of.
        taken_at: Timestamp,
        /// How many messages are held.
        held: u64,
    },
    /// A person decided about messages held by a restore. Each of them has an entry of its own too.
    Released {
        /// How many messages.
        messages: u64,
    },
    /// A receipt shows that WhatsApp now bills a template as another category.
    TemplateBilled {
        /// The WhatsApp business account, or the phone number if the account is unknown.
        account: String,
        /// The template's name.
        template: String,
        /// Its language's code.
        language: String,
        /// The new category.
        category: BilledAs,
        /// The message that the receipt is about.
        message: MessageId,
    },
    /// Meta throttles a sender for more than a moment.
    Throttled {
        /// Meta's code.
        code: i64,
        /// When the sender tries again.
        until: Timestamp,
    },
    /// Meta no longer throttles a sender.
    Unthrottled {
        /// Meta's code.
        code: i64,
    },
    /// Meta reported something about a sender that changes no message. Each kind is recorded once a day.
    Noticed(Notice),
    /// Meta gave an attempt an id that another attempt already has. Receipts that name only the id count for that other
    /// one.
    IdTaken {
        /// The attempt that got the id second.
        attempt: AttemptNo,
        /// The attempt that has the id.
        holder: AttemptRef,
    },
    /// A person had the indexes rebuilt from the records.
    Repaired {
        /// How many keys were added or removed.
        keys: u64,
    },
}

/// Why a known API key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It has expired.
    Expired,
    /// It lacks the scope.
    Scope,
    /// `X-Org-Id` named another organisation.
    OtherOrg,
    /// The request needs the admin key.
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
    /// It moved the message on.
    Applied,
    /// It was kept but changed nothing: it told an earlier state, or was about another attempt.
    Kept,
    /// It contradicts what is known (failed after delivered), so it was kept but not applied.
    Anomaly,
    /// It proved that a message was sent after all, although it had failed or was cancelled.
    Overruled,
}
