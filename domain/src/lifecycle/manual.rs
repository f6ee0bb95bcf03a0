//! What a person may ask: to cancel a message, or to queue it again.

use super::decision::{Decision, Ignored};
use super::step::Step;
use crate::audit::Fact;
use crate::state::{Phase, Wait};

impl Step<'_> {
    pub(super) fn cancel(mut self) -> Decision {
        if !matches!(self.next.phase, Phase::Queued { .. }) {
            return Decision::Ignore(Ignored::NotCancellable);
        }
        self.next.phase = Phase::Cancelled;
        self.facts.push(Fact::Cancelled);
        self.done()
    }

    pub(super) fn requeue(mut self) -> Decision {
        let made = self.next.attempt_count();
        if self.next.phase != Phase::Failed || self.is_exhausted() || self.message.is_expired(self.now) {
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
}
