//! What an error does to a message: it fails the message, schedules the next attempt, or lets the message wait at no
//! cost.

use std::time::Duration;

use super::step::Step;
use crate::audit::Fact;
use crate::failure::Failure;
use crate::ids::AttemptNo;
use crate::outcome::{Class, ProviderError, Scope};
use crate::state::{AttemptStatus, Wait};
use crate::time::Timestamp;

/// How long to leave a recipient alone after Meta held marketing back from them. A sooner try only renews the error.
const DEFERRED_FOR: Duration = Duration::from_secs(24 * 3600);

impl Step<'_> {
    /// An error that applies to more than the message is not its fault: it keeps its place and the attempt is not
    /// charged. The ProviderActor, which has seen the answer too, says how long it waits. `wait` is how long Meta asks
    /// us to wait, if it says so.
    pub(super) fn refused(&mut self, no: AttemptNo, error: &ProviderError, wait: Option<Duration>) {
        let failure = error.failure();
        match (error.verdict.class, error.verdict.scope) {
            (Class::Permanent | Class::OptedOut, _) => self.end(no, failure),
            (Class::Transient, _) => self.retry_or_fail(no, failure, wait),
            (Class::Throttled, Scope::Pair | Scope::Recipient) => self.postpone(no, failure, self.now, Wait::Pair),
            (Class::Throttled | Class::Blocked, Scope::Template) => {
                self.postpone(no, failure, self.now, Wait::Template);
            }
            (Class::Throttled, _) => self.postpone(no, failure, self.now, Wait::Rate),
            (Class::Blocked, _) => self.postpone(no, failure, self.now, Wait::Sender),
            (Class::Deferred, _) if self.next.deferred => self.end(no, failure),
            (Class::Deferred, _) => {
                self.next.deferred = true;
                self.postpone(no, failure, self.now.after(DEFERRED_FOR), Wait::Deferred);
            }
        }
    }

    pub(super) fn postpone(&mut self, no: AttemptNo, failure: Failure, due: Timestamp, wait: Wait) {
        self.finish(no, AttemptStatus::Failed, Some(failure.clone()));
        self.uncharge(no);
        // Probes of a paused sender may go on for days: of several refusals in a row only the last is kept.
        let earlier = self.next.attempts.iter().rev().find(|attempt| attempt.no < no);
        if let Some(earlier) = earlier.filter(|earlier| earlier.is_forgettable()) {
            let gone = earlier.no;
            self.next.attempts.retain(|attempt| attempt.no != gone);
        }
        // Other attempts may have used up the budget, and a record must not grow without end.
        if self.next.attempt_count() >= self.next.max_attempts || self.is_exhausted() {
            return self.end(no, failure);
        }
        let waited = self.next.wait;
        let due = self.queue(due, wait);
        if let Some(attempt) = self.next.attempt_mut(no) {
            attempt.next_retry_at = Some(due);
        }
        let is_known = self.next.failure.as_ref().is_some_and(|last| last.code == failure.code) && waited == wait;
        self.next.failure = Some(failure.clone());
        // Probes may go on for days: the trail says only once what a message waits for.
        if !is_known || due > self.now {
            self.facts.push(Fact::Postponed { attempt: no, failure, due });
        }
    }

    /// Retries by the schedule, but not before Meta's `wait` is over.
    pub(super) fn retry_or_fail(&mut self, no: AttemptNo, failure: Failure, wait: Option<Duration>) {
        if !self.may_try_again() {
            return self.end(no, failure);
        }
        let made = self.next.attempt_count().saturating_sub(self.next.budget_start);
        let delay = self.policy.retry.delay(made, self.roll);
        let due = self.now.after(wait.map_or(delay, |wait| delay.max(wait)));
        self.finish(no, AttemptStatus::Failed, Some(failure.clone()));
        let due = self.queue(due, Wait::Retry);
        if let Some(attempt) = self.next.attempt_mut(no) {
            attempt.next_retry_at = Some(due);
        }
        self.next.failure = Some(failure.clone());
        self.facts.push(Fact::RetryScheduled { attempt: no, failure, due });
    }
}
