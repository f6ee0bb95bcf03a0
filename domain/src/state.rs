//! How far a message has come: small, rewritten with every step, and enough to decide the next.

use std::fmt;

use crate::failure::Failure;
use crate::ids::{AttemptNo, ProviderId, Seq};
use crate::receipt::Receipts;
use crate::time::Timestamp;

/// The state of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Grows by one with every change: the fence against deciding on an old state.
    pub version: u32,
    /// Where it stands.
    pub phase: Phase,
    /// Its attempts, in order.
    pub attempts: Vec<Attempt>,
    /// How many attempts had been made when the current budget began: 0, or more after a manual retry.
    pub budget_start: u16,
    /// How many attempts it may make in all.
    pub max_attempts: u16,
    /// What it waits for while it is QUEUED and not yet due.
    pub wait: Wait,
    /// Whether Meta has already held it back for a day once.
    pub deferred: bool,
    /// The last error, until a success clears it.
    pub failure: Option<Failure>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the provider took it.
    pub sent_at: Option<Timestamp>,
    /// When it reached the recipient, by Meta's clock.
    pub delivered_at: Option<Timestamp>,
    /// When it was read, by Meta's clock.
    pub read_at: Option<Timestamp>,
    /// Its entries in the audit trail, in order.
    pub trail: Vec<Seq>,
}

impl State {
    /// A message just accepted, to be sent at `due`.
    pub fn accepted(due: Timestamp, max_attempts: u16, now: Timestamp) -> Self {
        Self {
            version: 0,
            phase: Phase::Queued { due },
            attempts: Vec::new(),
            budget_start: 0,
            max_attempts,
            wait: Wait::Schedule,
            deferred: false,
            failure: None,
            updated_at: now,
            sent_at: None,
            delivered_at: None,
            read_at: None,
            trail: Vec::new(),
        }
    }

    /// How many attempts count against its budget: those that a repaired sender or a slower pace would have spared it
    /// do not.
    pub fn attempt_count(&self) -> u16 {
        let charged = self.attempts.iter().filter(|attempt| attempt.charged).count();
        u16::try_from(charged).unwrap_or(u16::MAX)
    }

    /// The number of its latest attempt; `None` before the first.
    pub fn latest(&self) -> Option<AttemptNo> {
        self.attempts.last().map(|attempt| attempt.no)
    }

    /// Whether it waits for a person since its store was restored from a backup.
    pub fn is_held_by_restore(&self) -> bool {
        self.wait == Wait::Restored && matches!(self.phase, Phase::Queued { .. })
    }

    /// One of its attempts.
    pub fn attempt(&self, no: AttemptNo) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.no == no)
    }

    /// One of its attempts, to be changed.
    pub fn attempt_mut(&mut self, no: AttemptNo) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.no == no)
    }

    /// The provider's id for it: that of the latest attempt that has one.
    pub fn provider_id(&self) -> Option<&ProviderId> {
        self.attempts.iter().rev().find_map(|attempt| attempt.provider_id.as_ref())
    }

    /// When the due index must wake it; `None` once nothing is to be done.
    pub const fn due(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Queued { due } | Phase::Sending { due } => Some(due),
            Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => None,
        }
    }

    /// When it will be tried again, if it waits for another attempt.
    pub fn next_retry_at(&self) -> Option<Timestamp> {
        match self.phase {
            // A paused sender goes on when it is repaired, WhatsApp when it answers, a restored store when a person says so: nobody
            // knows when.
            Phase::Queued { .. } if matches!(self.wait, Wait::Sender | Wait::Way | Wait::Restored) => None,
            Phase::Queued { due } if !self.attempts.is_empty() => Some(due),
            Phase::Queued { .. }
            | Phase::Sending { .. }
            | Phase::Sent
            | Phase::Delivered
            | Phase::Read
            | Phase::Failed
            | Phase::Cancelled => None,
        }
    }
}

/// Where a message stands. Only an unfinished phase has a `due`, so exactly the unfinished are in the due index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for its first or next attempt, at `due`.
    Queued {
        /// When to act: send, or expire.
        due: Timestamp,
    },
    /// An attempt is under way, or its outcome is not known; settled by policy at `due`.
    Sending {
        /// When the wait for an outcome ends.
        due: Timestamp,
    },
    /// The provider took it.
    Sent,
    /// It reached the recipient.
    Delivered,
    /// It was read.
    Read,
    /// It was not delivered, as far as we know.
    Failed,
    /// It was cancelled before it went.
    Cancelled,
}

