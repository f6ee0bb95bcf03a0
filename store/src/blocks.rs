//! Sorted blocks: neighbouring records packed together. sled keeps the index: the [`Extent`] of each block in the [`BlockFile`],
//! under the row that the block stands in and the first key that it may hold. A block reaches up to the next one of its row.
//!
//! Records whose keys go on with a hash are in sorted runs ([`Runs`]), each a row of its own. All others are in one row, in place.

mod copying;
mod filters;
mod flushing;
mod merging;

use std::ops::{Bound, Range};
use std::path::Path;
use std::sync::Arc;

use ::sled::{Batch, Db, IVec};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::backend::{Order, StoreError};
use crate::block_file::{BlockFile, Extent};
use crate::filter::Hash;
use crate::keys;
use crate::packed::{Entry, Unpacked, pack, size_of};
use crate::runs::Runs;
use crate::sled::failed;
pub(crate) use flushing::FlushProgress;

/// The row of the records that are in place.
const IN_PLACE: &[u8] = &[];
/// No record's key is below this one.
const FIRST: &[u8] = &[1];
/// Under it stands the number of the last batch that is flushed: all that it changed is in the blocks.
const FLUSHED: &[u8] = b"\0moved";
/// Bytes of a block before it is packed.
const BLOCK_MAX: usize = 7 * 1024;
/// Bytes of blocks that are written at once: enough that a sync costs little beside them.
const STEP_MAX: usize = 512 << 10;
/// Bytes of unpacked blocks that are kept in memory: those of messages that wait are read one after another.
const CACHED: usize = 4 << 20;

/// All blocks.
pub(crate) struct Blocks {
    index: Db,
    file: BlockFile,
    cache: Cache<Extent, Arc<Unpacked>, BySize>,
    runs: Runs,
    /// Done once, when somebody is about to read a block, and has chosen it.
    #[cfg(test)]
    pub(crate) behind_reader: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Bytes of blocks that are written at once.
    step_bytes: usize,
    /// Makes the index durable.
    sync_index: Box<dyn Fn() -> Result<(), StoreError> + Send + Sync>,
}

/// Changes of some blocks that become durable together.
#[derive(Default)]
struct Step {
    index: Batch,
    /// Bytes of the new blocks.
    bytes: usize,
    /// The old extents of the blocks that have changed.
    before: Vec<Extent>,
}

/// A block, as it was at one moment.
pub(crate) struct Block {
    /// In the index.
    key: IVec,
    /// How many bytes of that are the row's.
    row: usize,
    extent: Option<Extent>,
    records: Arc<Unpacked>,
}

#[derive(Clone)]
struct BySize;

impl Weighter<Extent, Arc<Unpacked>> for BySize {
    fn weight(&self, _: &Extent, records: &Arc<Unpacked>) -> u64 {
        u64::try_from(records.size()).unwrap_or(u64::MAX)
    }
}

impl Blocks {
    /// Opens the blocks whose index is `index`, and whose file is in `folder`. Memtables of so many bytes are flushed into them, in
    /// several steps.
    pub(crate) fn open(
        index: Db,
        folder: &Path,
        memtable_bytes: usize,
        sync_index: impl Fn() -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let file = BlockFile::open(folder, extents(&index).map(|item| Ok(item?.1)).collect::<Result<_, _>>()?)?;
        let cache = Cache::with_weighter(CACHED / BLOCK_MAX, CACHED as u64, BySize);
        let mut blocks = Self {
            index,
            file,
            cache,
            runs: Runs::default(),
            #[cfg(test)]
            behind_reader: std::sync::Mutex::default(),
            step_bytes: STEP_MAX.min(memtable_bytes / 4),
            sync_index: Box::new(sync_index),
        };
        blocks.runs = Runs::new(blocks.kept_runs()?);
        Ok(blocks)
    }

