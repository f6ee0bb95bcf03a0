//! What an organisation's owner and its upkeep must know to go on.

use domain::Epoch;
use domain::billing::Billed;
use domain::quota::Usage;
use domain::state::Status;

use super::audit::{BilledAsV1, PurgedV1};
use super::ids::{Id, Millis};
use super::wire::{Wire, wire_enum, wire_struct};
use super::{Head, Restored, Upkeep};
use crate::statuses::StatusIndex;

/// The statuses that there were, in the order of their counts.
const STATUSES_V1: [Status; 7] =
    [Status::Queued, Status::Sending, Status::Sent, Status::Delivered, Status::Read, Status::Failed, Status::Cancelled];

/// With a count for each of these statuses.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct HeadV1 {
    epoch: u64,
    last_seq: u64,
    counts: [u64; STATUSES_V1.len()],
}

impl HeadV1 {
    pub(crate) fn into_value(self) -> Head {
        let mut head = Head { epoch: Epoch(self.epoch), last_seq: self.last_seq, ..Head::default() };
        for (status, count) in STATUSES_V1.into_iter().zip(self.counts) {
            head.set_count(status, count);
        }
        head
    }
}

/// Each count says of which status it is, so that there may be more of them.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct HeadV2 {
    epoch: u64,
    last_seq: u64,
    counts: Vec<(StatusV1, u64)>,
}

wire_enum!(StatusV1 of Status { Queued, Sending, Sent, Delivered, Read, Failed, Cancelled });

impl Wire<Head> for HeadV2 {
    fn of(value: &Head) -> Self {
        let Head { epoch, last_seq, counts } = value;
        let counts = Status::ALL.iter().zip(counts).filter(|(_, count)| **count > 0);
        let counts = counts.map(|(status, count)| (StatusV1::of(status), *count)).collect();
        Self { epoch: epoch.0, last_seq: *last_seq, counts }
    }

    fn into_value(self) -> Head {
        let mut head = Head { epoch: Epoch(self.epoch), last_seq: self.last_seq, ..Head::default() };
        for (status, count) in self.counts {
            head.set_count(status.into_value(), count);
        }
        head
    }
}

wire_struct!(UpkeepV1 of Upkeep {
    cut: u64,
    orphans: u64,
    payloads_to: Option<Id>,
    purged: PurgedV1,
    told: PurgedV1,
    looked_at: Millis,
});
wire_struct!(RestoredV1 of Restored { backup: String, taken_at: Millis, at: Millis, held: u64 });
wire_enum!(StatusIndexV1 of StatusIndex { Whole, UpTo(id: Id) });
wire_struct!(UsageV1 of Usage { day: u64, messages: u32, recipients: u32 });
wire_struct!(BilledV1 of Billed {
    account: String,
    name: String,
    language: String,
    category: BilledAsV1,
    at: Millis,
    record: u64,
});
