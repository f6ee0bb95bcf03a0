//! What the operator may set, and the limits that keep every queue bounded.

use std::time::Duration;

use domain::lifecycle::Policy;
use domain::message::OnUnknown;
use domain::pair::PairLimit;
use domain::retry::RetryPolicy;

/// The operator's settings of the runtime.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether anything is sent. If not, messages are accepted and queue.
    pub enabled: bool,
    /// Retries, and what becomes of a send with no known outcome.
    pub policy: Policy,
    /// A MessageActor that would wait longer leaves memory.
    pub passivate_after: Duration,
    /// Sends per second of a phone number that has no rate of its own.
    pub messages_per_second: u32,
    /// Calls under way at once, per phone number.
    pub max_concurrent: usize,
    /// How often one phone number may write to one recipient.
    pub pair_limit: PairLimit,
    /// Whether a free-form message is held back where the recipient is known to have last written over 24 hours ago.
    pub check_window: bool,
    /// The limits.
    pub limits: Limits,
}

impl Default for Settings {
    /// The defaults of `config.toml`.
    fn default() -> Self {
        Self {
            enabled: true,
            policy: Policy {
                retry: RetryPolicy::default(),
                stale_after: Duration::from_secs(600),
                on_unknown: OnUnknown::Resend,
            },
            passivate_after: Duration::from_secs(300),
            messages_per_second: 80,
            max_concurrent: 64,
            pair_limit: PairLimit { interval: Duration::from_secs(6), burst: 45 },
            check_window: true,
            limits: Limits::default(),
        }
    }
}

/// How much may be held at once, and what happens beyond it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// MessageActors of one organisation, shared out evenly among its senders; further messages wait in the due index.
    pub max_resident: usize,
    /// Messages QUEUED in one organisation; beyond it a request is answered 429.
    pub max_queued: u64,
    /// Requests of one organisation that wait for their commit; beyond it 503.
    pub max_accepting: usize,
    /// Receipts of one organisation whose message is not known; beyond it the oldest is let go.
    pub max_parked: usize,
    /// How long such a receipt is kept.
    pub parked_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_resident: 1000,
            max_queued: 1_000_000,
            max_accepting: 2048,
            max_parked: 10_000,
            parked_for: Duration::from_secs(3600),
        }
    }
}
