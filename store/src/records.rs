//! Records that only the store and the runtime know.

use domain::receipt::Reported;
use domain::retention::Purged;
use domain::state::{State, Status};
use domain::{Epoch, MessageId, Priority, Seq, Timestamp};
use serde::{Deserialize, Serialize};

/// What an organisation's owner must know to write on: rewritten with every commit, so it always agrees with the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// What Meta said.
    pub reported: Reported,
    /// When it was parked.
    pub at: Timestamp,
}
