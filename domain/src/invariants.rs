//! What must hold for every message at all times: for its state, for each step, for each call. The property tests, the
//! runtime's debug assertions, the simulation and `store::verify` all check these rules.
//!
//! One rule needs no check here: exactly the unfinished messages have a due time, since [`Phase`] allows nothing else.
//! `store::verify` checks that the due index agrees.

use crate::ids::AttemptNo;
use crate::lifecycle::Move;
use crate::message::Message;
use crate::receipt::ReceiptKind;
use crate::state::{Attempt, AttemptStatus, Phase, State, Wait};
use crate::time::Timestamp;

/// A broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// A message held by a restore is never due: only a person releases it.
    #[error("held since a restore, and due all the same")]
    HeldButDue,
    /// A waiting message is due no later than it expires.
    #[error("waits beyond its expiry")]
    WaitsTooLong,
    /// A waiting message may make another attempt.
    #[error("waits for an attempt that it may not make")]
    WaitsInVain,
    /// A SENDING message has an open attempt.
    #[error("SENDING without an open attempt")]
    SendWithoutIntent,
    /// A message makes no more attempts than it is allowed, and only a person allows more.
    #[error("more attempts than allowed")]
    TooManyAttempts,
    /// The current budget cannot begin after more attempts than count.
    #[error("a budget that begins after more attempts than count")]
    Budget,
    /// Attempts are in the order of their numbers, which begin at 1 and are never reused.
    #[error("attempt numbers do not grow")]
    Numbers,
    /// A settled attempt has an end; a failed one has a reason; an accepted one has Meta's id.
    #[error("an attempt that does not agree with itself")]
    Attempt,
    /// Of several attempts in a row that neither count nor have a name from Meta, only the last is kept.
    #[error("attempts kept that tell nothing")]
    Verbose,
    /// An attempt that counts, or that a receipt may still name, is kept with its receipts and its id.
    #[error("an attempt, or what was known of it, was forgotten")]
    Forgotten,
    /// An attempt that was not charged is never charged later.
    #[error("an attempt that was spared counts after all")]
    Charged,
    /// SENT, DELIVERED and READ need proof from Meta.
    #[error("further than Meta said")]
    Unproved,
    /// Only a `failed` receipt takes SENT back. Nothing takes back DELIVERED, READ or CANCELLED.
    #[error("moved backwards")]
    Backwards,
    /// The message has the times of the phases that it reached, in order: sent, delivered, read.
    #[error("times that do not fit how far it came, or each other")]
    Times,
    /// A known time only ever moves to an earlier one.
    #[error("a time moved later")]
    Later,
    /// A FAILED message says why.
    #[error("FAILED without a reason")]
    FailedWithoutReason,
    /// A sent message has no error.
    #[error("sent, with an error")]
    SentWithError,
    /// The audit entries are in order, each once.
    #[error("audit entries out of order")]
    Trail,
    /// The version grows by one with each step.
    #[error("version did not grow by one")]
    Version,
    /// A call is for the attempt that this step begins, of a QUEUED message that has not expired.
    #[error("a call that is not the beginning of an attempt")]
    Call,
}

/// Checks a message's state.
pub fn check(message: &Message, state: &State) -> Result<(), Violation> {
    waits_rightly(message, state)?;
    attempts_are_right(state)?;
    has_come_as_far_as_told(state)?;
    holds(state.trail.is_sorted_by(|earlier, later| earlier < later), Violation::Trail)
}

/// Checks a message's step from `before`.
pub fn check_step(message: &Message, before: &State, step: &Move) -> Result<(), Violation> {
    let after = &step.next;
    check(message, after)?;
    holds(after.version == before.version.wrapping_add(1), Violation::Version)?;
    let is_asked = before.phase == Phase::Failed && matches!(after.phase, Phase::Queued { .. });
    holds(after.max_attempts == before.max_attempts || is_asked, Violation::TooManyAttempts)?;
    holds(!is_taken_back(before, after), Violation::Backwards)?;
    let times = |state: &State| [state.sent_at, state.delivered_at, state.read_at];
    let mut times = times(before).into_iter().zip(times(after));
    holds(times.all(|(was, is)| was.is_none() || is <= was), Violation::Later)?;
    begins_only_what_is_called(message, before, step)?;
    keeps_what_is_known(before, after)
}

/// Checks that the attempt `no` may be sent: its intent is recorded.
pub fn check_call(state: &State, no: AttemptNo) -> Result<(), Violation> {
    let is_open = |attempt: &Attempt| attempt.no == no && attempt.status == AttemptStatus::Sending;
    let is_sending = matches!(state.phase, Phase::Sending { .. });
    holds(is_sending && state.attempts.last().is_some_and(is_open), Violation::SendWithoutIntent)
}

fn holds(rule: bool, otherwise: Violation) -> Result<(), Violation> {
    if rule { Ok(()) } else { Err(otherwise) }
}

fn waits_rightly(message: &Message, state: &State) -> Result<(), Violation> {
    let Phase::Queued { due } = state.phase else { return Ok(()) };
    if state.is_held_by_restore() {
        // Its expiry has an index of its own.
        holds(due == Timestamp::MAX, Violation::HeldButDue)?;
    } else {
        holds(message.expires_at.is_none_or(|end| due <= end), Violation::WaitsTooLong)?;
    }
    holds(state.attempt_count() < state.max_attempts, Violation::WaitsInVain)
}

