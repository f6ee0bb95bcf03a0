//! What a receipt does to a message. A receipt only ever moves a message forward, unless it reports a failure.

use std::time::Duration;

use super::decision::{Decision, Ignored};
use super::step::Step;
use crate::audit::{Fact, ReceiptEffect};
use crate::failure::{Failure, OurCode};
use crate::ids::AttemptNo;
use crate::outcome::ProviderError;
use crate::receipt::{Receipt, ReceiptKind};
use crate::state::{Attempt, AttemptStatus, Phase, Wait};
use crate::time::Timestamp;

impl Step<'_> {
    pub(super) fn receipt(mut self, no: AttemptNo, receipt: &Receipt) -> Decision {
        self.learn_of(no, receipt.at);
        let Some(attempt) = self.next.attempt_mut(no) else { return Decision::Ignore(Ignored::UnknownAttempt) };
        if attempt.receipts.has(receipt.kind) {
            return Decision::Ignore(Ignored::Repeated);
        }
        // After a restore, the original store may have made another attempt with the same number. A failure of that one
        // says nothing about ours; a delivery does say that the message arrived.
        let is_anothers = attempt.provider_id.as_ref().is_some_and(|id| *id != receipt.provider_id);
        if is_anothers && receipt.kind == ReceiptKind::Failed {
            return Decision::Ignore(Ignored::UnknownAttempt);
        }
        attempt.receipts.note(receipt.kind);
        self.name(no, &receipt.provider_id);
        let effect = match receipt.kind {
            ReceiptKind::Failed => self.failed_by_receipt(no, receipt),
            ReceiptKind::Sent => self.proved(no, receipt, Phase::Sent),
            ReceiptKind::Delivered => self.proved(no, receipt, Phase::Delivered),
            ReceiptKind::Read => self.proved(no, receipt, Phase::Read),
        };
        // In the trail the receipt stands before what follows from it, such as a retry or a failure.
        self.facts.insert(0, Fact::Receipt { attempt: no, receipt: Box::new(receipt.clone()), effect });
        self.done()
    }

    /// A restored store learns from Meta which attempts the original made since the backup. They are not charged.
    fn learn_of(&mut self, no: AttemptNo, at: Timestamp) {
        let is_possible = self.next.wait == Wait::Restored && no > AttemptNo(0) && !self.is_exhausted();
        if is_possible && self.next.attempt(no).is_none() {
            let place = self.next.attempts.partition_point(|earlier| earlier.no < no);
            self.next.attempts.insert(place, Attempt { charged: false, ..Attempt::begun(no, at) });
        }
    }

    /// A receipt proves that the provider accepted the attempt, and how far it came.
    fn proved(&mut self, no: AttemptNo, receipt: &Receipt, reached: Phase) -> ReceiptEffect {
        // `sent` only repeats that Meta accepted the attempt. It proves nothing once a `failed` receipt has ended it.
        let contradicted = self.next.attempt(no).is_some_and(|attempt| attempt.receipts.has(ReceiptKind::Failed));
        if reached == Phase::Sent && contradicted {
            return ReceiptEffect::Kept;
        }
        if self.next.attempt(no).is_some_and(|attempt| attempt.status != AttemptStatus::Accepted) {
            // The receipt overtook the answer, or replaces one that was lost: the trail still says that the message was
            // sent.
            let provider_id = receipt.provider_id.clone();
            self.facts.push(Fact::Accepted { attempt: no, provider_id });
        }
        self.finish(no, AttemptStatus::Accepted, None);
        self.note_times(no, receipt.at, reached);
        if reached.rank() <= self.next.phase.rank() {
            return ReceiptEffect::Kept;
        }
        let ended = matches!(self.next.phase, Phase::Failed | Phase::Cancelled);
        self.next.phase = reached;
        self.next.failure = None;
        if ended { ReceiptEffect::Overruled } else { ReceiptEffect::Applied }
    }

    /// Each time is the earliest that fits all receipts, so their order makes no difference. Meta rounds times down to
    /// whole seconds: within that second our own clock is more precise, and no time is earlier than the attempt's
    /// start.
    fn note_times(&mut self, no: AttemptNo, at: Timestamp, reached: Phase) {
        let started = self.next.attempt(no).map_or(at, |attempt| attempt.started_at);
        let at = if self.now.since(at) < Duration::from_secs(1) { self.now } else { at };
        let at = at.max(started);
        let earliest = |time: &mut Option<Timestamp>| *time = Some(time.map_or(at, |known| known.min(at)));
        earliest(&mut self.next.sent_at);
        if reached.rank() >= Phase::Delivered.rank() {
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
            || Failure::new(OurCode::FailedByReceipt, "Meta reported a failure without a code"),
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
            // Nothing proves any longer that the message was sent, but a later attempt is still under way and decides.
            (Some(started_at), _) => {
                self.next.phase = Phase::Sending { due: started_at.after(self.policy.stale_after) };
                self.next.failure = Some(failure);
            }
            (None, Some(error)) => self.refused(no, error, None),
            (None, None) => self.end(no, failure),
        }
        ReceiptEffect::Applied
    }
}
