//! What must hold after every step of a message, as predicates: used by property tests and as debug assertions in the
//! runtime.

use crate::ids::AttemptNo;
use crate::lifecycle::rank;
use crate::state::{Attempt, AttemptStatus, Phase, State};
use crate::time::Timestamp;

/// A rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Broken {
    /// An unfinished message must have exactly one due time, a finished one none.
    #[error("due time does not match the phase")]
    Due,
    /// One that waits since its store was restored is due at no time: only a person lets it go.
    #[error("held since a restore, and due all the same")]
    HeldButDue,
    /// A message that is SENDING has an attempt that is open.
    #[error("SENDING without an open attempt")]
    SendWithoutIntent,
    /// No more attempts than allowed.
    #[error("more attempts than allowed")]
    TooManyAttempts,
    /// The current budget began after no more attempts than count.
    #[error("a budget that begins after more attempts than count")]
    Budget,
    /// Attempts are in the order of their numbers, and no number is given twice.
    #[error("attempt numbers do not grow")]
    Numbers,
    /// Of several attempts in a row that do not count and that Meta did not name, only the last is kept.
    #[error("attempts kept that tell nothing")]
    Verbose,
    /// An attempt that counts, or that a receipt may still name, is kept.
    #[error("an attempt was forgotten")]
    Forgotten,
    /// Delivery is never taken back.
    #[error("moved backwards")]
    Backwards,
    /// Times are in order: sent, delivered, read.
    #[error("times out of order")]
    Times,
    /// FAILED says why.
    #[error("FAILED without a reason")]
    FailedWithoutReason,
    /// The version grows by one with each step.
    #[error("version did not grow by one")]
    Version,
}

/// Checks one state.
pub fn check(state: &State) -> Result<(), Broken> {
    let unfinished = matches!(state.phase, Phase::Queued { .. } | Phase::Sending { .. });
    if state.due().is_some() != unfinished {
        return Err(Broken::Due);
    }
    if state.is_held_by_restore() && state.due() != Some(Timestamp::MAX) {
        return Err(Broken::HeldButDue);
    }
    let open = state
        .attempts
        .last()
        .is_some_and(|attempt| matches!(attempt.status, AttemptStatus::Sending | AttemptStatus::Unknown));
    if matches!(state.phase, Phase::Sending { .. }) && !open {
        return Err(Broken::SendWithoutIntent);
    }
    if state.attempt_count() > state.max_attempts {
        return Err(Broken::TooManyAttempts);
    }
    if state.budget_start > state.attempt_count() {
        return Err(Broken::Budget);
    }
    if !state.attempts.is_sorted_by(|earlier, later| earlier.no < later.no) {
        return Err(Broken::Numbers);
    }
    let mut pairs = state.attempts.iter().zip(state.attempts.iter().skip(1));
    if pairs.any(|(earlier, later)| earlier.is_forgettable() && later.is_forgettable()) {
        return Err(Broken::Verbose);
    }
    if state.sent_at > state.delivered_at.or(state.sent_at) || state.delivered_at > state.read_at.or(state.delivered_at)
    {
        return Err(Broken::Times);
    }
    if state.phase == Phase::Failed && state.failure.is_none() {
        return Err(Broken::FailedWithoutReason);
    }
    Ok(())
}

/// Checks a step from one state to the next.
pub fn check_step(before: &State, after: &State) -> Result<(), Broken> {
    check(after)?;
    if after.version != before.version.wrapping_add(1) {
        return Err(Broken::Version);
    }
    if rank(before.phase) >= rank(Phase::Delivered) && rank(after.phase) < rank(before.phase) {
        return Err(Broken::Backwards);
    }
    let is_new = |no: AttemptNo| before.latest().is_none_or(|latest| latest < no);
    let mut numbers = after.attempts.iter().map(|attempt| attempt.no);
    if !numbers.all(|no| before.attempt(no).is_some() || is_new(no)) {
        return Err(Broken::Numbers);
    }
    let mut gone = before.attempts.iter().filter(|attempt| after.attempt(attempt.no).is_none());
    if !gone.all(Attempt::is_forgettable) {
        return Err(Broken::Forgotten);
    }
    Ok(())
}