fn attempts_are_right(state: &State) -> Result<(), Violation> {
    let attempts = &state.attempts;
    holds(state.attempt_count() <= state.max_attempts, Violation::TooManyAttempts)?;
    holds(state.budget_start <= state.attempt_count(), Violation::Budget)?;
    let is_numbered = attempts.first().is_none_or(|first| first.no > AttemptNo(0));
    holds(is_numbered && attempts.is_sorted_by(|earlier, later| earlier.no < later.no), Violation::Numbers)?;
    for Attempt { status, finished_at, provider_id, failure, .. } in attempts {
        let agrees = match status {
            AttemptStatus::Sending => finished_at.is_none() && failure.is_none(),
            AttemptStatus::Accepted => finished_at.is_some() && failure.is_none() && provider_id.is_some(),
            AttemptStatus::Failed | AttemptStatus::Unknown => finished_at.is_some() && failure.is_some(),
        };
        holds(agrees, Violation::Attempt)?;
    }
    let mut pairs = attempts.iter().zip(attempts.iter().skip(1));
    holds(!pairs.any(|(earlier, later)| earlier.is_forgettable() && later.is_forgettable()), Violation::Verbose)
}

fn has_come_as_far_as_told(state: &State) -> Result<(), Violation> {
    let is_one = |of: &dyn Fn(&Attempt) -> bool| state.attempts.iter().any(of);
    let told = |kind| is_one(&|attempt| attempt.receipts.has(kind));
    let is_accepted = || is_one(&|attempt| attempt.status == AttemptStatus::Accepted);
    match state.phase {
        Phase::Queued { .. } | Phase::Cancelled => {}
        Phase::Sending { .. } => {
            let last = state.attempts.last().map(|attempt| attempt.status);
            let is_open = matches!(last, Some(AttemptStatus::Sending | AttemptStatus::Unknown));
            holds(is_open, Violation::SendWithoutIntent)?;
        }
        Phase::Sent => holds(is_accepted(), Violation::Unproved)?,
        Phase::Delivered => holds(told(ReceiptKind::Delivered), Violation::Unproved)?,
        Phase::Read => holds(told(ReceiptKind::Read), Violation::Unproved)?,
        Phase::Failed => holds(state.failure.is_some(), Violation::FailedWithoutReason)?,
    }
    let reached = state.phase.rank();
    holds(reached == 0 || state.failure.is_none(), Violation::SentWithError)?;
    let times = [state.sent_at, state.delivered_at, state.read_at];
    let fits = (1..).zip(times).all(|(needed, time)| time.is_some() == (reached >= needed));
    holds(fits && times.into_iter().flatten().is_sorted(), Violation::Times)
}

fn is_taken_back(before: &State, after: &State) -> bool {
    let is_accepted = || after.attempts.iter().any(|attempt| attempt.status == AttemptStatus::Accepted);
    match before.phase {
        Phase::Queued { .. } | Phase::Sending { .. } | Phase::Failed => false,
        Phase::Cancelled => after.phase.rank() == 0 && after.phase != Phase::Cancelled,
        Phase::Sent => after.phase.rank() == 0 && is_accepted(),
        Phase::Delivered | Phase::Read => after.phase.rank() < before.phase.rank(),
    }
}

/// An attempt begins only when a waiting message gets a send permit, and is called for once.
fn begins_only_what_is_called(message: &Message, before: &State, step: &Move) -> Result<(), Violation> {
    let after = &step.next;
    // Receipts may tell of attempts that the original of a restored store made.
    let is_learned =
        |attempt: &Attempt| before.wait == Wait::Restored && !attempt.charged && attempt.provider_id.is_some();
    let begun = after.attempts.iter().filter(|attempt| before.attempt(attempt.no).is_none() && !is_learned(attempt));
    let mut begun = begun.map(|attempt| attempt.no);
    holds(begun.next() == step.call && begun.next().is_none(), Violation::Call)?;
    let Some(no) = step.call else { return Ok(()) };
    // `updated_at` is the time of this step.
    let is_its_time = before.due().is_some_and(|due| due <= after.updated_at) && !message.is_expired(after.updated_at);
    holds(matches!(before.phase, Phase::Queued { .. }) && is_its_time, Violation::Call)?;
    holds(before.latest().is_none_or(|latest| latest < no), Violation::Numbers)?;
    check_call(after, no)
}

fn keeps_what_is_known(before: &State, after: &State) -> Result<(), Violation> {
    for was in &before.attempts {
        let Some(is) = after.attempt(was.no) else {
            holds(was.is_forgettable(), Violation::Forgotten)?;
            continue;
        };
        let keeps_receipts = ReceiptKind::ALL.into_iter().all(|kind| !was.receipts.has(kind) || is.receipts.has(kind));
        let keeps_name = was.provider_id.is_none() || was.provider_id == is.provider_id;
        holds(keeps_receipts && keeps_name, Violation::Forgotten)?;
        holds(was.charged || !is.charged, Violation::Charged)?;
    }
    Ok(())
}
