//! The index of messages that ended without delivery, by status: few beside those that were read, and the ones that people
//! look for. Those that are on their way stand in the due index; a message that goes well never stands in this one.
//!
//! Older stores lack it. It is built when they are opened, a bounded number of messages at a time, each step with how far it has
//! come: one that was cut off goes on from there.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use domain::state::Status;
use domain::{Epoch, Message, MessageId, OrgNo, State};

use crate::backend::{Order, StoreError};
use crate::codec;
use crate::commit::Commit;
use crate::keys;
use crate::records::{Record, StateStartV1, Wire};
use crate::store::Store;

/// Messages that one step of building looks at.
const STEP: usize = 10_000;
/// How often it is said how far it has come.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// How far an organisation's index is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusIndex {
    /// All its messages are in it.
    Whole,
    /// Those up to this one, and all that changed since.
    UpTo(MessageId),
}

/// Where a message in this state stands in the index, if it does.
pub(crate) fn status_key(org: OrgNo, message: &Message, state: &State) -> Option<Vec<u8>> {
    let status = state.phase.status();
    is_indexed(status).then(|| keys::with_status(org, status, message.id))
}

/// Whether messages of this status stand in the index.
pub(crate) const fn is_indexed(status: Status) -> bool {
    match status {
        Status::Failed | Status::Cancelled => true,
        Status::Queued | Status::Sending | Status::Sent | Status::Delivered | Status::Read => false,
    }
}

/// The status in a state's record, whose beginning tells it.
pub(crate) fn status_of(state: &[u8]) -> Result<Status, StoreError> {
    match codec::split("state", state)? {
        (1, body) => {
            let (_, phase): StateStartV1 = codec::decode_start("state", body)?;
            Ok(phase.into_value().status())
        }
        (version, _) => Err(codec::unknown("state", version, State::VERSION)),
    }
}

impl Commit {
    pub(crate) fn status_index(&mut self, built: &StatusIndex) -> Result<(), StoreError> {
        self.put("status index", keys::status_index(self.org), built)
    }
}

impl Store {
    /// Whether all messages of an organisation are in its index.
    pub(crate) fn has_status_index(&self, org: OrgNo) -> Result<bool, StoreError> {
        Ok(self.built(org)? == Some(StatusIndex::Whole))
    }

    fn built(&self, org: OrgNo) -> Result<Option<StatusIndex>, StoreError> {
        self.record("status index", &keys::status_index(org))
    }

    /// Builds what is not built yet, for all organisations. Nobody may write meanwhile.
    pub(crate) fn build_status_indexes(&self) -> Result<(), StoreError> {
        let (mut said, mut looked_at) = (Instant::now(), 0);
        for org in self.orgs_without_secrets()?.into_iter().filter(|org| org.deleted_at.is_none()) {
            while !self.has_status_index(org.no)? {
                looked_at += self.build_step(org.no, STEP)?;
                if said.elapsed() >= SAY_EVERY {
                    said = Instant::now();
                    tracing::info!(org = %org.id, messages = looked_at, "indexing older messages by their status");
                }
            }
        }
        if looked_at > 0 {
            tracing::info!(messages = looked_at, "older messages are indexed by their status");
        }
        Ok(())
    }

    /// The next messages of an organisation, up to `step`; how many.
    fn build_step(&self, org: OrgNo, step: usize) -> Result<usize, StoreError> {
        let mut range = keys::within(keys::of_kind(b's', org));
        if let Some(StatusIndex::UpTo(id)) = self.built(org)? {
            range.start = keys::behind(&keys::state(org, id));
        }
        let mut commit = Commit::new(org, Epoch::default());
        let (mut looked_at, mut last) = (0, None);
        self.backend.scan(&*range.start..&*range.end, Order::Ascending, &mut |key, state| {
            let Some(id) = keys::message_at_end(key) else { return ControlFlow::Continue(()) };
            (looked_at, last) = (looked_at + 1, Some(id));
            // One that cannot be read is for `verify` to tell.
            if let Some(status) = status_of(state).ok().filter(|status| is_indexed(*status)) {
                commit.put_index_key(keys::with_status(org, status, id));
            }
            if looked_at < step { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        commit.status_index(&last.filter(|_| looked_at == step).map_or(StatusIndex::Whole, StatusIndex::UpTo))?;
        self.backend.apply(commit.writes)?;
        Ok(looked_at)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::Timestamp;
    use domain::org::Org;
    use domain::state::Phase;

    use super::*;
    use crate::MemoryBackend;
    use crate::encryption::MasterKey;

    const ORG: OrgNo = OrgNo(1);
    const MESSAGES: u8 = 20;

    fn id(n: u8) -> MessageId {
        MessageId::from_bytes([n; 16])
    }

    /// A store of before there was an index.
    fn old() -> Store {
        let store = Store::new(Arc::new(MemoryBackend::new()));
        let mut commit = Commit::new(ORG, Epoch(1));
        let key: MasterKey = "5e".repeat(32).parse().unwrap();
        commit.org(&key, None, &Org::new("acme".parse().unwrap(), ORG, Timestamp::EPOCH)).unwrap();
        for n in 0..MESSAGES {
            let phase = [Phase::Failed, Phase::Read, Phase::Cancelled][usize::from(n % 3)];
            let state = State { phase, ..State::accepted(Timestamp::EPOCH, 6, Timestamp::EPOCH) };
            commit.put("state", keys::state(ORG, id(n)), &state).unwrap();
        }
        store.backend.apply(commit.writes).unwrap();
        forget(&store);
        store
    }

    fn forget(store: &Store) {
        store.backend.apply(vec![crate::backend::Write::Delete(keys::status_index(ORG))]).unwrap();
    }

    fn indexed(store: &Store, status: Status) -> Vec<MessageId> {
        let mut found = Vec::new();
        store
            .scan(keys::of_status(ORG, status), Order::Ascending, &mut |key, _| {
                found.extend(keys::message_at_end(key));
                ControlFlow::Continue(())
            })
            .unwrap();
        found
    }

    #[test]
    fn an_older_store_gets_its_index_in_bounded_steps_and_goes_on_where_it_was_cut_off() {
        let wanted = |rest| (0..MESSAGES).filter(|n| n % 3 == rest).map(id).collect::<Vec<_>>();
        for step in [1, 3, 7, 20, 100] {
            for cut_off_after in 0..8 {
                let store = old();
                let mut looked_at = 0;
                for _ in 0..cut_off_after {
                    if !store.has_status_index(ORG).unwrap() {
                        looked_at += store.build_step(ORG, step).unwrap();
                    }
                }
                assert!(looked_at <= usize::from(MESSAGES), "none is looked at twice");
                store.build_status_indexes().unwrap();
                assert!(store.has_status_index(ORG).unwrap());
                assert_eq!(indexed(&store, Status::Failed), wanted(0), "{step} at a time");
                assert_eq!(indexed(&store, Status::Cancelled), wanted(2));
                assert!(indexed(&store, Status::Read).is_empty());
            }
        }
    }
}
