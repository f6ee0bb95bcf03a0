//! Every status × every kind of event, at least one row each: what `decide` does. Read it as the manual of a message.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[path = "support/given.rs"]
mod given;
#[path = "support/postponed.rs"]
mod postponed;
#[path = "support/refusals.rs"]
mod refusals;
#[path = "support/row.rs"]
mod row;
#[path = "support/stories.rs"]
mod stories;

use domain::audit::ReceiptEffect::{Anomaly, Applied, Kept, Overruled};
use domain::invariants::check_step;
use domain::lifecycle::Decision;
use domain::lifecycle::Event::{Cancel, DueNow, Expiry, OutcomeTimeout, Requeue, Restored, SendPermit, WindowClosed};
use domain::lifecycle::Ignored::{NotCancellable, NotRetryable, Overtaken, Repeated, TooEarly, UnknownAttempt};
use domain::outcome::Class::{Blocked, Deferred, Permanent, Throttled, Transient};
use domain::state::Status::{self, Cancelled, Delivered, Failed, Queued, Read, Sending, Sent};
use domain::state::Wait;

use given::*;
use row::{Kind, Row, Said, Then, said};

/// The table, under the default settings: attempts at once, then after 1 m, 5 m, 15 m, 1 h and 6 h; what stays unknown
/// for 10 m is sent again. `due_in` counts from the event. What a row does not mention must not happen.
#[rustfmt::skip]
fn table() -> Vec<Row> {
    vec![
        // QUEUED, a send permit: begins an attempt, unless it is not yet time, or too late.
        queued().when(SendPermit).to(Sending).call(1).due_in(STALE),
        retrying().when(SendPermit).to(Sending).call(2).due_in(STALE),
        scheduled_in(MINUTE).when(SendPermit).ignored(TooEarly),
        scheduled_in(MINUTE).later(MINUTE).when(SendPermit).to(Sending).call(1).due_in(STALE),
        expiring_in(MINUTE).later(MINUTE - 1).when(SendPermit).to(Sending).call(1).due_in(STALE),
        expiring_in(MINUTE).later(MINUTE).when(SendPermit).to(Failed).says(Said::Failed),
        // QUEUED, its own times.
        queued().when(Expiry).ignored(TooEarly),
        expiring_in(MINUTE).later(MINUTE - 1).when(Expiry).ignored(TooEarly),
        expiring_in(MINUTE).later(MINUTE).when(Expiry).to(Failed).says(Said::Failed),
        queued().when(OutcomeTimeout).ignored(Overtaken),
        // QUEUED, held and released: only what is due is held, and only what is held is released.
        queued().when(postpone_for(MINUTE, Wait::Pair)).to(Queued).due_in(MINUTE).waits_for(Wait::Pair),
        retrying().when(postpone_for(MINUTE, Wait::Rate)).to(Queued).due_in(MINUTE).waits_for(Wait::Rate),
        postponed_by(Wait::Template).later(HOUR).when(postpone_for(HOUR, Wait::Pair))
            .to(Queued).due_in(HOUR).waits_for(Wait::Pair),
        queued().when(postpone_for(0, Wait::Pair)).ignored(TooEarly),
        scheduled_in(HOUR).when(postpone_for(2 * HOUR, Wait::Pair)).ignored(TooEarly),
        postponed_by(Wait::Template).when(postpone_for(2 * HOUR, Wait::Pair)).ignored(TooEarly),
        deferred().when(postpone_for(48 * HOUR, Wait::Pair)).ignored(TooEarly),
        expiring_in(9).when(postpone_for(MINUTE, Wait::Pair)).to(Queued).due_in(9).waits_for(Wait::Pair),
        expiring_in(9).later(9).when(postpone_for(MINUTE, Wait::Pair)).to(Queued).due_in(0),
        postponed_by(Wait::Template).when(DueNow).to(Queued).due_in(0).waits_for(Wait::Template),
        postponed_by(Wait::Pair).when(DueNow).to(Queued).due_in(0).waits_for(Wait::Pair),
        postponed_by(Wait::Rate).when(DueNow).to(Queued).due_in(0).waits_for(Wait::Rate),
        postponed_by(Wait::Sender).when(DueNow).to(Queued).due_in(0).waits_for(Wait::Sender),
        postponed_by(Wait::Way).when(DueNow).to(Queued).due_in(0).waits_for(Wait::Way),
        postponed_by(Wait::DailyQuota).when(DueNow).to(Queued).due_in(0).waits_for(Wait::DailyQuota),
        postponed_by(Wait::RecipientQuota).when(DueNow).to(Queued).due_in(0).waits_for(Wait::RecipientQuota),
        postponed_by(Wait::Template).later(HOUR).when(DueNow).ignored(Overtaken),
        queued().when(DueNow).ignored(Overtaken),
        scheduled_in(HOUR).when(DueNow).ignored(Overtaken),
        refused_by_receipt().when(DueNow).ignored(Overtaken),
        deferred().when(DueNow).ignored(Overtaken),
        // QUEUED in a store that was restored: only a person, its expiry or a proof that it went moves it.
        queued().when(Restored).to(Queued).due_in(NEVER).waits_for(Wait::Restored),
        retrying().when(Restored).to(Queued).due_in(NEVER - MINUTE).waits_for(Wait::Restored),
        expiring_in(MINUTE).when(Restored).to(Queued).due_in(NEVER).waits_for(Wait::Restored),
        restored().when(Restored).ignored(Overtaken),
        restored().when(SendPermit).ignored(TooEarly),
        restored().when(postpone_for(MINUTE, Wait::Pair)).ignored(TooEarly),
        restored().when(sent_receipt(1)).to(Sent).effect(Applied).says(Said::Accepted),
        restored().when(delivered_receipt(3)).to(Delivered).effect(Applied).says(Said::Accepted),
        restored().when(failed_receipt(1, Permanent)).to(Queued).due_in(NEVER).effect(Kept),
        restored().on(failed_receipt(2, Permanent)).when(read_receipt(1))
            .to(Read).effect(Applied).says(Said::Accepted),
        restored().on(Cancel).when(read_receipt(1)).to(Read).effect(Overruled).says(Said::Accepted),
        restored().on(DueNow).when(sent_receipt(1)).ignored(UnknownAttempt),
        restored().when(Cancel).to(Cancelled).says(Said::Cancelled),
        restored().when(DueNow).to(Queued).due_in(0).waits_for(Wait::Schedule).says(Said::Requeued),
        scheduled_in(HOUR).on(Restored).when(DueNow)
            .to(Queued).due_in(HOUR).waits_for(Wait::Schedule).says(Said::Requeued),
        scheduled_in(HOUR).on(Restored).on(sent_receipt(1)).when(failed_receipt(1, Transient))
            .to(Queued).due_in(HOUR).waits_for(Wait::Retry).effect(Applied).says(Said::RetryScheduled),
        expiring_in(MINUTE).on(Restored).later(MINUTE).when(Expiry).to(Failed).says(Said::Failed),
        sending().on(Restored).when(delivered_receipt(1)).to(Delivered).effect(Applied).says(Said::Accepted),
        sending().on(Restored).when(failed_receipt(1, Transient)).to(Queued).due_in(NEVER).effect(Kept),
        // QUEUED, the recipient has not written lately, or has not agreed to it: nothing is called.
        queued().when(WindowClosed).to(Failed).says(Said::Failed),
        retrying().when(WindowClosed).to(Failed).says(Said::Failed),
        queued().when(consent_denied()).to(Failed).says(Said::Blocked),
        retrying().when(consent_denied()).to(Failed).says(Said::Blocked),
        // QUEUED, an answer: late, since the attempt was given up as unknown. An acceptance proves that it went, so no
        // other is made.
        queued().when(accepted(0)).ignored(UnknownAttempt),
        queued().when(accepted(1)).ignored(UnknownAttempt),
        resending().when(accepted(1)).to(Sent).says(Said::Accepted),
        resending().when(refused(1, Permanent)).ignored(Overtaken),
        resending().when(not_sent(1)).ignored(Overtaken),
        resending().when(unreachable(1)).ignored(Overtaken),
        resending().when(unknown(1)).ignored(Overtaken),
        resending().when(cut_off(1)).ignored(Overtaken),
        // QUEUED, a receipt: it proves as much.
        resending().when(sent_receipt(0)).ignored(UnknownAttempt),
        queued().when(sent_receipt(1)).ignored(UnknownAttempt),
        resending().when(sent_receipt(1)).to(Sent).effect(Applied).says(Said::Accepted),
        resending().when(delivered_receipt(1)).to(Delivered).effect(Applied).says(Said::Accepted),
        resending().when(read_receipt(1)).to(Read).effect(Applied).says(Said::Accepted),
        resending().when(failed_receipt(1, Permanent)).to(Queued).due_in(0).effect(Kept),
        refused_by_receipt().when(failed_receipt(1, Transient)).ignored(Repeated),
        refused_by_receipt().when(sent_receipt(1)).to(Queued).due_in(MINUTE).effect(Kept),
        refused_by_receipt().when(delivered_receipt(1)).to(Delivered).effect(Applied).says(Said::Accepted),
        // QUEUED, a person, a crash.
        queued().when(Cancel).to(Cancelled).says(Said::Cancelled),
        retrying().when(Cancel).to(Cancelled).says(Said::Cancelled),
        queued().when(Requeue).ignored(NotRetryable),
        queued().when(crash()).to(Failed).says(Said::Failed),

        // SENDING, its own times. Once begun, an attempt outlives the message's expiry.
        sending().when(SendPermit).ignored(Overtaken),
        sending().when(Expiry).ignored(Overtaken),
        expiring_in(MINUTE).on(SendPermit).later(MINUTE).when(Expiry).ignored(Overtaken),
        sending().later(STALE - 1).when(OutcomeTimeout).ignored(TooEarly),
        sending().later(STALE).when(OutcomeTimeout).to(Queued).due_in(0).says(Said::Resending),
        unanswered().later(STALE).when(OutcomeTimeout).to(Queued).due_in(0).says(Said::Resending),
        holding().on(SendPermit).later(STALE).when(OutcomeTimeout).to(Failed).says(Said::Failed),
        last_try().later(STALE).when(OutcomeTimeout).to(Failed).says(Said::Failed),
        expiring_in(MINUTE).on(SendPermit).later(STALE).when(OutcomeTimeout).to(Failed).says(Said::Failed),
        // SENDING: nothing holds back an attempt that has begun.
        sending().when(postpone_for(MINUTE, Wait::Pair)).ignored(Overtaken),
        sending().when(DueNow).ignored(Overtaken),
        sending().when(WindowClosed).ignored(Overtaken),
        sending().when(consent_denied()).ignored(Overtaken),
        // SENDING, the answer. For each class and scope of a refusal see `refusals`.
        sending().when(accepted(1)).to(Sent).says(Said::Accepted),
        last_try().when(accepted(6)).to(Sent).says(Said::Accepted),
        sending().when(refused(1, Transient)).to(Queued).due_in(MINUTE).says(Said::RetryScheduled),
        sending().when(refused(1, Throttled)).to(Queued).due_in(0).says(Said::Postponed),
        sending().when(refused(1, Blocked)).to(Queued).due_in(0).says(Said::Postponed),
        sending().when(refused(1, Deferred)).to(Queued).due_in(24 * HOUR).says(Said::Postponed),
        last_try().when(refused(6, Throttled)).to(Queued).due_in(0).says(Said::Postponed),
        last_try().when(refused(6, Blocked)).to(Queued).due_in(0).says(Said::Postponed),
        last_try().when(refused(6, Deferred)).to(Queued).due_in(24 * HOUR).says(Said::Postponed),
        deferred_try().when(refused(2, Deferred)).to(Failed).says(Said::Failed),
        expiring_in(9).on(SendPermit).when(refused(1, Deferred)).to(Queued).due_in(9).says(Said::Postponed),
        expiring_in(9).on(SendPermit).later(9).when(refused(1, Blocked)).to(Queued).due_in(0).says(Said::Postponed),
        sending().when(refused(1, Permanent)).to(Failed).says(Said::Failed),
        second_try().when(refused(2, Transient)).to(Queued).due_in(5 * MINUTE).says(Said::RetryScheduled),
        last_try().when(refused(6, Transient)).to(Failed).says(Said::Failed),
        sending().when(not_sent(1)).to(Queued).due_in(MINUTE).says(Said::RetryScheduled),
        last_try().when(not_sent(6)).to(Failed).says(Said::Failed),
        sending().when(unreachable(1)).to(Queued).due_in(0).waits_for(Wait::Way).says(Said::Postponed),
        last_try().when(unreachable(6)).to(Queued).due_in(0).waits_for(Wait::Way).says(Said::Postponed),
        expiring_in(9).on(SendPermit).later(9).when(unreachable(1)).to(Queued).due_in(0).says(Said::Postponed),
        sending().when(refused_until(1, Transient, HOUR)).to(Queued).due_in(HOUR).says(Said::RetryScheduled),
        sending().when(refused_until(1, Transient, 1)).to(Queued).due_in(MINUTE).says(Said::RetryScheduled),
        expiring_in(9).on(SendPermit).when(not_sent(1)).to(Queued).due_in(9).says(Said::RetryScheduled),
        expiring_in(9).on(SendPermit).later(9).when(not_sent(1)).to(Failed).says(Said::Failed),
        sending().later(4).when(unknown(1)).to(Sending).due_in(STALE - 4).says(Said::OutcomeUnknown),
        sending().later(4).when(cut_off(1)).to(Sending).due_in(STALE - 4).says(Said::OutcomeUnknown),
        // SENDING, the answer to another attempt, or a second answer: only an acceptance tells something new.
        sending().when(accepted(0)).ignored(UnknownAttempt),
        sending().when(accepted(2)).ignored(UnknownAttempt),
        second_try().when(accepted(1)).to(Sent).says(Said::Accepted),
        unanswered().when(accepted(1)).to(Sent).says(Said::Accepted),
        second_try().when(refused(1, Transient)).ignored(Overtaken),
        second_try().when(refused(1, Blocked)).ignored(Overtaken),
        second_try().when(not_sent(1)).ignored(Overtaken),
        second_try().when(unreachable(1)).ignored(Overtaken),
        second_try().when(unknown(1)).ignored(Overtaken),
        second_try().when(cut_off(1)).ignored(Overtaken),
        unanswered().when(unknown(1)).ignored(Overtaken),
        unanswered().when(cut_off(1)).ignored(Overtaken),
        unanswered().when(refused(1, Permanent)).ignored(Overtaken),
        unanswered().when(not_sent(1)).ignored(Overtaken),
        unanswered().when(unreachable(1)).ignored(Overtaken),
        // SENDING, a receipt: it settles the attempt before the answer does, or in its place.
        sending().when(sent_receipt(2)).ignored(UnknownAttempt),
        sending().when(sent_receipt(1)).to(Sent).effect(Applied).says(Said::Accepted),
        sending().when(delivered_receipt(1)).to(Delivered).effect(Applied).says(Said::Accepted),
        sending().when(read_receipt(1)).to(Read).effect(Applied).says(Said::Accepted),
        unanswered().when(sent_receipt(1)).to(Sent).effect(Applied).says(Said::Accepted),
        sending().when(failed_receipt(1, Blocked)).to(Queued).due_in(0).effect(Applied).says(Said::Postponed),
        sending().when(failed_receipt(1, Transient))
            .to(Queued).due_in(MINUTE).effect(Applied).says(Said::RetryScheduled),
        sending().when(failed_receipt(1, Permanent)).to(Failed).effect(Applied).says(Said::Failed),
        sending().when(failed_receipt_without_code(1)).to(Failed).effect(Applied).says(Said::Failed),
        last_try().when(failed_receipt(6, Transient)).to(Failed).effect(Applied).says(Said::Failed),
        second_try().when(sent_receipt(1)).to(Sent).effect(Applied).says(Said::Accepted),
        second_try().when(failed_receipt(1, Permanent)).to(Sending).due_in(STALE).effect(Kept),
        // SENDING in a store that was restored: the answer was told to the original.
        sending().when(Restored).to(Queued).due_in(NEVER).waits_for(Wait::Restored),
        holding().on(SendPermit).when(Restored).to(Failed).says(Said::Failed),
        last_try().when(Restored).to(Failed).says(Said::Failed),
        // SENDING, a person, a crash.
        sending().when(Cancel).ignored(NotCancellable),
        sending().when(Requeue).ignored(NotRetryable),
        sending().when(crash()).to(Failed).says(Said::Failed),

        // SENT: waits for nothing but receipts.
        sent().when(SendPermit).ignored(Overtaken),
        sent().when(Expiry).ignored(Overtaken),
        sent().when(OutcomeTimeout).ignored(Overtaken),
        sent().when(postpone_for(MINUTE, Wait::Pair)).ignored(Overtaken),
        sent().when(DueNow).ignored(Overtaken),
        sent().when(Restored).ignored(Overtaken),
        sent().when(WindowClosed).ignored(Overtaken),
        sent().when(consent_denied()).ignored(Overtaken),
        sent().when(accepted(1)).ignored(Overtaken),
        sent().when(refused(1, Permanent)).ignored(Overtaken),
        sent().when(not_sent(1)).ignored(Overtaken),
        sent().when(unreachable(1)).ignored(Overtaken),
        sent().when(unknown(1)).ignored(Overtaken),
        sent().when(cut_off(1)).ignored(Overtaken),
        // SENT by a receipt: the answer, when it comes, only closes its attempt.
        sending().on(sent_receipt(1)).when(accepted(1)).ignored(Overtaken),
        first_sent().when(accepted(2)).to(Sent).says(Said::Accepted),
        first_sent().when(refused(2, Transient)).to(Sent),
        first_sent().when(not_sent(2)).to(Sent),
        first_sent().when(unreachable(2)).to(Sent),
        first_sent().when(unknown(2)).to(Sent),
        first_sent().when(cut_off(2)).to(Sent),
        sent().when(sent_receipt(2)).ignored(UnknownAttempt),
        sent().when(sent_receipt(1)).to(Sent).effect(Kept),
        sent().on(sent_receipt(1)).when(sent_receipt(1)).ignored(Repeated),
        sent().when(delivered_receipt(1)).to(Delivered).effect(Applied),
        sent().when(read_receipt(1)).to(Read).effect(Applied),
        sent().when(of_another(failed_receipt(1, Transient))).ignored(UnknownAttempt),
        sent().when(of_another(delivered_receipt(1))).to(Delivered).effect(Applied),
        sent().when(failed_receipt(1, Transient)).to(Queued).due_in(MINUTE).effect(Applied).says(Said::RetryScheduled),
        sent().when(failed_receipt(1, Throttled)).to(Queued).due_in(0).effect(Applied).says(Said::Postponed),
        sent().when(failed_receipt(1, Blocked)).to(Queued).due_in(0).effect(Applied).says(Said::Postponed),
        sent().when(failed_receipt(1, Deferred)).to(Queued).due_in(24 * HOUR).effect(Applied).says(Said::Postponed),
        deferred_try().on(accepted(2)).when(failed_receipt(2, Deferred)).to(Failed).effect(Applied).says(Said::Failed),
        sent().when(failed_receipt(1, Permanent)).to(Failed).effect(Applied).says(Said::Failed),
        last_try().on(accepted(6)).when(failed_receipt(6, Transient)).to(Failed).effect(Applied).says(Said::Failed),
        // SENT by several attempts: it stays so while one of them holds; then one under way decides, else the last
        // failure.
        second_try().on(accepted(2)).when(failed_receipt(1, Permanent)).to(Sent).effect(Kept),
        second_try().on(accepted(1)).when(accepted(2)).to(Sent).says(Said::Accepted),
        first_sent().when(failed_receipt(1, Permanent)).to(Sending).due_in(STALE).effect(Applied),
        first_sent().on(failed_receipt(1, Permanent)).when(refused(2, Permanent)).to(Failed).says(Said::Failed),
        both_sent().when(failed_receipt(2, Permanent)).to(Sent).effect(Kept),
        one_left().when(failed_receipt(1, Permanent)).to(Failed).effect(Applied).says(Said::Failed),
        one_left().when(failed_receipt(1, Blocked)).to(Queued).due_in(0).effect(Applied).says(Said::Postponed),
        first_sent().when(failed_receipt(1, Blocked)).to(Sending).due_in(STALE).effect(Applied),
        one_left().when(failed_receipt(1, Transient))
            .to(Queued).due_in(5 * MINUTE).effect(Applied).says(Said::RetryScheduled),
        first_sent().on(not_sent(2)).when(failed_receipt(1, Permanent)).to(Failed).effect(Applied).says(Said::Failed),
        first_sent().on(unknown(2)).when(failed_receipt(1, Permanent)).to(Failed).effect(Applied).says(Said::Failed),
        sent().when(Cancel).ignored(NotCancellable),
        sent().when(Requeue).ignored(NotRetryable),
        sent().when(crash()).ignored(Overtaken),

        // DELIVERED: never taken back; only `read` goes further.
        delivered().when(SendPermit).ignored(Overtaken),
        delivered().when(Expiry).ignored(Overtaken),
        delivered().when(OutcomeTimeout).ignored(Overtaken),
        delivered().when(postpone_for(MINUTE, Wait::Pair)).ignored(Overtaken),
        delivered().when(DueNow).ignored(Overtaken),
        delivered().when(Restored).ignored(Overtaken),
        delivered().when(WindowClosed).ignored(Overtaken),
        delivered().when(consent_denied()).ignored(Overtaken),
        delivered().when(accepted(1)).ignored(Overtaken),
        delivered().when(refused(1, Permanent)).ignored(Overtaken),
        delivered().when(not_sent(1)).ignored(Overtaken),
        delivered().when(unreachable(1)).ignored(Overtaken),
        delivered().when(unknown(1)).ignored(Overtaken),
        delivered().when(cut_off(1)).ignored(Overtaken),
        second_try().on(delivered_receipt(1)).when(accepted(2)).to(Delivered).says(Said::Accepted),
        delivered().when(sent_receipt(1)).to(Delivered).effect(Kept),
        delivered().when(delivered_receipt(1)).ignored(Repeated),
        delivered().when(read_receipt(1)).to(Read).effect(Applied),
        delivered().when(failed_receipt(1, Permanent)).to(Delivered).effect(Anomaly),
        first_sent().on(delivered_receipt(1)).when(failed_receipt(2, Permanent)).to(Delivered).effect(Kept),
        delivered().when(Cancel).ignored(NotCancellable),
        delivered().when(Requeue).ignored(NotRetryable),
        delivered().when(crash()).ignored(Overtaken),

        // READ: the end.
        read().when(SendPermit).ignored(Overtaken),
        read().when(Expiry).ignored(Overtaken),
        read().when(OutcomeTimeout).ignored(Overtaken),
        read().when(postpone_for(MINUTE, Wait::Pair)).ignored(Overtaken),
        read().when(DueNow).ignored(Overtaken),
        read().when(Restored).ignored(Overtaken),
        read().when(WindowClosed).ignored(Overtaken),
        read().when(consent_denied()).ignored(Overtaken),
        read().when(accepted(1)).ignored(Overtaken),
        read().when(refused(1, Permanent)).ignored(Overtaken),
        read().when(not_sent(1)).ignored(Overtaken),
        read().when(unreachable(1)).ignored(Overtaken),
        read().when(unknown(1)).ignored(Overtaken),
        read().when(cut_off(1)).ignored(Overtaken),
        read().when(sent_receipt(1)).to(Read).effect(Kept),
        sent().on(read_receipt(1)).when(delivered_receipt(1)).to(Read).effect(Kept),
        read().when(read_receipt(1)).ignored(Repeated),
        read().when(failed_receipt(1, Permanent)).to(Read).effect(Anomaly),
        read().when(Cancel).ignored(NotCancellable),
        read().when(Requeue).ignored(NotRetryable),
        read().when(crash()).ignored(Overtaken),

        // FAILED: only a person or a proof that it went takes it up again.
        failed().when(SendPermit).ignored(Overtaken),
        failed().when(Expiry).ignored(Overtaken),
        failed().when(OutcomeTimeout).ignored(Overtaken),
        failed().when(postpone_for(MINUTE, Wait::Pair)).ignored(Overtaken),
        failed().when(DueNow).ignored(Overtaken),
        failed().when(Restored).ignored(Overtaken),
        failed().when(WindowClosed).ignored(Overtaken),
        failed().when(consent_denied()).ignored(Overtaken),
        failed().when(accepted(1)).to(Sent).says(Said::Accepted),
        failed().when(refused(1, Permanent)).ignored(Overtaken),
        failed().when(not_sent(1)).ignored(Overtaken),
        failed().when(unreachable(1)).ignored(Overtaken),
        failed().when(unknown(1)).ignored(Overtaken),
        failed().when(cut_off(1)).ignored(Overtaken),
        held().when(accepted(1)).to(Sent).says(Said::Accepted),
        held().when(sent_receipt(1)).to(Sent).effect(Overruled).says(Said::Accepted),
        held().when(failed_receipt(1, Transient)).to(Failed).effect(Kept),
        sending().on(crash()).when(accepted(1)).to(Sent).says(Said::Accepted),
        failed().when(sent_receipt(1)).to(Sent).effect(Overruled).says(Said::Accepted),
        failed().when(delivered_receipt(1)).to(Delivered).effect(Overruled).says(Said::Accepted),
        failed().when(read_receipt(1)).to(Read).effect(Overruled).says(Said::Accepted),
        failed().when(failed_receipt(1, Permanent)).to(Failed).effect(Kept),
        // FAILED by a receipt: `sent` and the acceptance came late and prove nothing; `delivered` does.
        sending().on(failed_receipt(1, Permanent)).when(accepted(1)).ignored(Overtaken),
        sent().on(failed_receipt(1, Permanent)).when(sent_receipt(1)).to(Failed).effect(Kept),
        sent().on(failed_receipt(1, Permanent)).when(delivered_receipt(1)).to(Delivered).effect(Overruled).says(Said::Accepted),
        failed().when(Cancel).ignored(NotCancellable),
        failed().when(Requeue).to(Queued).due_in(0).says(Said::Requeued),
        scheduled_in(HOUR).on(crash()).when(Requeue).to(Queued).due_in(HOUR).says(Said::Requeued),
        expiring_in(MINUTE).later(MINUTE).on(Expiry).when(Requeue).ignored(NotRetryable),
        failed().when(crash()).ignored(Overtaken),

        // CANCELLED: before or between attempts; an answer or a receipt may still prove that one went.
        cancelled().when(SendPermit).ignored(Overtaken),
        cancelled().when(Expiry).ignored(Overtaken),
        cancelled().when(OutcomeTimeout).ignored(Overtaken),
        cancelled().when(postpone_for(MINUTE, Wait::Pair)).ignored(Overtaken),
        cancelled().when(DueNow).ignored(Overtaken),
        cancelled().when(Restored).ignored(Overtaken),
        cancelled().when(WindowClosed).ignored(Overtaken),
        cancelled().when(consent_denied()).ignored(Overtaken),
        queued().on(Cancel).when(accepted(1)).ignored(UnknownAttempt),
        cancelled().when(accepted(1)).to(Sent).says(Said::Accepted),
        cancelled().when(refused(1, Permanent)).ignored(Overtaken),
        cancelled().when(not_sent(1)).ignored(Overtaken),
        cancelled().when(unreachable(1)).ignored(Overtaken),
        cancelled().when(unknown(1)).ignored(Overtaken),
        cancelled().when(cut_off(1)).ignored(Overtaken),
        cancelled().when(sent_receipt(1)).to(Sent).effect(Overruled).says(Said::Accepted),
        cancelled().when(delivered_receipt(1)).to(Delivered).effect(Overruled).says(Said::Accepted),
        cancelled().when(read_receipt(1)).to(Read).effect(Overruled).says(Said::Accepted),
        cancelled().when(failed_receipt(1, Permanent)).to(Cancelled).effect(Kept),
        cancelled().when(Cancel).ignored(NotCancellable),
        cancelled().when(Requeue).ignored(NotRetryable),
        cancelled().when(crash()).ignored(Overtaken),
    ]
}

#[test]
fn every_row_of_the_table_holds() {
    for row in table() {
        let line = row.line;
        let (decision, before) = (row.given.decide(&row.event), &row.given.state);
        let then = match decision {
            Decision::Ignore(reason) => Then::Ignored(reason),
            Decision::Move(step) => {
                assert_eq!(check_step(&row.given.message, before, &step), Ok(()), "line {line}");
                assert!(row.waits.is_none_or(|wait| wait == step.next.wait), "line {line}: {:?}", step.next.wait);
                let due_in = step.next.due().map(|due| due.since(row.given.now).as_secs());
                let says = step.facts.iter().map(said).collect();
                Then::Moves { to: step.next.phase.status(), call: step.call, due_in, says }
            }
        };
        assert_eq!(then, row.then, "line {line}: {} on {:?}", before.phase.status(), Kind::of(&row.event));
    }
}

#[test]
fn the_table_has_a_row_for_every_status_and_every_kind_of_event() {
    let rows: Vec<_> = table().iter().map(|row| (row.given.state.phase.status(), Kind::of(&row.event))).collect();
    for status in Status::ALL {
        for kind in Kind::ALL {
            assert!(rows.contains(&(status, *kind)), "the table lacks a row for {status} on {kind:?}");
        }
    }
}
