//! The state machine: what an event does to a message. A pure function; the actors only carry out what it says.
//!
//! ```text
//! QUEUED → SENDING → SENT → DELIVERED → READ
//!    │        │        │
//!    └────────┴────────┴──→ FAILED          QUEUED → CANCELLED
//! ```

use std::time::Duration;

use crate::audit::{Fact, ReceiptEffect};
use crate::ids::{AttemptNo, ProviderId};
use crate::message::{Message, OnUnknown};
use crate::outcome::{Class, Outcome, ProviderError};
use crate::receipt::{Receipt, ReceiptKind};
use crate::retry::RetryPolicy;
use crate::state::{Attempt, AttemptStatus, Failure, Phase, State};
use crate::time::Timestamp;

/// Beyond so many attempts a person cannot queue a message again: its record would grow without end.
const ATTEMPTS_MAX: u16 = 200;

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
    /// Its sender has a turn for it: an attempt may begin.
    Turn,
    /// Its `expires_at` has come.
    Expiry,
    /// The wait for the outcome of its latest attempt has ended.
    Lapse,
    /// A call came back.
    Settled {
        /// The attempt that was called.
        attempt: AttemptNo,
        /// How it ended.
        outcome: Outcome,
    },
    /// A receipt came.
    Receipt {
        /// The attempt that it is about.
        attempt: AttemptNo,
        /// What Meta said.
        receipt: Box<Receipt>,
    },
    /// A person calls it back.
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
    /// Only a QUEUED message can be called back.
    NotCancellable,
    /// Only a FAILED message can be queued again.
    NotRetryable,
}

