//! What an event leads to.

use super::event::OptOut;
use crate::audit::Fact;
use crate::ids::AttemptNo;
use crate::state::State;

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
    /// What the event says of the recipient, to be recorded with it.
    pub opt_out: Option<OptOut>,
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
    /// Only a QUEUED message can be cancelled.
    NotCancellable,
    /// Only a FAILED message can be queued again.
    NotRetryable,
}
