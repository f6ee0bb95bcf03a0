//! The settings that decisions depend on.

use std::time::Duration;

use crate::message::OnUnknown;
use crate::retry::RetryPolicy;

/// The operator's settings that decisions depend on.
#[derive(Clone, Debug)]
pub struct Policy {
    /// When to try again.
    pub retry: RetryPolicy,
    /// How long a send with an unknown outcome waits for a receipt.
    pub stale_after: Duration,
    /// What to do after that, if the message does not say.
    pub on_unknown: OnUnknown,
}
