//! Records: what each kind is on disk, in which version, and those that only the store and the runtime know.
//!
//! A record begins with the number of its version. It is written as the newest and read as any: [`Record`] says which wire type
//! is the newest, and makes the domain's type of an older one. `docs/upgrading.md` says how a record changes its format.

mod audit;
mod consent;
mod head;
mod ids;
mod message;
mod org;
mod people;
mod receipt;
mod wire;

use domain::audit::{Block, Hash, Kept};
use domain::billing::Billed;
use domain::consent::{Consent, Statement};
use domain::erasure::Erasure;
use domain::people::{NameOwners, Person};
use domain::quota::Usage;
use domain::receipt::Reported;
use domain::retention::Purged;
use domain::state::{State, Status};
use domain::{AttemptRef, Epoch, Inbound, Message, MessageId, Priority, Seq, Timestamp};

use crate::backend::StoreError;
use crate::codec::{self, Kind};
use crate::statuses::StatusIndex;

pub(crate) use audit::sealed;
pub(crate) use ids::millis;
pub(crate) use message::StateStartV1;
pub(crate) use org::OrgV2;
pub(crate) use wire::Wire;

/// A type that is kept as a record.
pub(crate) trait Record: Sized {
    /// The version that is written.
    const VERSION: u8 = 1;
    /// Its form.
    type Wire: Wire<Self>;

    /// Reads a record of an older version; `None`: there was no such version.
    fn older(_version: u8, _kind: Kind, _body: &[u8]) -> Option<Result<Self, StoreError>> {
        None
    }
}

/// Kinds of which there is one version so far.
macro_rules! records {
    ($($record:ty: $wire:ty),* $(,)?) => { $(
        impl Record for $record {
            type Wire = $wire;
        }
    )* };
}

records! {
    AttemptRef: ids::AttemptRefV1,
    Billed: head::BilledV1,
    Block: audit::BlockV1,
    Consent: consent::ConsentV1,
    Erasure: people::ErasureV1,
    Inbound: people::InboundV1,
    Kept: audit::KeptV1,
    Message: message::MessageV1,
    MessageId: ids::Id,
    Option<MessageId>: Option<ids::Id>,
    (MessageId, Hash): (ids::Id, Hash),
    Parked: receipt::ParkedV1,
    Person: people::PersonV1,
    Restored: head::RestoredV1,
    State: message::StateV1,
    Statement: consent::StatementV1,
    StatusIndex: head::StatusIndexV1,
    NameOwners: people::NameOwnersV1,
    Timestamp: ids::Millis,
    Upkeep: head::UpkeepV1,
    Usage: head::UsageV1,
}

impl Record for Head {
    const VERSION: u8 = 2;
    type Wire = head::HeadV2;

    fn older(version: u8, kind: Kind, body: &[u8]) -> Option<Result<Self, StoreError>> {
        (version == 1).then(|| codec::decode_body(kind, body).map(head::HeadV1::into_value))
    }
}

/// What an organisation's owner must know to write on: rewritten with every commit, so it always agrees with the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The owner's epoch.
    pub epoch: Epoch,
    /// The seq of the last audit entry.
    pub last_seq: Seq,
    pub(crate) counts: [u64; Status::ALL.len()],
}

impl Head {
    /// How many messages have this status.
    pub fn count(&self, status: Status) -> u64 {
        self.counts.get(status as usize).copied().unwrap_or_default()
    }

    pub(crate) fn set_count(&mut self, status: Status, count: u64) {
        if let Some(known) = self.counts.get_mut(status as usize) {
            *known = count;
        }
    }

    /// How many messages there are.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// A message of this status is gone.
    pub fn gone(&mut self, status: Status) {
        if let Some(count) = self.counts.get_mut(status as usize) {
            *count = count.saturating_sub(1);
        }
    }

    /// A message came from one status (`None`: it is new) to another.
    pub fn moved(&mut self, from: Option<Status>, to: Status) {
        if let Some(count) = from.and_then(|from| self.counts.get_mut(from as usize)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.counts.get_mut(to as usize) {
            *count += 1;
        }
    }
}

/// What retention has done, and where it goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// The audit trail begins after this entry; the sealed block that ends with it is kept, for its hash.
    pub cut: Seq,
    /// Entries left in the trail about messages that are gone.
    pub orphans: u64,
    /// What messages say is gone up to this one, but for those that are not old enough since their last change.
    pub payloads_to: Option<MessageId>,
    /// All that went.
    pub purged: Purged,
    /// As much of that as the trail tells.
    pub told: Purged,
    /// When it was last looked for what is over.
    pub looked_at: Timestamp,
}

/// That the store was restored from a backup. Kept while messages of before may be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The backup's id.
    pub backup: String,
    /// The moment that the backup is of.
    pub taken_at: Timestamp,
    /// When it was restored: attempts begun before that are the original's.
    pub at: Timestamp,
    /// Messages that were held then.
    pub held: u64,
}

/// A lane of the due index. Within a sender, a lower lane goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Sends whose outcome is awaited: not held back by any rate.
    Settle = 0,
    /// Messages of high priority.
    High = 1,
    /// The usual.
    Normal = 2,
    /// Messages of low priority.
    Low = 3,
}

impl Lane {
    /// Every lane, in order.
    pub const ALL: [Self; 4] = [Self::Settle, Self::High, Self::Normal, Self::Low];

    /// The lane of a message in this state.
    pub fn of(state: &State, priority: Priority) -> Self {
        match (state.phase.status(), priority) {
            (Status::Sending, _) => Self::Settle,
            (_, Priority::High) => Self::High,
            (_, Priority::Normal) => Self::Normal,
            (_, Priority::Low) => Self::Low,
        }
    }
}

/// A receipt whose message is not known yet: it overtook our own record of the send, or belongs to another app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// What Meta said.
    pub reported: Reported,
    /// When it was parked.
    pub at: Timestamp,
}