    /// The number of the last batch that is flushed: all that it changed is in the blocks.
    pub(crate) fn flushed(&self) -> Result<u64, StoreError> {
        let Some(bytes) = self.index.get(FLUSHED).map_err(failed("read"))? else { return Ok(0) };
        let bytes = bytes.as_ref().try_into().map_err(|_| StoreError::Damaged { what: "count of batches" })?;
        Ok(u64::from_be_bytes(bytes))
    }

    #[cfg(test)]
    pub(crate) fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Bytes on disk.
    pub(crate) fn size(&self) -> Result<u64, StoreError> {
        Ok(self.index.size_on_disk().map_err(failed("measure its size"))? + self.file.size()?)
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if !keys::is_hashed(key) {
            return Ok(self.of(IN_PLACE, key)?.get(key).flatten().map(<[u8]>::to_vec));
        }
        let hash = Hash::of(key);
        loop {
            let runs = self.runs.load();
            let mut found = None;
            for run in runs.iter().filter(|run| run.filter.may_hold(hash)) {
                if let Some(value) = self.of(&run.row, key)?.get(key) {
                    found = value.map(<[u8]>::to_vec);
                    break;
                }
            }
            if self.runs.are_still(&runs) {
                return Ok(found);
            }
        }
    }

    /// The first part of `range` in this order that is in one block of each row, and these blocks, newest first.
    pub(crate) fn at(&self, range: &Range<Vec<u8>>, order: Order) -> Result<(Range<Vec<u8>>, Vec<Block>), StoreError> {
        let (range, are_hashed) = keys::alike(range, order);
        let hash = Hash::of_all(&range);
        loop {
            let runs = self.runs.load();
            let (mut part, mut blocks) = (range.clone(), Vec::new());
            if !are_hashed {
                blocks.push(self.block_at(IN_PLACE, &mut part, order)?);
            }
            for run in runs.iter().filter(|_| are_hashed) {
                // Not before the newer runs were read: a merge may just have moved one of their records into this one.
                if hash.is_none_or(|hash| run.filter.may_hold(hash)) {
                    blocks.push(self.block_at(&run.row, &mut part, order)?);
                }
            }
            // A block that was split since it was read would leave nothing of the part.
            if part.start < part.end && self.runs.are_still(&runs) {
                return Ok((part, blocks));
            }
        }
    }

    /// The block of a row in which `part` begins in this order; `part` is cut off where it ends.
    fn block_at(&self, row: &[u8], part: &mut Range<Vec<u8>>, order: Order) -> Result<Block, StoreError> {
        match order {
            Order::Ascending => {
                let block = self.of(row, &part.start)?;
                if let Some(next) = self.next(&block)?.filter(|next| *next < part.end) {
                    part.end = next;
                }
                Ok(block)
            }
            Order::Descending => {
                let block = self.last_of(row, Bound::Excluded(&part.end))?;
                if *block.from() > *part.start {
                    part.start = block.from().to_vec();
                }
                Ok(block)
            }
        }
    }

    /// The block that `key` belongs to.
    fn of(&self, row: &[u8], key: &[u8]) -> Result<Block, StoreError> {
        self.last_of(row, Bound::Included(key))
    }

    /// The last block of a row that begins before `end`.
    fn last_of(&self, row: &[u8], end: Bound<&[u8]>) -> Result<Block, StoreError> {
        #[cfg(test)]
        if let Some(act) = { self.behind_reader.lock().unwrap().take() } {
            act();
        }
        let first = [row, FIRST].concat();
        let end = end.map(|key| [row, key].concat());
        loop {
            let found = self.index.range::<Vec<u8>, _>((Bound::Included(first.clone()), end.clone())).next_back();
            let Some((key, bytes)) = found.transpose().map_err(failed("read"))? else {
                let key = first.into();
                return Ok(Block { key, row: row.len(), extent: None, records: Arc::default() });
            };
            if let Some(block) = self.block(&key, &bytes, row)? {
                return Ok(block);
            }
        }
    }

