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
    /// A MessageActor that would wait longer is passivated.
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

/// How much may be held at once, and what happens beyond it: every queue and every memory of the runtime has its limit here.
/// The commit queue's is [`store::group_commit::QUEUE_MAX`].
#[derive(Clone, Debug)]
pub struct Limits {
    /// MessageActors of one organisation, shared out evenly among its senders; further messages wait in the due index.
    /// No more than these ask at a ProviderActor, so it bounds those queues, too.
    pub max_resident: usize,
    /// MessageActors of all organisations. Beyond it each organisation still has [`Self::MIN_RESIDENT`], so that none
    /// waits for another.
    pub max_resident_in_all: usize,
    /// Messages QUEUED in one organisation; beyond it a request is answered 429.
    pub max_queued: u64,
    /// Requests of one organisation that wait for their commit; beyond it 503. It bounds the idempotency keys that are
    /// remembered until they are in the store, too.
    pub max_accepting: usize,
    /// The same of all organisations.
    pub max_accepting_in_all: usize,
    /// While requests have waited longer than this for their commit, no more than [`Self::ALWAYS_ACCEPTING`] are let in;
    /// beyond it 503.
    pub max_wait: Duration,
    /// While the disk has not answered for longer than this, nothing is let in and nothing is sent.
    pub max_flush: Duration,
    /// Other requests that wait for an actor: webhooks, people's wishes, changes, questions; beyond it 503.
    pub max_asking: usize,
    /// Receipts of one organisation whose message is not known; beyond it the oldest is let go.
    pub max_parked: usize,
    /// The same, in bytes.
    pub max_parked_bytes: usize,
    /// How long such a receipt is kept.
    pub parked_for: Duration,
    /// An actor that handles one message for longer is shown, logged and counted as stuck.
    pub stuck_after: Duration,
    /// An organisation's actor that has had nothing to do for so long, or up to twice that, is passivated.
    pub passivate_org_after: Duration,
}

impl Limits {
    /// MessageActors that every organisation may have, whatever the others have.
    pub const MIN_RESIDENT: usize = 4;
    /// Requests that may wait for their commit however long that takes.
    pub const ALWAYS_ACCEPTING: usize = 64;
    /// The same of each organisation, however many there are in all.
    pub const ALWAYS_ACCEPTING_OF_EACH: usize = 8;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_resident: 1000,
            max_resident_in_all: 10_000,
            max_queued: 1_000_000,
            max_accepting: 2048,
            max_accepting_in_all: 8192,
            max_wait: Duration::from_secs(1),
            max_flush: Duration::from_secs(5),
            max_asking: 1024,
            max_parked: 10_000,
            max_parked_bytes: 4 << 20,
            parked_for: Duration::from_secs(3600),
            stuck_after: Duration::from_secs(5),
            passivate_org_after: Duration::from_secs(300),
        }
    }
}
