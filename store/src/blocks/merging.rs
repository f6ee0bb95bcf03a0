//! Merging sorted runs into one, a step at a time: what comes first in all of them goes behind what the new run has, and out of
//! them.

use std::sync::Arc;

use ::sled::IVec;

use super::{BLOCK_MAX, Block, Blocks, Step};
use crate::backend::StoreError;
use crate::packed::{Entry, pack};
use crate::runs::{Merge, Run};

/// The first blocks of a run.
struct Front<'a> {
    run: &'a Run,
    blocks: Vec<Block>,
    /// What the index tells of the one behind them.
    next: Option<(IVec, IVec)>,
}

impl Blocks {
    /// A step of a merge that begins now, or of the latest that goes on; durable when it returns. False if no runs are to be merged.
    /// One of many small runs does not wait for one of large ones: meanwhile there would be ever more of them.
    pub(crate) fn merge_step(&self, merges: &mut Vec<Merge>) -> Result<bool, StoreError> {
        merges.extend(self.runs.begin_merge(merges.last()));
        let Some(latest) = merges.last_mut() else { return Ok(false) };
        if !self.merge_on(latest)? {
            merges.pop();
        }
        Ok(true)
    }

    /// Makes one run of all: nothing is left of what was overwritten or deleted. No other merge may go on.
    pub(crate) fn merge_all(&self) -> Result<(), StoreError> {
        let Some(mut merge) = self.runs.begin_merge_of_all() else { return Ok(()) };
        while self.merge_on(&mut merge)? {}
        Ok(())
    }

    /// Whether so many runs wait to be merged that no more should come.
    pub(crate) fn has_too_many_runs(&self) -> bool {
        self.runs.are_too_many()
    }

    /// False if nothing is left to merge.
    fn merge_on(&self, merge: &mut Merge) -> Result<bool, StoreError> {
        let mut fronts: Vec<_> = merge.sources.iter().map(|run| self.front(run)).collect::<Result<_, _>>()?;
        // One of each run at least: else, where all begin with the same key, none could be written.
        for _ in 0..(self.step_bytes / BLOCK_MAX).max(fronts.len()) {
            let behind = fronts.iter_mut().filter(|front| front.next_key().is_some());
            let Some(first) = behind.min_by(|one, other| one.next_key().cmp(&other.next_key())) else { break };
            self.read_on(first)?;
        }
        if fronts.iter().all(|front| front.blocks.is_empty()) {
            self.finish(merge)?;
            return Ok(false);
        }
        // Up to here every run was read.
        let end = fronts.iter().filter_map(Front::next_key).min();
        let is_read = |(key, _): &Entry<'_>| end.is_none_or(|end| *key < end);
        let newest_first = fronts.iter().flat_map(|front| &front.blocks).flat_map(Block::records).filter(is_read);
        let mut records: Vec<_> = newest_first.collect();
        // Stable, so that the newest of each key stays the first.
        records.sort_by_key(|(key, _)| *key);
        records.dedup_by_key(|(key, _)| *key);
        if merge.is_of_all {
            records.retain(|(_, value)| value.is_some());
        }
        let mut step = Step::default();
        merge.written += records.len();
        self.fill(&merge.target, &records, &mut step)?;
        for front in &fronts {
            for block in &front.blocks {
                step.index.remove(&block.key);
                step.before.extend(block.extent);
                let left: Vec<_> = block.records().filter(|record| !is_read(record)).collect();
                if let Some((first, _)) = left.first() {
                    self.put(&[&*front.run.row, first].concat(), &pack(left.iter().copied())?, &mut step)?;
                }
            }
        }
        self.commit(step)?;
        Ok(true)
    }

    fn front<'a>(&self, run: &'a Run) -> Result<Front<'a>, StoreError> {
        Ok(Front { run, blocks: vec![], next: self.behind(&run.row, &run.row)? })
    }

    /// Reads the next block of a run, which has one.
    fn read_on(&self, front: &mut Front<'_>) -> Result<(), StoreError> {
        let Some((key, extent)) = front.next.take() else { return Ok(()) };
        let block =
            self.block(&key, &extent, &front.run.row)?.ok_or(StoreError::Damaged { what: "index of blocks" })?;
        front.next = self.behind(&key, &front.run.row)?;
        front.blocks.push(block);
        Ok(())
    }

    /// Nothing is left in the sources of a merge: it ends.
    fn finish(&self, merge: &Merge) -> Result<(), StoreError> {
        let target = &merge.target;
        let merged = match merge.written {
            0 => None,
            // Much was overwritten or deleted, or a source's filter was made anew, for about as many keys as it has.
            keys if keys < target.filter.room() / 2 || keys > target.filter.room() => {
                let filter = self.filter_of(&target.row, keys)?;
                Some(Arc::new(Run { row: target.row.clone(), filter }))
            }
            _ => Some(Arc::clone(target)),
        };
        let mut step = Step::default();
        if let Some(run) = &merged {
            self.keep_filter(run, &mut step)?;
        }
        for source in &merge.sources {
            self.drop_filter(source, &mut step)?;
        }
        self.commit(step)?;
        self.runs.end_merge(merge, merged);
        Ok(())
    }
}

impl Front<'_> {
    /// The first key that may be behind what was read; none if nothing is.
    fn next_key(&self) -> Option<&[u8]> {
        self.next.as_ref()?.0.strip_prefix(&*self.run.row)
    }
}
