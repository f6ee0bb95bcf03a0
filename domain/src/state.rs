//! How far a message has come. The state is small, is rewritten with every step, and is all that the next decision
//! needs.

use std::fmt;

use crate::failure::Failure;
use crate::ids::{AttemptNo, ProviderId, Seq};
use crate::receipt::Receipts;
use crate::time::Timestamp;

/// The state of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Grows by one with every change, so that nobody decides on an old state.
    pub version: u32,
    /// Where the message stands.
    pub phase: Phase,
    /// Its attempts, in order.
    pub attempts: Vec<Attempt>,
    /// How many attempts the message had made when its current budget began: 0, or more after a manual retry.
    pub budget_start: u16,
    /// How many attempts it may make in total.
    pub max_attempts: u16,
    /// What it waits for while it is QUEUED, and what it last waited for after that. Both count: a repeated refusal is
    /// not audited again if the message was already waiting for the same thing, and only a message that a restore held
    /// may learn of unknown attempts.
    pub wait: Wait,
    /// Whether Meta has already held it back for a day.
    pub deferred: bool,
    /// The last error, until a success clears it.
    pub failure: Option<Failure>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the provider accepted it.
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

    /// How many attempts count against its budget. Attempts that failed through no fault of the message do not.
    pub fn attempt_count(&self) -> u16 {
        let charged = self.attempts.iter().filter(|attempt| attempt.charged).count();
        u16::try_from(charged).unwrap_or(u16::MAX)
    }

    /// The number of its latest attempt; `None` before the first.
    pub fn latest(&self) -> Option<AttemptNo> {
        self.attempts.last().map(|attempt| attempt.no)
    }

    /// Whether it is held since a restore, until a person releases it.
    pub fn is_held_by_restore(&self) -> bool {
        self.wait == Wait::Restored && matches!(self.phase, Phase::Queued { .. })
    }

    /// One of its attempts.
    pub fn attempt(&self, no: AttemptNo) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.no == no)
    }

    /// One of its attempts, mutable.
    pub fn attempt_mut(&mut self, no: AttemptNo) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.no == no)
    }

    /// The provider's id of the latest attempt that has one.
    pub fn provider_id(&self) -> Option<&ProviderId> {
        self.attempts.iter().rev().find_map(|attempt| attempt.provider_id.as_ref())
    }

    /// When the due index must wake it; `None` once it is finished.
    pub const fn due(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Queued { due } | Phase::Sending { due } => Some(due),
            Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => None,
        }
    }

    /// When it makes its next attempt, if it has made one before and the time is known.
    pub fn next_retry_at(&self) -> Option<Timestamp> {
        match self.phase {
            // Nobody knows when a paused sender is repaired, when WhatsApp answers again, or when a person releases
            // what a restore held.
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

/// Where a message stands. Only the unfinished phases have a `due`, so the due index holds exactly the unfinished
/// messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for its first or next attempt, at `due`.
    Queued {
        /// When to act: send, or expire.
        due: Timestamp,
    },
    /// An attempt is under way, or its outcome is unknown. At `due` the policy decides.
    Sending {
        /// When the wait for an outcome ends.
        due: Timestamp,
    },
    /// The provider accepted it.
    Sent,
    /// It reached the recipient.
    Delivered,
    /// It was read.
    Read,
    /// It failed, as far as we know.
    Failed,
    /// It was cancelled before it was sent.
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
    /// Accepted by the provider.
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
    /// Its `sendAt`, if it has one.
    Schedule,
    /// The delay before its next attempt.
    Retry,
    /// The pair limit: this sender has written to its recipient too often.
    Pair,
    /// Its sender's rate: Meta says that it sends too fast.
    Rate,
    /// Its sender, which is paused.
    Sender,
    /// Its template, which is paused.
    Template,
    /// Meta's hold on marketing to this recipient, which lasts a day.
    Deferred,
    /// Tomorrow: its organisation has sent its messages of today.
    DailyQuota,
    /// A slot among the recipients that its organisation may write to within 24 hours.
    RecipientQuota,
    /// A person: the store was restored from a backup, and the original may have sent the message since.
    Restored,
    /// WhatsApp, which cannot be reached or does not answer.
    Way,
}

/// One attempt to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number. No number is used twice for one message, so a receipt always finds its attempt.
    pub no: AttemptNo,
    /// Whether it counts against the message's budget.
    pub charged: bool,
    /// When its intent was recorded, just before the call.
    pub started_at: Timestamp,
    /// When its outcome became known, or was given up.
    pub finished_at: Option<Timestamp>,
    /// Where it stands.
    pub status: AttemptStatus,
    /// The provider's id, once it is known.
    pub provider_id: Option<ProviderId>,
    /// Why it failed, or why its outcome is unknown.
    pub failure: Option<Failure>,
    /// When the next attempt was scheduled.
    pub next_retry_at: Option<Timestamp>,
    /// The kinds of receipt that it has had.
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

    /// Whether Meta refused it through no fault of the message and never named it. No receipt can refer to such an
    /// attempt, so of several in a row only the last is kept.
    pub fn is_forgettable(&self) -> bool {
        !self.charged && self.status == AttemptStatus::Failed && self.provider_id.is_none()
    }
}

/// Where an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptStatus {
    /// Under way.
    Sending,
    /// The provider accepted it.
    Accepted,
    /// It failed.
    Failed,
    /// Nobody knows whether the provider accepted it.
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