    /// The block of which the index has just given this extent; `None` if the block has another one by now.
    fn block(&self, key: &IVec, extent: &IVec, row: &[u8]) -> Result<Option<Block>, StoreError> {
        let at = Extent::from_bytes(extent)?;
        let block = |records| Block { key: key.clone(), row: row.len(), extent: Some(at), records };
        if let Some(records) = self.cache.get(&at) {
            return Ok(Some(block(records)));
        }
        match self.file.get(at)? {
            Some(packed) => {
                let records = Arc::new(Unpacked::new(&packed)?);
                self.cache.insert(at, Arc::clone(&records));
                Ok(Some(block(records)))
            }
            None if self.index.get(key).map_err(failed("read"))?.as_ref() == Some(extent) => {
                Err(StoreError::Damaged { what: "block of records" })
            }
            None => Ok(None),
        }
    }

    /// Where the block behind this one begins by now, in its row.
    fn next(&self, block: &Block) -> Result<Option<Vec<u8>>, StoreError> {
        let next = self.behind(&block.key, block.key.get(..block.row).unwrap_or_default())?;
        Ok(next.and_then(|(key, _)| Some(key.get(block.row..)?.to_vec())))
    }

    /// What the index tells of the first block of a row behind this key of the index.
    fn behind(&self, key: &[u8], row: &[u8]) -> Result<Option<(IVec, IVec)>, StoreError> {
        let next = self.index.get_gt(key).map_err(failed("read"))?;
        Ok(next.filter(|(key, _)| key.starts_with(row)))
    }

    /// Cuts `records` into blocks of about the same size, the first of which begins at `from`, and writes them into a row.
    fn write<'a>(
        &self,
        row: &[u8],
        mut from: &'a [u8],
        mut records: &[Entry<'a>],
        step: &mut Step,
    ) -> Result<(), StoreError> {
        let size: usize = records.iter().copied().map(size_of).sum();
        let enough = size.div_ceil(size.div_ceil(BLOCK_MAX).max(1));
        while !records.is_empty() {
            let mut size = 0;
            let fits = |entry: &&Entry<'_>| {
                let before = size;
                size += size_of(**entry);
                before == 0 || (before < enough && size <= BLOCK_MAX)
            };
            let (block, behind) = records.split_at(records.iter().take_while(fits).count());
            self.put(&[row, from].concat(), &pack(block.iter().copied())?, step)?;
            records = behind;
            from = records.first().map_or(from, |(key, _)| key);
        }
        Ok(())
    }

    /// Writes what is to stand under `key` in the index.
    fn put(&self, key: &[u8], bytes: &[u8], step: &mut Step) -> Result<(), StoreError> {
        step.bytes += bytes.len();
        step.index.insert(key, self.file.put(bytes)?.to_bytes());
        Ok(())
    }

    /// Makes the new blocks durable, then the index that points to them. The old extents are free after that.
    fn commit(&self, step: Step) -> Result<(), StoreError> {
        self.file.sync()?;
        self.index.apply_batch(step.index).map_err(failed("write"))?;
        (self.sync_index)()?;
        step.before.iter().for_each(|extent| drop(self.cache.remove(extent)));
        self.file.free(&step.before)
    }
}

/// The extents of all blocks and filters in an index.
fn extents(index: &Db) -> impl Iterator<Item = Result<(IVec, Extent), StoreError>> {
    let kept = index.iter().filter(|item| item.as_ref().map_or(true, |(key, _)| key != FLUSHED));
    kept.map(|item| {
        let (key, extent) = item.map_err(failed("read"))?;
        Ok((key, Extent::from_bytes(&extent)?))
    })
}

impl Block {
    /// The first key that may be in it.
    fn from(&self) -> &[u8] {
        let from = self.key.get(self.row..).unwrap_or_default();
        if *from == *FIRST { &[] } else { from }
    }

    /// What is known of `key`, which belongs to this block: its value, or a tombstone (`None`).
    fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.records.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// Its records, in the order of their keys.
    pub(crate) fn records(&self) -> impl Iterator<Item = Entry<'_>> {
        self.records.iter()
    }
}
