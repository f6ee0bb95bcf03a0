//! The state machine: what an event does to a message. A pure function; the actors only carry out what it says.
//!
//! ```text
//! QUEUED → SENDING → SENT → DELIVERED → READ
//!    │        │        │
//!    └────────┴────────┴──→ FAILED          QUEUED → CANCELLED
//! ```

mod outcomes;
mod receipts;
mod refusals;
mod waiting;

use std::time::Duration;

use crate::audit::Fact;
use crate::consent::Refusal;
use crate::failure::{Failure, OurCode};
use crate::ids::{AttemptNo, ProviderId};
use crate::message::{Message, OnUnknown};
use crate::outcome::Outcome;
use crate::receipt::Receipt;
use crate::retry::RetryPolicy;
use crate::state::{Attempt, AttemptStatus, Phase, State, Wait};
use crate::time::Timestamp;

pub use refusals::OptOut;

/// Beyond so many attempts a message is not tried again: its record would grow without end.
const ATTEMPTS_MAX: usize = 200;

/// The operator's settings that decisions depend on.
#[derive(Clone, Debug)]
pub struct Policy {
    /// When to try again.
    pub retry: RetryPolicy,
    /// How long a send with no known outcome waits for its receipt.
    pub stale_after: Duration,
    /// What then, where the message does not say.
    pub on_unknown: OnUnknown,
}

/// Something that happens to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its sender gave it a send permit: an attempt may begin.
    SendPermit,
    /// Its `expires_at` has come.
    Expiry,
    /// The outcome of its latest attempt did not come in time.
    OutcomeTimeout,
    /// A call came back.
    Settled {
        /// The attempt that was called.
        attempt: AttemptNo,
        /// How it ended.
        outcome: Outcome,
        /// How long it is to be left alone at least, if the answer said so.
        wait: Option<Duration>,
    },
    /// It is due, but something beyond the message postpones it.
    Postpone {
        /// Until when.
        until: Timestamp,
        /// What postpones it.
        wait: Wait,
    },
    /// What postponed it is over sooner than expected: it is due now.
    DueNow,
    /// Its store was restored from a backup: the original may have sent it since, or may do so still.
    Restored,
    /// It is free-form, and the recipient has not written within 24 hours: Meta would refuse it.
    WindowClosed,
    /// The recipient did not consent to it.
    ConsentDenied(Refusal),
    /// A receipt came.
    Receipt {
        /// The attempt that it is about.
        attempt: AttemptNo,
        /// What Meta said.
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

/// What an event leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The state changes.
    Move(Box<Move>),
    /// Nothing changes.
    Ignore(Ignored),
}

/// A change of state, to be made durable before any of it is acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The state after it.
    pub next: State,
    /// What the audit trail says of it. Empty where the attempt's own record says it all.
    pub facts: Vec<Fact>,
    /// The attempt to call the provider for, once durable.
    pub call: Option<AttemptNo>,
    /// What the event says of the recipient, to be recorded with it.
    pub opt_out: Option<OptOut>,
}

/// Why nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// It is not yet time.
    TooEarly,
    /// It has moved on; the event is about its past.
    Overtaken,
    /// The receipt has come before.
    Repeated,
    /// The receipt names an attempt that was never made.
    UnknownAttempt,
    /// Only a QUEUED message can be cancelled.
    NotCancellable,
    /// Only a FAILED message can be queued again.
    NotRetryable,
}

/// Decides what `event` does to a message in `state`, at `now`. `roll` in `0.0..1.0` draws the jitter.
pub fn decide(message: &Message, state: &State, event: &Event, policy: &Policy, now: Timestamp, roll: f64) -> Decision {
    let opt_out = event.opt_out(now);
    let step = Step { message, policy, now, roll, next: state.clone(), facts: Vec::new(), call: None, opt_out };
    match event {
        Event::SendPermit => step.begin(),
        Event::Expiry => step.expire(),
        Event::OutcomeTimeout => step.outcome_timeout(),
        Event::Settled { attempt, outcome, wait } => step.settle(*attempt, outcome, *wait),
        Event::Postpone { until, wait } => step.postpone_until(*until, *wait),
        Event::DueNow => step.make_due(),
        Event::Restored => step.restored(),
        Event::WindowClosed => step.window_closed(),
        Event::ConsentDenied(refusal) => step.consent_denied(*refusal),
        Event::Receipt { attempt, receipt } => step.receipt(*attempt, receipt),
        Event::Cancel => step.cancel(),
        Event::Requeue => step.requeue(),
        Event::Crash { cause } => step.crash(cause),
    }
}

/// A decision in the making: the next state and what is said of it.
struct Step<'a> {
    message: &'a Message,
    policy: &'a Policy,
    now: Timestamp,
    roll: f64,
    next: State,
    facts: Vec<Fact>,
    call: Option<AttemptNo>,
    opt_out: Option<OptOut>,
}

