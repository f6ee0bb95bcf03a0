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
