//! What happens to a message while it is QUEUED: what sends it, postpones it, makes it due sooner, or ends its wait.

use super::decision::{Decision, Ignored};
use super::step::Step;
use crate::audit::Fact;
use crate::consent::Refusal;
use crate::failure::{Failure, OurCode};
use crate::ids::AttemptNo;
use crate::state::{Attempt, Phase, Wait};
use crate::time::Timestamp;

impl Step<'_> {
    pub(super) fn begin(mut self) -> Decision {
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

    pub(super) fn expire(mut self) -> Decision {
        match self.next.phase {
            Phase::Queued { .. } if self.message.is_expired(self.now) => {
                let last = self.next.failure.as_ref().map(|failure| format!("; the last error was {}", failure.code));
                let message = format!("it was not sent before its expiresAt{}", last.unwrap_or_default());
                self.fail(None, Failure::new(OurCode::Expired, message));
                self.done()
            }
            Phase::Queued { .. } => Decision::Ignore(Ignored::TooEarly),
            Phase::Sending { .. } | Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => {
                Decision::Ignore(Ignored::Overtaken)
            }
        }
    }

    pub(super) fn postpone_until(mut self, until: Timestamp, wait: Wait) -> Decision {
        match self.next.phase {
            Phase::Queued { due } if due <= self.now && until > self.now => {
                self.queue(until, wait);
                self.done()
            }
            Phase::Queued { .. } => Decision::Ignore(Ignored::TooEarly),
            Phase::Sending { .. } | Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => {
                Decision::Ignore(Ignored::Overtaken)
            }
        }
    }

    /// Makes a message due that something beyond it postponed. Its own schedule stands.
    pub(super) fn make_due(mut self) -> Decision {
        let is_postponed = match self.next.wait {
            Wait::Template
            | Wait::Pair
            | Wait::Rate
            | Wait::Sender
            | Wait::Way
            | Wait::DailyQuota
            | Wait::RecipientQuota => true,
            Wait::Schedule | Wait::Retry | Wait::Deferred | Wait::Restored => false,
        };
        match self.next.phase {
            Phase::Queued { .. } if self.next.wait == Wait::Restored => {
                self.queue(self.now, Wait::Schedule);
                self.facts.push(Fact::Requeued);
                self.done()
            }
            Phase::Queued { due } if due > self.now && is_postponed => {
                self.queue(self.now, self.next.wait);
                self.done()
            }
            Phase::Queued { .. }
            | Phase::Sending { .. }
            | Phase::Sent
            | Phase::Delivered
            | Phase::Read
            | Phase::Failed
            | Phase::Cancelled => Decision::Ignore(Ignored::Overtaken),
        }
    }

    /// Holds an unfinished message until a person decides. If a call was under way, its answer went to the original
    /// store.
    pub(super) fn restored(mut self) -> Decision {
        let is_to_be_sent = match self.next.phase {
            Phase::Queued { .. } => self.next.wait != Wait::Restored,
            Phase::Sending { .. } => {
                let Some(no) = self.next.latest() else { return Decision::Ignore(Ignored::UnknownAttempt) };
                if !self.lost(no) {
                    return self.done();
                }
                true
            }
            Phase::Sent | Phase::Delivered | Phase::Read | Phase::Failed | Phase::Cancelled => false,
        };
        if !is_to_be_sent {
            return Decision::Ignore(Ignored::Overtaken);
        }
        // Not even its expiry makes it due: expiries have an index of their own.
        self.next.phase = Phase::Queued { due: Timestamp::MAX };
        self.next.wait = Wait::Restored;
        self.done()
    }

    pub(super) fn window_closed(mut self) -> Decision {
        if !matches!(self.next.phase, Phase::Queued { .. }) {
            return Decision::Ignore(Ignored::Overtaken);
        }
        let message = "the recipient last wrote more than 24 hours ago: only a template may be sent";
        self.fail(None, Failure::new(OurCode::WindowClosed, message));
        self.done()
    }

    pub(super) fn consent_denied(mut self, refusal: Refusal) -> Decision {
        if !matches!(self.next.phase, Phase::Queued { .. }) {
            return Decision::Ignore(Ignored::Overtaken);
        }
        self.next.phase = Phase::Failed;
        self.next.failure = Some(Failure::new(OurCode::BlockedByPolicy, refusal.to_string()));
        self.facts.push(Fact::Blocked(refusal));
        self.done()
    }
}
