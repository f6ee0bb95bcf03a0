//! What leads to records, built anew from the records: indexes and counts. Nothing is made up; what is lost stays lost.
//!
//! Each batch is one of its own, and each walk begins with what is there: cut off, it is run again.

use std::collections::BTreeMap;

use domain::audit::{By, Entry, Fact, Kept, Subject};
use domain::{Epoch, OrgNo, Timestamp};

use crate::backend::StoreError;
use crate::commit::Commit;
use crate::keys;
use crate::random::random;
use crate::store::Store;
use crate::verify::{Finding, Mends, Report, walk};

/// Keys that one walk mends.
const ROUND: usize = 100_000;
/// Keys that one batch mends.
const BATCH: usize = 1000;

/// How far a repair has come.
pub enum Stage<'a> {
    /// So many records were looked at.
    Walking(u64),
    /// This is mended.
    Mending(&'a Finding),
}

impl Store {
    /// Mends what can be, tells of each, and puts on the trail of each organisation that it was done; how many keys it took. What
    /// is wrong still, a walk tells. Nothing may write meanwhile.
    pub fn repair(&self, at: Timestamp, tell: &mut dyn FnMut(Stage<'_>)) -> Result<u64, StoreError> {
        let mut keys_of: BTreeMap<OrgNo, u64> = BTreeMap::new();
        let mut before = Vec::new();
        loop {
            let mut mends = Mends { writes: Vec::new(), max: ROUND };
            let report: Report = walk(self, &mut mends, &mut |records| tell(Stage::Walking(records)));
            // What was put and is found wrong all the same would be put for ever.
            if mends.writes.is_empty() || mends.writes == before {
                break;
            }
            for finding in report.findings.iter().filter(|finding| finding.is_mendable) {
                tell(Stage::Mending(finding));
            }
            for org in mends.writes.iter().filter_map(|write| keys::org_of(write.entry().0)) {
                *keys_of.entry(org).or_default() += 1;
            }
            for batch in mends.writes.chunks(BATCH) {
                self.backend.apply(batch.to_vec())?;
            }
            before = mends.writes;
        }
        for (org, keys) in &keys_of {
            self.tell_repair(*org, *keys, at)?;
        }
        Ok(keys_of.values().sum())
    }

    fn tell_repair(&self, org: OrgNo, keys: u64, at: Timestamp) -> Result<(), StoreError> {
        let mut head = self.head(org)?;
        // Whoever owned it is over.
        head.epoch = Epoch(head.epoch.0 + 1);
        head.last_seq += 1;
        let entry = Entry { at, subject: Subject::Organisation, by: By::System, fact: Fact::Repaired { keys } };
        let mut commit = Commit::new(org, head.epoch);
        commit.entry(head.last_seq, &Kept::new(entry, random()?), None)?;
        commit.head(&head)?;
        self.backend.apply(commit.writes)
    }
}
