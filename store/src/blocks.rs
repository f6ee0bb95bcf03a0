//! Sorted blocks: neighbouring records packed together. sled keeps the index: under the first key that a block may hold, its place
//! in the [`BlockFile`]. A block reaches up to the next one's first key; what lies before the first block belongs to it, too.

use std::ops::Bound;
use std::path::Path;

use ::sled::{Batch, Db, IVec};

use crate::backend::StoreError;
use crate::block_file::{BlockFile, Place};
use crate::memtable::Changes;
use crate::packed::{Entry, Unpacked, pack, size_of};
use crate::sled::failed;

/// No record's key is below this one.
const FIRST: &[u8] = &[1];
/// Under it stands the number of the last batch of which everything is in the blocks.
const MOVED: &[u8] = b"\0moved";
/// Bytes of a block before it is packed.
const BLOCK_MAX: usize = 7 * 1024;
/// Bytes of blocks that are written at once: enough that a sync costs little beside them.
const STEP: usize = 512 << 10;

/// All blocks.
pub(crate) struct Blocks {
    index: Db,
    file: BlockFile,
    /// Makes the index durable.
    sync_index: Box<dyn Fn() -> Result<(), StoreError> + Send + Sync>,
}

/// Changes of some blocks that become durable together.
#[derive(Default)]
struct Step {
    index: Batch,
    /// Bytes of the new blocks.
    bytes: usize,
    /// Where the blocks lay that have changed.
    before: Vec<Place>,
}

/// A block, as it was at one moment.
pub(crate) struct Block {
    from: IVec,
    place: Option<Place>,
    records: Unpacked,
}

impl Blocks {
    /// Opens the blocks whose index is `index`, and whose file is in `folder`.
    pub(crate) fn open(
        index: Db,
        folder: &Path,
        sync_index: impl Fn() -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let places = index.range(FIRST..).values().map(|place| Place::from_bytes(&place.map_err(failed("read"))?));
        let file = BlockFile::open(folder, places.collect::<Result<_, _>>()?)?;
        Ok(Self { index, file, sync_index: Box::new(sync_index) })
    }

    /// The number of the last batch of which everything is in the blocks.
    pub(crate) fn moved(&self) -> Result<u64, StoreError> {
        let Some(bytes) = self.index.get(MOVED).map_err(failed("read"))? else { return Ok(0) };
        let bytes = bytes.as_ref().try_into().map_err(|_| StoreError::Damaged { what: "count of batches" })?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// Bytes on disk.
    pub(crate) fn size(&self) -> Result<u64, StoreError> {
        Ok(self.index.size_on_disk().map_err(failed("measure its size"))? + self.file.size()?)
    }

    /// The block that `key` belongs to.
    pub(crate) fn of(&self, key: &[u8]) -> Result<Block, StoreError> {
        self.last_of(Bound::Included(key))
    }

    /// The block that the last key before `end` belongs to.
    pub(crate) fn before(&self, end: &[u8]) -> Result<Block, StoreError> {
        self.last_of(Bound::Excluded(end))
    }

    fn last_of(&self, end: Bound<&[u8]>) -> Result<Block, StoreError> {
        loop {
            let found = self.index.range::<&[u8], _>((Bound::Included(FIRST), end)).next_back();
            let Some((from, bytes)) = found.transpose().map_err(failed("read"))? else {
                return Ok(Block { from: FIRST.into(), place: None, records: Unpacked::default() });
            };
            if let Some(packed) = self.read(&from, &bytes)? {
                let (place, records) = (Some(Place::from_bytes(&bytes)?), Unpacked::new(&packed)?);
                return Ok(Block { from, place, records });
            }
        }
    }

    /// What lies in the place that the index has just told for a block; `None` if the block has another by now.
    fn read(&self, from: &IVec, place: &IVec) -> Result<Option<Vec<u8>>, StoreError> {
        let packed = self.file.get(Place::from_bytes(place)?)?;
        if packed.is_none() && self.index.get(from).map_err(failed("read"))?.as_ref() == Some(place) {
            return Err(StoreError::Damaged { what: "block of records" });
        }
        Ok(packed)
    }

    /// Where the block behind this one begins by now: it, too, may have been split since it was read.
    pub(crate) fn next(&self, block: &Block) -> Result<Option<IVec>, StoreError> {
        Ok(self.index.get_gt(&block.from).map_err(failed("read"))?.map(|(key, _)| key))
    }

    /// Puts about [`STEP`] bytes of `changes`, from key `from` on, into the blocks that they belong to; durable when it returns.
    /// From which key on changes are left; `None` if none are: then all batches up to number `last` are in the blocks.
    pub(crate) fn absorb(&self, changes: &Changes, from: &[u8], last: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let (mut from, mut step) = (from.to_vec(), Step::default());
        let rest = loop {
            let Some((next, _)) = changes.range::<[u8], _>((Bound::Included(&*from), Bound::Unbounded)).next() else {
                break None;
            };
            if step.bytes >= STEP {
                break Some(from);
            }
            // What the step already holds is not in the index yet; but it has taken all changes of the blocks before.
            let block = self.of(next)?;
            let to = self.next(&block)?;
            let end = to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let changes = changes.range::<[u8], _>((Bound::Included(next.as_slice()), end));
            self.change(&block, changes.map(|(key, value)| (key.as_slice(), value.as_deref())), &mut step)?;
            match to {
                Some(to) => from = to.to_vec(),
                None => break None,
            }
        };
        if rest.is_none() {
            step.index.insert(MOVED, &last.to_be_bytes());
        }
        self.commit(step)?;
        Ok(rest)
    }

    /// Makes the new blocks durable, then the index that knows of them; the places of the old ones are free after that.
    fn commit(&self, step: Step) -> Result<(), StoreError> {
        self.file.sync()?;
        self.index.apply_batch(step.index).map_err(failed("write"))?;
        (self.sync_index)()?;
        self.file.free(&step.before)
    }

    /// Writes the records of `block` with `changes`, which belong to it, into as many blocks as they need.
    fn change<'a>(
        &self,
        block: &Block,
        changes: impl Iterator<Item = Entry<'a>>,
        step: &mut Step,
    ) -> Result<(), StoreError> {
        let (mut changes, mut records) = (changes.peekable(), block.records.iter().peekable());
        let mut merged = Vec::new();
        loop {
            let change_is_next = match (changes.peek(), records.peek()) {
                (Some((change, _)), Some((record, _))) => change <= record,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            if !change_is_next {
                merged.extend(records.next());
            } else if let Some((key, value)) = changes.next() {
                records.next_if(|(record, _)| *record == key);
                merged.extend(value.map(|value| (key, Some(value))));
            }
        }
        step.before.extend(block.place);
        if merged.is_empty() {
            step.index.remove(&*block.from);
            return Ok(());
        }
        // Of about the same size.
        let size: usize = merged.iter().copied().map(size_of).sum();
        let enough = size.div_ceil(size.div_ceil(BLOCK_MAX));
        let (mut from, mut rest) = (&*block.from, merged.as_slice());
        while !rest.is_empty() {
            let mut size = 0;
            let fits = |entry: &&Entry<'_>| {
                let before = size;
                size += size_of(**entry);
                before == 0 || (before < enough && size <= BLOCK_MAX)
            };
            let (records, behind) = rest.split_at(rest.iter().take_while(fits).count());
            self.put(from, &pack(records.iter().copied())?, step)?;
            rest = behind;
            from = rest.first().map_or(from, |(key, _)| key);
        }
        Ok(())
    }