/// Decides what `event` does to a message in `state`, at `now`. `roll` in `0.0..1.0` draws the jitter.
pub fn decide(message: &Message, state: &State, event: &Event, policy: &Policy, now: Timestamp, roll: f64) -> Decision {
    let step = Step { message, policy, now, roll, next: state.clone(), facts: Vec::new(), call: None };
    match event {
        Event::Turn => step.begin(),
        Event::Expiry => step.expire(),
        Event::Lapse => step.lapse(),
        Event::Settled { attempt, outcome } => step.settle(*attempt, outcome),
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
}

impl Step<'_> {
    fn begin(mut self) -> Decision {
        match self.next.phase {
            Phase::Queued { .. } if self.message.is_expired(self.now) => self.expire(),
            Phase::Queued { due } if due > self.now => Decision::Ignore(Ignored::TooEarly),
            Phase::Queued { .. } => {
                self.next.attempts.push(Attempt::begun(self.now));
                self.next.phase = Phase::Sending { due: self.now.after(self.policy.stale_after) };
                self.call = self.next.latest();
                self.done()
            }
            Phase::Sending { .. } | Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => {
                Decision::Ignore(Ignored::Overtaken)
            }
        }
    }

    fn expire(mut self) -> Decision {
        match self.next.phase {
            Phase::Queued { .. } if self.message.is_expired(self.now) => {
                let last = self.next.failure.as_ref().map(|failure| format!("; the last error was {}", failure.code));
                let message = format!("it was not sent before its expiresAt{}", last.unwrap_or_default());
                self.fail(None, Failure::new("EXPIRED", message));
                self.done()
            }
            Phase::Queued { .. } => Decision::Ignore(Ignored::TooEarly),
            Phase::Sending { .. } | Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => {
                Decision::Ignore(Ignored::Overtaken)
            }
        }
    }

    fn lapse(mut self) -> Decision {
        let Phase::Sending { due } = self.next.phase else { return Decision::Ignore(Ignored::Overtaken) };
        let Some(no) = self.next.latest() else { return Decision::Ignore(Ignored::UnknownAttempt) };
        if due > self.now {
            return Decision::Ignore(Ignored::TooEarly);
        }
        let lost = Failure::new("OUTCOME_UNKNOWN", "no answer and no receipt: it may or may not have been sent");
        self.finish(no, AttemptStatus::Unknown, Some(lost.clone()));
        match self.message.on_unknown.unwrap_or(self.policy.on_unknown) {
            OnUnknown::Resend if self.may_try_again() => {
                self.queue(self.now);
                self.next.failure = Some(lost);
                self.facts.push(Fact::Resending { attempt: no });
            }
            OnUnknown::Resend | OnUnknown::Hold => self.fail(Some(no), lost),
        }
        self.done()
    }

    fn settle(mut self, no: AttemptNo, outcome: &Outcome) -> Decision {
        let Some(attempt) = self.next.attempt(no) else { return Decision::Ignore(Ignored::UnknownAttempt) };
        let is_open = matches!(self.next.phase, Phase::Sending { .. }) && self.next.latest() == Some(no);
        let Phase::Sending { due: settle_by } = self.next.phase else {
            return self.settle_late(no, outcome);
        };
        // Once its outcome was found lost, only an acceptance still settles it.
        let is_news = attempt.status == AttemptStatus::Sending || matches!(outcome, Outcome::Accepted(_));
        if !is_open || !is_news {
            return self.settle_late(no, outcome);
        }
        match outcome {
            Outcome::Accepted(provider_id) => {
                self.finish(no, AttemptStatus::Accepted, None);
                self.name(no, provider_id);
                self.next.phase = Phase::Sent;
                self.next.sent_at = Some(self.now);
                self.next.failure = None;
                self.facts.push(Fact::Accepted { attempt: no, provider_id: provider_id.clone() });
            }
            Outcome::Refused(error) => self.refused(no, error),
            Outcome::NotSent(failure) => self.retry_or_fail(no, failure.clone()),
            Outcome::Unknown(failure) => {
                self.finish(no, AttemptStatus::Unknown, Some(failure.clone()));
                self.next.failure = Some(failure.clone());
                self.facts.push(Fact::OutcomeUnknown { attempt: no, failure: failure.clone(), settle_by });
            }
        }
        self.done()
    }

    /// The answer comes after a receipt, a lapse or a person has moved the message on. An acceptance is still proof that
    /// it was sent; else only the attempt is closed.
    fn settle_late(mut self, no: AttemptNo, outcome: &Outcome) -> Decision {
        let Some(attempt) = self.next.attempt(no) else { return Decision::Ignore(Ignored::UnknownAttempt) };
        let is_open = attempt.status == AttemptStatus::Sending;
        match outcome {
            Outcome::Accepted(provider_id) if attempt.provider_id.is_none() => {
                self.finish(no, AttemptStatus::Accepted, None);
                self.name(no, provider_id);
                if rank(self.next.phase) < rank(Phase::Sent) {
                    self.next.phase = Phase::Sent;
                    self.next.sent_at.get_or_insert(self.now);
                    self.next.failure = None;
                }
                self.facts.push(Fact::Accepted { attempt: no, provider_id: provider_id.clone() });
            }
            Outcome::Refused(error) if is_open => {
                self.finish(no, AttemptStatus::Failed, Some(error.failure()));
            }
            Outcome::NotSent(failure) if is_open => {
                self.finish(no, AttemptStatus::Failed, Some(failure.clone()));
            }
            Outcome::Unknown(failure) if is_open => {
                self.finish(no, AttemptStatus::Unknown, Some(failure.clone()));
            }
            Outcome::Accepted(_) | Outcome::Refused(_) | Outcome::NotSent(_) | Outcome::Unknown(_) => {
                return Decision::Ignore(Ignored::Overtaken);
            }
        }
        self.done()
    }

    fn receipt(mut self, no: AttemptNo, receipt: &Receipt) -> Decision {
        let Some(attempt) = self.next.attempts.get_mut(no.index()) else {
            return Decision::Ignore(Ignored::UnknownAttempt);
        };
        if attempt.receipts.has(receipt.kind) {
            return Decision::Ignore(Ignored::Repeated);
        }
        attempt.receipts.note(receipt.kind);
        self.name(no, &receipt.provider_id);
        let effect = match receipt.kind {
            ReceiptKind::Failed => self.failed_by_receipt(no, receipt),
            ReceiptKind::Sent => self.proved(no, receipt, Phase::Sent),
            ReceiptKind::Delivered => self.proved(no, receipt, Phase::Delivered),
            ReceiptKind::Read => self.proved(no, receipt, Phase::Read),
        };
        // Before what follows from it (a retry, a failure), the trail says what came.
        self.facts.insert(0, Fact::Receipt { attempt: no, receipt: Box::new(receipt.clone()), effect });
        self.done()
    }

    /// A receipt proves that the provider took the attempt and how far it came.
    fn proved(&mut self, no: AttemptNo, receipt: &Receipt, reached: Phase) -> ReceiptEffect {
        // `sent` only repeats an acceptance: of an attempt that a `failed` receipt has ended, it proves nothing.
        let contradicted = self.next.attempt(no).is_some_and(|attempt| attempt.receipts.has(ReceiptKind::Failed));
        if reached == Phase::Sent && contradicted {
            return ReceiptEffect::Kept;
        }
        self.finish(no, AttemptStatus::Accepted, None);
        self.note_times(no, receipt.at, reached);
        if rank(reached) <= rank(self.next.phase) {
            return ReceiptEffect::Kept;
        }
        let ended = matches!(self.next.phase, Phase::Failed | Phase::Cancelled);
        self.next.phase = reached;
        self.next.failure = None;
        if ended { ReceiptEffect::Overruled } else { ReceiptEffect::Applied }
    }

    /// Each time is the earliest that fits what came, so that the order in which receipts come makes no difference.
    /// Meta's times are whole seconds, rounded down: within that second our own clock knows better, and no time lies
    /// before the attempt's start.
    fn note_times(&mut self, no: AttemptNo, at: Timestamp, reached: Phase) {
        let started = self.next.attempt(no).map_or(at, |attempt| attempt.started_at);
        let at = if self.now.since(at) < Duration::from_secs(1) { self.now } else { at };
        let at = at.max(started);
        let earliest = |time: &mut Option<Timestamp>| *time = Some(time.map_or(at, |known| known.min(at)));
        earliest(&mut self.next.sent_at);
        if rank(reached) >= rank(Phase::Delivered) {
            earliest(&mut self.next.delivered_at);
        }
        if reached == Phase::Read {
            earliest(&mut self.next.read_at);
        }
    }

    fn failed_by_receipt(&mut self, no: AttemptNo, receipt: &Receipt) -> ReceiptEffect {
        let known = self.next.attempt(no).map(|attempt| attempt.receipts).unwrap_or_default();
        if known.has(ReceiptKind::Delivered) || known.has(ReceiptKind::Read) {
            return ReceiptEffect::Anomaly;
        }
        let failure = receipt.error.as_ref().map_or_else(
            || Failure::new("FAILED_BY_RECEIPT", "Meta reported a failure without a code"),
            ProviderError::failure,
        );
        self.finish(no, AttemptStatus::Failed, Some(failure.clone()));
        let decides = match self.next.phase {
            Phase::Sending { .. } => self.next.latest() == Some(no),
            Phase::Sent => !self.next.attempts.iter().any(|attempt| attempt.status == AttemptStatus::Accepted),
            Phase::Queued { .. } | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => false,
        };
        if !decides {
            return ReceiptEffect::Kept;
        }
        self.next.sent_at = None;
        let open = self.next.attempts.last().filter(|attempt| attempt.status == AttemptStatus::Sending);
        match (open.map(|attempt| attempt.started_at), &receipt.error) {
            // Nothing proves any more that it was sent, but a later attempt is still under way: that one decides.
            (Some(started_at), _) => {
                self.next.phase = Phase::Sending { due: started_at.after(self.policy.stale_after) };
                self.next.failure = Some(failure);
            }
            (None, Some(error)) => self.refused(no, error),
            (None, None) => self.end(no, failure),
        }
        ReceiptEffect::Applied
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
        if self.next.phase != Phase::Failed || made >= ATTEMPTS_MAX || self.message.is_expired(self.now) {
            return Decision::Ignore(Ignored::NotRetryable);
        }
        self.next.budget_start = made;
        self.next.max_attempts = made.saturating_add(self.policy.retry.max_attempts());
        self.next.failure = None;
        self.queue(self.message.send_at.map_or(self.now, |at| at.max(self.now)));
        self.facts.push(Fact::Requeued);
        self.done()
    }

    fn crash(mut self, cause: &str) -> Decision {
        if self.next.due().is_none() {
            return Decision::Ignore(Ignored::Overtaken);
        }
        let failure = Failure::new("CRASHED", cause);
        let open = self.next.latest().filter(|_| matches!(self.next.phase, Phase::Sending { .. }));
        if let Some(no) = open {
            self.finish(no, AttemptStatus::Unknown, Some(failure.clone()));
        }
        self.fail(open, failure);
        self.done()
    }

    fn refused(&mut self, no: AttemptNo, error: &ProviderError) {
        match error.verdict.class {
            Class::Permanent => self.end(no, error.failure()),
            Class::Transient | Class::Throttled | Class::Blocked | Class::Deferred => {
                self.retry_or_fail(no, error.failure());
            }
        }
    }

    fn retry_or_fail(&mut self, no: AttemptNo, failure: Failure) {
        if !self.may_try_again() {
            return self.end(no, failure);
        }
        let made = self.next.attempt_count().saturating_sub(self.next.budget_start);
        let due = self.now.after(self.policy.retry.delay(made, self.roll));
        self.finish(no, AttemptStatus::Failed, Some(failure.clone()));
        let due = self.queue(due);
        if let Some(attempt) = self.next.attempts.get_mut(no.index()) {
            attempt.next_retry_at = Some(due);
        }
        self.next.failure = Some(failure.clone());
        self.facts.push(Fact::RetryScheduled { attempt: no, failure, due });
    }

    fn may_try_again(&self) -> bool {
        self.next.attempt_count() < self.next.max_attempts && !self.message.is_expired(self.now)
    }

    /// Queued until `due`, or until it expires if that is sooner: it then ends at that time, not later.
    fn queue(&mut self, due: Timestamp) -> Timestamp {
        let due = self.message.expires_at.map_or(due, |at| at.min(due));
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
        if let Some(attempt) = self.next.attempts.get_mut(no.index()) {
            attempt.status = status;
            attempt.failure = failure;
            attempt.finished_at.get_or_insert(self.now);
        }
    }

    fn name(&mut self, no: AttemptNo, provider_id: &ProviderId) {
        if let Some(attempt) = self.next.attempts.get_mut(no.index()) {
            attempt.provider_id.get_or_insert_with(|| provider_id.clone());
        }
    }

    fn done(mut self) -> Decision {
        self.next.version = self.next.version.wrapping_add(1);
        self.next.updated_at = self.now;
        Decision::Move(Box::new(Move { next: self.next, facts: self.facts, call: self.call }))
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
