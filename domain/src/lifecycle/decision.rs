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

/// A change of state. It must be durable before anything acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The state after it.
    pub next: State,
    /// What the audit trail says about it; empty if the attempt's own record says everything.
    pub facts: Vec<Fact>,
    /// The attempt to call the provider for, once the change is durable.
    pub call: Option<AttemptNo>,
    /// What the event says about the recipient, to be recorded with the change.
    pub opt_out: Option<OptOut>,
}

/// Why nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// It is too early.
    TooEarly,
    /// The message has moved on; the event is about its past.
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
