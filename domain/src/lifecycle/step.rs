//! A decision in the making, and what several events have in common.

use super::decision::{Decision, Move};
use super::event::OptOut;
use super::policy::Policy;
use crate::audit::Fact;
use crate::failure::Failure;
use crate::ids::{AttemptNo, ProviderId};
use crate::message::Message;
use crate::state::{AttemptStatus, Phase, State, Wait};
use crate::time::Timestamp;

/// The most attempts that a message makes: without a limit its record would grow without end.
const ATTEMPTS_MAX: usize = 200;

/// A decision in the making: the next state and what goes with it.
pub(super) struct Step<'a> {
    pub(super) message: &'a Message,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    pub(super) roll: f64,
    pub(super) next: State,
    pub(super) facts: Vec<Fact>,
    pub(super) call: Option<AttemptNo>,
    pub(super) opt_out: Option<OptOut>,
}

impl Step<'_> {
    pub(super) fn may_try_again(&self) -> bool {
        self.next.attempt_count() < self.next.max_attempts && !self.is_exhausted() && !self.message.is_expired(self.now)
    }

    /// Whether its record is full, or its attempt numbers are used up.
    pub(super) fn is_exhausted(&self) -> bool {
        self.next.attempts.len() >= ATTEMPTS_MAX || self.next.latest() == Some(AttemptNo(u16::MAX))
    }

    /// Queues the message until `due`, but not before its `send_at`: in a restored store a receipt can name an attempt
    /// before that. If the message expires sooner, it is due then, so that it ends in time.
    pub(super) fn queue(&mut self, due: Timestamp, wait: Wait) -> Timestamp {
        let due = self.message.send_at.map_or(due, |at| at.max(due));
        let due = self.message.expires_at.map_or(due, |at| at.min(due));
        self.next.wait = wait;
        self.next.phase = Phase::Queued { due };
        due
    }

    /// The attempt failed, and so did the message.
    pub(super) fn end(&mut self, no: AttemptNo, failure: Failure) {
        self.finish(no, AttemptStatus::Failed, Some(failure.clone()));
        self.fail(Some(no), failure);
    }

    pub(super) fn fail(&mut self, attempt: Option<AttemptNo>, failure: Failure) {
        self.next.phase = Phase::Failed;
        self.next.failure = Some(failure.clone());
        self.facts.push(Fact::Failed { attempt, failure });
    }

    pub(super) fn finish(&mut self, no: AttemptNo, status: AttemptStatus, failure: Option<Failure>) {
        if let Some(attempt) = self.next.attempt_mut(no) {
            attempt.status = status;
            attempt.failure = failure;
            attempt.finished_at.get_or_insert(self.now);
        }
    }

    /// The attempt failed through no fault of the message: it does not count against the budget.
    pub(super) fn uncharge(&mut self, no: AttemptNo) {
        if let Some(attempt) = self.next.attempt_mut(no) {
            attempt.charged = false;
        }
        // It may belong to an earlier budget.
        self.next.budget_start = self.next.budget_start.min(self.next.attempt_count());
    }

    pub(super) fn name(&mut self, no: AttemptNo, provider_id: &ProviderId) {
        if let Some(attempt) = self.next.attempt_mut(no) {
            attempt.provider_id.get_or_insert_with(|| provider_id.clone());
        }
    }

    pub(super) fn done(mut self) -> Decision {
        self.next.version = self.next.version.wrapping_add(1);
        self.next.updated_at = self.now;
        Decision::Move(Box::new(Move { next: self.next, facts: self.facts, call: self.call, opt_out: self.opt_out }))
    }
}
