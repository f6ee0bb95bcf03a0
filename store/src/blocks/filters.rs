//! The filters of runs are kept beside their blocks, so that a start need not read all of those.

use std::ops::Bound;

use ::sled::IVec;

use super::{Blocks, Step};
use crate::backend::StoreError;
use crate::block_file::Place;
use crate::filter::{Filter, Hash};
use crate::keys;
use crate::packed::Unpacked;
use crate::runs::{Run, Runs};
use crate::sled::failed;

/// About how many keys there are in a block.
const KEYS: usize = 150;

impl Blocks {
    /// The runs in the index.
    pub(super) fn kept_runs(&self) -> Result<Vec<Run>, StoreError> {
        let (mut runs, mut from) = (Vec::new(), Runs::ROWS.to_vec());
        while let Some(found) = self.index.range(&*from..).next() {
            let (key, _) = found.map_err(failed("read"))?;
            let Some(row) = key.get(..Run::ROW).filter(|row| row.starts_with(Runs::ROWS)) else { break };
            from = keys::within(row.to_vec()).end;
            runs.push(Run { row: row.to_vec(), filter: self.filter(row)? });
        }
        Ok(runs)
    }

    /// That of a run: as it was kept, or made anew.
    fn filter(&self, row: &[u8]) -> Result<Filter, StoreError> {
        if let Some(place) = self.index.get(row).map_err(failed("read"))?
            && let Some(bytes) = self.file.get(Place::from_bytes(&place)?)?
            && let Some(filter) = Filter::from_bytes(&bytes)
        {
            return Ok(filter);
        }
        self.filter_of(row, self.blocks_of(row).count().saturating_mul(KEYS))
    }

    /// A filter of all that is in a run, about so many keys.
    pub(super) fn filter_of(&self, row: &[u8], keys: usize) -> Result<Filter, StoreError> {
        let filter = Filter::new(keys);
        for item in self.blocks_of(row) {
            let packed = self.file.get(Place::from_bytes(&item?.1)?)?;
            // A key in a block that cannot be read is not one that is not there.
            let Some(Ok(records)) = packed.map(|packed| Unpacked::new(&packed)) else { return Ok(Filter::open()) };
            records.iter().for_each(|(key, _)| filter.insert(Hash::of(key)));
        }
        Ok(filter)
    }

    /// What the index tells of the blocks of a run.
    pub(super) fn blocks_of(&self, row: &[u8]) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> {
        // Under the row's name alone stands its filter.
        let behind = (Bound::Excluded(row.to_vec()), Bound::Excluded(keys::within(row.to_vec()).end));
        self.index.range(behind).map(|item| item.map_err(failed("read")))
    }

    /// Keeps the filter of a run that is whole.
    pub(super) fn keep_filter(&self, run: &Run, step: &mut Step) -> Result<(), StoreError> {
        self.put(&run.row, &run.filter.to_bytes(), step)
    }

    /// Drops that of a run of which nothing is left.
    pub(super) fn drop_filter(&self, run: &Run, step: &mut Step) -> Result<(), StoreError> {
        if let Some(place) = self.index.get(&run.row).map_err(failed("read"))? {
            step.index.remove(&*run.row);
            step.before.push(Place::from_bytes(&place)?);
        }
        Ok(())
    }
}