impl Step<'_> {
    fn begin(mut self) -> Decision {
        match self.next.phase {
            Phase::Queued { .. } if self.message.is_expired(self.now) => self.expire(),
            Phase::Queued { due } if due > self.now => Decision::Ignore(Ignored::TooEarly),
            Phase::Queued { .. } => {
                let no = self.next.latest().map_or(AttemptNo(1), AttemptNo::next);
                self.next.attempts.push(Attempt::begun(no, self.now));
                self.next.phase = Phase::Sending { due: self.now.after(self.policy.stale_after) };
                self.call = self.next.latest();
                self.done()
            }
            Phase::Sending { .. } | Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => {
                Decision::Ignore(Ignored::Overtaken)
            }
        }
    }

    fn cancel(mut self) -> Decision {
        if !matches!(self.next.phase, Phase::Queued { .. }) {
            return Decision::Ignore(Ignored::NotCancellable);
        }
        self.next.phase = Phase::Cancelled;
        self.facts.push(Fact::Cancelled);
        self.done()
    }

    fn requeue(mut self) -> Decision {
        let made = self.next.attempt_count();
        if self.next.phase != Phase::Failed || self.is_worn() || self.message.is_expired(self.now) {
            return Decision::Ignore(Ignored::NotRetryable);
        }
        self.next.budget_start = made;
        self.next.max_attempts = made.saturating_add(self.policy.retry.max_attempts());
        self.next.failure = None;
        self.next.deferred = false;
        self.queue(self.now, Wait::Schedule);
        self.facts.push(Fact::Requeued);
        self.done()
    }

    fn crash(mut self, cause: &str) -> Decision {
        if self.next.due().is_none() {
            return Decision::Ignore(Ignored::Overtaken);
        }
        let failure = Failure::new(OurCode::Crashed, cause);
        let open = self.next.latest().filter(|_| matches!(self.next.phase, Phase::Sending { .. }));
        if let Some(no) = open {
            self.finish(no, AttemptStatus::Unknown, Some(failure.clone()));
        }
        self.fail(open, failure);
        self.done()
    }

    fn may_try_again(&self) -> bool {
        self.next.attempt_count() < self.next.max_attempts && !self.is_worn() && !self.message.is_expired(self.now)
    }

    /// Whether its record, or the numbers for its attempts, are used up.
    fn is_worn(&self) -> bool {
        self.next.attempts.len() >= ATTEMPTS_MAX || self.next.latest() == Some(AttemptNo(u16::MAX))
    }

    /// Queued until `due`, not before it is to go: in a restored copy a receipt can tell of an attempt before that. Or until it
    /// expires if that is sooner: it then ends at that time, not later.
    fn queue(&mut self, due: Timestamp, wait: Wait) -> Timestamp {
        let due = self.message.send_at.map_or(due, |at| at.max(due));
        let due = self.message.expires_at.map_or(due, |at| at.min(due));
        self.next.wait = wait;
        self.next.phase = Phase::Queued { due };
        due
    }

    /// The attempt failed and the message with it.
    fn end(&mut self, no: AttemptNo, failure: Failure) {
        self.finish(no, AttemptStatus::Failed, Some(failure.clone()));
        self.fail(Some(no), failure);
    }

    fn fail(&mut self, attempt: Option<AttemptNo>, failure: Failure) {
        self.next.phase = Phase::Failed;
        self.next.failure = Some(failure.clone());
        self.facts.push(Fact::Failed { attempt, failure });
    }

    fn finish(&mut self, no: AttemptNo, status: AttemptStatus, failure: Option<Failure>) {
        if let Some(attempt) = self.next.attempt_mut(no) {
            attempt.status = status;
            attempt.failure = failure;
            attempt.finished_at.get_or_insert(self.now);
        }
    }

    /// The attempt is no fault of the message: it does not count against its budget.
    fn uncharge(&mut self, no: AttemptNo) {
        if let Some(attempt) = self.next.attempt_mut(no) {
            attempt.charged = false;
        }
        // It may have been an attempt of an earlier budget.
        self.next.budget_start = self.next.budget_start.min(self.next.attempt_count());
    }

    fn name(&mut self, no: AttemptNo, provider_id: &ProviderId) {
        if let Some(attempt) = self.next.attempt_mut(no) {
            attempt.provider_id.get_or_insert_with(|| provider_id.clone());
        }
    }

    fn done(mut self) -> Decision {
        self.next.version = self.next.version.wrapping_add(1);
        self.next.updated_at = self.now;
        Decision::Move(Box::new(Move { next: self.next, facts: self.facts, call: self.call, opt_out: self.opt_out }))
    }
}

/// How far a message has come towards its reader. Receipts only ever raise it.
pub const fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Queued { .. } | Phase::Sending { .. } | Phase::Failed | Phase::Cancelled => 0,
        Phase::Sent => 1,
        Phase::Delivered => 2,
        Phase::Read => 3,
    }
}