    /// Writes a block that begins there.
    fn put(&self, from: &[u8], packed: &[u8], step: &mut Step) -> Result<(), StoreError> {
        step.bytes += packed.len();
        step.index.insert(from, self.file.put(packed)?.to_bytes());
        Ok(())
    }

    /// Takes blocks that cannot be read out of the index; how many. Nothing else may be written meanwhile.
    pub(crate) fn forget_unreadable(&self) -> Result<u64, StoreError> {
        let (mut step, mut gone) = (Step::default(), 0);
        for item in self.index.range(FIRST..) {
            let (from, place) = item.map_err(failed("read"))?;
            let place = Place::from_bytes(&place)?;
            if self.file.get(place)?.is_none_or(|packed| Unpacked::new(&packed).is_err()) {
                step.index.remove(from);
                step.before.push(place);
                gone += 1;
            }
        }
        self.commit(step)?;
        Ok(gone)
    }

    /// Writes all blocks to `copy`, which has none yet, and compares the two; how many records they hold. `progress` is told now
    /// and then how many there were so far. Nothing else may be written meanwhile.
    pub(crate) fn copy_to(&self, copy: &Self, progress: &mut dyn FnMut(u64)) -> Result<u64, StoreError> {
        let (mut records, mut step) = (0, Step::default());
        for block in self.packed() {
            let (from, packed) = block?;
            records += u64::try_from(Unpacked::new(&packed)?.iter().count()).unwrap_or(u64::MAX);
            copy.put(&from, &packed, &mut step)?;
            if step.bytes >= STEP {
                copy.commit(std::mem::take(&mut step))?;
                progress(records);
            }
        }
        step.index.insert(MOVED, &self.moved()?.to_be_bytes());
        copy.commit(step)?;
        let mut copied = copy.packed();
        for block in self.packed() {
            if copied.next().transpose()? != Some(block?) {
                return Err(StoreError::Damaged { what: "copy; the store itself is as it was" });
            }
        }
        match copied.next() {
            Some(_) => Err(StoreError::Damaged { what: "copy; the store itself is as it was" }),
            None => Ok(records),
        }
    }

    /// Every block as it lies in the file, and where it begins.
    fn packed(&self) -> impl Iterator<Item = Result<(IVec, Vec<u8>), StoreError>> {
        self.index.range(FIRST..).map(|item| {
            let (from, place) = item.map_err(failed("read"))?;
            let packed = self.read(&from, &place)?.ok_or(StoreError::Damaged { what: "index of blocks" })?;
            Ok((from, packed))
        })
    }
}

impl Block {
    /// The first key that may be in it.
    pub(crate) fn from(&self) -> &[u8] {
        if *self.from == *FIRST { &[] } else { &self.from }
    }

    /// The value of `key`, which belongs to this block.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.records.iter().find(|(found, _)| *found == key).and_then(|(_, value)| value)
    }

    /// Its records, in the order of their keys.
    pub(crate) fn records(&self) -> impl Iterator<Item = Entry<'_>> {
        self.records.iter()
    }
}
