//! How the end of a call changes a message: its answer came, came late, or never came.

use std::time::Duration;

use super::decision::{Decision, Ignored};
use super::step::Step;
use crate::audit::Fact;
use crate::failure::{Failure, OurCode};
use crate::ids::AttemptNo;
use crate::message::OnUnknown;
use crate::outcome::Outcome;
use crate::state::{AttemptStatus, Phase, Wait};

impl Step<'_> {
    pub(super) fn outcome_timeout(mut self) -> Decision {
        let Phase::Sending { due } = self.next.phase else { return Decision::Ignore(Ignored::Overtaken) };
        let Some(no) = self.next.latest() else { return Decision::Ignore(Ignored::UnknownAttempt) };
        if due > self.now {
            return Decision::Ignore(Ignored::TooEarly);
        }
        if self.lost(no) {
            self.queue(self.now, Wait::Retry);
            self.facts.push(Fact::Resending { attempt: no });
        }
        self.done()
    }

    /// Gives the attempt's outcome up. Returns whether the message is to be sent again; if not, it has failed.
    pub(super) fn lost(&mut self, no: AttemptNo) -> bool {
        let lost = Failure::new(OurCode::OutcomeUnknown, "no answer and no receipt: it may or may not have been sent");
        self.finish(no, AttemptStatus::Unknown, Some(lost.clone()));
        match self.message.on_unknown.unwrap_or(self.policy.on_unknown) {
            OnUnknown::Resend if self.may_try_again() => {
                self.next.failure = Some(lost);
                true
            }
            OnUnknown::Resend | OnUnknown::Hold => {
                self.fail(Some(no), lost);
                false
            }
        }
    }

    pub(super) fn settle(mut self, no: AttemptNo, outcome: &Outcome, wait: Option<Duration>) -> Decision {
        let Some(attempt) = self.next.attempt(no) else { return Decision::Ignore(Ignored::UnknownAttempt) };
        let is_open = matches!(self.next.phase, Phase::Sending { .. }) && self.next.latest() == Some(no);
        let Phase::Sending { due: settle_by } = self.next.phase else {
            return self.settle_late(no, outcome);
        };
        // Once its outcome was given up, only an acceptance still settles the attempt.
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
            Outcome::Refused(error) => self.refused(no, error, wait),
            Outcome::NotSent(failure) => self.retry_or_fail(no, failure.clone(), wait),
            Outcome::Unreachable(failure) => self.postpone(no, failure.clone(), self.now, Wait::Way),
            Outcome::Unknown(failure) | Outcome::CutOff(failure) => {
                self.finish(no, AttemptStatus::Unknown, Some(failure.clone()));
                if matches!(outcome, Outcome::CutOff(_)) {
                    self.uncharge(no);
                }
                self.next.failure = Some(failure.clone());
                self.facts.push(Fact::OutcomeUnknown { attempt: no, failure: failure.clone(), settle_by });
            }
        }
        self.done()
    }

    /// The answer comes after a receipt, a timeout or a person has moved the message on. An acceptance still proves
    /// that the message was sent; any other answer only closes the attempt.
    fn settle_late(mut self, no: AttemptNo, outcome: &Outcome) -> Decision {
        let Some(attempt) = self.next.attempt(no) else { return Decision::Ignore(Ignored::UnknownAttempt) };
        let is_open = attempt.status == AttemptStatus::Sending;
        match outcome {
            Outcome::Accepted(provider_id) if attempt.provider_id.is_none() => {
                self.finish(no, AttemptStatus::Accepted, None);
                self.name(no, provider_id);
                if self.next.phase.rank() < Phase::Sent.rank() {
                    self.next.phase = Phase::Sent;
                    self.next.sent_at.get_or_insert(self.now);
                    self.next.failure = None;
                }
                self.facts.push(Fact::Accepted { attempt: no, provider_id: provider_id.clone() });
            }
            Outcome::Refused(error) if is_open => {
                self.finish(no, AttemptStatus::Failed, Some(error.failure()));
            }
            Outcome::NotSent(failure) | Outcome::Unreachable(failure) if is_open => {
                self.finish(no, AttemptStatus::Failed, Some(failure.clone()));
            }
            Outcome::Unknown(failure) | Outcome::CutOff(failure) if is_open => {
                self.finish(no, AttemptStatus::Unknown, Some(failure.clone()));
            }
            Outcome::Accepted(_)
            | Outcome::Refused(_)
            | Outcome::NotSent(_)
            | Outcome::Unreachable(_)
            | Outcome::Unknown(_)
            | Outcome::CutOff(_) => {
                return Decision::Ignore(Ignored::Overtaken);
            }
        }
        self.done()
    }

    pub(super) fn crash(mut self, cause: &str) -> Decision {
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
}