impl Phase {
    /// How far the message has come towards its reader. Receipts only ever raise it.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Queued { .. } | Self::Sending { .. } | Self::Failed | Self::Cancelled => 0,
            Self::Sent => 1,
            Self::Delivered => 2,
            Self::Read => 3,
        }
    }

    /// The phase without its data.
    pub const fn status(&self) -> Status {
        match self {
            Self::Queued { .. } => Status::Queued,
            Self::Sending { .. } => Status::Sending,
            Self::Sent => Status::Sent,
            Self::Delivered => Status::Delivered,
            Self::Read => Status::Read,
            Self::Failed => Status::Failed,
            Self::Cancelled => Status::Cancelled,
        }
    }
}

/// A message's status as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Waits to be sent.
    Queued,
    /// Being sent.
    Sending,
    /// Taken by the provider.
    Sent,
    /// On the recipient's device.
    Delivered,
    /// Opened by the recipient.
    Read,
    /// Ended without delivery.
    Failed,
    /// Cancelled.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a message's life.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Sending, Self::Sent, Self::Delivered, Self::Read, Self::Failed, Self::Cancelled];

    /// The status as clients write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Sending => "SENDING",
            Self::Sent => "SENT",
            Self::Delivered => "DELIVERED",
            Self::Read => "READ",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Reads a status as clients write it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a QUEUED message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// Its `sendAt`, or nothing.
    Schedule,
    /// The delay before its next attempt.
    Retry,
    /// Its recipient, who has had too many messages from this number.
    Pair,
    /// Its sender, whose pace is too fast for Meta.
    Rate,
    /// Its sender, which is paused.
    Sender,
    /// Its template, which is paused.
    Template,
    /// Meta, which holds marketing to this recipient back for a day.
    Deferred,
    /// The next day: its organisation has used up its messages of this one.
    DailyQuota,
    /// A place among the recipients that its organisation may write to within 24 hours.
    RecipientQuota,
    /// A person: the store was restored from a backup, and the original may have sent it since.
    Restored,
    /// WhatsApp, which is not reached or does not answer.
    Way,
}

/// One attempt to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number. Never used twice for one message, so a receipt always finds its attempt.
    pub no: AttemptNo,
    /// Whether it counts against the message's budget.
    pub charged: bool,
    /// When its intent was recorded, just before the call.
    pub started_at: Timestamp,
    /// When its outcome was known, or known to be lost.
    pub finished_at: Option<Timestamp>,
    /// How it stands.
    pub status: AttemptStatus,
    /// The provider's id, once known.
    pub provider_id: Option<ProviderId>,
    /// Why it failed, or why its outcome is unknown.
    pub failure: Option<Failure>,
    /// When the attempt after it was scheduled for.
    pub next_retry_at: Option<Timestamp>,
    /// Which receipts have named it.
    pub receipts: Receipts,
}

impl Attempt {
    /// An attempt that begins now.
    pub fn begun(no: AttemptNo, now: Timestamp) -> Self {
        Self {
            no,
            charged: true,
            started_at: now,
            finished_at: None,
            status: AttemptStatus::Sending,
            provider_id: None,
            failure: None,
            next_retry_at: None,
            receipts: Receipts::default(),
        }
    }

    /// Whether Meta refused it for no fault of its message and never named it: no receipt will ask for it, and of several
    /// such in a row the last tells enough.
    pub fn is_forgettable(&self) -> bool {
        !self.charged && self.status == AttemptStatus::Failed && self.provider_id.is_none()
    }
}

/// How an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptStatus {
    /// Under way.
    Sending,
    /// The provider took it.
    Accepted,
    /// It failed.
    Failed,
    /// Whether the provider took it is not known.
    Unknown,
}

impl AttemptStatus {
    /// The status as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "SENDING",
            Self::Accepted => "ACCEPTED",
            Self::Failed => "FAILED",
            Self::Unknown => "UNKNOWN",
        }
    }
}
