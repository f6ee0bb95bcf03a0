//! What an organisation has used of its quotas: small counters, and the recipients that count, by name and by time.

use std::ops::ControlFlow;

use domain::quota::Usage;
use domain::{OrgNo, Timestamp};

use crate::backend::{Order, StoreError, Write};
use crate::commit::Commit;
use crate::keys;
use crate::store::Store;

/// A recipient that counts, and since when. Sorts as the store does: who counts longest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counted {
    /// When they were last written to.
    pub at: Timestamp,
    /// What stands for their name: its hash, or the id of a person who has several.
    pub place: [u8; 16],
}

impl Counted {
    /// A recipient, named in any spelling, who is written to at `at`.
    pub fn new(name: &str, at: Timestamp) -> Self {
        Self { at, place: keys::recipient_place(name) }
    }
}

impl Store {
    /// What an organisation has used.
    pub fn usage(&self, org: OrgNo) -> Result<Usage, StoreError> {
        Ok(self.record("usage", &keys::usage(org))?.unwrap_or_default())
    }

    /// When a recipient was last written to, if they still count.
    pub fn counted(&self, org: OrgNo, place: &[u8; 16]) -> Result<Option<Timestamp>, StoreError> {
        self.record("counted recipient", &keys::counted(org, place))
    }

    /// The recipients that count, from the first behind `behind`, while `visit` says so.
    pub fn each_counted(
        &self,
        org: OrgNo,
        behind: Option<&Counted>,
        visit: &mut dyn FnMut(Counted) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut range = keys::within(keys::of_kind(b'q', org));
        if let Some(Counted { at, place }) = behind {
            range.start = keys::behind(&keys::counted_at(org, *at, place));
        }
        self.backend.scan(&*range.start..&*range.end, Order::Ascending, &mut |key, _| {
            keys::counted_in(key).map_or(ControlFlow::Continue(()), |(at, place)| visit(Counted { at, place }))
        })
    }
}

impl Commit {
    /// What the organisation has used.
    pub fn usage(&mut self, usage: &Usage) -> Result<(), StoreError> {
        self.put("usage", keys::usage(self.org), usage)
    }

    /// A recipient counts from now on; `before`: they did since then.
    pub fn count(&mut self, before: Option<Timestamp>, counted: &Counted) -> Result<(), StoreError> {
        let (org, Counted { at, place }) = (self.org, counted);
        self.writes.extend(before.map(|before| Write::Delete(keys::counted_at(org, before, place))));
        self.put("counted recipient", keys::counted(org, place), at)?;
        self.put_index_key(keys::counted_at(org, *at, place));
        Ok(())
    }

    /// A recipient no longer counts.
    pub fn uncount(&mut self, counted: &Counted) {
        let (org, Counted { at, place }) = (self.org, counted);
        self.writes.push(Write::Delete(keys::counted(org, place)));
        self.writes.push(Write::Delete(keys::counted_at(org, *at, place)));
    }
}
