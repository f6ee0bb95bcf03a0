//! What can happen to a message.

use std::time::Duration;

use crate::consent::Refusal;
use crate::ids::AttemptNo;
use crate::outcome::{Class, Outcome};
use crate::receipt::Receipt;
use crate::state::Wait;
use crate::time::Timestamp;

/// Something that happens to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its sender granted a send permit: an attempt may begin.
    SendPermit,
    /// Its `expires_at` has passed.
    Expiry,
    /// The outcome of its latest attempt did not come in time.
    OutcomeTimeout,
    /// A call ended.
    Settled {
        /// The attempt that was called.
        attempt: AttemptNo,
        /// How it ended.
        outcome: Outcome,
        /// The least time to wait before the next attempt, if the answer gave one.
        wait: Option<Duration>,
    },
    /// It is due, but something beyond the message postpones it.
    Postpone {
        /// Until when.
        until: Timestamp,
        /// What postpones it.
        wait: Wait,
    },
    /// What postponed it has ended early: it is due now.
    DueNow,
    /// Its store was restored from a backup. The original may have sent the message since, or may still do so.
    Restored,
    /// It is free-form, and the recipient has not written within 24 hours: Meta would refuse it.
    WindowClosed,
    /// The recipient did not consent to it.
    ConsentDenied(Refusal),
    /// A receipt came.
    Receipt {
        /// The attempt that it is about.
        attempt: AttemptNo,
        /// What Meta reported.
        receipt: Box<Receipt>,
    },
    /// A person cancels it.
    Cancel,
    /// A person queues it again.
    Requeue,
    /// It crashed its actor too often.
    Crash {
        /// The panic's text.
        cause: String,
    },
}

impl Event {
    /// The opt-out in it, if Meta says that the recipient wants no more marketing.
    pub(super) fn opt_out(&self, now: Timestamp) -> Option<OptOut> {
        let (attempt, at, error) = match self {
            Self::Settled { attempt, outcome: Outcome::Refused(error), .. } => (*attempt, now, error),
            Self::Receipt { attempt, receipt } => (*attempt, receipt.at.min(now), receipt.error.as_ref()?),
            Self::Settled { .. }
            | Self::SendPermit
            | Self::Expiry
            | Self::OutcomeTimeout
            | Self::Postpone { .. }
            | Self::DueNow
            | Self::WindowClosed
            | Self::ConsentDenied(_)
            | Self::Cancel
            | Self::Requeue
            | Self::Restored
            | Self::Crash { .. } => return None,
        };
        (error.verdict.class == Class::OptedOut).then_some(OptOut { attempt, at })
    }
}

/// Meta says that the recipient wants no more marketing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptOut {
    /// The attempt that Meta refused because of it.
    pub attempt: AttemptNo,
    /// When.
    pub at: Timestamp,
}
