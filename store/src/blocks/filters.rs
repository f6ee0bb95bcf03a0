//! The Bloom filters of sorted runs are kept beside their blocks, so that a start need not read all of those.

use std::ops::Bound;

use ::sled::IVec;

use super::{Blocks, Step};
use crate::backend::StoreError;
use crate::block_file::Extent;
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

    /// The Bloom filter of a run: as it was kept, or made anew.
    fn filter(&self, row: &[u8]) -> Result<Filter, StoreError> {
        if let Some(extent) = self.index.get(row).map_err(failed("read"))?
            && let Some(bytes) = self.file.get(Extent::from_bytes(&extent)?)?
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
            let packed = self.file.get(Extent::from_bytes(&item?.1)?)?;
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
        if let Some(extent) = self.index.get(&run.row).map_err(failed("read"))? {
            step.index.remove(&*run.row);
            step.before.push(Extent::from_bytes(&extent)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::Changes;

    fn hash(n: u8) -> Vec<u8> {
        [b"y".as_slice(), &[n; 20]].concat()
    }

    /// A run of several blocks.
    fn run(index: &::sled::Db, folder: &std::path::Path) -> Blocks {
        let blocks = Blocks::open(index.clone(), folder, 4 << 10, || Ok(())).unwrap();
        let changes: Changes = (0..100).map(|n| (hash(n), Some(vec![n; 50]))).collect();
        blocks.flush_all(&changes);
        blocks
    }

    /// Where the filters lie in the file, or the blocks.
    fn extents(blocks: &Blocks, of_filters: bool) -> Vec<Extent> {
        let extents = super::super::extents(&blocks.index).map(Result::unwrap);
        extents.filter(|(key, _)| Run::is_filter(key) == of_filters).map(|(_, extent)| extent).collect()
    }

    #[test]
    fn a_filter_that_cannot_be_used_is_made_anew_and_hides_nothing() {
        for is_of_another_version in [true, false] {
            let (index, temp) = (::sled::Config::new().temporary(true).open().unwrap(), tempfile::tempdir().unwrap());
            let blocks = run(&index, temp.path());
            let [extent] = extents(&blocks, true)[..] else { panic!("there is one") };
            if is_of_another_version {
                let mut bytes = blocks.file.get(extent).unwrap().unwrap();
                bytes.fill(0);
                bytes[0] = u8::MAX;
                let key = blocks.runs.load()[0].row.clone();
                index.insert(key, blocks.file.put(&bytes).unwrap().to_bytes()).unwrap();
            } else {
                blocks.file.damage(extent);
            }
            drop(blocks);
            let blocks = Blocks::open(index, temp.path(), 4 << 10, || Ok(())).unwrap();
            assert!((0..100).all(|n| blocks.get(&hash(n)).unwrap() == Some(vec![n; 50])));
            assert!(
                (100..=u8::MAX).filter(|n| blocks.runs.load()[0].filter.may_hold(Hash::of(&hash(*n)))).count() < 20
            );
        }
    }

    #[test]
    fn a_filter_of_what_was_merged_has_room_for_all_keys_though_it_was_not_known_how_many_there_are() {
        let (index, temp) = (::sled::Config::new().temporary(true).open().unwrap(), tempfile::tempdir().unwrap());
        let open = || Blocks::open(index.clone(), temp.path(), 4 << 20, || Ok(())).unwrap();
        let blocks = open();
        for part in 0..4u8 {
            // So small that there are more in a block than is thought.
            let changes: Changes =
                (0..1000u16).map(|n| ([b"i", &n.to_be_bytes()[..], &[part; 2]].concat(), Some(vec![]))).collect();
            blocks.flush_all(&changes);
        }
        for run in blocks.runs.load().iter() {
            index.remove(&run.row).unwrap();
        }
        drop(blocks);
        let (blocks, mut merges) = (open(), Vec::new());
        assert_eq!(blocks.runs.load().len(), 4);
        while blocks.merge_step(&mut merges).unwrap() {}
        let runs = blocks.runs.load();
        assert!(runs.len() == 1 && runs[0].filter.room() >= 4000);
        assert!(
            (0..1000u16).all(|n| runs[0].filter.may_hold(Hash::of(&[b"i", &n.to_be_bytes()[..], &[3; 2]].concat())))
        );
    }

    #[test]
    fn what_is_in_a_damaged_block_is_not_taken_for_missing_where_the_filter_is_made_anew() {
        let (index, temp) = (::sled::Config::new().temporary(true).open().unwrap(), tempfile::tempdir().unwrap());
        let blocks = run(&index, temp.path());
        let damaged = extents(&blocks, false)[1];
        let lost = Unpacked::new(&blocks.file.get(damaged).unwrap().unwrap()).unwrap();
        let lost: Vec<_> = lost.iter().map(|(key, _)| key.to_vec()).collect();
        for extent in [extents(&blocks, true)[0], damaged] {
            blocks.file.damage(extent);
        }
        drop(blocks);
        let blocks = Blocks::open(index, temp.path(), 4 << 10, || Ok(())).unwrap();
        for n in 0..100 {
            match blocks.get(&hash(n)) {
                Ok(found) => assert!(found == Some(vec![n; 50]) && !lost.contains(&hash(n))),
                Err(_) => assert!(lost.contains(&hash(n))),
            }
        }
        assert!(!lost.is_empty());
    }
}
